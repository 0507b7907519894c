"""What every answer carries, and what no log line does."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import httpx
import pytest

from appliance import users
from appliance.db import database
from appliance.models import Role
from tests.web.serving import add_user, browser, form_token, prepare, script, send_form, serving
from web.request_log import loggable_path
from web.security import CONTENT_SECURITY_POLICY, headers_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings


@pytest.fixture
def box(settings: Settings) -> Iterator[str]:
    prepare(settings)
    with serving(settings) as url:
        yield url


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/sign-in", 200),
        ("/", 303),
        ("/no-such-page", 404),
        ("/api/v1/videos", 401),
        ("/api/v1/openapi.json", 200),
        ("/health/live", 200),
        ("/static/manifest.json", 200),
        ("/static/nothing", 404),
        ("/files/nothing", 404),
    ],
)
def test_headers_are_on_every_answer(box: str, path: str, status: int) -> None:
    method = "HEAD" if path.startswith("/files") else "GET"
    headers = {"Tus-Resumable": "1.0.0", "Accept": "text/html"}
    answer = httpx.request(method, box + path, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["permissions-policy"].startswith("display-capture=(self)")
    assert answer.headers.get_list("referrer-policy") in (["same-origin"], ["no-referrer"])
    assert answer.headers["x-request-id"]


def test_policy_allows_nothing_inline_or_foreign() -> None:
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY


@pytest.mark.parametrize(
    "path", ["/setup/x", "/invite/x", "/reset/x", "/public/x/y.mp4", "//public//x/y"]
)
def test_addresses_that_are_secrets_do_not_travel(path: str) -> None:
    assert (b"referrer-policy", b"no-referrer") in headers_for(path, https=False)


def test_strict_transport_only_over_https() -> None:
    names = {name for name, _ in headers_for("/", https=True)}
    assert b"strict-transport-security" in names
    names = {name for name, _ in headers_for("/", https=False)}
    assert b"strict-transport-security" not in names


def test_built_files_are_kept_for_good_and_pages_are_not(box: str) -> None:
    page = httpx.get(f"{box}/sign-in")
    assert page.headers["cache-control"] == "no-store"
    style = re.search(r'href="(/static/main-[^"]+\.css)"', page.text)
    assert style
    answer = httpx.get(box + style[1])
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/css")


UPLOAD = {"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": "filename YS5tcDQ="}


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/files/01abc.secret-part", "/files/…"),
        ("/public/secret/clip.mp4", "/public/…/clip.mp4"),
        ("/setup/secret", "/setup/…"),
        ("/invite/secret", "/invite/…"),
        ("/reset/secret", "/reset/…"),
        ("/upload/secret", "/upload/…"),
        ("//public//secret/clip.mp4", "/public/…/clip.mp4"),
        ("/videos/01abc", "/videos/01abc"),
        ("/a b\nrequest id=forged", "/a%20b%0Arequest%20id%3Dforged"),
        ("/\x1b[31mred", "/%1B%5B31mred"),
        ("/ü", "/%C3%BC"),
        ("/" + "x" * 1000, "/" + "x" * 299),
    ],
)
def test_logged_path_is_one_harmless_word(path: str, shown: str) -> None:
    assert loggable_path(path) == shown


def test_log_has_a_line_for_each_request_and_no_secret(
    box: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    owner = add_user()
    with caplog.at_level(logging.DEBUG), browser(box, owner) as client:
        with database.connection_context():
            _, token = users.invite(owner, role=Role.VIEWER)
        client.get(f"/invite/{token}?next={token}")
        client.get(f"/public/{token}/x.mp4")
        send_form(client, "/settings/password", current_password="a secret password")
        with script(box, owner) as api:
            created = api.post("/files", headers=UPLOAD)
        capability = created.headers["location"].rpartition("/")[2]
        client.head(f"/files/{capability}", headers={"Tus-Resumable": "1.0.0"})
        secrets = [token, client.cookies["session"], form_token(client), "a secret password"]
        secrets.append(capability.partition(".")[2])
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("appliance")]
    lines = [line for line in ours if line.startswith("request ")]
    assert any("path=/invite/… status=200" in line for line in lines)
    assert any("method=HEAD path=/files/… status=200" in line for line in lines)
    assert any(f"user={owner.public_id}" in line for line in lines)
    for line in ours:
        assert not [secret for secret in secrets if secret in line]
