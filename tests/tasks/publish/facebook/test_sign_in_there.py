"""The stand-in's own sign-in, as a program that connects accounts sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from appliance.oauth_clients import PRACTICE_ID, PRACTICE_SECRET
from tests.tasks.publish.facebook.conftest import PAGE
from web.practice.ground import Fault
from web.practice.meta import people, uploads
from web.practice.meta.instagram_store import CONTAINER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tasks.publish.facebook.conftest import OnPage

APP = PRACTICE_ID["meta"]
SCOPES = "pages_show_list,pages_read_engagement,pages_manage_posts"


@pytest.fixture
def there(page: OnPage) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{page.stand.settings.facebook_graph_url}/v25.0/") as client:
        yield client


def ask(client: httpx.Client, path: str, token: str, **params: str) -> Any:
    return client.get(path, params=params, headers={"Authorization": f"Bearer {token}"}).json()


def sign_in(page: OnPage, there: httpx.Client) -> str:
    """A person's long token."""
    home = f"{page.stand.settings.base_url}/settings/accounts/callback"
    asked = {"client_id": APP, "redirect_uri": home, "scope": SCOPES, "state": "s 1"}
    seen = there.get("dialog/oauth", params=asked | {"choose": people.PEOPLE[0]["id"]})
    assert seen.status_code == 302
    back = dict(parse_qsl(urlsplit(seen.headers["location"]).query))
    assert back["state"] == "s 1"
    app = {"client_id": APP, "client_secret": PRACTICE_SECRET}
    redeem = app | {"redirect_uri": home, "code": back["code"]}
    short = there.get("oauth/access_token", params=redeem).json()
    assert short["expires_in"] == 3600
    assert there.get("oauth/access_token", params=redeem).json()["error"]["code"] == 100  # once
    exchange = app | {
        "grant_type": "fb_exchange_token",
        "fb_exchange_token": short["access_token"],
    }
    long = there.get("oauth/access_token", params=exchange).json()
    assert long["expires_in"] == 60 * 86400
    return str(long["access_token"])


def test_from_the_dialog_to_the_token_of_a_page(page: OnPage, there: httpx.Client) -> None:
    token = sign_in(page, there)
    granted = ask(there, "me/permissions", token)["data"]
    assert {"permission": "pages_manage_posts", "status": "granted"} in granted
    fields = "id,name,access_token,instagram_business_account{id,username}"
    first = ask(there, "me/accounts", token, fields=fields, limit="1")
    (one,) = first["data"]
    assert one["id"] == PAGE
    assert one["instagram_business_account"]["username"] == "practice.page"
    after = first["paging"]["cursors"]["after"]
    second = ask(there, "me/accounts", token, fields="id,name", limit="1", after=after)
    assert [one["name"] for one in second["data"]] == ["Second Practice Page"]
    assert "next" not in second.get("paging", {})
    info = ask(there, "debug_token", f"{APP}|{PRACTICE_SECRET}", input_token=one["access_token"])[
        "data"
    ]
    assert info["is_valid"] and info["type"] == "PAGE" and info["expires_at"] == 0
    assert ask(there, "me", one["access_token"])["id"] == PAGE


