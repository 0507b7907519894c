"""The programs that open and make films, and the walls around them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import peewee

from appliance.db import database
from appliance.doctor import Finding, finding
from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from appliance.settings import Settings

NEEDED_ENCODERS = ("libx264", "aac", "libwebp")
OLDEST_FFMPEG = 4


def check_ffmpeg(settings: Settings) -> Finding:
    from tasks.ffmpeg import find_ffmpeg

    check, why = "ffmpeg", "It makes posters and the versions for posting."
    try:
        path = find_ffmpeg(settings)
        said = _ask(str(path), "-hide_banner", "-version").split()
        encoders = _ask(str(path), "-hide_banner", "-encoders").split()
    except (ApplianceError, OSError, subprocess.SubprocessError) as exc:
        return finding(check, why, str(exc), bad="Install ffmpeg, or name it in APPLIANCE_FFMPEG.")
    version = said[2] if len(said) > 2 else "of no known version"
    missing = [name for name in NEEDED_ENCODERS if name not in encoders]
    if missing:
        mend = "Install the full ffmpeg of your distribution, or unset APPLIANCE_FFMPEG."
        return finding(check, why, f"{path} lacks {', '.join(missing)}", bad=mend)
    first = version.lstrip("n").partition(".")[0]
    old = first.isdecimal() and int(first) < OLDEST_FFMPEG
    mend = f"Install ffmpeg {OLDEST_FFMPEG} or newer." if old else ""
    return finding(check, why, f"{path}, {version}", bad=mend)


def check_encoders(settings: Settings) -> Finding:
    from tasks.transcode import proof
    from tasks.transcode.encoders import SOFTWARE

    check, why = "Encoder", "It makes the pictures of the versions for posting."
    if settings.encoder == "x264":
        return finding(check, why, "x264 (processor), as the settings say")
    try:
        with database.connection_context():
            found = proof.recall(settings)
    except peewee.DatabaseError:
        found = None  # the check of the database says more
    found = found or proof.try_all(settings, lambda: None)
    label, said = proof.describe(settings.encoder, found)
    words = " ".join([f"{label}.", *said])
    missed = settings.encoder != "auto" and label == SOFTWARE.label
    mend = (
        "Install the driver of the hardware, give this user its node in /dev (group render or "
        "video), and start the media worker again; or set APPLIANCE_ENCODER=auto."
    )
    return finding(check, why, words, note=mend if missed else "")


def _ask(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


def check_sandbox(settings: Settings) -> Finding:
    from tasks import sandbox_unit
    from tasks.sandbox import sandbox_backend

    check, why = (
        "Sandbox",
        "Files of others are opened in it, without network and without our data.",
    )
    try:
        backend = sandbox_backend(settings)
    except ApplianceError as exc:
        return finding(check, why, str(exc), bad="Set APPLIANCE_SANDBOX=auto, or mend bubblewrap.")
    if settings.sandbox not in ("auto", backend.name):
        mend = "Mend that, or set APPLIANCE_SANDBOX=auto: until then no file can be opened."
        return finding(check, why, backend.reason, bad=mend)
    if backend.name == "limits":
        mend = "Install bubblewrap (`apt install bubblewrap`) and allow user namespaces."
        found = f"limits on time and memory, and no network. {backend.reason}".strip()
        return finding(check, why, found, note=mend)
    if backend.name == "systemd":
        fault = sandbox_unit.greet(settings.sandbox_socket)
        mend = "Look into `journalctl -u 'appliance-sandbox*'`: no file can be opened."
        found = f"a systemd unit for each job. {fault}" if fault else "a systemd unit for each job"
        return finding(check, why, found, bad=mend if fault else "")
    return finding(check, why, "bubblewrap, and limits on time and memory")


CHECKS = (check_ffmpeg, check_encoders, check_sandbox)
