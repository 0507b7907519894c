"""What the web process counts, for `GET /metrics` (Prometheus).

Counted for each request, checkpoint or upload, never for each chunk of bytes. Other processes
have counters of their own that nobody reads; what they do shows in ``UPLOADS``, which is read
from the database at each look.
Source: https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from peewee import fn
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from appliance import job_stats
from appliance.job_kinds import KINDS
from appliance.models import Upload
from appliance.states import JobState, UploadState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

# The version that every reader understands; Litestar adds the charset.
CONTENT_TYPE = "text/plain; version=0.0.4"

registry = CollectorRegistry()
ProcessCollector(registry=registry)

UPLOAD_CREATED = Counter(
    "appliance_upload_created",
    "Uploads that were begun, by where they come from (browser, api, cli, guest …).",
    ["source"],
    registry=registry,
)
UPLOAD_RECEIVED_BYTES = Counter(
    "appliance_upload_received_bytes",
    "Bytes of files that arrived, by protocol (tus, draft, put, form).",
    ["protocol"],
    registry=registry,
)
UPLOAD_REQUESTS = Counter(
    "appliance_upload_requests",
    "Requests that brought bytes, by protocol and by how they ended: whole, cut (the connection "
    "broke), stalled, taken_over, too_large, full, mismatch, error.",
    ["protocol", "outcome"],
    registry=registry,
)
UPLOAD_BODIES = Gauge(
    "appliance_upload_active_bodies",
    "Requests that bring bytes at this moment.",
    registry=registry,
)
UPLOAD_TAKEN_OVER = Counter(
    "appliance_upload_taken_over",
    "Requests that were ended because a later one wanted the same upload.",
    registry=registry,
)
UPLOAD_REFUSED = Counter(
    "appliance_upload_refused",
    "Requests about uploads that were refused, by reason (the code of the error).",
    ["reason"],
    registry=registry,
)
UPLOAD_SYNC_SECONDS = Histogram(
    "appliance_upload_fsync_seconds",
    "How long the disk took to make received bytes durable.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=registry,
)
UPLOAD_CHECKPOINTS = Counter(
    "appliance_upload_checkpoints",
    "Times that the offset was made durable in the middle of a long request.",
    registry=registry,
)
UPLOAD_ENDED = Counter(
    "appliance_upload_ended",
    "Uploads that came to an end in the web process, by state (complete, terminated, expired …).",
    ["state"],
    registry=registry,
)
UPLOADS = Gauge(
    "appliance_uploads",
    "Uploads in the database by state; ended ones stay there for a week.",
    ["state"],
    registry=registry,
)


class _Jobs(Collector):
    """Of all processes, read from the database at each look."""

    def collect(self) -> Iterable[Metric]:
        live = GaugeMetricFamily(
            "appliance_jobs", "Jobs that wait (queued) or run.", labels=["kind", "state"]
        )
        ended = CounterMetricFamily(
            "appliance_jobs_ended",
            "Jobs that have ended, by how: completed, failed, cancelled.",
            labels=["kind", "state"],
        )
        seconds = CounterMetricFamily(
            "appliance_job_seconds",
            "How long the completed jobs took, in sum.",
            labels=["kind"],
        )
        counts, ends = job_stats.live(), job_stats.ended_ever()
        for kind in KINDS:
            of_it = ends.get(kind, job_stats.Ended())
            for state in (JobState.QUEUED, JobState.RUNNING):
                live.add_metric([kind, state.value], counts.get(kind, {}).get(state, 0))
            for state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED):
                ended.add_metric([kind, state.value], getattr(of_it, state.value))
            seconds.add_metric([kind], (of_it.mean_s or 0.0) * of_it.completed)
        return live, ended, seconds

    def describe(self) -> Iterable[Metric]:
        return ()  # else it is collected right here, where there is no database yet


registry.register(_Jobs())


@contextmanager
def timing_of_sync() -> Iterator[None]:
    """Around one fdatasync; one that fails counts, too."""
    started = time.perf_counter()
    try:
        yield
    finally:
        UPLOAD_SYNC_SECONDS.observe(time.perf_counter() - started)


def render() -> bytes:
    """All of it as text. Wants an open database connection."""
    rows: Any = Upload.select(Upload.state, fn.COUNT(Upload.id)).group_by(Upload.state).tuples()
    found = {str(state): count for state, count in rows}
    for state in UploadState:
        UPLOADS.labels(state.value).set(found.get(state.value, 0))
    return generate_latest(registry)
