"""Coming in, going out, and what is refused: forms as a browser without script sends them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from litestar import Request

from appliance import users
from appliance.clock import now
from appliance.db import database
from appliance.errors import NotFound
from appliance.models import AuditEntry, Invite, Role, Session, Throttle, User
from tests.web.serving import PASSWORD, add_user, browser, prepare, send_form, serving
from web.routes.sign_in import _guess_counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings

NEW = {
    "email": "First@Example.org",
    "name": "First Person",
    "password": "a long enough one",
    "time_zone": "Europe/Berlin",
}


@pytest.fixture
def box(settings: Settings) -> Iterator[str]:
    prepare(settings)
    with serving(settings) as url:
        yield url


@pytest.fixture
def client(box: str) -> Iterator[httpx.Client]:
    with browser(box) as client:
        yield client


def setup_path(settings: Settings) -> str:
    with database.connection_context():
        link = users.setup_link(settings)
    assert link is not None
    return "/setup/" + link.rpartition("/")[2]


def is_signed_in(client: httpx.Client) -> bool:
    return client.get("/settings").status_code == 200


# The first one


def test_setup_link_creates_the_owner_and_signs_in(
    client: httpx.Client, settings: Settings
) -> None:
    path = setup_path(settings)
    page = client.get(path)
    assert page.status_code == 200
    assert str(settings.data) in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    answer = send_form(client, path, **NEW)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert is_signed_in(client)
    with database.connection_context():
        user = User.get()
        assert (user.email, user.role, user.time_zone) == (
            "first@example.org",
            Role.OWNER,
            "Europe/Berlin",
        )
        assert users.setup_link(settings) is None
    assert send_form(client, path, **NEW).status_code == 404


def test_setup_without_the_link_is_impossible(client: httpx.Client) -> None:
    assert client.get("/setup/" + "x" * 32).status_code == 404
    assert send_form(client, "/setup/" + "x" * 32, **NEW).status_code == 404


def test_a_newer_setup_link_ends_the_older(client: httpx.Client, settings: Settings) -> None:
    older, newer = setup_path(settings), setup_path(settings)
    assert client.get(older).status_code == 404
    assert client.get(newer).status_code == 200


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("password", "short", "at least 10 characters"),
        ("email", "no address", "name@example.org"),
        ("time_zone", "Mars/Olympus", "Europe/Berlin"),
    ],
)
def test_bad_field_is_told_beside_it_and_the_rest_is_kept(
    client: httpx.Client, settings: Settings, field: str, value: str, sentence: str
) -> None:
    answer = send_form(client, setup_path(settings), **{**NEW, field: value})
    assert answer.status_code == 422
    assert f'id="{field}-problem"' in answer.text
    assert sentence in answer.text
    assert "<title>Error:" in answer.text
    assert "First Person" in answer.text
    assert NEW["password"] not in answer.text
    with database.connection_context():
        assert not users.exist()


# By password


def test_sign_in_leads_back_to_where_one_wanted_to_go(client: httpx.Client) -> None:
    add_user("a@example.org", Role.VIEWER)
    answer = client.get("/settings?saved=x")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=/settings%3Fsaved%3Dx"
    answer = send_form(
        client,
        "/sign-in",
        email=" A@Example.org",
        password=PASSWORD,
        next="/settings?saved=x",
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings?saved=x")
    assert is_signed_in(client)


@pytest.mark.parametrize("there", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_sign_in_never_leads_to_another_site(client: httpx.Client, there: str) -> None:
    add_user("a@example.org")
    answer = send_form(client, "/sign-in", email="a@example.org", password=PASSWORD, next=there)
    assert answer.headers["location"] == "/"


def test_cookie_is_for_the_server_alone(client: httpx.Client) -> None:
    add_user("a@example.org")
    answer = send_form(client, "/sign-in", email="a@example.org", password=PASSWORD)
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("session=")
    assert "httponly" in cookie and "samesite=lax" in cookie and "path=/" in cookie


def test_over_https_the_cookie_is_bound_to_the_host(settings: Settings) -> None:
    secure = settings.model_copy(update={"public_url": "https://box.example.org"})
    prepare(secure)
    add_user("a@example.org")
    with serving(secure) as url, browser(url) as client:
        page = client.get("/sign-in")
        token = page.headers["set-cookie"].partition("=")[2].partition(";")[0]
        assert page.headers["set-cookie"].startswith("__Host-csrf=")
        answer = client.post(
            "/sign-in",
            data={"_csrf_token": token, "email": "a@example.org", "password": PASSWORD},
            headers={"Cookie": f"__Host-csrf={token}"},
        )
    assert answer.status_code == 303
    assert answer.headers["set-cookie"].startswith("__Host-session=")
    assert "Secure" in answer.headers["set-cookie"]
    assert "max-age" in answer.headers["strict-transport-security"]


@pytest.mark.parametrize("email", ["a@example.org", "nobody@example.org", "off@example.org"])
def test_one_sentence_for_all_wrong_credentials(client: httpx.Client, email: str) -> None:
    add_user("a@example.org")
    off = add_user("off@example.org")
    with database.connection_context():
        users.deactivate(off, actor=None)
    password = PASSWORD if email.startswith("off") else "wrong wrong wrong"
    answer = send_form(client, "/sign-in", email=email, password=password)
    assert answer.status_code == 422
    assert "Email or password is wrong." in answer.text
    assert not is_signed_in(client)


def test_guessing_is_slowed_down_and_ends_by_itself(client: httpx.Client) -> None:
    add_user("a@example.org")
    wrong = {"email": "a@example.org", "password": "wrong wrong wrong"}
    statuses = [send_form(client, "/sign-in", **wrong).status_code for _ in range(7)]
    assert statuses == [422, 422, 422, 422, 422, 429, 429]
    answer = send_form(client, "/sign-in", email="a@example.org", password=PASSWORD)
    assert answer.status_code == 429
    assert "Wait 1 minute," in answer.text
    assert int(answer.headers["retry-after"]) > 0
    with database.connection_context():
        Throttle.update(last_at=now() - timedelta(minutes=2)).execute()
    answer = send_form(client, "/sign-in", email="a@example.org", password=PASSWORD)
    assert answer.status_code == 303
    with database.connection_context():
        assert not Throttle.select().where(Throttle.key == "account:a@example.org").exists()


def test_nothing_secret_is_kept_in_clear(client: httpx.Client, settings: Settings) -> None:
    add_user("a@example.org")
    send_form(client, "/sign-in", email="a@example.org", password=PASSWORD)
    session = client.cookies["session"]
    with database.connection_context():
        database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    everything = settings.database_path.read_bytes()
    assert session.encode() not in everything
    assert PASSWORD.encode() not in everything
    assert b"$argon2id$" in everything


def test_old_cookie_is_refused_after_sign_out(client: httpx.Client) -> None:
    user = add_user("a@example.org")
    with browser(str(client.base_url), user) as other:
        cookie = other.cookies["session"]
        answer = send_form(other, "/sign-out")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    client.cookies.set("session", cookie)
    assert not is_signed_in(client)


@pytest.mark.parametrize("what", ["idle", "old"])
def test_session_ends_by_itself(client: httpx.Client, settings: Settings, what: str) -> None:
    user = add_user("a@example.org")
    with browser(str(client.base_url), user) as signed_in:
        assert is_signed_in(signed_in)
        with database.connection_context():
            if what == "idle":
                then = now() - timedelta(days=settings.session_idle_days, seconds=1)
                Session.update(last_seen_at=then).execute()
            else:
                Session.update(expires_at=now()).execute()
        assert not is_signed_in(signed_in)


def test_signing_in_again_ends_the_browsers_former_session(client: httpx.Client) -> None:
    add_user("a@example.org")
    send_form(client, "/sign-in", email="a@example.org", password=PASSWORD)
    former = client.cookies["session"]
    send_form(client, "/sign-in", email="a@example.org", password=PASSWORD)
    assert client.cookies["session"] != former
    with database.connection_context():
        assert Session.select().count() == 1


# By invite, with a new password


def test_invite_works_once_with_its_role(client: httpx.Client) -> None:
    owner = add_user()
    with database.connection_context():
        _, token = users.invite(owner, role=Role.EDITOR, email="new@example.org")
    page = client.get(f"/invite/{token}")
    assert "owner invites you as editor" in page.text
    answer = send_form(client, f"/invite/{token}", **{**NEW, "email": "other@example.org"})
    assert answer.status_code == 303
    with database.connection_context():
        assert users.by_email("new@example.org").role is Role.EDITOR
    assert client.get(f"/invite/{token}").status_code == 404


@pytest.mark.parametrize("how", ["expired", "withdrawn", "other kind"])
def test_dead_links_look_like_unknown_ones(client: httpx.Client, how: str) -> None:
    owner = add_user()
    with database.connection_context():
        row, token = users.invite(owner, role=Role.EDITOR)
        if how == "expired":
            Invite.update(expires_at=now()).execute()
        elif how == "withdrawn":
            users.withdraw_invite(owner, row.public_id)
    path = f"/reset/{token}" if how == "other kind" else f"/invite/{token}"
    answer, unknown = client.get(path), client.get("/invite/" + "x" * 32)
    assert answer.status_code == unknown.status_code == 404
    assert "used up, out of date" in answer.text
    assert "used up, out of date" in unknown.text


def test_reset_link_sets_the_password_and_signs_out_everywhere(
    client: httpx.Client, settings: Settings
) -> None:
    user = add_user("a@example.org")
    with browser(str(client.base_url), user) as elsewhere:
        with database.connection_context():
            path = "/reset/" + users.reset_link(user, settings).rpartition("/")[2]
        assert client.get(path).status_code == 200
        answer = send_form(client, path, password="entirely new words")
        assert answer.status_code == 303
        assert is_signed_in(client)
        assert not is_signed_in(elsewhere)
    with browser(str(client.base_url)) as fresh:
        old = send_form(fresh, "/sign-in", email="a@example.org", password=PASSWORD)
        assert old.status_code == 422
        new = send_form(fresh, "/sign-in", email="a@example.org", password="entirely new words")
        assert new.status_code == 303


def test_guessing_links_is_slowed_down(client: httpx.Client) -> None:
    statuses = {client.get(f"/invite/{'x' * 30}{n:02}").status_code for n in range(40)}
    assert statuses == {404, 429}


def test_guesses_from_nowhere_lock_nobody_out(box: str) -> None:
    """Behind a socket, without a proxy's word, everybody has the same address: none."""
    request: Request[Any, Any, Any] = Request({"type": "http", "client": None})
    with database.connection_context():
        for _ in range(40):
            with pytest.raises(NotFound), _guess_counted(request):
                raise NotFound("no such link")


