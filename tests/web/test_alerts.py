"""Alerts over the API and as a page: what is wrong, who is told; no address ever comes out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from appliance.alerts import KINDS
from appliance.models import Alert, AlertChannel, AuditEntry, Job
from appliance.states import AlertState
from tasks.alerting import sweep
from tests.tasks.alerting.receivers import http_receiver
from tests.tasks.doing import run_all
from tests.web.serving import browser, send_form

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from appliance.models import User
    from tests.web.serving import Served

CHANNELS = "/api/v1/alerts/channels"
SECRET = "tk_AgQdq7mVBoFD37zQVN29"


def new_channel(client: httpx.Client, **more: object) -> httpx.Response:
    body = {"name": "Phone", "address": f"ntfy://{SECRET}@127.0.0.1:9/box", **more}
    return client.post(CHANNELS, json=body)


@pytest.fixture
def page(one_server: Served, owner: User) -> Iterator[httpx.Client]:
    with browser(one_server.url, owner) as client:
        yield client


def test_what_is_wrong_with_what_to_do(sender: httpx.Client) -> None:
    Alert.create(key="disk_low:data", kind="disk_low", title="Full", text="It is.")
    Alert.create(
        key="worker_silent:media", kind="worker_silent", title="Gone", text="x",
        state=AlertState.CLEARED,
    )  # fmt: skip
    items = sender.get("/api/v1/alerts").json()["items"]
    assert [item["title"] for item in items] == ["Full", "Gone"]
    assert (items[0]["path"], items[0]["why"]) == ("/storage", KINDS["disk_low"].why)
    only = sender.get("/api/v1/alerts", params={"state": "cleared"}).json()["items"]
    assert [item["key"] for item in only] == ["worker_silent:media"]
    assert sender.get("/api/v1/alerts", params={"state": "loud"}).status_code == 422


def test_quiet_is_seen_by_whoever_looks(sender: httpx.Client, page: httpx.Client) -> None:
    assert sender.get("/api/v1/alerts").json()["quiet_until"] is None
    until = sweep.be_quiet("a <new> disk", timedelta(minutes=5))
    told = sender.get("/api/v1/alerts").json()
    assert datetime.fromisoformat(told["quiet_until"]) == until
    assert told["quiet_reason"] == "a <new> disk"
    assert "a &lt;new&gt; disk" in page.get("/settings/alerts").text
    sweep.end_quiet()
    assert "Alerts are quiet" not in page.get("/settings/alerts").text
    actions = [entry.action for entry in AuditEntry.select() if entry.action.startswith("alerts.")]
    assert actions == ["alerts.quiet", "alerts.told_again"]


def test_a_channel_is_added_changed_and_removed(sender: httpx.Client) -> None:
    made = new_channel(sender, kinds=["disk_low"])
    assert made.status_code == 201
    channel = made.json()
    assert (channel["service"], channel["kinds"], channel["enabled"]) == (
        "ntfy",
        ["disk_low"],
        True,
    )
    one = f"{CHANNELS}/{channel['channel_id']}"
    changed = sender.patch(one, json={"enabled": False, "kinds": [], "name": "Old phone"}).json()
    assert (changed["name"], changed["enabled"], changed["kinds"]) == ("Old phone", False, [])
    assert sender.patch(one, json={"address": "jsons://example.org/"}).json()["service"] == "jsons"
    listed = sender.get(CHANNELS)
    assert SECRET not in made.text + listed.text
    assert sender.delete(one).status_code == 204
    assert sender.delete(one).status_code == 404
    assert sender.get(CHANNELS).json()["items"] == []


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"address": "json://169.254.169.254/latest"}, "address"),
        ({"address": "syslog://"}, "address"),
        ({"address": f"bogus://{SECRET}"}, "address"),
        ({"name": "  "}, "name"),
        ({"kinds": ["boredom"]}, "kinds"),
    ],
)
def test_what_cannot_be_a_channel_is_refused(
    sender: httpx.Client, wrong: dict[str, object], field: str
) -> None:
    answer = new_channel(sender, **wrong)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert SECRET not in answer.text
    assert AlertChannel.select().count() == 0


def test_the_test_message_is_a_job(sender: httpx.Client, one_server: Served) -> None:
    with http_receiver() as got:
        channel = new_channel(sender, address=f"json://127.0.0.1:{got.port}/").json()
        begun = sender.post(f"{CHANNELS}/{channel['channel_id']}/test")
        assert begun.status_code == 202
        run_all(one_server.settings)
        assert len(got.requests) == 1
    job = sender.get(f"/api/v1/jobs/{begun.json()['job_id']}").json()
    assert (job["kind"], job["state"]) == ("alert", "completed")
    assert sender.get(CHANNELS).json()["items"][0]["sent_at"]
    assert sender.post(f"{CHANNELS}/nobody/test").status_code == 404


def test_the_form_saves_tries_and_never_shows_the_address_again(page: httpx.Client) -> None:
    sent = send_form(
        page, "/settings/alerts", name="Phone", address=f"ntfy://{SECRET}@127.0.0.1:9/box",
        kinds=["disk_low", "backup_late"],
    )  # fmt: skip
    assert sent.status_code == 303
    row = AlertChannel.get()
    assert (row.name, row.kinds) == ("Phone", ["disk_low", "backup_late"])
    assert Job.get().payload["test"] is True
    shown = page.get("/settings/alerts").text
    assert "Phone" in shown and "ntfy://…" in shown and SECRET not in shown
    off = send_form(page, f"/settings/alerts/{row.public_id}/switch", enabled="no")
    assert (off.status_code, AlertChannel.get().enabled) == (303, False)
    send_form(page, f"/settings/alerts/{row.public_id}/remove")
    assert AlertChannel.select().count() == 0


def test_a_channel_is_changed_and_its_address_stays(page: httpx.Client) -> None:
    address = f"ntfy://{SECRET}@127.0.0.1:9/box"
    send_form(page, "/settings/alerts", name="Phone", address=address, kinds="disk_low")
    before = AlertChannel.get()
    one = f"/settings/alerts/{before.public_id}"
    form = page.get(one).text
    assert 'value="Phone"' in form and 'value="disk_low" checked' in form and SECRET not in form
    everything = send_form(page, one, name="Old phone", address="", kinds=list(KINDS))
    after = AlertChannel.get()
    assert (everything.status_code, after.name, after.kinds) == (303, "Old phone", [])
    assert (after.sealed, Job.select().count()) == (before.sealed, 1)

    refused = send_form(page, one, name="New", address=f"bogus://{SECRET}", kinds="disk_low")
    assert refused.status_code == 422 and SECRET not in refused.text
    assert AlertChannel.get().name == "Old phone"
    Job.delete().execute()
    send_form(page, one, name="Hook", address="json://127.0.0.1:9/", kinds="disk_low")
    assert (AlertChannel.get().service, Job.get().payload["test"]) == ("json", True)
    assert page.get("/settings/alerts/settings-1").status_code == 404


def test_a_form_that_is_refused_keeps_all_but_the_address(page: httpx.Client) -> None:
    refused = send_form(
        page,
        "/settings/alerts",
        name="My <b>phone</b>",
        address=f"bogus://{SECRET}",
        kinds="disk_low",
    )
    assert refused.status_code == 422
    assert "My &lt;b&gt;phone" in refused.text and SECRET not in refused.text
    assert 'value="disk_low" checked' in refused.text
    assert 'value="backup_late" checked' not in refused.text
    none = send_form(page, "/settings/alerts", name="x", address="json://127.0.0.1:9/")
    assert (none.status_code, AlertChannel.select().count()) == (422, 0)
