"""How the box is, for the System page and `GET /api/v1/system`: the same facts for both."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from appliance import __version__, accounts, backup_runs, certificates, heartbeats, queue_lag
from appliance.clock import boottime_s, now
from appliance.doctor import Finding, Verdict
from appliance.models import Heartbeat, Job
from appliance.states import AccountState, AlertState, JobState
from storage.readiness import reasons_against
from tasks.alerting import troubles
from tasks.checkup import task as checkup
from web.alert_rows import AlertShape, load_alerts

if TYPE_CHECKING:
    from appliance.settings import Settings


@dataclass(frozen=True)
class ProcessShape:
    """``silent_s`` null: it was stopped, or has not started since the machine did."""

    name: str
    alive: bool
    silent_s: float | None
    started_at: datetime | None
    memory_bytes: int | None


@dataclass(frozen=True)
class QueueShape:
    """``due``: could begin now; ``later``: wait for their time or the night; ``lag_s``: how long
    the oldest due one has waited."""

    name: str
    due: int
    later: int
    running: int
    lag_s: float
    stuck: bool


@dataclass(frozen=True)
class DiskShape:
    free_bytes: int
    total_bytes: int
    reserve_bytes: int
    database_bytes: int


@dataclass(frozen=True)
class MachineShape:
    """``load``: programs that want a processor, over 1, 5 and 15 minutes."""

    up_s: float
    processors: int
    load: list[float]
    memory_bytes: int
    memory_free_bytes: int


@dataclass(frozen=True)
class CertificateShape:
    """``days_left`` null: it could not be read yet. ``distrust``: why this machine doesn't trust
    it; "" when it does."""

    host: str
    issuer: str
    ends_at: datetime | None
    days_left: float | None
    trouble: str
    distrust: str
    error: str
    read_at: datetime


@dataclass(frozen=True)
class BackupsShape:
    """``late``: the last good one is too old; ``error``: of the last run, when it failed."""

    last_at: datetime | None
    late: bool
    error: str | None
    drill_at: datetime | None
    drill_error: str | None


@dataclass(frozen=True)
class FindingShape:
    """``verdict``: good, note or bad. ``mend``: what to do; "" when all is well."""

    check: str
    verdict: str
    found: str
    why: str
    mend: str


@dataclass(frozen=True)
class CheckupShape:
    """``at`` null: nobody has pressed "Check now" yet."""

    at: datetime | None
    running: bool
    findings: list[FindingShape]


@dataclass(frozen=True)
class ReconnectShape:
    account_id: str
    name: str
    platform: str


@dataclass(frozen=True)
class SystemShape:
    """``reasons``: why the box can't do all its work right now; empty: it can."""

    version: str
    address: str
    running_since: datetime | None
    reasons: list[str]
    processes: list[ProcessShape]
    queues: list[QueueShape]
    disk: DiskShape
    machine: MachineShape
    certificate: CertificateShape | None
    backups: BackupsShape
    reconnect: list[ReconnectShape]
    alerts: list[AlertShape]
    checkup: CheckupShape


def load(settings: Settings) -> SystemShape:
    """Wants a connection."""
    rows = {row.process: row for row in Heartbeat.select()}
    web = rows.get("web")
    return SystemShape(
        version=__version__,
        address=settings.base_url,
        running_since=web.started_at if web is not None else None,
        reasons=reasons_against(settings),
        processes=[_process(pulse, rows) for pulse in heartbeats.pulses()],
        queues=[
            QueueShape(
                lag.queue, lag.due, lag.waiting - lag.due, lag.running, lag.lag_s, lag.is_stuck
            )
            for lag in queue_lag.measure()
        ],
        disk=_disk(settings),
        machine=_machine(),
        certificate=_certificate(settings),
        backups=_backups(),
        reconnect=[
            ReconnectShape(row.public_id, row.name, row.platform)
            for row in accounts.connected()
            if row.state is AccountState.RECONNECT
        ],
        alerts=load_alerts(AlertState.OPEN),
        checkup=_checkup(),
    )


def _process(pulse: heartbeats.Pulse, rows: dict[str, Heartbeat]) -> ProcessShape:
    row = rows.get(pulse.name if pulse.name == "web" else f"worker-{pulse.name}")
    alive = row is not None and pulse.is_alive
    return ProcessShape(
        name=pulse.name,
        alive=pulse.is_alive,
        silent_s=pulse.silent_s,
        started_at=row.started_at if row is not None and alive else None,
        memory_bytes=_memory_of(row.pid) if row is not None and alive else None,
    )


def _memory_of(pid: int) -> int | None:
    """None where another's process can't be seen. Source: proc(5), statm."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _disk(settings: Settings) -> DiskShape:
    disk = shutil.disk_usage(settings.data)
    return DiskShape(
        free_bytes=disk.free,
        total_bytes=disk.total,
        reserve_bytes=settings.reserve_bytes(),
        database_bytes=settings.database_path.stat().st_size,
    )


def _machine() -> MachineShape:
    memory = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        memory[name] = int(rest.split()[0]) * 1024
    return MachineShape(
        up_s=boottime_s(),
        processors=os.cpu_count() or 1,
        load=[round(number, 2) for number in os.getloadavg()],
        memory_bytes=memory["MemTotal"],
        memory_free_bytes=memory["MemAvailable"],
    )


def _certificate(settings: Settings) -> CertificateShape | None:
    found = certificates.latest() if settings.https else None
    if found is None:
        return None
    at = now()
    return CertificateShape(
        host=found.host,
        issuer=found.issuer,
        ends_at=found.ends_at,
        days_left=found.days_left(at),
        trouble=found.trouble(at),
        distrust=found.distrust,
        error=found.error,
        read_at=found.read_at,
    )


def _backups() -> BackupsShape:
    found = backup_runs.latest(backup_runs.newest())
    failed = found.backup_failed or found.verify_failed
    return BackupsShape(
        last_at=found.backup.finished_at if found.backup else None,
        late=backup_runs.is_late(found, expected_since=troubles.expected_since(), at=now()),
        error=(failed.error or "") if failed else None,
        drill_at=found.drill.finished_at if found.drill else None,
        drill_error=(found.drill_failed.error or "") if found.drill_failed else None,
    )


def _checkup() -> CheckupShape:
    at, findings = checkup.last()
    running = Job.select().where(
        Job.kind == "checkup", Job.state.in_([JobState.QUEUED, JobState.RUNNING])
    )
    return CheckupShape(
        at=datetime.fromisoformat(at) if at else None,
        running=running.exists(),
        # What is wrong first: nobody looks for it below twenty lines that say "all is well".
        findings=[_finding(each) for each in sorted(findings, key=_order)],
    )


def _order(each: Finding) -> int:
    return [Verdict.BAD, Verdict.NOTE, Verdict.GOOD].index(each.verdict)


def _finding(each: Finding) -> FindingShape:
    return FindingShape(each.check, each.verdict.value, each.found, each.why, each.mend)
