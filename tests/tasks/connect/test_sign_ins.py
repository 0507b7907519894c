"""What goes over the wire to Google and Meta, and how sign-ins are kept alive."""

from __future__ import annotations

import base64
import hashlib
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from appliance import accounts, connections, jobs, oauth_clients
from appliance.clock import now
from appliance.connections import Found
from appliance.db import database
from appliance.errors import Conflict
from appliance.job_kinds import KINDS
from appliance.models import Account, Connection, Event, Job, JobRun, Post, PostTarget, User
from appliance.oauth_clients import Client
from appliance.states import AccountState, ConnectionState, JobState, PostState, TargetState
from appliance.vault import Vault, open_vault
from tasks import pipeline, runner
from tasks.connect import checklist, flow
from tasks.connect.asking import Desk, scrub
from tasks.connect.errors import ConnectRefused, SignInLost, SignInUnreachable
from tasks.connect.google import Google
from tasks.connect.meta import Meta
from tasks.connect.tokens import fresh
from tasks.context import Context
from tests.factories import make_video
from tests.tasks.connect.scripted import Scripted, scripted
from tests.web.serving import add_user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings

SECRET = "GOCSPX-the-secret-of-the-box"
ALL = " ".join(scope.name for scope in Google.scopes)
CHANNEL = {"items": [{"id": "UC1", "snippet": {"title": "Our channel", "customUrl": "@ours"}}]}
V = "/v25.0"


@pytest.fixture
def stand(settings: Settings) -> Iterator[Scripted]:
    with scripted(settings) as running:
        yield running


@pytest.fixture
def vault(settings: Settings, db: None) -> Vault:
    return open_vault(settings)


def desk(stand: Scripted) -> Desk:
    return Desk(stand.settings, Client("the-id", SECRET), False, "https://box.example/connect/x")


def context(stand: Scripted) -> Context:
    return Context(Job(kind="publish", queue="delivery"), stand.settings, threading.Event())


def keep(
    vault: Vault, platform: str = "youtube", remote_id: str = "UC1", **credentials: Any
) -> Account:
    """An account with a client of its own."""
    whole = {"client_id": "the-id", "client_secret": SECRET, **credentials}
    (made,) = connections.adopt(
        vault, [Found(platform, remote_id, "Ours", whole)], user=None, practice=False
    )
    return made


def in_(seconds: float) -> str:
    return (now() + timedelta(seconds=seconds)).isoformat()


def run_jobs(settings: Settings) -> None:
    Job.update(run_after=None).where(Job.state == JobState.QUEUED).execute()
    work = threading.Thread(
        target=runner.run_due, args=("delivery", "tests", settings, threading.Event())
    )
    work.start()
    work.join(60)
    assert not work.is_alive()


def opened(vault: Vault, account: Account) -> dict[str, Any]:
    return accounts.credentials(vault, Account.get_by_id(account.id))


# Google


def test_google_asks_for_lasting_access_with_pkce(stand: Scripted) -> None:
    verifier = "v" * 64
    address = Google().dialog(
        desk(stand), state="the-state", challenge=connections.challenge_of(verifier)
    )
    asked = dict(parse_qsl(urlsplit(address).query))
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode()
    assert asked == {
        "client_id": "the-id",
        "redirect_uri": "https://box.example/connect/x",
        "response_type": "code",
        "scope": ALL,
        "access_type": "offline",
        "prompt": "consent",
        "include_granted_scopes": "false",
        "state": "the-state",
        "code_challenge": digest.rstrip("="),
        "code_challenge_method": "S256",
    }
    assert urlsplit(address).path == "/o/oauth2/v2/auth"
    assert SECRET not in address


