"""Connecting accounts, with the real web process, its stand-ins and a delivery worker's jobs."""

from __future__ import annotations

import html
import re
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest

from appliance import accounts, oauth_clients, posting_switch
from appliance.clock import now
from appliance.connections import LIVES
from appliance.db import database
from appliance.models import Account, AuditEntry, Connection, Event, Job, Role, Setting, User
from appliance.oauth_clients import PRACTICE_ID, PRACTICE_SECRET
from appliance.states import AccountState, ConnectionState, JobState
from tasks import runner
from tests.web.serving import Served, add_user, browser, script, send_form

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def kept(one_server: Served) -> Iterator[None]:
    """Rows of settings outlive the tests of a server."""
    yield
    names = Setting.name.startswith("oauth:") | Setting.name.startswith("client_check:")
    Setting.delete().where(names | (Setting.name == posting_switch.NAME)).execute()


@pytest.fixture
def admin(owner: User, one_server: Served) -> Iterator[httpx.Client]:
    with browser(one_server.url, owner) as client:
        yield client


def run_jobs(served: Served, **settings: Any) -> None:
    """As a delivery worker would, without waiting for its bell; on a thread with no connection."""
    Job.update(run_after=None).where(Job.state == JobState.QUEUED).execute()
    changed = served.settings.model_copy(update=settings)
    arguments = ("delivery", "tests", changed, threading.Event())
    worker = threading.Thread(target=runner.run_due, args=arguments, name="delivery")
    worker.start()
    worker.join(60)
    assert not worker.is_alive()


def go_there(client: httpx.Client, platform: str, **fields: str) -> str:
    """Press Connect (practice); the address of the stand-in's page, as a path."""
    answer = send_form(client, f"/connect/{platform}", **{"practice": "yes", **fields})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def agree(client: httpx.Client, address: str, who: int = 0) -> str:
    """Choose the ``who``-th on the stand-in's page; the address that it leads back to."""
    page = client.get(address)
    assert page.status_code == 200, page.text
    links = re.findall(r'href="([^"]*choose=[^"]*)"', page.text)
    answer = client.get(links[who].replace("&amp;", "&"))
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


def come_back(client: httpx.Client, address: str) -> str:
    """To our callback; the path of the page that waits."""
    answer = client.get(address)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def connect(served: Served, client: httpx.Client, platform: str, who: int = 0, **more: str) -> str:
    """The whole way; the path of the page that shows what came of it."""
    place = come_back(client, agree(client, go_there(client, platform, **more), who))
    run_jobs(served)
    return place


def text_of(client: httpx.Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def one_account(platform: str) -> Account:
    (found,) = Account.select().where(Account.platform == platform)
    return found


# Connecting


def test_youtube_comes_in_by_the_browser(one_server: Served, admin: httpx.Client) -> None:
    address = go_there(admin, "youtube")
    asked = dict(parse_qsl(urlsplit(address).query))
    assert asked["access_type"] == "offline"
    assert asked["prompt"] == "consent"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["code_challenge"]) == 43
    assert asked["redirect_uri"] == f"{one_server.settings.base_url}/connect/google/callback"

    place = come_back(admin, agree(admin, address))
    assert "Connecting…" in text_of(admin, place)
    assert "The delivery worker doesn't run" in text_of(admin, place)
    run_jobs(one_server)
    assert "Connected" in text_of(admin, place)
    account = one_account("youtube")
    assert account.practice and account.state is AccountState.CONNECTED
    opened = accounts.credentials(one_server.app.state.vault, account)
    assert opened["refresh_token"] and opened["access_token"]
    assert account.name in text_of(admin, "/settings/accounts")
    assert account.name in text_of(admin, f"/settings/accounts/{account.public_id}")


