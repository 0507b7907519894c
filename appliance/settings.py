"""Settings: read once, frozen, passed as an argument.

Order, strongest first: environment ``APPLIANCE_NAME`` (or ``APPLIANCE_NAME_FILE``, a path to
read the value from), a file of that name in ``$CREDENTIALS_DIRECTORY`` (systemd credentials),
``appliance.toml`` (``APPLIANCE_CONFIG``, else ``./appliance.toml``), the default. Unknown names
and bad values stop the start with a sentence that names them. docs/settings.md lists all fields.
"""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from appliance.errors import SettingsError

PREFIX = "APPLIANCE_"
# Read by others: where the settings are, and which box the commands talk to.
_OTHER_NAMES = {"APPLIANCE_CONFIG", "APPLIANCE_URL", "APPLIANCE_TOKEN"}
_ALL_ADDRESSES = {"0.0.0.0", "[::]", "::"}

GIB = 1024**3
# What becomes of originals: appliance/retention.py says what the words mean.
RETENTION = re.compile(r"keep|(?:delete|smaller):[1-9][0-9]{0,3}")


def _listen(value: str) -> str:
    if value.startswith("unix:"):
        if not value.removeprefix("unix:").startswith("/"):
            raise ValueError("the path after unix: must be absolute")
        return value
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ValueError("must be HOST:PORT or unix:/PATH")
    return value


def _public_url(value: str) -> str:
    sentence = "must be an address such as https://video.example.org, without a path"
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as exc:
        raise ValueError(sentence) from exc
    more = (parts.path.strip("/"), parts.query, parts.fragment, parts.username)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(more):
        raise ValueError(sentence)
    return value.rstrip("/")


def _remote_url(value: str) -> str:
    """Scheme and host of a platform; without TLS only on this machine."""
    value = _public_url(value)
    parts = urlsplit(value)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError("must begin with https:// (plain http only for this very machine)")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError("must be a time zone such as Europe/Berlin") from exc
    if value not in available_timezones():
        raise ValueError("must be a time zone such as Europe/Berlin")
    return value


_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def night_times(value: str) -> tuple[time, time] | None:
    """ "22:00-06:00" → (22:00, 06:00); None for "": there is no window. Raises ValueError."""
    if not value:
        return None
    found = _HOURS.fullmatch(value)
    if found is None or (found[1], found[2]) == (found[3], found[4]):
        raise ValueError("must be two times such as 22:00-06:00, or empty")
    return time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))


def _night_hours(value: str) -> str:
    night_times(value.strip())
    return value.strip()


def _absolute(value: Path) -> Path:
    return value.expanduser().absolute()


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


def _retention(value: str) -> str:
    if not RETENTION.fullmatch(value):
        raise ValueError("must be keep, delete:DAYS or smaller:DAYS, such as delete:30")
    return value