def test_google_redeems_by_a_form_and_reads_the_channel(stand: Scripted) -> None:
    answer = {"access_token": "ya-1", "refresh_token": "1//r", "expires_in": 3599, "scope": ALL}
    stand.say("/token", answer)
    stand.say("/youtube/v3/channels", CHANNEL)
    (found,) = Google().redeem(desk(stand), "4/code", "the-verifier")
    (token,) = stand.to("/token")
    assert token.method == "POST" and not token.query
    assert token.headers["content-type"] == "application/x-www-form-urlencoded"
    assert token.form == {
        "grant_type": "authorization_code",
        "code": "4/code",
        "code_verifier": "the-verifier",
        "redirect_uri": "https://box.example/connect/x",
        "client_id": "the-id",
        "client_secret": SECRET,
    }
    (look,) = stand.to("/youtube/v3/channels")
    assert look.headers["authorization"] == "Bearer ya-1"
    assert look.query["mine"] == "true"
    assert (found.remote_id, found.name) == ("UC1", "Our channel")
    assert found.credentials["refresh_token"] == "1//r"
    assert found.expires_at is None and "ya-1" not in repr(found)


@pytest.mark.parametrize(
    ("answer", "status", "code", "words"),
    [
        ({"access_token": "a"}, 200, "no_refresh_token", "no lasting sign-in"),
        (
            {"access_token": "a", "refresh_token": "r", "scope": Google.scopes[1].name},
            200,
            "scope",
            "Upload videos",
        ),
        ({"error": "invalid_grant"}, 400, "stale_code", "Connect again"),
        ({"error": "invalid_client"}, 401, "bad_client", "client id and secret"),
        ({"error": "redirect_uri_mismatch"}, 400, "bad_redirect", "https://box.example/connect/x"),
        ({"error": "odd", "error_description": "Odd thing"}, 400, "connect_refused", "Odd thing"),
    ],
)
def test_google_says_why_it_refuses(
    stand: Scripted, answer: Any, status: int, code: str, words: str
) -> None:
    stand.say("/token", answer, status)
    with pytest.raises(ConnectRefused, match=words.replace(".", r"\.")) as caught:
        Google().redeem(desk(stand), "4/code", "verifier")
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [("youtubeSignupRequired", 401, "no_channel"), ("accessNotConfigured", 403, "api_off")],
)
def test_google_says_what_the_channel_lacks(
    stand: Scripted, reason: str, status: int, code: str
) -> None:
    answer = {"access_token": "ya-1", "refresh_token": "1//r", "scope": ALL}
    stand.say("/token", answer)
    stand.say("/youtube/v3/channels", {"error": {"errors": [{"reason": reason}]}}, status)
    with pytest.raises(ConnectRefused) as caught:
        Google().redeem(desk(stand), "4/code", "verifier")
    assert caught.value.code == code


def test_testing_trap_is_seen_at_the_first_sign_in(stand: Scripted) -> None:
    answer = {"access_token": "ya-1", "refresh_token": "1//r", "scope": ALL}
    stand.say("/token", {**answer, "refresh_token_expires_in": 604799})
    stand.say("/youtube/v3/channels", CHANNEL)
    (found,) = Google().redeem(desk(stand), "4/code", "verifier")
    assert found.facts["testing"] is True
    assert found.expires_at is not None
    assert timedelta(days=6.9) < found.expires_at - now() <= timedelta(days=7)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_outage_is_no_refusal(stand: Scripted, status: int) -> None:
    stand.say("/token", {"error": "later"}, status, Retry_After="120")
    with pytest.raises(SignInUnreachable) as caught:
        Google().redeem(desk(stand), "4/code", "verifier")
    assert caught.value.when is not None
    assert timedelta(seconds=60) < caught.value.when - now() <= timedelta(seconds=120)


def test_secrets_are_taken_out_of_what_is_shown(stand: Scripted) -> None:
    stand.say("/token", {"error": "odd", "told": [SECRET, "4/the-code", "verifier-1234"]}, 400)
    with pytest.raises(ConnectRefused) as caught:
        Google().redeem(desk(stand), "4/the-code", "verifier-1234")
    assert "…" in caught.value.detail
    for secret in (SECRET, "4/the-code", "verifier-1234"):
        assert secret not in caught.value.detail + str(caught.value)
    assert scrub('a "quoted\\"secret" b', ['quoted"secret']) == 'a "…" b'


def test_redirects_are_not_followed(stand: Scripted) -> None:
    stand.say("/token", {}, 302, Location="/elsewhere")
    with pytest.raises(ConnectRefused):
        Google().redeem(desk(stand), "4/code", "verifier")
    assert not stand.to("/elsewhere")