def test_facebook_offers_all_that_a_sign_in_opens(one_server: Served, admin: httpx.Client) -> None:
    place = connect(one_server, admin, "facebook")
    page = admin.get(place).text
    keys = re.findall(r'name="accounts" value="([^"]+)"', page)
    assert sorted(key.partition(":")[0] for key in keys) == ["facebook", "facebook", "instagram"]

    answer = send_form(admin, place)
    assert answer.status_code == 422
    assert "Choose at least one account." in answer.text
    answer = send_form(admin, place, accounts=[keys[0], keys[1]])
    assert answer.status_code == 303
    assert "Connected" in text_of(admin, place)
    names = {row.platform: row for row in Account.select().where(Account.practice)}
    assert set(names) == {"facebook", "instagram"}
    assert names["instagram"].name.startswith("@")
    row = Connection.get()
    assert row.sealed is None

    again = send_form(admin, place, accounts=[keys[2]])  # the choice was made
    assert again.status_code == 409
    assert Account.select().where(Account.practice).count() == 2


def test_several_accounts_of_a_platform(one_server: Served, admin: httpx.Client) -> None:
    connect(one_server, admin, "youtube", 0)
    connect(one_server, admin, "youtube", 1)
    rows = list(Account.select().where(Account.platform == "youtube"))
    assert len({row.remote_id for row in rows}) == 2


def test_connecting_the_same_again_makes_no_second_account(
    one_server: Served, admin: httpx.Client
) -> None:
    connect(one_server, admin, "youtube")
    first = one_account("youtube")
    connect(one_server, admin, "youtube")
    second = one_account("youtube")
    assert second.id == first.id
    assert second.credentials != first.credentials


def test_practice_accounts_by_one_click(one_server: Served, admin: httpx.Client) -> None:
    assert send_form(admin, "/settings/accounts/practice").status_code == 303
    run_jobs(one_server)
    made = {row.platform for row in Account.select().where(Account.practice)}
    assert made == {"youtube", "facebook", "instagram"}
    assert Connection.select().where(Connection.state != ConnectionState.CONNECTED).count() == 0


def test_whoever_declines_connects_nothing(one_server: Served, admin: httpx.Client) -> None:
    place = connect(one_server, admin, "youtube", -1)
    assert "The sign-in was cancelled at Google" in text_of(admin, place)
    assert not Account.select().where(Account.platform == "youtube").exists()
    assert not Job.select().where(Job.kind == "connect").exists()


def test_account_without_channel_is_told(one_server: Served, admin: httpx.Client) -> None:
    place = connect(one_server, admin, "youtube", 2)
    assert "has no YouTube channel" in text_of(admin, place)
    assert Connection.get().sealed is None
    assert Job.get(Job.kind == "connect").state is JobState.FAILED


def test_without_client_id_connecting_says_what_is_missing(
    one_server: Served, admin: httpx.Client
) -> None:
    answer = send_form(admin, "/connect/youtube")
    assert answer.status_code >= 400
    assert "There is no client id" in answer.text


# Who may come back


def test_state_works_once(one_server: Served, admin: httpx.Client) -> None:
    back = agree(admin, go_there(admin, "youtube"))
    assert admin.get(back).status_code == 303
    assert admin.get(back).status_code == 409
    assert Job.select().where(Job.kind == "connect").count() == 1


def test_other_browser_of_the_same_user_is_refused(
    one_server: Served, owner: User, admin: httpx.Client
) -> None:
    back = agree(admin, go_there(admin, "youtube"))
    with browser(one_server.url, owner) as other:
        assert other.get(back).status_code == 403
    assert Connection.get().state is ConnectionState.WAITING
    assert admin.get(back).status_code == 303  # it was not used up by that


def test_other_user_is_refused(one_server: Served, admin: httpx.Client) -> None:
    back = agree(admin, go_there(admin, "youtube"))
    with browser(one_server.url, add_user("admin@example.org", Role.ADMIN)) as other:
        assert other.get(back).status_code == 403
        place = come_back(admin, back)
        assert other.get(place).status_code == 404
    with browser(one_server.url, add_user("ed@example.org", Role.EDITOR)) as editor:
        assert editor.get(back).status_code == 403


@pytest.mark.parametrize("state", ["", "x", "x" * 5000])
def test_unknown_state_is_refused(one_server: Served, admin: httpx.Client, state: str) -> None:
    answer = admin.get("/connect/google/callback", params={"code": "4/x", "state": state})
    assert answer.status_code == 404
    assert not Job.select().exists()