def _long_secret(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < 20:
        raise ValueError("must have at least 20 characters; make one with: openssl rand -hex 20")
    return value


RemoteUrl = Annotated[str, AfterValidator(_remote_url)]
GraphVersion = Annotated[str, Field(pattern=r"^v[0-9]{1,3}\.[0-9]{1,2}$")]
FolderPath = Annotated[Path, AfterValidator(_absolute)]


class Settings(BaseModel):
    """All settings. Sizes accept units ("20 GiB"); ``None`` means "worked out", as described."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False
    )

    data: FolderPath = Field(
        Path("data"), description="The folder that holds everything: database, uploads, media."
    )
    listen: Annotated[str, AfterValidator(_listen)] = Field(
        "127.0.0.1:8000", description="Where the web process listens: `HOST:PORT` or `unix:/PATH`."
    )
    public_url: Annotated[
        Annotated[str, AfterValidator(_public_url)] | None, BeforeValidator(_empty_is_none)
    ] = Field(
        None,
        description="The address that people and platforms reach the box at. "
        "Default: http:// and the address listened on.",
    )
    development: bool = Field(
        False, description="Shows the components page `/_ui`, and reads changed templates anew."
    )
    metrics_token: Annotated[
        Annotated[SecretStr, AfterValidator(_long_secret)] | None, BeforeValidator(_empty_is_none)
    ] = Field(
        None,
        description="Prometheus may read `/metrics` with this as its bearer token. Default: only "
        "API tokens with the scope `admin` may.",
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
    user_quota: Annotated[ByteSize | None, BeforeValidator(_empty_is_none)] = Field(
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
    disk_budget: Annotated[ByteSize | None, BeforeValidator(_empty_is_none)] = Field(
        None,
        description="What all videos may take in sum: originals, versions, the bin, and "
        "uploads under way. Default: what the disk holds, less the reserve.",
    )
    keep_originals: Annotated[
        Annotated[str, AfterValidator(_retention)] | None, BeforeValidator(_empty_is_none)
    ] = Field(
        None,
        description="What becomes of originals: `keep`, `delete:DAYS` (so many days after the "
        "video is ready), or `smaller:DAYS` (the same, where the version for posting is smaller "
        "and shows no less). Default: as chosen on the Storage page, and `keep` until then.",
    )
    trash_days: float = Field(
        7.0, gt=0, le=3650, description="What is in the bin for so long is removed for good."
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
    ffmpeg: Annotated[Path | None, BeforeValidator(_empty_is_none)] = Field(
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

    encode_cores: Annotated[float | None, BeforeValidator(_empty_is_none)] = Field(
        None,
        gt=0,
        description="Processors that encodes may keep busy in sum. Default: all that the workers "
        "may use (their affinity, and `CPUQuota=` of their unit).",
    )
    encode_memory: Annotated[ByteSize | None, BeforeValidator(_empty_is_none)] = Field(
        None,
        gt=0,
        description="Memory that encodes may take in sum. Default: what is free when the worker "
        "starts (or what `MemoryMax=` of its unit leaves), less a tenth, at least 256 MiB.",
    )
    night_hours: Annotated[str, AfterValidator(_night_hours)] = Field(
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
    google_client_secret: Annotated[SecretStr | None, BeforeValidator(_empty_is_none)] = Field(
        None, description="Its secret."
    )
    facebook_app_id: str = Field(
        "",
        pattern=r"^[0-9]*$",
        description="Of the Meta app that Facebook Pages and Instagram accounts are connected by. "
        "Default: as entered in Settings → Accounts.",
    )
    facebook_app_secret: Annotated[SecretStr | None, BeforeValidator(_empty_is_none)] = Field(
        None, description="Its secret."
    )
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
    team_time_zone: Annotated[str, AfterValidator(_zone)] = Field(
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
    def https(self) -> bool:
        return self.base_url.startswith("https:")

    @property
    def database_path(self) -> Path:
        return self.data / "appliance.db"

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
    for source in (_from_toml(environ), _from_credentials(environ, names), _from_environ(environ)):
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


def _from_toml(environ: dict[str, str]) -> dict[str, tuple[Any, str]]:
    named = environ.get("APPLIANCE_CONFIG")
    path = Path(named or "appliance.toml")
    if not path.is_file():
        if named:
            raise SettingsError(f"APPLIANCE_CONFIG: there is no file {path}.")
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as exc:
        raise SettingsError(f"{path} can't be read: {exc}.") from exc
    return {name: (value, f"{path}: {name}") for name, value in table.items()}


def _from_credentials(environ: dict[str, str], names: set[str]) -> dict[str, tuple[Any, str]]:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return {}
    # Other credentials of the unit are not ours to judge: only known names are looked at.
    return {
        name: (_read_secret(Path(folder, name), f"credential {name}"), f"credential {name}")
        for name in names
        if Path(folder, name).is_file()
    }


def _from_environ(environ: dict[str, str]) -> dict[str, tuple[Any, str]]:
    found: dict[str, tuple[Any, str]] = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable in _OTHER_NAMES:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name.endswith("_file") and name not in Settings.model_fields:
            name, value = name.removesuffix("_file"), _read_secret(Path(value), variable)
        if name in found:
            raise SettingsError(f"{variable} and {found[name][1]} say the same; keep one of them.")
        found[name] = (value, variable)
    return found


def _read_secret(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{where}: {path} can't be read.") from exc
