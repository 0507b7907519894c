"""What Prometheus reads, and who may."""

from __future__ import annotations

import platform
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.parser import text_string_to_metric_families

from appliance import __version__, backup_runs, certificates, jobs
from appliance.access import Scope
from appliance.certificates import Certificate
from appliance.clock import boot_id, boottime_s, now
from appliance.db import database
from appliance.errors import SettingsError
from appliance.models import Account, Alert, Heartbeat, Job, JobDay
from appliance.settings import load_settings
from appliance.states import AccountState, JobState
from tests.web.serving import ROOT, add_user, prepare, script, serving

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
    with serving(watched(settings)) as url:
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


def watched(settings: Settings, **changes: object) -> Settings:
    token = load_settings({}, metrics_token=SECRET).metrics_token
    return settings.model_copy(update={"metrics_token": token, **changes})


def test_requests_are_counted_by_route_never_by_address(settings: Settings) -> None:
    prepare(settings)
    with serving(watched(settings)) as url, script(url, add_user(), list(Scope)) as client:
        before = values(read(url, SECRET))
        client.get("/api/v1/videos/no-such-video")
        client.get("/api/v1/videos")
        client.get("/nowhere/secret-word")
        client.request("PROPFIND", "/api/v1/videos")
        client.head("/files/abc.def", headers=TUS)
        client.get("/health/live")
        after = values(read(url, SECRET))
    grown = {name: after[name] - before.get(name, 0.0) for name in after}
    requests = "appliance_http_requests_total"
    for method, route, status in (
        ("GET", "/api/v1/videos/{video_id}", "4xx"),
        ("GET", "/api/v1/videos", "2xx"),
        ("GET", "none", "4xx"),
        ("other", "none", "4xx"),
        ("HEAD", "/files", "4xx"),
        ("GET", "/health/live", "2xx"),
    ):
        assert grown[f"{requests}{{method={method},route={route},status={status}}}"] == 1, route
    seconds = "appliance_http_request_seconds_count{method=GET,route=/health/live}"
    assert grown[seconds] == 1
    assert not [name for name in after if "secret-word" in name or "abc.def" in name]


def test_the_box_is_told_from_its_rows(settings: Settings) -> None:
    settings = watched(settings, public_url="https://box.example")
    prepare(settings)
    at = now()
    with database.connection_context():
        account = Account.create(
            platform="youtube", remote_id="1", name='Pier "5"', state=AccountState.RECONNECT
        )
        Job.create(
            kind="probe", queue="quick", key="old", created_at=at - timedelta(seconds=90)
        )  # due
        jobs.create("encode", "later", run_after=at + timedelta(hours=1))
        for number, seconds in enumerate((1, 2, 3, 4, 50)):
            begun = at - timedelta(minutes=1)
            Job.create(
                kind="encode", queue="media", key=f"{number}", state=JobState.COMPLETED,
                started_at=begun, finished_at=begun + timedelta(seconds=seconds),
            )  # fmt: skip
        Job.create(
            kind="encode", queue="media", key="f", state=JobState.FAILED, error_code="stalled"
        )
        Alert.create(key="disk_low:data", kind="disk_low", title="Disk", text="Full.")
        backup_runs.complete(backup_runs.begin("create"))
        backup_runs.fail(backup_runs.begin("drill"), "No.")
        day = timedelta(days=1)
        certificates.keep(Certificate(at, "box.example", at - 60 * day, at + 30 * day, "A"))
        Heartbeat.create(
            process="worker-quick", pid=1, boot_id=boot_id(), beat_boottime_s=boottime_s() - 7,
            started_at=at - timedelta(hours=1),
        )  # fmt: skip
    with serving(settings) as url:
        found = values(read(url, SECRET))
    label = f'account={account.public_id},name=Pier "5",platform=youtube'
    assert found[f"appliance_account_connected{{{label}}}"] == 0
    assert found["appliance_queue_jobs{queue=quick,state=due}"] == 1
    assert found["appliance_queue_jobs{queue=media,state=later}"] == 1
    assert found["appliance_queue_lag_seconds{queue=quick}"] == pytest.approx(90, abs=30)
    assert found["appliance_job_duration_seconds{kind=encode,quantile=0.5}"] == 3
    assert found["appliance_job_duration_seconds{kind=encode,quantile=0.9}"] == 50
    assert found["appliance_jobs_failed{kind=encode,reason=stalled}"] == 1
    assert found["appliance_alerts_open{kind=disk_low}"] == 1
    assert found["appliance_backup_age_seconds{kind=create}"] < 60
    assert found["appliance_backup_failed{kind=drill}"] == 1
    assert found["appliance_certificate_days_left{host=box.example}"] == pytest.approx(30, abs=0.1)
    assert found["appliance_heartbeat_age_seconds{process=quick}"] >= 7
    assert found["appliance_disk_total_bytes{}"] >= found["appliance_disk_free_bytes{}"] > 0
    assert found["appliance_disk_reserve_bytes{}"] == 10 * 2**20
    assert found[f"appliance_build{{python={platform.python_version()},version={__version__}}}"]


def test_the_guide_lists_each_metric_and_no_other(settings: Settings) -> None:
    prepare(settings)
    with serving(watched(settings)) as url:
        families = text_string_to_metric_families(read(url, SECRET).text)
        served = {family.name for family in families}
    guide = (ROOT / "docs" / "monitoring.md").read_text()
    table = re.findall(r"^\| `(\w+)`", guide, re.MULTILINE)
    told = {name.removesuffix("_total") for name in table if name.startswith("appliance_")}
    assert told == {name for name in served if name.startswith("appliance_")}
    for name in set(re.findall(r"\bappliance_\w+", guide)) - {"appliance_box", "appliance_reach"}:
        plain = re.sub(r"_(total|bucket|count|sum)$", "", name)
        assert plain in told, f"docs/monitoring.md names {name}"


def test_jobs_are_counted_by_kind_also_when_they_are_gone(settings: Settings) -> None:
    prepare(settings)
    with database.connection_context():
        jobs.create("probe", "waits")
        JobDay.create(day="2026-01-01", kind="encode", completed=2, failed=1, seconds=30.0)
    with serving(watched(settings)) as url:
        found = values(read(url, SECRET))
    assert found["appliance_jobs{kind=probe,state=queued}"] == 1
    assert found["appliance_jobs{kind=encode,state=running}"] == 0
    assert found["appliance_jobs_ended_total{kind=encode,state=completed}"] == 2
    assert found["appliance_jobs_ended_total{kind=encode,state=failed}"] == 1
    assert found["appliance_job_seconds_total{kind=encode}"] == 30