def test_state_of_another_provider_is_refused(one_server: Served, admin: httpx.Client) -> None:
    back = agree(admin, go_there(admin, "youtube")).replace("/google/callback", "/meta/callback")
    assert admin.get(back).status_code == 404
    assert Connection.get().state is ConnectionState.WAITING


def test_late_return_is_refused(one_server: Served, admin: httpx.Client) -> None:
    back = agree(admin, go_there(admin, "youtube"))
    Connection.update(expires_at=now() - timedelta(seconds=1)).execute()
    answer = admin.get(back)
    assert answer.status_code == 422
    assert Connection.get().state is ConnectionState.EXPIRED
    assert timedelta(minutes=5) <= LIVES <= timedelta(hours=1)


def test_nobody_is_led_elsewhere(one_server: Served, admin: httpx.Client) -> None:
    answer = send_form(
        admin, "/connect/youtube", practice="yes", redirect_uri="https://evil.example", next="//x"
    )
    place = urlsplit(answer.headers["location"])
    assert f"{place.scheme}://{place.netloc}" == one_server.settings.base_url
    back = parse_qs(place.query)["redirect_uri"]
    assert back == [f"{one_server.settings.base_url}/connect/google/callback"]
    evil = f"{place.path}?{place.query}".replace(
        "redirect_uri=", "redirect_uri=https%3A%2F%2Fevil.example%2F&was="
    )
    assert admin.get(evil).status_code == 400


def test_browser_may_go_to_the_platforms_and_nowhere_else(
    one_server: Served, admin: httpx.Client
) -> None:
    policy = admin.get("/settings/accounts").headers["content-security-policy"]
    found = re.findall(r"form-action ([^;]+)", policy)
    assert found == ["'self' https://accounts.google.com https://www.facebook.com"]
    assert "script-src 'self'" in policy
    other = admin.get("/settings").headers["content-security-policy"]
    assert re.findall(r"form-action ([^;]+)", other) == ["'self'"]


# Secrets


def test_secrets_are_in_no_page_event_or_row(
    one_server: Served, owner: User, admin: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="appliance")
    caplog.set_level("DEBUG", logger="tasks")
    place = connect(one_server, admin, "youtube")
    send_form(admin, "/settings/accounts/practice")
    run_jobs(one_server)
    vault = one_server.app.state.vault
    secrets = set()
    for account in Account.select().where(Account.practice):
        opened = accounts.credentials(vault, account)
        secrets |= {v for k, v in opened.items() if k.endswith("token") and isinstance(v, str)}
    assert len(secrets) >= 4
    shown = [admin.get(place).text, admin.get("/settings/accounts").text]
    shown += [admin.get(f"/settings/accounts/{row.public_id}").text for row in Account.select()]
    with script(one_server.url, owner) as client:
        shown.append(client.get("/api/v1/accounts").text)
        shown.append(client.get("/api/v1/jobs").text)
    shown += [str(row.data) for row in Event.select()]
    shown += [str(row.detail) for row in AuditEntry.select()]
    shown += [str((row.payload, row.error)) for row in Job.select()]
    shown += [str((row.found, row.sealed, row.error)) for row in Connection.select()]
    shown += [str((row.credentials, row.facts)) for row in Account.select()]
    shown.append(caplog.text)
    for secret in secrets:
        assert not [text for text in shown if secret in text]
    # And nowhere in the file of the database, in clear.
    database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = one_server.settings.database_path.read_bytes()
    assert not [secret for secret in secrets if secret.encode() in whole]