def test_what_is_taken_back_is_worth_nothing(page: OnPage, there: httpx.Client) -> None:
    token = sign_in(page, there)
    (first, _) = ask(there, "me/accounts", token, fields="id,access_token")["data"]
    headers = {"Authorization": f"Bearer {token}"}
    assert there.delete("me/permissions", headers=headers).json() == {"success": True}
    for dead in (token, first["access_token"]):
        answer = there.get("me", headers={"Authorization": f"Bearer {dead}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, 190)


def test_the_dialog_leads_back_to_this_box_only(page: OnPage, there: httpx.Client) -> None:
    elsewhere = {"client_id": APP, "redirect_uri": "https://example.org/x", "scope": SCOPES}
    assert there.get("dialog/oauth", params=elsewhere).status_code == 400
    home = f"{page.stand.settings.base_url}/x"
    refused = {"client_id": APP, "redirect_uri": home, "scope": SCOPES, "choose": "nobody"}
    assert "error=access_denied" in there.get("dialog/oauth", params=refused).headers["location"]


def test_tokens_are_for_this_box_alone(page: OnPage, there: httpx.Client) -> None:
    home = f"{page.stand.settings.base_url}/x"
    asked = {"client_id": "1", "redirect_uri": home, "scope": SCOPES}
    assert there.get("dialog/oauth", params=asked).status_code == 400
    for wrong, code in (({"client_id": "1"}, 101), ({"client_secret": "secret"}, 1)):
        app = {"client_id": APP, "client_secret": PRACTICE_SECRET, **wrong}
        for grant in ("client_credentials", "authorization_code", "fb_exchange_token"):
            refused = there.get("oauth/access_token", params={**app, "grant_type": grant})
            assert refused.json()["error"]["code"] == code
    own = {"client_id": APP, "client_secret": PRACTICE_SECRET, "grant_type": "client_credentials"}
    token = there.get("oauth/access_token", params=own).json()["access_token"]
    assert token == f"{APP}|{PRACTICE_SECRET}"
    assert ask(there, "debug_token", f"{APP}|secret", input_token="x")["error"]["code"] == 190
    assert ask(there, "debug_token", token, input_token="x")["data"]["is_valid"] is False


def test_unknown_versions_nodes_edges_and_tokens_are_said_as_meta_says_them(
    page: OnPage, there: httpx.Client
) -> None:
    token = page.token

    def code(path: str, token: str = token) -> tuple[int, int | None]:
        error = ask(there, path, token)["error"]
        return error["code"], error.get("error_subcode")

    assert code("12345") == (100, 33)
    assert code(f"{PAGE}/likes") == (100, None)
    assert code("../latest/me") == (2500, None)
    assert code("me", "nobody's") == (190, None)
    page.faults(Fault("page", "throttle", "120"))
    answer = there.get(PAGE, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 400 and "x-business-use-case-usage" in answer.headers


def test_nobody_brings_bytes_without_a_token(page: OnPage) -> None:
    page.stage()
    host = page.stand.settings.meta_rupload_url
    path = f"{host}/video-upload/v25.0/{page.video_id}"
    headers = {"offset": "0", "file_size": "10"}
    assert httpx.post(path, headers=headers, content=b"x" * 10).status_code == 401
    bearer = headers | {"Authorization": f"Bearer {page.token}"}
    assert httpx.post(path, headers=bearer, content=b"x" * 10).status_code == 401
    oauth = headers | {"Authorization": f"OAuth {page.token}"}
    wrong = httpx.post(path, headers=oauth, content=b"x" * 10)
    assert wrong.status_code == 400
    assert wrong.json()["debug_info"]["type"] == "OffsetInvalidError"
    assert page.there()["sha256"] == page.target.media.sha256
    form = {"upload_phase": "start", "file_size": str(10**15)}
    graph = f"{page.stand.settings.facebook_graph_url}/v25.0/{PAGE}/videos"
    many = httpx.post(graph, data=form, headers={"Authorization": f"Bearer {page.token}"})
    assert many.json()["error"]["code"] == 100


def test_strangers_leave_no_trace(page: OnPage, there: httpx.Client) -> None:
    page.meta.ground.set_faults([Fault("*", "break_before")])
    before = page.meta.ground.calls()
    app = {"client_id": APP, "client_secret": PRACTICE_SECRET}
    used = there.get("oauth/access_token", params=app | {"redirect_uri": "r", "code": "no"})
    assert used.json()["error"]["code"] == 100
    exchange = app | {"grant_type": "fb_exchange_token", "fb_exchange_token": "no"}
    assert there.get("oauth/access_token", params=exchange).status_code == 401
    assert ask(there, "debug_token", "no", input_token="no")["error"]["code"] == 190
    host = page.meta.base
    assert httpx.post(f"{host}/ig-api-upload/v25.0/1", content=bytes(100)).status_code == 400
    assert httpx.post(f"{host}/v25.0/me/videos", json={"a": "x" * 1_000_000}).status_code == 401
    assert page.meta.ground.calls() == before
    assert len(page.meta.ground.faults()) == 1
    page.meta.ground.set_faults([])


def test_what_is_over_is_let_go_at_the_next_start(page: OnPage) -> None:
    meta, past = page.meta, "2020-01-01T00:00:00+00:00"
    old, new, done = (uploads.begin(meta, PAGE, "reel", 0)["id"] for _ in range(3))
    meta.ground.change("video", old, lambda video: {**video, "created_at": past})
    over = {"created_at": past, "finished_at": past}
    meta.ground.change("video", done, lambda video: {**video, **over})
    meta.ground.put("code", "old", {"until": past})
    meta.ground.put("token", "old", {"id": "old", "expires_at": past})
    meta.ground.put("page_token", "x:y:False", {"id": "x:y:False", "token": "old"})
    people.tidy(meta.ground)
    expired, fresh = (meta.instagram.containers.create("1", {}, slow_s=0)["id"] for _ in range(2))
    meta.ground.change(CONTAINER, expired, lambda one: {**one, "created_at": past})
    for id in (expired, fresh):
        meta.file(id).touch()
    parts, meta.parts = meta.parts, []  # its threads run already
    try:
        meta.begin()
    finally:
        meta.parts = parts
    meta.instagram.containers.tidy()
    there = {id: meta.file(id).exists() for id in (old, new, done, expired, fresh)}
    assert there == {old: False, new: True, done: True, expired: False, fresh: True}
    assert meta.ground.get("video", old) is None
    for kind, id in (("code", "old"), ("token", "old"), ("page_token", "x:y:False")):
        assert meta.ground.get(kind, id) is None
    assert people.look_up(meta.ground, page.token) is not None
