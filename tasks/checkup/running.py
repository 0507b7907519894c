"""Room, processes, and whether the box answers where people look for it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import peewee

from appliance import scheduling
from appliance.capacity import machine_of
from appliance.clock import boot_id, boottime_s
from appliance.db import database
from appliance.doctor import Finding, finding
from appliance.heartbeats import SILENT_AFTER_S, WORKERS
from appliance.models import Heartbeat
from appliance.text import describe_size
from tasks.alerting import disk_history
from tasks.checkup.system import is_installed

if TYPE_CHECKING:
    from appliance.settings import Settings

_LOOK_S = 5.0
MIB = 1024**2
# What an encode in Full HD takes (tasks/capacity.py).
_FULL_HD_MIB = 384
# Full so soon, somebody should think of another disk.
_SOON_DAYS = 14


def check_space(settings: Settings) -> Finding:
    check, why = "Space", "Uploads stop before the disk is full, so that all else goes on."
    free, reserve = shutil.disk_usage(settings.data).free, settings.reserve_bytes()
    said = f"{describe_size(free)} free, {describe_size(reserve)} of it kept back"
    if free < reserve:
        mend = "Delete videos, add disk, or lower APPLIANCE_DISK_RESERVE."
        return finding(check, why, said, bad=mend)
    days = _days_until_full(settings, reserve)
    if days is not None and days < _SOON_DAYS:
        mend = "Let a policy remove originals (the Storage page), or add disk."
        return finding(check, why, f"{said}; full in about {days:.0f} days", note=mend)
    return finding(check, why, said)


def _days_until_full(settings: Settings, reserve: int) -> float | None:
    """None, too, while the database can't be read: its own check says more."""
    try:
        with database.connection_context():
            return disk_history.days_until(disk_history.history(), reserve)
    except peewee.PeeweeException:
        return None


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
        if is_installed():
            mend = "Run `systemctl start appliance.target`."
            return finding(check, why, "none runs", bad=mend)
        return finding(check, why, "none runs", note="Start them with `appliance up`.")
    if silent:
        mend = "Look into the log of what is silent and start it again."
        if is_installed():
            unit = _unit_of(silent[0])
            mend = f"Run `journalctl -n 50 -u {unit}`, then `systemctl restart {unit}`."
        return finding(check, why, f"silent: {', '.join(silent)}", bad=mend)
    return finding(check, why, "all four report")


def _unit_of(process: str) -> str:
    kind, _, name = process.partition("-")
    return f"appliance-worker@{name}.service" if name else f"appliance-{kind}.service"


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


CHECKS = (check_space, check_capacity, check_processes, check_address)