def test_client_secret_goes_in_and_never_out(one_server: Served, admin: httpx.Client) -> None:
    secret = "GOCSPX-very-secret-indeed"
    id = "123-abc.apps.googleusercontent.com"
    answer = send_form(admin, "/settings/set-up/google", client_id="nonsense", client_secret=secret)
    assert answer.status_code == 422
    assert secret not in answer.text
    answer = send_form(admin, "/settings/set-up/google", client_id=id, client_secret=secret)
    assert answer.status_code == 303
    page = admin.get("/settings/set-up/google").text
    assert id in page
    assert secret not in page
    row = Setting.get(Setting.name == "oauth:google")
    assert secret not in str(row.value)
    settings, vault = one_server.settings, one_server.app.state.vault
    client = oauth_clients.client_of(settings, vault, "google", practice=False)
    assert client is not None and client.secret == secret
    assert secret not in repr(client)
    # Without a secret the one that is there stays, for the same id alone.
    assert send_form(admin, "/settings/set-up/google", client_id=id).status_code == 303
    other = send_form(admin, "/settings/set-up/google", client_id="9-z.apps.googleusercontent.com")
    assert other.status_code == 422
    assert send_form(admin, "/settings/set-up/google/forget").status_code == 303
    assert oauth_clients.client_of(settings, vault, "google", practice=False) is None
    assert [a.action for a in AuditEntry.select().where(AuditEntry.subject == "client:google")] == [
        "client.change",
        "client.change",
        "client.forget",
    ]


# Afterwards


def test_lost_sign_in_shows_before_a_post_is_due(
    one_server: Served, owner: User, admin: httpx.Client
) -> None:
    connect(one_server, admin, "youtube")
    account = one_account("youtube")
    accounts.mark_lost(account, "Google no longer accepts the sign-in.")
    assert "Reconnect needed" in text_of(admin, "/settings/accounts")
    assert "Reconnect needed" in text_of(admin, f"/settings/accounts/{account.public_id}")
    assert f"Reconnect needed: {account.name} (YouTube)" in text_of(admin, "/")
    with browser(one_server.url, add_user("ed@example.org", Role.EDITOR)) as editor:
        assert "Reconnect needed" in text_of(editor, "/")


def test_reconnecting_needs_the_same_account(one_server: Served, admin: httpx.Client) -> None:
    connect(one_server, admin, "youtube", 0)
    account = one_account("youtube")
    accounts.mark_lost(account, "gone")
    place = connect(one_server, admin, "youtube", 1, account=account.public_id)
    assert "This sign-in opens “Second practice channel”" in text_of(admin, place)
    assert one_account("youtube").state is AccountState.RECONNECT
    connect(one_server, admin, "youtube", 0, account=account.public_id)
    assert one_account("youtube").state is AccountState.CONNECTED


def test_disconnecting_gives_the_sign_in_back(one_server: Served, admin: httpx.Client) -> None:
    connect(one_server, admin, "youtube")
    account = one_account("youtube")
    here = f"/settings/accounts/{account.public_id}/disconnect"
    assert "Disconnect the account" in text_of(admin, here)
    revoked = len(one_server.app.state.google.ground.calls("oauth.revoke"))
    assert send_form(admin, here).status_code == 303
    run_jobs(one_server)
    account = one_account("youtube")
    assert account.state is AccountState.DISABLED and account.credentials is None
    assert len(one_server.app.state.google.ground.calls("oauth.revoke")) == revoked + 1
    assert f'id="account-{account.public_id}"' not in admin.get("/settings/accounts").text
    # It comes back as the same account, with its history.
    connect(one_server, admin, "youtube")
    assert one_account("youtube").id == account.id
    assert one_account("youtube").state is AccountState.CONNECTED


def test_shared_sign_in_is_given_back_with_its_last_account(
    one_server: Served, admin: httpx.Client
) -> None:
    send_form(admin, "/settings/accounts/practice")
    run_jobs(one_server)
    ground = one_server.app.state.meta.ground
    before = len(ground.calls("permissions.delete"))
    rows = list(Account.select().where(Account.platform.in_(["facebook", "instagram"])))
    assert len(rows) == 3
    for at, row in enumerate(rows):
        send_form(admin, f"/settings/accounts/{row.public_id}/disconnect")
        run_jobs(one_server)
        given_back = len(ground.calls("permissions.delete")) - before
        assert given_back == (1 if at == len(rows) - 1 else 0)
    left = Account.select().where(Account.practice, Account.credentials.is_null(False))
    assert [row.platform for row in left] == ["youtube"]


def test_accounts_of_the_box_stay(one_server: Served, admin: httpx.Client) -> None:
    folder = Account.create(platform="folder", remote_id="here", name="Folder")
    here = f"/settings/accounts/{folder.public_id}"
    assert send_form(admin, f"{here}/disconnect").status_code == 404
    assert send_form(admin, f"{here}/check").status_code == 409
    assert "Disconnect" not in text_of(admin, here)


