"""`appliance doctor`: looks at all that can be wrong, and says what mends it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
import peewee

from appliance import doctor as core
from appliance import scheduling
from appliance.capacity import machine_of
from appliance.cli.frame import json_option, print_json
from appliance.clock import boot_id, boottime_s
from appliance.db import database
from appliance.doctor import Finding, Verdict, finding
from appliance.errors import ApplianceError
from appliance.heartbeats import SILENT_AFTER_S, WORKERS
from appliance.models import Heartbeat
from appliance.settings import load_settings
from appliance.text import describe_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.settings import Settings

NEEDED_ENCODERS = ("libx264", "aac", "libwebp")
OLDEST_FFMPEG = 4
_LOOK_S = 5.0
MIB = 1024**2
# What an encode in Full HD takes (tasks/capacity.py).
_FULL_HD_MIB = 384

_SIGNS = {
    Verdict.GOOD: ("ok", "green"),
    Verdict.NOTE: ("note", "yellow"),
    Verdict.BAD: ("bad", "red"),
}


@click.command()
@click.option(
    "--url", help="Look at a box from outside, as people reach it: proves what a proxy does."
)
@click.option(
    "--token",
    envvar="APPLIANCE_TOKEN",
    help="API token of that box with the scopes read and upload; better in APPLIANCE_TOKEN.",
)
@click.option("--long", is_flag=True, help="With --url: also send for longer than a minute.")
@json_option
def doctor(url: str | None, token: str | None, long: bool, as_json: bool) -> int:
    """Check this box: programs, disk, database, keys, processes, address.

    With --url it looks from outside instead, through everything in between, and removes what it
    sent. Ends with 1 when something is bad.
    """
    if url is None:
        if long:
            raise click.UsageError("--long goes with --url.")
        settings = load_settings()
        made: Iterable[Finding] = (_look(check, settings) for check in CHECKS)
    else:
        from appliance.cli.outside import examine

        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise click.UsageError(f"{url} is no address of a box: it begins with https://.")
        made = examine(url, token, long=long)
    findings = []
    for each in made:
        findings.append(each)
        if not as_json:
            print_finding(each)
    if as_json:
        print_json({"healthy": _healthy(findings), "findings": [asdict(f) for f in findings]})
    return 0 if _healthy(findings) else 1


def _look(check: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return check(settings)
    except Exception as exc:
        # A check that fails is a finding; the others still run.
        name = check.__name__.removeprefix("check_").replace("_", " ").capitalize()
        what = str(exc) or type(exc).__name__
        return finding(
            name, "It could not be looked at.", what, bad="Mend what stands above first."
        )


def _healthy(findings: list[Finding]) -> bool:
    return all(each.verdict is not Verdict.BAD for each in findings)


def print_finding(each: Finding) -> None:
    """One finding, for people."""
    word, colour = _SIGNS[each.verdict]
    click.echo(f"{click.style(f'{word:<4}', fg=colour, bold=True)}  {each.check}: {each.found}")
    if each.mend:
        click.echo(f"      {each.why}\n      → {each.mend}")


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


def check_space(settings: Settings) -> Finding:
    free, reserve = shutil.disk_usage(settings.data).free, settings.reserve_bytes()
    full = free < reserve
    return finding(
        "Space",
        "Uploads stop before the disk is full, so that all else goes on.",
        f"{describe_size(free)} free, {describe_size(reserve)} of it kept back",
        bad="Delete videos, add disk, or lower APPLIANCE_DISK_RESERVE." if full else "",
    )


def check_capacity(settings: Settings) -> Finding:
    with database.connection_context():
        found = scheduling.load()
    machine = found.machine if found is not None else machine_of(settings)
    said = f"{machine.cores:g} cores and {describe_size(machine.memory_mib * MIB)} for encodes"
    if found is not None and found.running:
        said += f"; {found.cores:g} and {describe_size(found.memory_mib * MIB)} are in use"
    small = machine.memory_mib < _FULL_HD_MIB
    mend = (
        "Add memory, or set APPLIANCE_ENCODE_MEMORY if there is more. Until then large films are "
        "encoded one at a time, and the system may end an encode that takes too much."
    )
    why = "As many encodes run at a time as this machine carries (docs/scheduling.md)."
    return finding("Capacity", why, said, note=mend if small else "")


def check_processes(settings: Settings) -> Finding:
    check, why = "Processes", "Web takes videos in; the workers prepare and post them."
    alive = _alive()
    names = ("web", *(f"worker-{name}" for name in WORKERS))
    silent = [name for name in names if name not in alive]
    if len(silent) == len(names):
        return finding(check, why, "none runs", note="Start them with `appliance up`.")
    if silent:
        mend = "Look into the log of what is silent and start it again."
        return finding(check, why, f"silent: {', '.join(silent)}", bad=mend)
    return finding(check, why, "all four report")


def check_address(settings: Settings) -> Finding:
    check, why = "Address", "People sign in there, and platforms fetch videos from it."
    web = _alive().get("web")
    if web is not None:
        listen = str(web.info["listen"])
        settings = settings.model_copy(update={"listen": listen})
        if not _answers(listen):
            mend = "Look into the log of the web process and start it again."
            return finding(check, why, f"nothing answers at {listen}", bad=mend)
    parts = urlsplit(settings.base_url)
    if parts.hostname in ("localhost", "127.0.0.1", "::1"):
        mend = (
            "Set APPLIANCE_PUBLIC_URL to the https:// address of this box. Until then only this "
            "machine reaches it."
        )
        return finding(check, why, settings.base_url, note=mend)
    if not settings.https:
        mend = "Put it behind https: passwords travel in clear, and platforms fetch nothing."
        return finding(check, why, settings.base_url, bad=mend)
    if web is not None and not _answers(settings.base_url):
        mend = (
            f"Look at DNS, the certificate and the proxy of {parts.hostname}. If others reach it, "
            "only this machine's own network can't."
        )
        return finding(check, why, f"{settings.base_url} doesn't answer from here", note=mend)
    return finding(check, why, settings.base_url)


def _answers(place: str) -> bool:
    import httpx

    transport = None
    if place.startswith("unix:"):
        transport = httpx.HTTPTransport(uds=place.removeprefix("unix:"))
        place = "localhost"
    url = place if "://" in place else f"http://{place}"
    ours = "://" not in place
    try:
        with httpx.Client(transport=transport, timeout=_LOOK_S, trust_env=not ours) as client:
            answer = client.get(f"{url}/health/live")
            return answer.status_code == 200 and answer.json() == {"status": "alive"}
    except (httpx.HTTPError, json.JSONDecodeError):
        return False


def _alive() -> dict[str, Heartbeat]:
    with database.connection_context():
        rows = list(Heartbeat.select().where(Heartbeat.boot_id == boot_id()))
    return {
        row.process: row for row in rows if boottime_s() - row.beat_boottime_s <= SILENT_AFTER_S
    }


CHECKS: tuple[Callable[[Settings], Finding], ...] = (
    *core.CHECKS,
    check_space,
    check_ffmpeg,
    check_encoders,
    check_sandbox,
    check_capacity,
    check_processes,
    check_address,
)
