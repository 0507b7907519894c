"""The pages about people, and those where people set things for themselves, without script."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from appliance import users
from appliance.clock import now
from appliance.db import database
from appliance.models import ApiToken, Role, Session, User
from tests.web.serving import PASSWORD, add_user, browser, prepare, send_form, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings


@pytest.fixture
def box(settings: Settings) -> Iterator[str]:
    prepare(settings)
    with serving(settings) as url:
        yield url


@pytest.fixture
def owner(box: str) -> User:
    return add_user()


@pytest.fixture
def client(box: str, owner: User) -> Iterator[httpx.Client]:
    with browser(box, owner) as client:
        yield client


def fresh(user: User) -> User:
    with database.connection_context():
        return User.get_by_id(user.id)


def secret(page: httpx.Response, name: str) -> str:
    found = re.search(rf'id="{name}"[^>]*>([^<]+)<', page.text)
    assert found, page.text
    return found[1]


# People


def test_page_is_called_by_the_word_of_command_line_and_api(client: httpx.Client) -> None:
    text = client.get("/people").text
    assert "<title>Users · " in text
    assert "<h1>Users</h1>" in text
    assert re.search(
        r'href="/people" aria-current="page"[^>]*><svg.*?</svg><span>Users</span>', text
    )


def test_invite_link_is_shown_once_and_works(client: httpx.Client, box: str) -> None:
    page = send_form(client, "/people/invites", role="editor", email="new@example.org")
    assert page.status_code == 200
    link = secret(page, "fresh-link")
    again = client.get("/people")
    assert link not in again.text
    assert "new@example.org" in again.text
    with browser(box) as stranger:
        path = "/invite/" + link.rpartition("/")[2]
        answer = send_form(stranger, path, email="", name="New", password=PASSWORD, time_zone="UTC")
        assert answer.status_code == 303
    with database.connection_context():
        assert users.by_email("new@example.org").role is Role.EDITOR


def test_withdrawn_invite_no_longer_works(client: httpx.Client, box: str) -> None:
    page = send_form(client, "/people/invites", role="viewer", email="")
    path = "/invite/" + secret(page, "fresh-link").rpartition("/")[2]
    withdraw = re.search(r'action="(/people/invites/[^"]+/withdraw)"', page.text)
    assert withdraw
    assert send_form(client, withdraw[1]).status_code == 303
    with browser(box) as stranger:
        assert stranger.get(path).status_code == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"role": "king"}, "role"), ({"role": "viewer", "email": "nobody"}, "email")],
)
def test_bad_invite_is_told_beside_its_field(
    client: httpx.Client, fields: dict[str, str], field: str
) -> None:
    page = send_form(client, "/people/invites", **fields)
    assert page.status_code == 422
    assert f'id="{field}-problem"' in page.text


def test_invite_for_somebody_who_is_here_is_refused(client: httpx.Client) -> None:
    add_user("here@example.org", Role.VIEWER)
    page = send_form(client, "/people/invites", role="viewer", email="here@example.org")
    assert page.status_code == 409
    assert "is here already" in page.text


def test_role_is_changed_and_they_sign_in_again(client: httpx.Client, box: str) -> None:
    user = add_user("user@example.org", Role.VIEWER)
    with browser(box, user) as theirs:
        assert theirs.get("/settings").status_code == 200
        answer = send_form(client, f"/people/{user.public_id}/role", role="editor")
        assert answer.headers["location"] == "/people?done=role"
        assert theirs.get("/settings").status_code == 303
    assert fresh(user).role is Role.EDITOR
    assert "The role is changed" in client.get("/people?done=role").text


def test_switched_off_and_on_again(client: httpx.Client, box: str) -> None:
    user = add_user("user@example.org", Role.VIEWER)
    assert send_form(client, f"/people/{user.public_id}/deactivate").status_code == 303
    with browser(box) as theirs:
        refused = send_form(theirs, "/sign-in", email=user.email, password=PASSWORD)
        assert refused.status_code == 422
        assert send_form(client, f"/people/{user.public_id}/reactivate").status_code == 303
        answer = send_form(theirs, "/sign-in", email=user.email, password=PASSWORD)
        assert answer.status_code == 303


def test_the_only_owner_cannot_lock_everybody_out(client: httpx.Client, owner: User) -> None:
    answer = send_form(client, f"/people/{owner.public_id}/deactivate")
    assert answer.status_code == 409
    assert "only owner" in answer.text
    assert send_form(client, f"/people/{owner.public_id}/role", role="viewer").status_code == 409


def test_password_link_is_shown_once_and_works(client: httpx.Client, box: str) -> None:
    user = add_user("user@example.org", Role.VIEWER)
    page = send_form(client, f"/people/{user.public_id}/reset-link")
    path = "/reset/" + secret(page, "fresh-link").rpartition("/")[2]
    with browser(box) as theirs:
        assert send_form(theirs, path, password="entirely new words").status_code == 303


def test_names_are_text_not_markup(client: httpx.Client) -> None:
    add_user("user@example.org", Role.VIEWER)
    with database.connection_context():
        User.update(name='"><script>alert(1)</script>').where(
            User.email == "user@example.org"
        ).execute()
    page = client.get("/people")
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text


# Personal


def test_profile_is_saved_and_shown(client: httpx.Client, owner: User) -> None:
    fields = {"name": "Åsa", "time_zone": "Europe/Oslo", "theme": "dark", "shortcuts": "on"}
    answer = send_form(client, "/settings/profile", **fields)
    assert answer.headers["location"] == "/settings?saved=profile"
    page = client.get("/settings?saved=profile")
    assert "Saved" in page.text
    assert 'data-theme="dark"' in page.text
    user = fresh(owner)
    assert (user.name, user.time_zone, user.theme, user.shortcuts) == (
        "Åsa",
        "Europe/Oslo",
        "dark",
        True,
    )
    del fields["shortcuts"]
    send_form(client, "/settings/profile", **fields)
    assert fresh(owner).shortcuts is False


def test_bad_profile_keeps_what_was_typed(client: httpx.Client, owner: User) -> None:
    page = send_form(client, "/settings/profile", name="Typed", time_zone="Nowhere", theme="dark")
    assert page.status_code == 422
    assert 'value="Typed"' in page.text
    assert 'id="time_zone-problem"' in page.text
    assert fresh(owner).name == "owner"


def test_new_password_signs_out_the_others_and_keeps_this_one(
    client: httpx.Client, owner: User, box: str
) -> None:
    with browser(box, owner) as elsewhere:
        answer = send_form(
            client,
            "/settings/password",
            current_password=PASSWORD,
            new_password="entirely new words",
        )
        assert answer.headers["location"] == "/settings?saved=password"
        assert client.get("/settings").status_code == 200
        assert elsewhere.get("/settings").status_code == 303


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        ("wrong wrong wrong", "entirely new words", "current_password"),
        (PASSWORD, "2short", "new_password"),
    ],
)
def test_bad_password_change_changes_nothing(
    client: httpx.Client, owner: User, current: str, new: str, field: str
) -> None:
    before = fresh(owner).password_hash
    page = send_form(client, "/settings/password", current_password=current, new_password=new)
    assert page.status_code == 422
    assert f'id="{field}-problem"' in page.text
    assert new not in page.text and current not in page.text
    assert fresh(owner).password_hash == before


def test_sessions_are_listed_and_ended(client: httpx.Client, owner: User, box: str) -> None:
    with browser(box, owner) as elsewhere:
        page = client.get("/settings")
        assert page.text.count("(this one)") == 1
        ends = re.findall(r'action="(/settings/sessions/\d+/revoke)"', page.text)
        assert len(ends) == 1
        assert send_form(client, ends[0]).status_code == 303
        assert elsewhere.get("/settings").status_code == 303
    assert client.get("/settings").status_code == 200


def test_somebody_elses_session_is_not_mine_to_end(client: httpx.Client, box: str) -> None:
    user = add_user("user@example.org", Role.VIEWER)
    with browser(box, user) as theirs:
        with database.connection_context():
            theirs_id = Session.get(Session.user == user).id
        answer = send_form(client, f"/settings/sessions/{theirs_id}/revoke")
        assert answer.status_code == 404
        assert theirs.get("/settings").status_code == 200


def test_sign_out_everywhere_else(client: httpx.Client, owner: User, box: str) -> None:
    with browser(box, owner) as one, browser(box, owner) as two:
        assert send_form(client, "/settings/sessions/revoke-others").status_code == 303
        assert [c.get("/settings").status_code for c in (client, one, two)] == [200, 303, 303]


# API tokens


def test_token_is_shown_once_and_works_until_revoked(client: httpx.Client, box: str) -> None:
    page = send_form(
        client, "/settings/tokens", name="nightly", scopes=["read", "upload"], expires_days="30"
    )
    token = secret(page, "fresh-token")
    assert token not in client.get("/settings/tokens").text
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{box}/api/v1/videos", headers=headers).status_code == 200
    with database.connection_context():
        row = ApiToken.get()
        assert row.scopes == ["read", "upload"]
        assert row.last_used_at is not None
        assert row.expires_at is not None
        assert timedelta(days=29) < row.expires_at - now() <= timedelta(days=30)
        assert token not in row.token_hash
    assert send_form(client, f"/settings/tokens/{row.public_id}/revoke").status_code == 303
    assert httpx.get(f"{box}/api/v1/videos", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "", "scopes": "read"}, "name"),
        ({"name": "x"}, "scopes"),
        ({"name": "x", "scopes": "fly"}, "scopes"),
    ],
)
def test_bad_token_is_told_beside_its_field(
    client: httpx.Client, fields: dict[str, str], field: str
) -> None:
    page = send_form(client, "/settings/tokens", **fields)
    assert page.status_code == 422
    assert f'id="{field}-problem"' in page.text


# The box


def test_system_page_says_what_is_missing(client: httpx.Client, settings: Settings) -> None:
    page = client.get("/settings/system")
    assert page.status_code == 200
    assert "The media worker does not report." in page.text
    assert str(settings.data) in page.text


@pytest.mark.parametrize("path", ["/people", "/settings/system"])
def test_admin_pages_are_not_offered_to_editors(box: str, path: str) -> None:
    with browser(box, add_user("user@example.org", Role.EDITOR)) as client:
        assert f'href="{path}"' not in client.get("/settings").text
        page = client.get(path)
        assert page.status_code == 403
        assert "Only admins and above" in page.text