def test_staging_ahead_is_chosen_with_its_cost(one_server: Served, admin: httpx.Client) -> None:
    connect(one_server, admin, "youtube")
    account = one_account("youtube")
    here = f"/settings/accounts/{account.public_id}"
    assert "uploaded as private" in text_of(admin, here)
    send_form(admin, f"{here}/stage-ahead", wish="yes")
    assert one_account("youtube").stage_ahead
    send_form(admin, f"{here}/stage-ahead")
    assert not one_account("youtube").stage_ahead


def test_posting_is_paused_and_goes_on(
    one_server: Served, owner: User, admin: httpx.Client
) -> None:
    send_form(admin, "/settings/accounts/pause", pause="yes", reason="Wrong <b>logo</b>")
    page = admin.get("/settings/accounts").text
    assert "All posting is paused" in page
    assert "<b>logo" not in page
    with script(one_server.url, owner) as client:
        found = client.get("/api/v1/posting").json()
        assert found["paused"] and found["reason"] == "Wrong <b>logo</b>"
        assert found["by"] == owner.email
        assert client.put("/api/v1/posting", json={"paused": False}).json() == {
            "paused": False,
            "since": None,
            "by": None,
            "reason": None,
        }
    assert not posting_switch.is_paused()
    types = [e.type for e in Event.select().where(Event.subject == "posting:all")]
    assert types == ["posting.paused", "posting.resumed"]


def test_api_checks_changes_and_disconnects(
    one_server: Served, owner: User, admin: httpx.Client, sender: httpx.Client
) -> None:
    assert sender.post("/api/v1/accounts/practice").json() == {"count": 2}
    run_jobs(one_server)
    account = one_account("youtube")
    here = f"/api/v1/accounts/{account.public_id}"
    Account.update(checked_at=None).execute()
    assert sender.post(f"{here}/check").status_code == 202
    run_jobs(one_server)
    found = {item["id"]: item for item in sender.get("/api/v1/accounts").json()["items"]}
    assert found[account.public_id]["checked_at"] and found[account.public_id]["practice"]
    assert sender.patch(here, json={"stage_ahead": True}).json()["stage_ahead"]
    assert sender.delete(here).json()["state"] == "disabled"
    run_jobs(one_server)
    assert one_account("youtube").credentials is None


# Pages for reviewers


@pytest.mark.parametrize("path", ["/privacy", "/data-deletion"])
def test_reviewers_read_without_signing_in(one_server: Served, path: str) -> None:
    with browser(one_server.url) as client:
        text = text_of(client, path)
    assert one_server.settings.base_url in text
    assert "Disconnect" in text


def test_checklist_says_what_the_box_sees(one_server: Served, admin: httpx.Client) -> None:
    for provider in ("google", "meta"):
        page = admin.get(f"/settings/set-up/{provider}").text
        assert f"{one_server.settings.base_url}/connect/{provider}/callback" in page
        assert 'id="entered"' in page and 'data-verdict="bad"' in page
    assert admin.get("/settings/set-up/nobody").status_code == 404


def test_checking_the_client_id_asks_the_platform(one_server: Served, admin: httpx.Client) -> None:
    id = "123-abc.apps.googleusercontent.com"
    send_form(admin, "/settings/set-up/google", client_id=id, client_secret="GOCSPX-12345678")
    assert "It is being tried" in text_of(admin, "/settings/set-up/google")
    # Nothing outside is asked in tests: the address of Google is the stand-in's.
    stand_in = f"{one_server.settings.base_url}/practice/google"
    run_jobs(one_server, google_token_url=stand_in)
    assert "doesn't know this client id and secret" in text_of(admin, "/settings/set-up/google")
    known = {"client_id": PRACTICE_ID["google"], "client_secret": PRACTICE_SECRET}
    send_form(admin, "/settings/set-up/google", **known)
    run_jobs(one_server, google_token_url=stand_in)
    assert "id and secret belong together" in text_of(admin, "/settings/set-up/google")
