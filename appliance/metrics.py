"""What the web process counts, for `GET /metrics` (Prometheus).

Counted for each request, checkpoint or upload, never for each chunk of bytes. Other processes
have counters of their own that nobody reads; what they do shows in what is read from rows at each
look (appliance/metrics_box.py). docs/monitoring.md lists all of it.
Source: https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from peewee import fn
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from appliance import metrics_box
from appliance.models import Upload
from appliance.states import UploadState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from appliance.settings import Settings

# The version that every reader understands; Litestar adds the charset.
CONTENT_TYPE = "text/plain; version=0.0.4"

# When each counter began: as many lines again, and the process says it already.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has none
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


REQUESTS = Counter(
    "appliance_http_requests",
    "Requests, by method, route (a template, never an address) and class of the answer: 2xx … "
    "5xx, or none when nobody waited for it.",
    ["method", "route", "status"],
    registry=registry,
)
REQUEST_SECONDS = Histogram(
    "appliance_http_request_seconds",
    "How long requests took, uploads with all their bytes; streams of events don't count.",
    ["method", "route"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60),
    registry=registry,
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Open as long as somebody looks at a page: they would drown the others.
_STREAMS = frozenset({"/api/v1/events"})
_NO_ROUTE = "none"


@lru_cache(maxsize=4096)
def _children(method: str, route: str, status: int) -> tuple[Counter, Histogram | None]:
    """Finding them by their labels takes longer than all else here."""
    word = f"{status // 100}xx" if status else "none"
    timed = None if route in _STREAMS else REQUEST_SECONDS.labels(method, route)
    return REQUESTS.labels(method, route, word), timed


def count_request(method: str, route: str | None, status: int, seconds: float) -> None:
    """One answered request; ``route`` None: no route knows the address. Some microseconds."""
    method = method if method in _METHODS else "other"
    counter, timed = _children(method, route or _NO_ROUTE, status)
    counter.inc()
    if timed is not None:
        timed.observe(seconds)


class _Box(Collector):
    """What rows and the disk say, of whatever process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def collect(self) -> Iterable[Metric]:
        return metrics_box.families(self.settings)


@contextmanager
def timing_of_sync() -> Iterator[None]:
    """Around one fdatasync; one that fails counts, too."""
    started = time.perf_counter()
    try:
        yield
    finally:
        UPLOAD_SYNC_SECONDS.observe(time.perf_counter() - started)


def render(settings: Settings) -> bytes:
    """All of it as text. Wants an open database connection."""
    rows: Any = Upload.select(Upload.state, fn.COUNT(Upload.id)).group_by(Upload.state).tuples()
    found = {str(state): count for state, count in rows}
    for state in UploadState:
        UPLOADS.labels(state.value).set(found.get(state.value, 0))
    return generate_latest(registry) + generate_latest(_Box(settings))
