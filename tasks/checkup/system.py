"""The machine around the box: its units, its journal, its clock. Asked only where systemd runs."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.doctor import Finding, finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings

RUNNING = Path("/run/systemd/system")
JOURNAL = Path("/var/log/journal")
_ASK_S = 10.0
# What has to be active on an installed box. Timers and sockets, too: without them nothing starts.
WANTED = (
    "appliance-web.socket",
    "appliance-web.service",
    "appliance-worker@media.service",
    "appliance-worker@quick.service",
    "appliance-worker@delivery.service",
    "appliance-sandbox.socket",
    "appliance-backup.timer",
    "appliance-backup-drill.timer",
    "appliance-cleanup.timer",
    "appliance-watch.timer",
)


@dataclass(frozen=True)
class Unit:
    """``state``: active, inactive, failed …; ``sub``: running, dead, listening …"""

    name: str
    load: str
    state: str
    sub: str


class CannotAsk(Exception):
    """A sentence: why systemd gave no answer."""


def ask(*command: str) -> str:
    """The answer of a program of systemd's. Raises CannotAsk."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_S, check=False)
    except (OSError, subprocess.SubprocessError) as exc:
        raise CannotAsk(f"{command[0]}: {exc}") from None
    if done.returncode != 0:
        raise CannotAsk(done.stderr.strip()[:200] or f"{command[0]} ended with {done.returncode}")
    return done.stdout


def units() -> list[Unit]:
    """The box's own. Raises CannotAsk."""
    answer = ask("systemctl", "list-units", "--all", "--output=json", "appliance*", "caddy.service")
    try:
        rows = json.loads(answer or "[]")
        return [Unit(row["unit"], row["load"], row["active"], row["sub"]) for row in rows]
    except (ValueError, KeyError, TypeError) as exc:
        raise CannotAsk(f"systemctl answered something else: {exc}") from None


def is_installed() -> bool:
    """Whether the box's units are here; Development has none."""
    places = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"))
    return RUNNING.is_dir() and any((place / "appliance.target").exists() for place in places)


def check_units(settings: Settings) -> Finding:
    check, why = "Units", "systemd starts the box, and starts again what ended."
    if not is_installed():
        return finding(check, why, "the box isn't installed as services of this machine")
    try:
        found = {unit.name: unit for unit in units()}
    except CannotAsk as exc:
        mend = "Run `systemctl list-units --all 'appliance*'` as root."
        return finding(check, why, f"systemd can't be asked from here ({exc})", note=mend)
    bad = sorted(set(_wrong(found)))
    if bad:
        names = " ".join(f"'{name}'" for name in bad)
        mend = f"Run `systemctl restart {names}`, then `journalctl -n 50 -u {bad[0]}`."
        words = ", ".join(f"{name} is {_state_of(found, name)}" for name in bad)
        return finding(check, why, words, bad=mend)
    return finding(check, why, f"all {len(WANTED)} are active, none has failed")


def _wrong(found: dict[str, Unit]) -> Iterator[str]:
    yield from (unit.name for unit in found.values() if unit.state == "failed")
    for name in WANTED:
        if name not in found or found[name].state not in ("active", "activating", "reloading"):
            yield name


def _state_of(found: dict[str, Unit], name: str) -> str:
    return found[name].state if name in found else "not loaded"


def check_journal(settings: Settings) -> Finding:
    check, why = "Journal", "It says what happened before something went wrong."
    if not RUNNING.is_dir():
        return finding(check, why, "this machine has none; logs go to the terminal")
    if not JOURNAL.is_dir():
        mend = (
            "Run `mkdir -p /var/log/journal && systemd-tmpfiles --create --prefix "
            "/var/log/journal && systemctl restart systemd-journald`."
        )
        return finding(check, why, "it is forgotten when the machine restarts", note=mend)
    return finding(check, why, "kept over restarts")


def check_time_sync(settings: Settings) -> Finding:
    check, why = "Time service", "A clock that drifts posts too early or too late."
    if not RUNNING.is_dir():
        return finding(check, why, "not looked at: systemd doesn't run here")
    try:
        synced = ask("timedatectl", "show", "--property=NTPSynchronized", "--value").strip()
    except CannotAsk as exc:
        mend = "Run `timedatectl` as root, and `timedatectl set-ntp true` if it isn't synchronized."
        return finding(check, why, f"it can't be asked from here ({exc})", note=mend)
    if synced != "yes":
        mend = (
            "Run `timedatectl set-ntp true`. In a container the machine around it keeps the time."
        )
        return finding(check, why, "the clock isn't synchronized", note=mend)
    return finding(check, why, "the clock is synchronized")


CHECKS = (check_units, check_journal, check_time_sync)
