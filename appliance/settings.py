"""Settings: read once, frozen, passed as an argument.

Order, strongest first: environment ``APPLIANCE_NAME`` (or ``APPLIANCE_NAME_FILE``, a path to
read the value from), a file of that name in ``$CREDENTIALS_DIRECTORY`` (systemd credentials),
``appliance.toml`` (``APPLIANCE_CONFIG``, else ``./appliance.toml``), the default. Unknown names
and bad values stop the start with a sentence that names them. docs/settings.md lists all fields.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr, ValidationError

from appliance.errors import SettingsError
from appliance.setting_sources import from_credentials, from_environ, from_toml
from appliance.setting_types import (
    AddressList,
    FolderPath,
    GraphVersion,
    ListenAddress,
    LongSecret,
    Maybe,
    NightHours,
    OriginalsPolicy,
    PublicUrl,
    RemoteUrl,
    TimeZone,
)

_ALL_ADDRESSES = {"0.0.0.0", "[::]", "::"}

GIB = 1024**3


class Settings(BaseModel):
    """All settings. Sizes accept units ("20 GiB"); ``None`` means "worked out", as described."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False
    )

    data: FolderPath = Field(
        Path("data"), description="The folder that holds everything: database, uploads, media."
    )
    listen: ListenAddress = Field(
        "127.0.0.1:8000", description="Where the web process listens: `HOST:PORT` or `unix:/PATH`."
    )
    public_url: Maybe[PublicUrl] = Field(
        None,
        description="The address that people and platforms reach the box at. "
        "Default: http:// and the address listened on.",
    )
    media_url: Maybe[PublicUrl] = Field(
        None,
        description="What links to files for platforms and the public begin with, such as the "
        "address of a content network in front of the box. Default: `public_url`.",
    )
    development: bool = Field(
        False, description="Shows the components page `/_ui`, and reads changed templates anew."
    )
    metrics_token: Maybe[LongSecret] = Field(
        None,
        description="Prometheus may read `/metrics` with this as its bearer token. Default: only "
        "API tokens with the scope `admin` may.",
    )
    alert_urls: Maybe[AddressList] = Field(
        None,
        description="Where all alerts go, besides the channels of Settings → Alerts: addresses in "
        "[Apprise's](https://appriseit.com/services/) words, with spaces between.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much is logged."
    )

    max_upload_bytes: ByteSize = Field(
        ByteSize(20 * GIB), gt=0, description="The largest file that is taken."
    )
    max_open_uploads: int = Field(
        50, ge=1, description="Unfinished uploads that one person may have at a time."
    )
    upload_idle_hours: float = Field(
        24.0, gt=0, description="An unfinished upload that gets no bytes for so long is removed."
    )
    upload_grant_hours: float = Field(
        24.0, gt=0, description="An upload address that gets no bytes dies after so long."
    )
    max_upload_bodies: int = Field(
        64, ge=1, description="Requests that bring bytes at the same time; more are told to wait."
    )
    max_bodies_per_person: int = Field(
        8, ge=1, description="The same, of one person, or through one guest link."
    )
    upload_silence_s: float = Field(
        30.0,
        gt=0,
        description="A request that brings no byte for so long is ended; what came is kept.",
    )
    upload_min_rate: ByteSize = Field(
        ByteSize(1024),
        ge=0,
        description="A request that is slower than so many bytes a second, "
        "over a minute, is ended; what came is kept.",
    )
    guest_files_per_hour: int = Field(
        200, ge=1, description="Files that guests may send from one address within an hour."
    )
    user_quota: Maybe[ByteSize] = Field(
        None, description="What the originals of one person may take in sum. Default: no limit."
    )
    exact_originals: bool = Field(
        False,
        description="Originals are byte for byte what the sender has. Off: the browser may "
        "put the index of an MP4 in front while it sends, so that the work starts at once.",
    )
    upload_fsync: Literal["ack", "complete", "never"] = Field(
        "ack",
        description="When received bytes are forced to disk: before each acknowledgement, "
        "once at the end, or never.",
    )
    disk_reserve: ByteSize | None = Field(
        None,
        description="Free space that uploads leave untouched. Default: 2 GiB or 5 % of the "
        "disk, whichever is more, but at most a quarter of it.",
    )
    disk_budget: Maybe[ByteSize] = Field(
        None,
        description="What all videos may take in sum: originals, versions, the bin, and "
        "uploads under way. Default: what the disk holds, less the reserve.",
    )
    keep_originals: Maybe[OriginalsPolicy] = Field(
        None,
        description="What becomes of originals: `keep`, `delete:DAYS` (so many days after the "
        "video is ready), or `smaller:DAYS` (the same, where the version for posting is smaller "
        "and shows no less). Default: as chosen on the Storage page, and `keep` until then.",
    )
    trash_days: float = Field(
        7.0, gt=0, le=3650, description="What is in the bin for so long is removed for good."
    )
    backup_folder: Maybe[FolderPath] = Field(
        None,
        description="Where backups are kept; better on another disk. Default: `backups` in `data`.",
    )
    backup_keep_daily: Maybe[int] = Field(
        None,
        ge=1,
        le=366,
        description="Backups that are kept: the newest of so many days. Default: as chosen on the "
        "Backups page, and 7 until then.",
    )
    backup_keep_weekly: Maybe[int] = Field(
        None,
        ge=0,
        le=520,
        description="And the newest of so many weeks. Default: as chosen, and 4 until then.",
    )
    backup_keep_monthly: Maybe[int] = Field(
        None,
        ge=0,
        le=240,
        description="And the newest of so many months. Default: as chosen, and 6 until then.",
    )
    default_visibility: Literal["team", "private"] = Field(
        "team", description="Who sees a new video: the whole team, or its owner and the admins."
    )

    auto_renditions: bool = Field(
        True,
        description="Make each new video social-ready in the background. Off: made when a post "
        "needs it, or by hand.",
    )
    max_duration_s: float = Field(
        6 * 3600.0, gt=0, description="Longer videos are refused after the first look."
    )
    max_pixels: int = Field(
        8192 * 4320, gt=0, description="Width times height above which a video is refused."
    )
    max_tracks: int = Field(32, ge=1, description="More tracks in one file are refused.")
    ffmpeg: Maybe[Path] = Field(
        None,
        description="Path of ffmpeg. Default: the system's, else the one that came with the "
        "package.",
    )
    encoder: Literal["auto", "x264", "nvenc", "vaapi", "qsv"] = Field(
        "auto",
        description="Who encodes pictures: `x264` on the processor, or hardware of NVIDIA "
        "(`nvenc`), AMD (`vaapi`) or Intel (`qsv`, `vaapi`), which is used only after it has "
        "encoded a second that was looked into. `auto` takes hardware that is a third quicker than "
        "x264 here, and neither worse to look at nor much larger.",
    )
    sandbox: Literal["auto", "systemd", "bubblewrap", "limits"] = Field(
        "auto",
        description="How files of users are opened: in a systemd unit for each job, in bubblewrap, "
        "or under limits alone. `auto` takes the first of these that is there.",
    )
    sandbox_socket: Path = Field(
        Path("/run/appliance/sandbox.sock"),
        description="Where the systemd units for jobs are asked for (`appliance-sandbox.socket`).",
    )
    stall_s: float = Field(
        60.0,
        gt=0,
        description="A job that makes no progress for so long is ended and tried once more.",
    )

    encode_cores: Maybe[float] = Field(
        None,
        gt=0,
        description="Processors that encodes may keep busy in sum. Default: all that the workers "
        "may use (their affinity, and `CPUQuota=` of their unit).",
    )
    encode_memory: Maybe[ByteSize] = Field(
        None,
        gt=0,
        description="Memory that encodes may take in sum. Default: what is free when the worker "
        "starts (or what `MemoryMax=` of its unit leaves), less a tenth, at least 256 MiB.",
    )
    night_hours: NightHours = Field(
        "22:00-06:00",
        description="When work that waits for the night is done, in the team's time zone. "
        "Empty: at any time.",
    )
    lease_s: float = Field(
        30.0, gt=0, description="A worker that is silent for so long loses its job to another."
    )
    sweep_s: float = Field(
        30.0, gt=0, description="How often lost jobs and unheard bells are looked for."
    )
    keep_jobs_days: float = Field(
        7.0, gt=0, description="Finished jobs are removed from the Jobs page after so long."
    )

    account_pause_s: float = Field(
        60.0,
        gt=0,
        description="An account whose platform has failed five times in a row is left alone for "
        "so long, then twice as long, up to ten minutes.",
    )
    public_link_hours: float = Field(
        24.0, ge=1, description="The life of a link that is made for a platform's fetcher."
    )
    practice: bool = Field(
        True, description="Offer the practice platform, on which nothing leaves the box."
    )
    folder: FolderPath | None = Field(
        None,
        description="Where the Folder publisher puts videos. Default: `published` in `data`.",
    )

    google_client_id: str = Field(
        "",
        pattern=r"^\S*$",
        description="Of the Google project that YouTube channels are connected by. Default: as "
        "entered in Settings → Accounts.",
    )
    google_client_secret: Maybe[SecretStr] = Field(None, description="Its secret.")
    facebook_app_id: str = Field(
        "",
        pattern=r"^[0-9]*$",
        description="Of the Meta app that Facebook Pages and Instagram accounts are connected by. "
        "Default: as entered in Settings → Accounts.",
    )
    facebook_app_secret: Maybe[SecretStr] = Field(None, description="Its secret.")
    graph_version: GraphVersion = Field("v25.0", description="The version of Meta's Graph API.")
    google_auth_url: RemoteUrl = Field(
        "https://accounts.google.com", description="Where Google asks people for their consent."
    )
    google_token_url: RemoteUrl = Field(
        "https://oauth2.googleapis.com", description="Where Google gives and revokes tokens."
    )
    youtube_api_url: RemoteUrl = Field(
        "https://www.googleapis.com", description="The YouTube Data API."
    )
    facebook_dialog_url: RemoteUrl = Field(
        "https://www.facebook.com", description="Where Meta asks people for their consent."
    )
    facebook_graph_url: RemoteUrl = Field(
        "https://graph.facebook.com", description="Meta's Graph API."
    )
    instagram_graph_url: RemoteUrl = Field(
        "https://graph.facebook.com",
        description="The Graph API for Instagram accounts that belong to a Page.",
    )
    meta_rupload_url: RemoteUrl = Field(
        "https://rupload.facebook.com", description="Where Meta takes the bytes of videos."
    )
    team_name: str = Field(
        "", max_length=200, description="Who runs this box, as `/privacy` names them."
    )
    privacy_contact: str = Field(
        "",
        max_length=320,
        description="The mail address for questions about data, on `/privacy` and "
        "`/data-deletion`.",
    )

    session_idle_days: float = Field(
        14.0, gt=0, description="Somebody who is away for so long signs in again."
    )
    session_max_days: float = Field(
        90.0, gt=0, description="Everybody signs in again after so long."
    )
    team_time_zone: TimeZone = Field(
        "UTC", description="The time zone of new users and of the team's schedule."
    )
    credentials_key: SecretStr | None = Field(
        None,
        description="32 bytes in base64 that encrypt the platforms' credentials. Default: made "
        "once and kept in `secret.key` in `data`.",
    )

    @property
    def base_url(self) -> str:
        """The public address without a slash at the end."""
        if self.public_url is not None:
            return self.public_url
        if self.listen.startswith("unix:"):
            return "http://localhost"
        host, _, port = self.listen.rpartition(":")
        return f"http://{'localhost' if host in _ALL_ADDRESSES else host}:{port}"

    @property
    def links_url(self) -> str:
        """What public links begin with, without a slash at the end."""
        return self.media_url or self.base_url

    @property
    def https(self) -> bool:
        return self.base_url.startswith("https:")

    @property
    def database_path(self) -> Path:
        return self.data / "appliance.db"

    @property
    def backups(self) -> Path:
        """The folder of the backups; it need not exist yet."""
        return self.backup_folder or self.data / "backups"

    @property
    def queue_path(self) -> Path:
        return self.data / "queue.db"

    def reserve_bytes(self) -> int:
        """Free space to leave on the disk of ``data``; the folder must exist."""
        if self.disk_reserve is not None:
            return int(self.disk_reserve)
        total = shutil.disk_usage(self.data).total
        return min(max(2 * GIB, total // 20), total // 4)


def load_settings(environ: dict[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the settings; ``overrides`` (options of a command) are stronger than everything.

    Raises SettingsError with one sentence for each thing that is wrong.
    """
    environ = dict(os.environ) if environ is None else environ
    names = set(Settings.model_fields)
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for source in (
        from_toml(environ),
        from_credentials(environ, names),
        from_environ(environ, names),
    ):
        for name, (value, where) in source.items():
            if name not in names:
                raise SettingsError(f"{where} is no setting. docs/settings.md lists them all.")
            values[name], origin[name] = value, where
    for name, value in overrides.items():
        if value is not None:
            values[name], origin[name] = value, f"--{name.replace('_', '-')}"
    try:
        return Settings(**values)
    except ValidationError as exc:
        raise SettingsError(
            "\n".join(
                f"{origin.get(str(error['loc'][0]), error['loc'][0])}: {_sentence(error['msg'])}"
                for error in exc.errors()
            )
        ) from exc


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ").rstrip(".") + "."