# Sent by somebody else's page


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "", "Origin": "http://["},
    ],
    ids=["cross-site", "sister site", "old browser", "no address"],
)
def test_form_of_another_site_changes_nothing(box: str, headers: dict[str, str]) -> None:
    user = add_user("a@example.org")
    with browser(box, user) as client:
        sent = {name: value for name, value in headers.items() if value}
        if "Origin" in headers:
            del client.headers["Sec-Fetch-Site"]
        client.get("/settings")
        answer = client.post(
            "/sign-out", data={"_csrf_token": client.cookies["csrf"]}, headers=sent
        )
        assert answer.status_code == 403
        assert is_signed_in(client)


@pytest.mark.parametrize("token", [None, "", "made.up", "é"])
def test_form_without_its_token_changes_nothing(box: str, token: str | None) -> None:
    user = add_user("a@example.org")
    with browser(box, user) as client:
        client.get("/settings")
        data = {} if token is None else {"_csrf_token": token}
        assert client.post("/sign-out", data=data).status_code == 403
        assert is_signed_in(client)


def test_token_of_another_browser_is_refused(box: str) -> None:
    user = add_user("a@example.org")
    with browser(box, user) as client, browser(box, user) as other:
        client.get("/settings")
        other.get("/settings")
        answer = client.post("/sign-out", data={"_csrf_token": other.cookies["csrf"]})
        assert answer.status_code == 403


def test_token_cookie_of_another_box_is_replaced(client: httpx.Client) -> None:
    add_user("a@example.org")
    client.cookies.set("csrf", "value.signed-with-another-key")
    page = client.get("/sign-in")
    assert "csrf=" in page.headers["set-cookie"]


def test_htmx_sends_the_token_in_a_header(box: str) -> None:
    user = add_user("a@example.org")
    with browser(box, user) as client:
        client.get("/settings")
        answer = client.post("/sign-out", headers={"X-CSRF-Token": client.cookies["csrf"]})
        assert answer.status_code == 303


def test_what_happens_is_in_the_audit_trail(client: httpx.Client) -> None:
    add_user("a@example.org")
    send_form(client, "/sign-in", email="a@example.org", password="wrong wrong wrong")
    send_form(client, "/sign-in", email="a@example.org", password=PASSWORD)
    send_form(client, "/sign-out")
    with database.connection_context():
        actions = [entry.action for entry in AuditEntry.select().order_by(AuditEntry.id)]
        addresses = {entry.address for entry in AuditEntry.select().where(AuditEntry.address != "")}
    assert actions == ["user.add", "sign_in.failed", "sign_in", "sign_out"]
    assert addresses == {"127.0.0.1"}