# Keeping a sign-in alive


def test_token_that_lasts_is_given_as_it_is(stand: Scripted, vault: Vault) -> None:
    account = keep(vault, refresh_token="r", access_token="a", access_token_until=in_(1200))
    found = _outside(lambda: fresh(account, context(stand)))
    assert found["access_token"] == "a"
    assert not stand.asked


def _outside(work: Any) -> Any:
    """On a thread without a connection, as workers are; what it raises comes here."""
    end: list[Any] = []

    def run() -> None:
        try:
            end.append((work(), None))
        except Exception as exc:
            end.append((None, exc))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    (found, error) = end[0]
    if error is not None:
        raise error
    return found


def test_token_is_refreshed_early_and_the_old_refresh_token_stays(
    stand: Scripted, vault: Vault
) -> None:
    account = keep(vault, refresh_token="1//old", access_token="a", access_token_until=in_(400))
    stand.say("/token", {"access_token": "b", "expires_in": 3599})
    assert _outside(lambda: fresh(account, context(stand)))["access_token"] == "b"
    (asked,) = stand.to("/token")
    assert asked.form["grant_type"] == "refresh_token"
    assert asked.form["refresh_token"] == "1//old"
    kept = opened(vault, account)
    assert (kept["access_token"], kept["refresh_token"]) == ("b", "1//old")
    assert _outside(lambda: fresh(account, context(stand)))["access_token"] == "b"
    assert len(stand.to("/token")) == 1  # stored: nobody asks again


def test_rotated_refresh_token_is_stored(stand: Scripted, vault: Vault) -> None:
    account = keep(vault, refresh_token="1//old", access_token="a", access_token_until=in_(0))
    stand.say("/token", {"access_token": "b", "refresh_token": "1//new", "expires_in": 60})
    _outside(lambda: fresh(account, context(stand)))
    assert opened(vault, account)["refresh_token"] == "1//new"
    stand.say("/token", {"access_token": "c", "expires_in": 3600})
    stand.answers.pop(0)
    _outside(lambda: fresh(account, context(stand)))
    assert stand.to("/token")[-1].form["refresh_token"] == "1//new"
    assert opened(vault, account)["refresh_token"] == "1//new"


@pytest.mark.parametrize("status", [429, 500])
def test_outage_loses_no_good_token(stand: Scripted, vault: Vault, status: int) -> None:
    stand.say("/token", {}, status)
    early = keep(vault, refresh_token="r", access_token="a", access_token_until=in_(400))
    assert _outside(lambda: fresh(early, context(stand)))["access_token"] == "a"
    late = keep(
        vault, remote_id="UC2", refresh_token="r", access_token="a", access_token_until=in_(100)
    )
    with pytest.raises(SignInUnreachable):
        _outside(lambda: fresh(late, context(stand)))
    assert opened(vault, late)["refresh_token"] == "r"
    assert Account.get_by_id(late.id).state is AccountState.CONNECTED


def test_void_sign_in_is_told_at_once(stand: Scripted, vault: Vault) -> None:
    account = keep(vault, refresh_token="r", access_token="a", access_token_until=in_(0))
    stand.say("/token", {"error": "invalid_grant"}, 400)
    with pytest.raises(SignInLost):
        _outside(lambda: fresh(account, context(stand)))
    row = Account.get_by_id(account.id)
    assert row.state is AccountState.RECONNECT
    assert "no longer accepts the sign-in" in (row.error or "")
    assert Event.select().where(Event.type == "account.reconnect").count() == 1


def test_testing_trap_is_named_when_it_snaps(stand: Scripted, vault: Vault) -> None:
    account = keep(
        vault, refresh_token="r", access_token="a", access_token_until=in_(0), testing=True
    )
    stand.say("/token", {"error": "invalid_grant"}, 400)
    with pytest.raises(SignInLost, match="Testing"):
        _outside(lambda: fresh(account, context(stand)))


