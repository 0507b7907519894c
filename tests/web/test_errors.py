"""What goes wrong, told to scripts, to browsers and to htmx; and what is never told."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import peewee
import pytest

from appliance import errors
from appliance.db import database
from appliance.errors import ApplianceError
from tests.web.serving import (
    add_token,
    add_user,
    browser,
    script,
    wait_until,
)
from web.errors import STATUS, describe

if TYPE_CHECKING:
    from tests.web.serving import Served


@pytest.fixture
def box(one_server: Served) -> str:
    return one_server.url


def test_every_kind_of_error_has_its_status() -> None:
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, ApplianceError)
    }
    inherited = {errors.InvalidTransition}
    assert kinds - set(STATUS) == inherited


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.NotFound("gone"), 404, "not_found"),
        (errors.InvalidTransition("no"), 409, "invalid_transition"),
        (errors.StorageFull("full"), 507, "storage_full"),
        (errors.TooLarge("big"), 413, "too_large"),
        (peewee.OperationalError("database or disk is full"), 507, "storage_full"),
        (peewee.OperationalError("database is locked"), 503, "unavailable"),
        (peewee.OperationalError("no such column: secret 42"), 500, "internal"),
        (RuntimeError("the secret is 42"), 500, "internal"),
    ],
    ids=str,
)
def test_what_is_said(error: Exception, status: int, code: str) -> None:
    answer = describe(error)
    assert (answer.status, answer.code) == (status, code)
    assert "42" not in answer.sentence


def test_problem_document_names_the_request(box: str) -> None:
    with script(box, add_user()) as client:
        answer = client.get("/api/v1/videos/" + "x" * 26)
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    request_id = answer.headers["x-request-id"]
    assert document == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is no such video, or it was deleted.",
        "code": "not_found",
        "instance": f"urn:request:{request_id}",
        "request_id": request_id,
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/v1/nothing", 404), ("PUT", "/api/v1/videos", 405), ("GET", "/api/v1/", 404)],
)
def test_unknown_addresses_of_the_api(box: str, method: str, path: str, status: int) -> None:
    with script(box, add_user()) as client:
        answer = client.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


def test_anonymous_script_is_told_how_to_sign_in(box: str) -> None:
    answer = httpx.get(f"{box}/api/v1/videos")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["code"] == "unauthenticated"


def test_browser_gets_a_page_with_the_way_back(box: str) -> None:
    with browser(box, add_user()) as client:
        page = client.get("/videos/" + "x" * 26)
    assert page.status_code == 404
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["x-request-id"] in page.text
    assert 'href="/"' in page.text
    assert "owner@example.org" in page.text  # the frame of a signed-in person


def test_htmx_gets_a_fragment(box: str) -> None:
    with browser(box, add_user()) as client:
        answer = client.get("/videos/" + "x" * 26, headers={"HX-Request": "true"})
    assert answer.status_code == 404
    assert "<html" not in answer.text
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize(
    "path", ["/filesystem", "/files.html", "/filesx/y", "/metricsx", "/apiary"]
)
def test_what_only_begins_like_an_address_is_an_ordinary_404(box: str, path: str) -> None:
    unknown = httpx.get(f"{box}/unknown")
    answer = httpx.get(f"{box}{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (
        404,
        unknown.headers["content-type"],
    )
    assert "There is nothing at this address" in answer.text
    assert "tus-resumable" not in answer.headers
    assert httpx.post(f"{box}{path}").status_code == httpx.post(f"{box}/unknown").status_code
    for address in ("/files", "/files/", "/files/x"):
        assert httpx.options(f"{box}{address}").headers["tus-version"] == "1.0.0"


def test_htmx_of_somebody_signed_out_goes_to_sign_in(box: str) -> None:
    with browser(box) as client:
        answer = client.get("/jobs/_summary", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in")


def test_unexpected_error_is_logged_and_not_told(
    box: str, caplog: pytest.LogCaptureFixture
) -> None:
    user = add_user()
    with script(box, user) as client, browser(box, user) as person:
        database.execute_sql("ALTER TABLE user RENAME COLUMN theme TO broken")
        try:
            with caplog.at_level(logging.ERROR, "appliance.web"):
                answer = client.get("/api/v1/videos")
                page = person.get("/")
        finally:
            database.execute_sql("ALTER TABLE user RENAME COLUMN broken TO theme")
    for told in (answer, page):
        assert told.status_code == 500
        assert "theme" not in told.text and "sql" not in told.text.lower()
        assert told.headers["x-request-id"] in told.text
        assert told.headers["x-request-id"] in caplog.text


def test_a_full_disk_is_no_fault_of_the_program(
    box: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said in one line, without a traceback."""
    monkeypatch.setattr("storage.budget.free_bytes", lambda path: 1_000_000)
    wanted = {"filename": "a.mp4", "file_size": 50_000_000, "content_type": "video/mp4"}
    with script(box, add_user()) as client:
        answer = client.post("/api/v1/uploads", json=wanted)
    assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
    (said,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (said.levelname, said.exc_info) == ("WARNING", None)
    assert answer.headers["x-request-id"] in said.getMessage()


def test_a_request_that_is_cut_is_no_error_of_ours(
    box: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    token = add_token(add_user())
    address = urlsplit(box)
    assert address.hostname is not None
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(
            b"POST /api/v1/uploads HTTP/1.1\r\nHost: box\r\nContent-Type: application/json\r\n"
            + f"Authorization: Bearer {token}\r\n".encode()
            + b'Content-Length: 100\r\n\r\n{"file'
        )
    wait_until("it is noticed", lambda: "path=/api/v1/uploads" in caplog.text)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
