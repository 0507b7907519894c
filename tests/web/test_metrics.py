"""What Prometheus reads, and who may."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.parser import text_string_to_metric_families

from appliance import jobs
from appliance.access import Scope
from appliance.db import database
from appliance.errors import SettingsError
from appliance.models import JobDay
from appliance.settings import load_settings
from tests.web.serving import add_user, prepare, script, serving

if TYPE_CHECKING:
    from appliance.settings import Settings

SECRET = "a secret of the monitoring"
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}


def read(url: str, secret: str | None = None) -> httpx.Response:
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    return httpx.get(f"{url}/metrics", headers=headers, timeout=20)


def values(answer: httpx.Response) -> dict[str, float]:
    """Each sample by its name and labels, as they are written."""
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_its_own_secret_opens_metrics_and_nothing_else(settings: Settings) -> None:
    prepare(settings)
    watched = settings.model_copy(
        update={"metrics_token": load_settings({}, metrics_token=SECRET).metrics_token}
    )
    with serving(watched) as url:
        assert read(url).status_code == 401
        assert read(url, "another secret of some length").status_code == 401
        answer = read(url, SECRET)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == CONTENT_TYPE_PLAIN_0_0_4
        headers = {"Authorization": f"Bearer {SECRET}"}
        assert httpx.get(f"{url}/api/v1/videos", headers=headers).status_code == 401


def test_short_secret_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="METRICS_TOKEN.*20 characters"):
        load_settings({"APPLIANCE_METRICS_TOKEN": "hunter2"})
    assert load_settings({"APPLIANCE_METRICS_TOKEN": ""}).metrics_token is None


def test_an_upload_is_counted(settings: Settings) -> None:
    prepare(settings)
    with serving(settings) as url, script(url, add_user(), list(Scope)) as client:
        before = values(client.get("/metrics"))
        made = client.post("/files", headers={**TUS, "Upload-Length": "3000"})
        address = made.headers["location"]
        for offset in (0, 1000):
            sent = client.patch(
                address, headers={**BYTES, "Upload-Offset": str(offset)}, content=b"x" * 1000
            )
            assert sent.status_code == 204
        refused = client.patch(address, headers={**BYTES, "Upload-Offset": "5"}, content=b"x")
        assert refused.status_code == 409
        after = values(client.get("/metrics"))
    grown = {name: after[name] - before.get(name, 0.0) for name in after}
    assert grown["appliance_upload_created_total{source=api}"] == 1
    assert grown["appliance_upload_received_bytes_total{protocol=tus}"] == 2000
    assert grown["appliance_upload_requests_total{outcome=whole,protocol=tus}"] == 2
    assert grown["appliance_upload_refused_total{reason=wrong_offset}"] == 1
    assert grown["appliance_upload_fsync_seconds_count{}"] == 2
    assert after["appliance_uploads{state=receiving}"] == 1
    assert after["appliance_upload_active_bodies{}"] == 0


def test_jobs_are_counted_by_kind_also_when_they_are_gone(settings: Settings) -> None:
    prepare(settings)
    watched = settings.model_copy(
        update={"metrics_token": load_settings({}, metrics_token=SECRET).metrics_token}
    )
    with database.connection_context():
        jobs.create("probe", "waits")
        JobDay.create(day="2026-01-01", kind="encode", completed=2, failed=1, seconds=30.0)
    with serving(watched) as url:
        found = values(read(url, SECRET))
    assert found["appliance_jobs{kind=probe,state=queued}"] == 1
    assert found["appliance_jobs{kind=encode,state=running}"] == 0
    assert found["appliance_jobs_ended_total{kind=encode,state=completed}"] == 2
    assert found["appliance_jobs_ended_total{kind=encode,state=failed}"] == 1
    assert found["appliance_job_seconds_total{kind=encode}"] == 30
