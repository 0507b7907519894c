"""What `GET /metrics` reads from rows and the disk at each look: the same in every process.

Cheap however much there is: sums that are kept, or rows that an index finds.
"""

from __future__ import annotations

import platform
import shutil
from typing import TYPE_CHECKING, Any

from peewee import fn
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from appliance import (
    __version__,
    accounts,
    backup_runs,
    certificates,
    heartbeats,
    job_stats,
    queue_lag,
)
from appliance.alerts import KINDS as ALERTS
from appliance.clock import now
from appliance.job_kinds import KINDS
from appliance.models import Account, Alert, Job, PostTarget
from appliance.states import AccountState, AlertState, JobState, TargetState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from appliance.models import BackupRun
    from appliance.settings import Settings

# Quantiles are of so many of the newest jobs of a kind, at most.
_NEWEST = 200
QUANTILES = (0.5, 0.9)


def families(settings: Settings) -> Iterator[Metric]:
    """All of it. Wants a connection."""
    yield _build()
    yield from _jobs()
    yield from _queues()
    yield _processes()
    yield from _disk(settings)
    yield from _accounts()
    yield from _backups()
    yield from _certificate(settings)
    yield _alerts()


def _build() -> Metric:
    found = GaugeMetricFamily(
        "appliance_build", "1; the labels say which version this is.", labels=["version", "python"]
    )
    found.add_metric([__version__, platform.python_version()], 1)
    return found


def _jobs() -> Iterable[Metric]:
    live = GaugeMetricFamily(
        "appliance_jobs", "Jobs that wait (queued) or run.", labels=["kind", "state"]
    )
    ended = CounterMetricFamily(
        "appliance_jobs_ended",
        "Jobs that have ended, by how: completed, failed, cancelled.",
        labels=["kind", "state"],
    )
    seconds = CounterMetricFamily(
        "appliance_job_seconds", "How long the completed jobs took, in sum.", labels=["kind"]
    )
    counts, ends = job_stats.live(), job_stats.ended_ever()
    for kind in KINDS:
        of_it = ends.get(kind, job_stats.Ended())
        for state in (JobState.QUEUED, JobState.RUNNING):
            live.add_metric([kind, state.value], counts.get(kind, {}).get(state, 0))
        for state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED):
            ended.add_metric([kind, state.value], getattr(of_it, state.value))
        seconds.add_metric([kind], (of_it.mean_s or 0.0) * of_it.completed)
    return live, ended, seconds, _durations(), _failures()


def _durations() -> Metric:
    found = GaugeMetricFamily(
        "appliance_job_duration_seconds",
        "What the newest completed jobs of a kind (200 at most) took: half of them, and nine of "
        "ten, no longer.",
        labels=["kind", "quantile"],
    )
    for kind in KINDS:
        rows: Any = (
            Job.select(Job.started_at, Job.finished_at)
            .where(Job.state == JobState.COMPLETED, Job.kind == kind, Job.started_at.is_null(False))
            .order_by(Job.finished_at.desc())
            .limit(_NEWEST)
            .tuples()
        )
        took = sorted(max(0.0, (end - begin).total_seconds()) for begin, end in rows)
        for quantile in QUANTILES if took else ():
            place = min(len(took) - 1, int(quantile * len(took)))
            found.add_metric([kind, str(quantile)], took[place])
    return found


def _failures() -> Metric:
    found = GaugeMetricFamily(
        "appliance_jobs_failed",
        "Failed jobs of the Jobs page (those of `keep_jobs_days`), by the reason's code.",
        labels=["kind", "reason"],
    )
    rows: Any = (
        Job.select(Job.kind, Job.error_code, fn.COUNT(Job.id))
        .where(Job.state == JobState.FAILED)
        .group_by(Job.kind, Job.error_code)
        .tuples()
    )
    for kind, code, number in rows:
        found.add_metric([kind, code or "unknown"], number)
    return found