def test_slower_of_two_refreshes_takes_what_the_faster_stored(
    stand: Scripted, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform has rotated for the other worker, and calls our old token void."""
    account = keep(vault, refresh_token="old", access_token="a", access_token_until=in_(0))
    stand.say("/token", {"error": "invalid_grant"}, 400)
    asked = Google.refreshed

    def after_the_other(self: Google, desk: Desk, credentials: Any) -> Any:
        with database.connection_context():
            row = Account.get_by_id(account.id)
            newer = {**credentials, "refresh_token": "new", "access_token": "theirs"}
            accounts.seal(vault, row, {**newer, "access_token_until": in_(3600)})
        return asked(self, desk, credentials)

    monkeypatch.setattr(Google, "refreshed", after_the_other)
    assert _outside(lambda: fresh(account, context(stand)))["access_token"] == "theirs"
    assert Account.get_by_id(account.id).state is AccountState.CONNECTED


def test_reconnecting_meanwhile_wins_over_a_refresh(
    stand: Scripted, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = keep(vault, refresh_token="old", access_token="a", access_token_until=in_(0))
    stand.say("/token", {"access_token": "of-the-old", "expires_in": 3600})
    asked = Google.refreshed

    def while_somebody_connects(self: Google, desk: Desk, credentials: Any) -> Any:
        made = asked(self, desk, credentials)
        with database.connection_context():
            keep(vault, refresh_token="new", access_token="new", access_token_until=in_(3600))
        return made

    monkeypatch.setattr(Google, "refreshed", while_somebody_connects)
    assert _outside(lambda: fresh(account, context(stand)))["access_token"] == "new"
    assert opened(vault, account)["refresh_token"] == "new"


def test_accounts_of_the_box_need_no_refresh(stand: Scripted, vault: Vault) -> None:
    account = Account.create(platform="folder", remote_id="folder", name="Folder")
    assert _outside(lambda: fresh(account, context(stand))) == {}


# Meta


def say_login(stand: Scripted, *, without: tuple[str, ...] = ()) -> None:
    stand.say(f"{V}/oauth/access_token", {"access_token": "short", "expires_in": 3600})
    stand.say(f"{V}/oauth/access_token", {"access_token": "long", "expires_in": 5_184_000})
    granted = [
        {"permission": scope.name, "status": "declined" if scope.name in without else "granted"}
        for scope in Meta.scopes
    ]
    stand.say(f"{V}/me/permissions", {"data": granted})
    stand.say(f"{V}/me", {"id": "77", "name": "Pat"})


PAGE = {
    "id": "1",
    "name": "Page one",
    "access_token": "page-token-1",
    "link": "https://evil.example/",
    "tasks": ["CREATE_CONTENT"],
    "instagram_business_account": {"id": "9", "username": "one"},
}


def test_facebook_brings_pages_and_instagram_in_one_go(stand: Scripted) -> None:
    say_login(stand)
    more = {"cursors": {"after": "A"}, "next": "https://graph.facebook.com/next"}
    stand.say(f"{V}/me/accounts", {"data": [PAGE], "paging": more})
    two = {"id": "2", "name": "Page two", "access_token": "page-token-2", "tasks": ["ANALYZE"]}
    stand.say(f"{V}/me/accounts", {"data": [two]})
    found = Meta().redeem(desk(stand), "the-code", "")
    assert [(one.platform, one.remote_id, one.name) for one in found] == [
        ("facebook", "1", "Page one"),
        ("instagram", "9", "@one"),
        ("facebook", "2", "Page two"),
    ]
    assert [one.credentials["access_token"] for one in found][:2] == ["page-token-1"] * 2
    assert "blocked" not in found[0].facts and "may not post" in found[2].facts["blocked"]
    assert found[0].facts["link"] == "https://www.facebook.com/1"  # not where the answer points
    code, exchange = stand.to(f"{V}/oauth/access_token")
    assert code.method == "GET" and code.query["code"] == "the-code"
    assert exchange.query["grant_type"] == "fb_exchange_token"
    assert exchange.query["fb_exchange_token"] == "short"
    first, second = stand.to(f"{V}/me/accounts")
    assert first.headers["authorization"] == "Bearer long" and "access_token" not in first.query
    assert second.query["after"] == "A"


def test_facebook_says_what_was_not_allowed(stand: Scripted) -> None:
    say_login(stand, without=("pages_manage_posts",))
    with pytest.raises(ConnectRefused, match="Missing: Post to the Page") as caught:
        Meta().redeem(desk(stand), "the-code", "")
    assert caught.value.code == "scope"


def test_without_instagrams_permission_the_page_comes_alone(stand: Scripted) -> None:
    say_login(stand, without=("instagram_content_publish",))
    stand.say(f"{V}/me/accounts", {"data": [PAGE]})
    page, instagram = Meta().redeem(desk(stand), "the-code", "")
    assert "blocked" not in page.facts
    assert "wasn't allowed" in instagram.facts["blocked"]


def test_pages_of_a_business_are_found(stand: Scripted) -> None:
    say_login(stand)
    stand.say(f"{V}/me/accounts", {"data": []})
    stand.say(f"{V}/me/businesses", {"data": [{"id": "5", "owned_pages": {"data": [PAGE]}}]})
    assert [one.remote_id for one in Meta().redeem(desk(stand), "c", "")] == ["1", "9"]


def test_sign_in_without_a_page_is_told(stand: Scripted) -> None:
    say_login(stand)
    stand.say(f"{V}/me/accounts", {"data": []})
    stand.say(f"{V}/me/businesses", {"error": {"code": 200, "message": "no"}}, 403)
    with pytest.raises(ConnectRefused) as caught:
        Meta().redeem(desk(stand), "c", "")
    assert caught.value.code == "no_page"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": 101, "message": "Error validating application."}, "bad_client"),
        ({"code": 1, "message": "Error validating client secret."}, "bad_client"),
        ({"code": 191, "message": "redirect_uri isn't an absolute URI"}, "bad_redirect"),
    ],
)
def test_facebook_says_what_is_set_up_wrong(stand: Scripted, error: Any, code: str) -> None:
    stand.say(f"{V}/oauth/access_token", {"error": error}, 400)
    with pytest.raises(ConnectRefused) as caught:
        Meta().redeem(desk(stand), "c", "")
    assert caught.value.code == code


def keep_page(vault: Vault, **credentials: Any) -> Account:
    return keep(
        vault,
        "facebook",
        "1",
        access_token="page-token-1",
        page_id="1",
        user_token="long",
        **{"user_token_at": in_(0), "user_token_until": in_(5_000_000), **credentials},
    )


def test_persons_token_is_exchanged_long_before_its_end(stand: Scripted, vault: Vault) -> None:
    account = keep_page(vault, user_token_at=in_(-35 * 86_400))
    stand.say(f"{V}/oauth/access_token", {"access_token": "longer", "expires_in": 5_184_000})
    stand.say(f"{V}/1", {"id": "1", "name": "Page", "access_token": "page-token-2"})
    assert _outside(lambda: fresh(account, context(stand)))["access_token"] == "page-token-1"
    assert not stand.asked  # a post isn't held up by it: that is for the daily look
    flow.check(account)
    run_jobs(stand.settings)
    kept = opened(vault, account)
    assert (kept["user_token"], kept["access_token"]) == ("longer", "page-token-2")
    assert Account.get_by_id(account.id).checked_at is not None


def test_page_outlives_the_persons_token(stand: Scripted, vault: Vault) -> None:
    account = keep_page(vault, user_token_at=in_(-35 * 86_400))
    gone = {"error": {"code": 190, "error_subcode": 463, "message": "expired"}}
    stand.say(f"{V}/oauth/access_token", gone, 400)
    stand.say(f"{V}/1", {"id": "1", "name": "Page renamed"})
    flow.check(account)
    run_jobs(stand.settings)
    row = Account.get_by_id(account.id)
    assert (row.state, row.name) == (AccountState.CONNECTED, "Page renamed")
    assert opened(vault, account)["access_token"] == "page-token-1"


# The daily look


@pytest.mark.parametrize("subcode", [458, 460, 463, 467, 492])
def test_lost_page_is_noticed_by_the_daily_look(
    stand: Scripted, vault: Vault, subcode: int
) -> None:
    account = keep_page(vault)
    error = {"code": 190, "error_subcode": subcode, "message": "no"}
    stand.say(f"{V}/1", {"error": error}, 400)
    Account.update(checked_at=now() - timedelta(hours=25)).execute()
    assert flow.check_due() == 1
    run_jobs(stand.settings)
    row = Account.get_by_id(account.id)
    assert row.state is AccountState.RECONNECT and row.error


def test_look_reconnects_what_works_again(stand: Scripted, vault: Vault) -> None:
    account = keep_page(vault)
    accounts.mark_lost(account, "Facebook wants the person to confirm something first.")
    stand.say(f"{V}/1", {"id": "1", "name": "Page"})
    flow.check(account)
    run_jobs(stand.settings)
    assert Account.get_by_id(account.id).state is AccountState.CONNECTED


def test_look_that_is_refused_warns_and_goes_on(stand: Scripted, vault: Vault) -> None:
    account = keep(vault, refresh_token="r", access_token="a", access_token_until=in_(3000))
    off = {"error": {"errors": [{"reason": "accessNotConfigured"}]}}
    stand.say("/youtube/v3/channels", off, 403)
    flow.check(account)
    run_jobs(stand.settings)
    row = Account.get_by_id(account.id)
    assert row.state is AccountState.CONNECTED
    assert "isn't switched on" in row.facts["warning"]
    stand.say("/youtube/v3/channels", CHANNEL)
    stand.answers.pop(0)
    flow.check(row)
    run_jobs(stand.settings)
    assert "warning" not in Account.get_by_id(account.id).facts


def test_looks_are_a_day_apart_and_closer_before_a_post(vault: Vault) -> None:
    account = keep(vault, refresh_token="r")
    assert flow.check_due() == 0  # connected just now
    Account.update(checked_at=now() - timedelta(hours=3)).execute()
    assert flow.check_due() == 0
    _schedule(account, timedelta(hours=12))
    assert flow.check_due() == 1
    assert flow.check_due() == 0  # one is under way
    # A clock that was a year ahead doesn't put the next look off for a year.
    Job.delete().execute()
    Account.update(checked_at=now() + timedelta(days=365)).execute()
    assert flow.check_due() == 1


def test_look_that_cannot_reach_the_platform_is_not_repeated_each_sweep(
    stand: Scripted, vault: Vault
) -> None:
    account = keep_page(vault)
    Account.update(checked_at=now() - timedelta(hours=25)).execute()
    stand.say(f"{V}/1", {}, 500)
    assert flow.check_due() == 1
    for _ in range(5):
        run_jobs(stand.settings)
    assert Job.get().state is JobState.FAILED
    assert JobRun.select().count() <= 3
    assert flow.check_due() == 0
    assert Account.get_by_id(account.id).state is AccountState.CONNECTED
    Job.update(created_at=now() - timedelta(hours=2)).execute()
    assert flow.check_due() == 1


def _schedule(account: Account, ahead: timedelta) -> None:
    when = now() + ahead
    post = Post.create(video=make_video(), state=PostState.SCHEDULED, publish_at=when)
    PostTarget.create(post=post, account=account)


def test_end_of_a_sign_in_is_told_once_before_a_post_is_due(vault: Vault) -> None:
    account = keep(vault, refresh_token="r")
    Account.update(expires_at=now() + timedelta(days=20)).execute()
    told = Event.select().where(Event.type == "account.expiring")
    flow.check_due()
    assert told.count() == 0  # far ahead, and nothing is scheduled
    _schedule(account, timedelta(days=30))
    flow.check_due()
    flow.check_due()
    (event,) = told
    assert event.data["account"] == "Ours" and event.data["next_post_at"]
    Account.update(expires_at=now() + timedelta(days=5)).execute()  # another end
    flow.check_due()
    assert told.count() == 2


# Going


def test_giving_back_is_tried_for_a_day_and_then_forgotten(stand: Scripted, vault: Vault) -> None:
    account = keep(vault, refresh_token="1//refresh", access_token="a")
    stand.say("/revoke", {}, 503)
    flow.disconnect(account, actor=None)
    run_jobs(stand.settings)
    job = Job.get(Job.kind == "disconnect")
    assert job.state is JobState.QUEUED and job.run_after is not None
    assert Account.get_by_id(account.id).credentials is not None
    Job.update(payload={**job.payload, "since": in_(-90_000)}).execute()
    run_jobs(stand.settings)
    assert Account.get_by_id(account.id).credentials is None
    assert Event.select().where(Event.type == "account.forgotten").count() == 1


def test_giving_back_names_the_lasting_token_in_the_body(stand: Scripted, vault: Vault) -> None:
    account = keep(vault, refresh_token="1//refresh", access_token="a")
    stand.say("/revoke", {})
    flow.disconnect(account, actor=None)
    run_jobs(stand.settings)
    (asked,) = stand.to("/revoke")
    assert (asked.method, asked.form, asked.query) == ("POST", {"token": "1//refresh"}, {})
    assert Account.get_by_id(account.id).credentials is None
    assert Event.select().where(Event.type == "account.revoked").count() == 1


def test_what_is_on_its_way_there_keeps_the_account(stand: Scripted, vault: Vault) -> None:
    account = keep(vault, refresh_token="1//refresh", access_token="a")
    post = Post.create(video=make_video(), state=PostState.PROCESSING)
    target = PostTarget.create(post=post, account=account, state=TargetState.UNSURE)
    with pytest.raises(Conflict, match="on their way"):
        flow.disconnect(account, actor=None)
    assert Account.get_by_id(account.id).state is AccountState.CONNECTED
    # Whose sign-in is dead can't be asked anyhow: a person looks.
    accounts.mark_lost(account, "The sign-in has ended.")
    flow.disconnect(account, actor=None)
    assert PostTarget.get_by_id(target.id).state is TargetState.NEEDS_PERSON


def test_connecting_again_meanwhile_keeps_the_new_sign_in(stand: Scripted, vault: Vault) -> None:
    account = keep(vault, refresh_token="1//refresh", access_token="a")
    flow.disconnect(account, actor=None)
    keep(vault, refresh_token="1//new", access_token="b")
    run_jobs(stand.settings)
    assert not stand.asked
    assert opened(vault, account)["refresh_token"] == "1//new"


# Whose client


def test_settings_win_over_what_was_entered(settings: Settings, vault: Vault) -> None:
    entered = {"id": "1-a.apps.googleusercontent.com", "secret": "GOCSPX-entered", "actor": None}
    oauth_clients.keep(settings, vault, "google", **entered)
    assert oauth_clients.client_of(settings, vault, "google", practice=False) == Client(
        "1-a.apps.googleusercontent.com", "GOCSPX-entered"
    )
    fixed = settings.model_copy(update={"google_client_id": "set", "google_client_secret": None})
    assert oauth_clients.describe(fixed, "google").source == "settings"
    assert oauth_clients.client_of(fixed, vault, "google", practice=False) is None
    assert KINDS["connect"].queue == "delivery"


# Ways in that nobody goes on with


def _begun(vault: Vault, minutes_ago: float, state: ConnectionState) -> Connection:
    user = User.get_or_none() or add_user()
    began = connections.begin(vault, "youtube", user=user, session=None, practice=True)
    ended = now() - timedelta(minutes=minutes_ago)
    Connection.update(state=state, expires_at=ended, updated_at=ended).where(
        Connection.id == began.connection.id
    ).execute()
    return Connection.get_by_id(began.connection.id)


def test_ways_in_end_by_themselves_and_keep_no_secret(vault: Vault) -> None:
    open_ = _begun(vault, -1, ConnectionState.WAITING)
    late = [
        _begun(vault, 1, ConnectionState.WAITING),
        _begun(vault, 1, ConnectionState.CHOOSING),
        _begun(vault, 60, ConnectionState.REDEEMING),
    ]
    worked_on = _begun(vault, 1, ConnectionState.REDEEMING)
    ended = _begun(vault, 60 * 24 * 3, ConnectionState.CONNECTED)
    assert connections.sweep() == 4
    for row in late:
        fresh_row = Connection.get_by_id(row.id)
        assert (fresh_row.state, fresh_row.sealed) == (ConnectionState.EXPIRED, None)
    assert Connection.get_by_id(open_.id).state is ConnectionState.WAITING
    assert Connection.get_by_id(worked_on.id).state is ConnectionState.REDEEMING
    assert Connection.get_or_none(Connection.id == ended.id) is None


def test_nobody_fills_the_table(vault: Vault) -> None:
    rows = [_begun(vault, -1, ConnectionState.WAITING) for _ in range(connections.MAX_OPEN + 5)]
    waiting = Connection.select().where(Connection.state == ConnectionState.WAITING)
    assert waiting.count() <= connections.MAX_OPEN
    assert Connection.get_by_id(rows[-1].id).state is ConnectionState.WAITING
    assert Connection.get_by_id(rows[0].id).state is ConnectionState.EXPIRED


def test_cancelling_the_job_ends_the_way_in(vault: Vault) -> None:
    row = _begun(vault, -10, ConnectionState.REDEEMING)
    job = jobs.create("connect", "connect:x", payload={"connection": row.public_id})
    pipeline.cancel_job(job, None)
    ended = Connection.get_by_id(row.id)
    assert ended.state is ConnectionState.FAILED
    assert "cancelled on the Jobs page" in (ended.error or "")


def test_swapped_secrets_are_refused(stand: Scripted, vault: Vault) -> None:
    """Two rows' ciphertexts exchanged in the database open nothing."""
    one = keep(vault, refresh_token="1//one")
    two = keep(vault, remote_id="UC2", refresh_token="1//two")
    Account.update(credentials=two.credentials).where(Account.id == one.id).execute()
    with pytest.raises(SignInLost, match="tampered"):
        _outside(lambda: fresh(one, context(stand)))
    assert Account.get_by_id(one.id).state is AccountState.RECONNECT
    assert not stand.asked


def test_practice_never_takes_the_place_of_a_real_account(vault: Vault) -> None:
    account = keep(vault, refresh_token="1//real")
    with pytest.raises(Conflict, match="for real already"):
        connections.adopt(
            vault, [Found("youtube", "UC1", "Stand-in", {})], user=None, practice=True
        )
    assert opened(vault, account)["refresh_token"] == "1//real"
    assert not Account.get_by_id(account.id).practice


# The checklist


def seen(**changed: Any) -> checklist.Seen:
    usual: dict[str, Any] = {
        "base_url": "https://video.example.org",
        "redirect": "https://video.example.org/connect/google/callback",
        "client": oauth_clients.About("1-a.apps.googleusercontent.com", True, "entered"),
        "check": {"code": "ok"},
        "privacy_contact": "us@example.org",
    }
    return checklist.Seen(**{**usual, **changed})


def verdict(provider: str, name: str, **changed: Any) -> str:
    (step,) = [step for step in checklist.steps(provider, seen(**changed)) if step.name == name]
    return step.verdict.value


@pytest.mark.parametrize(
    ("base_url", "google", "meta"),
    [
        ("https://video.example.org", "ok", "ok"),
        ("http://video.example.org", "bad", "bad"),
        ("https://203.0.113.7", "bad", "ok"),
        ("http://127.0.0.1:8000", "warn", "warn"),
        ("http://localhost:8000", "warn", "warn"),
        ("https://nas", "bad", "bad"),
        ("https://nas.local", "bad", "bad"),
    ],
)
def test_redirect_address_is_judged(base_url: str, google: str, meta: str) -> None:
    assert verdict("google", "client", base_url=base_url) == google
    assert verdict("meta", "client", base_url=base_url) == meta


def test_traps_are_seen() -> None:
    assert verdict("google", "testing", accounts=({"testing": True},)) == "bad"
    assert verdict("google", "testing", accounts=({"testing": False},)) == "ok"
    assert verdict("google", "testing") == "unknown"
    assert verdict("google", "audit", locked=True) == "bad"
    assert verdict("google", "audit") == "unknown"
    assert verdict("google", "entered", client=oauth_clients.About()) == "bad"
    assert verdict("google", "entered", check={"code": "bad_client", "sentence": "x"}) == "bad"
    assert verdict("google", "entered") == "ok"
    assert verdict("meta", "scopes", accounts=({"missing": ["Comment"]},)) == "warn"
    assert verdict("meta", "branding", privacy_contact="") == "warn"
    assert verdict("meta", "public", base_url="http://localhost") == "warn"
    assert verdict("meta", "worker", worker_alive=False) == "bad"