def _queues() -> Iterable[Metric]:
    waiting = GaugeMetricFamily(
        "appliance_queue_jobs",
        "Jobs of a queue: due, later (for their time or the night), running.",
        labels=["queue", "state"],
    )
    lag = GaugeMetricFamily(
        "appliance_queue_lag_seconds",
        "How long the oldest due job of a queue has waited for a worker.",
        labels=["queue"],
    )
    for queue in queue_lag.measure():
        waiting.add_metric([queue.queue, "due"], queue.due)
        waiting.add_metric([queue.queue, "later"], queue.waiting - queue.due)
        waiting.add_metric([queue.queue, "running"], queue.running)
        lag.add_metric([queue.queue], queue.lag_s)
    return waiting, lag


def _processes() -> Metric:
    found = GaugeMetricFamily(
        "appliance_heartbeat_age_seconds",
        "Since a process last said that it is alive; missing when it is stopped.",
        labels=["process"],
    )
    for pulse in heartbeats.pulses():
        if pulse.silent_s is not None:
            found.add_metric([pulse.name], pulse.silent_s)
    return found


def _disk(settings: Settings) -> Iterable[Metric]:
    disk = shutil.disk_usage(settings.data)
    yield GaugeMetricFamily(
        "appliance_disk_free_bytes", "Free on the disk of the data.", value=disk.free
    )
    yield GaugeMetricFamily("appliance_disk_total_bytes", "Its size.", value=disk.total)
    yield GaugeMetricFamily(
        "appliance_disk_reserve_bytes",
        "What uploads leave free of it.",
        value=settings.reserve_bytes(),
    )


def _accounts() -> Iterable[Metric]:
    state = GaugeMetricFamily(
        "appliance_account_connected",
        "1: posts can go there; 0: it has to be connected again.",
        labels=["account", "platform", "name"],
    )
    for row in accounts.connected():
        labels = [row.public_id, row.platform, row.name]
        state.add_metric(labels, row.state is AccountState.CONNECTED)
    failed = GaugeMetricFamily(
        "appliance_targets_failed",
        "Posts that failed at an account and were not sent again, by the reason's code.",
        labels=["platform", "reason"],
    )
    rows: Any = (
        PostTarget.select(Account.platform, PostTarget.error_code, fn.COUNT(PostTarget.id))
        .join(Account)
        .where(PostTarget.state == TargetState.FAILED)
        .group_by(Account.platform, PostTarget.error_code)
        .tuples()
    )
    for platform_name, code, number in rows:
        failed.add_metric([platform_name, code or "unknown"], number)
    return state, failed


def _backups() -> Iterable[Metric]:
    found = backup_runs.latest(backup_runs.newest())
    age = GaugeMetricFamily(
        "appliance_backup_age_seconds",
        "Since the last good run: create, verify, drill; missing when there was none.",
        labels=["kind"],
    )
    failed = GaugeMetricFamily(
        "appliance_backup_failed", "1: the last run of this kind failed.", labels=["kind"]
    )
    for kind, good, bad in (
        ("create", found.backup, found.backup_failed),
        ("verify", found.verified, found.verify_failed),
        ("drill", found.drill, found.drill_failed),
    ):
        if (seconds := _age_s(good)) is not None:
            age.add_metric([kind], seconds)
        failed.add_metric([kind], bad is not None)
    return age, failed


def _age_s(run: BackupRun | None) -> float | None:
    if run is None or run.finished_at is None:
        return None
    return max(0.0, (now() - run.finished_at).total_seconds())


def _certificate(settings: Settings) -> Iterable[Metric]:
    found = certificates.latest() if settings.https else None
    days = found.days_left(now()) if found is not None else None
    left = GaugeMetricFamily(
        "appliance_certificate_days_left",
        "Until the certificate that the box serves ends; missing until it was read.",
        labels=["host"],
    )
    if found is not None and days is not None:
        left.add_metric([found.host], days)
    yield left


def _alerts() -> Metric:
    found = GaugeMetricFamily("appliance_alerts_open", "Alerts that stand.", labels=["kind"])
    rows: Any = (
        Alert.select(Alert.kind, fn.COUNT(Alert.id))
        .where(Alert.state == AlertState.OPEN)
        .group_by(Alert.kind)
        .tuples()
    )
    counts = dict(rows)
    for kind in ALERTS:
        found.add_metric([kind], counts.get(kind, 0))
    return found
