"""tus 1.0.0, "Core Protocol", requirement by requirement, against the real app under uvicorn.

Each group of tests names its section of the text and what that asks for.
"""

from __future__ import annotations

import http.client
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from appliance.models import Event, Job, Upload, Video
from appliance.states import UploadState, VideoState
from tests.web.serving import wait_until
from tests.web.tus_client import (
    BODY,
    BYTES,
    TUS,
    create,
    delete,
    encoded,
    head,
    made,
    offset_of,
    original,
    patch,
    raw_patch,
    upload_file,
)

if TYPE_CHECKING:
    from storage.layout import Layout
    from tests.web.serving import Served


# "Tus-Version", "Tus-Resumable": in every request and response except for OPTIONS requests


def test_every_answer_says_the_version(sender: httpx.Client) -> None:
    location = made(sender)
    ended = made(sender)
    delete(sender, ended)
    answers = [
        create(sender, 5),
        create(sender, 5, Tus_Resumable="0.2.2"),
        sender.get(location),
        sender.get("/files"),
        sender.options("/files"),
        sender.delete("/files/nonsense", headers=TUS),
        head(sender, location),
        head(sender, ended),
        patch(sender, location, 7, b"x"),
        patch(sender, location, 0, b"x", Content_Type="text/plain"),
        patch(sender, location, 0, b"x", Upload_Offset="x"),
        patch(sender, location, 0, bytes(len(BODY) + 1)),
        create(sender, 10**14),
    ]
    statuses = [201, 412, 405, 405, 204, 404, 200, 410, 409, 415, 400, 413, 413]
    assert [a.status_code for a in answers] == statuses
    assert {a.headers.get_list("Tus-Resumable")[0] for a in answers} == {"1.0.0"}
    assert all(len(a.headers.get_list("Tus-Resumable")) == 1 for a in answers)


def test_so_do_answers_that_are_made_before_the_upload_app_is_asked(
    sender: httpx.Client, one_server: Served
) -> None:
    with httpx.Client(base_url=one_server.url) as nobody:
        unknown = nobody.post("/files", headers={**TUS, "Authorization": "Bearer long-gone"})
        elsewhere = nobody.post("/nowhere/files", headers=TUS)
        slashes = nobody.head(f"{one_server.url}//files//nonsense", headers=TUS)
    assert (unknown.status_code, unknown.headers["Tus-Resumable"]) == (401, "1.0.0")
    assert (elsewhere.status_code, "Tus-Resumable" in elsewhere.headers) == (404, False)
    assert (slashes.status_code, slashes.headers["Tus-Resumable"]) == (404, "1.0.0")


def test_so_do_answers_about_our_own_mistakes(
    sender: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    location = made(sender)
    monkeypatch.setattr("web.tus.read_append", lambda _: 1 / 0)
    answer = patch(sender, location, 0, b"x")
    assert (answer.status_code, answer.headers["Tus-Resumable"]) == (500, "1.0.0")
    assert "division" not in answer.text
    assert "an upload request failed" in caplog.text


@pytest.mark.parametrize("said", [None, "", "0.2.2", "1.0.1", "1.0", "1.0.0, 1.0.0", "v1.0.0"])
def test_another_version_is_not_processed(sender: httpx.Client, said: str | None) -> None:
    """It MUST respond with 412 and MUST include Tus-Version; it MUST NOT process the request."""
    location = made(sender)
    headers = {"Tus-Resumable": said} if said is not None else {}
    answers = [
        sender.post("/files", headers={**headers, "Upload-Length": "5"}),
        sender.head(location, headers=headers),
        sender.patch(location, headers={**headers, **BYTES, "Upload-Offset": "0"}, content=b"x"),
        sender.delete(location, headers=headers),
    ]
    assert {(a.status_code, a.headers["Tus-Version"]) for a in answers} == {(412, "1.0.0")}
    assert Upload.select().count() == 1
    assert offset_of(sender, location) == 0


# "X-HTTP-Method-Override": MUST be interpreted as the request's method; the actual one is ignored


@pytest.mark.parametrize("actual", ["POST", "PUT", "GET", "DELETE", "HEAD"])
@pytest.mark.parametrize("wanted", ["PATCH", "patch"])
def test_the_method_can_be_overridden_in_any_request(
    sender: httpx.Client, actual: str, wanted: str
) -> None:
    location = made(sender, 5)
    headers = {**TUS, **BYTES, "Upload-Offset": "0", "X-HTTP-Method-Override": wanted}
    answer = sender.request(actual, location, headers=headers, content=b"abc")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "3")
    assert offset_of(sender, location) == 3


def test_any_method_can_be_the_one_that_is_meant(sender: httpx.Client) -> None:
    headers = {**TUS, "Upload-Length": "5", "X-HTTP-Method-Override": "POST"}
    created = sender.get("/files", headers=headers)
    assert created.status_code == 201
    location = created.headers["Location"]
    looked = sender.post(location, headers={**TUS, "X-HTTP-Method-Override": "HEAD"})
    assert (looked.status_code, looked.headers["Upload-Offset"], looked.text) == (200, "0", "")
    asked = sender.post("/files", headers={"X-HTTP-Method-Override": "OPTIONS"})
    assert (asked.status_code, "Tus-Extension" in asked.headers) == (204, True)
    ended = sender.post(location, headers={**TUS, "X-HTTP-Method-Override": "DELETE"})
    assert ended.status_code == 204
    assert head(sender, location).status_code == 410


# "HEAD"


def test_head_always_says_the_offset(sender: httpx.Client) -> None:
    """Even if the offset is 0, or the upload is already considered completed."""
    location = made(sender, 3)
    assert offset_of(sender, location) == 0
    patch(sender, location, 0, b"a")
    assert offset_of(sender, location) == 1
    patch(sender, location, 1, b"bc")
    assert offset_of(sender, location) == 3


def test_head_says_the_length_and_is_never_stored(sender: httpx.Client) -> None:
    """If the size is known, MUST include Upload-Length; MUST add Cache-Control: no-store."""
    location = made(sender)
    answer = head(sender, location)
    assert answer.status_code == 200
    assert answer.headers["Upload-Length"] == str(len(BODY))
    assert answer.headers.get_list("Cache-Control") == ["no-store"]
    assert answer.content == b""


def test_head_of_what_is_not_there_says_no_offset(sender: httpx.Client) -> None:
    """SHOULD return 404, 410 or 403 without the Upload-Offset header."""
    ended = made(sender)
    delete(sender, ended)
    answers = [head(sender, ended), head(sender, f"/files/{'0' * 26}.{'A' * 32}")]
    assert [a.status_code for a in answers] == [410, 404]
    assert all("Upload-Offset" not in a.headers for a in answers)


# "PATCH"


def test_a_file_in_two_pieces_becomes_a_video(sender: httpx.Client, box: Layout) -> None:
    """MUST acknowledge with 204; the new offset is the old one plus the number of bytes."""
    location = made(sender, Upload_Metadata=f"filename {encoded('Mein Urlaub.mp4')}")
    first = patch(sender, location, 0, BODY[:100_000])
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "100000")
    last = patch(sender, location, 100_000, BODY[100_000:])
    assert (last.status_code, last.headers["Upload-Offset"]) == (204, str(len(BODY)))

    (video,) = Video.select()
    assert last.headers["Appliance-Video-Id"] == video.public_id
    assert (video.title, video.state) == ("Mein Urlaub", VideoState.RECEIVED)
    assert video.size_bytes == len(BODY)
    assert original(box) == BODY
    assert [job.kind for job in Job.select()] == ["probe"]
    assert list(box.uploads.iterdir()) == []
    assert Upload.get().protocol == "tus"


@pytest.mark.parametrize(
    "kind", ["", "application/octet-stream", "application/offset", "text/plain", "video/mp4"]
)
def test_another_content_type_is_not_supported(
    sender: httpx.Client, box: Layout, kind: str
) -> None:
    """MUST use application/offset+octet-stream, otherwise the server SHOULD return 415."""
    location = made(sender)
    answer = patch(sender, location, 0, b"x" * 1000, Content_Type=kind)
    assert answer.status_code == 415
    assert answer.headers["Accept-Patch"] == "application/offset+octet-stream"
    assert upload_file(box).stat().st_size == 0


@pytest.mark.parametrize(
    "kind", ["Application/Offset+Octet-Stream", "application/offset+octet-stream; charset=utf-8"]
)
def test_the_content_type_is_compared_as_http_does(sender: httpx.Client, kind: str) -> None:
    """Source: RFC 9110 §8.3.1: case doesn't count, and parameters are apart."""
    location = made(sender)
    assert patch(sender, location, 0, b"x", Content_Type=kind).status_code == 204


@pytest.mark.parametrize("offset", [0, 1, 999, 1001, len(BODY), 2**53])
def test_another_offset_is_a_conflict_and_changes_nothing(
    sender: httpx.Client, box: Layout, offset: int
) -> None:
    """MUST respond with 409 without modifying the upload resource."""
    location = made(sender)
    patch(sender, location, 0, BODY[:1000])
    answer = patch(sender, location, offset, b"x" * 100)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "1000")
    assert upload_file(box).read_bytes() == BODY[:1000]


def test_an_unknown_upload_is_not_found(sender: httpx.Client) -> None:
    """SHOULD return 404; a wrong token looks like an unknown id."""
    location = made(sender)
    upload_id, _, token = location.removeprefix("/files/").partition(".")
    swapped = token[1:] + token[0]
    wrong = [f"/files/{upload_id}.{swapped}", f"/files/{'0' * 26}.{token}"]
    wrong += ["/files/nonsense", f"/files/{upload_id}", "/files/..%2Fappliance.db"]
    answers = [patch(sender, path, 0, b"x") for path in wrong]
    assert {(a.status_code, a.text) for a in answers} == {(404, "There is no such upload.")}


def test_what_arrived_before_a_cut_is_kept(
    sender: httpx.Client, one_server: Served, box: Layout
) -> None:
    """SHOULD always attempt to store as much of the received data as possible."""
    location = made(sender)
    with raw_patch(one_server.url, location, 0, len(BODY), BODY[:123_456]):
        wait_until("all are written", lambda: upload_file(box).stat().st_size == 123_456)
    assert offset_of(sender, location) == 123_456
    assert patch(sender, location, 123_456, BODY[123_456:]).status_code == 204
    assert original(box) == BODY


def test_a_silent_sender_is_let_go(
    sender: httpx.Client, one_server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timeout SHOULD be handled by closing the underlying connection.

    With 409: after 408 tus-js-client, left as it is, gives up for good.
    """
    monkeypatch.setattr(
        "web.upload_body.Body.limit", lambda body, _: setattr(body, "silence_s", 0.2)
    )
    location = made(sender)
    with raw_patch(one_server.url, location, 0, len(BODY), BODY[:1000]) as connection:
        answer = http.client.HTTPResponse(connection, method="PATCH")
        answer.begin()
        assert answer.status == 409
        assert answer.headers["Upload-Offset"] == "1000"
        assert answer.headers["Connection"] == "close"
    assert offset_of(sender, location) == 1000


def test_a_repeated_last_patch_and_head_agree_that_it_is_complete(sender: httpx.Client) -> None:
    location = made(sender, 3)
    patch(sender, location, 0, b"abc")
    again = patch(sender, location, 3, b"")
    assert (again.status_code, again.headers["Upload-Offset"]) == (204, "3")
    assert offset_of(sender, location) == 3
    assert Job.select().count() == 1


def test_nothing_can_be_added_to_a_complete_upload(sender: httpx.Client, box: Layout) -> None:
    location = made(sender, 3)
    patch(sender, location, 0, b"abc")
    for body in (b"d", iter([b"d"])):
        answer = patch(sender, location, 3, body)
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (413, "3")
    assert patch(sender, location, 0, b"xyz").status_code == 409
    assert original(box) == b"abc"


def test_a_body_that_is_too_long_is_refused_unread(sender: httpx.Client) -> None:
    location = made(sender, 10)
    answer = patch(sender, location, 0, b"x" * 11)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (413, "0")
    assert offset_of(sender, location) == 0


def test_a_long_body_that_is_refused_still_gets_its_answer(sender: httpx.Client) -> None:
    location = made(sender, 20_000_000)
    answer = patch(sender, location, 5, bytes(20_000_000))
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "0")


def test_surplus_bytes_of_a_chunked_body_are_not_written(sender: httpx.Client, box: Layout) -> None:
    location = made(sender, 10)
    answer = patch(sender, location, 0, iter([b"01234", b"56789and more"]))
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (413, "10")
    assert upload_file(box).read_bytes() == b"0123456789"


def test_a_chunked_body_of_the_right_length_completes(sender: httpx.Client, box: Layout) -> None:
    location = made(sender, 10)
    assert patch(sender, location, 0, iter([b"01234", b"56789"])).status_code == 204
    assert original(box) == b"0123456789"


@pytest.mark.parametrize("expect", [False, True], ids=["at once", "after 100 Continue"])
def test_a_request_is_judged_before_its_body_is_sent(
    sender: httpx.Client, one_server: Served, expect: bool
) -> None:
    """Only the headers are sent; the answer, and nothing before it, comes all the same."""
    location = made(sender)
    more = ["Expect: 100-continue"] if expect else []
    with raw_patch(one_server.url, location, 7, 1_000_000, b"", *more) as connection:
        start = connection.recv(4096)
    assert start.startswith(b"HTTP/1.1 409 ")


def test_a_body_that_waits_for_our_word_is_asked_for(
    sender: httpx.Client, one_server: Served, box: Layout
) -> None:
    location = made(sender, 1000)
    with raw_patch(one_server.url, location, 0, 1000, b"", "Expect: 100-continue") as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        connection.sendall(BODY[:1000])
        assert connection.recv(4096).startswith(b"HTTP/1.1 204 ")
    assert original(box) == BODY[:1000]


def test_a_duplicate_does_not_end_the_good_one(
    sender: httpx.Client, one_server: Served, box: Layout
) -> None:
    location = made(sender)
    with raw_patch(one_server.url, location, 0, len(BODY), BODY[:1000]) as first:
        wait_until("the first writes", lambda: upload_file(box).stat().st_size == 1000)
        second = patch(sender, location, 0, BODY)
        assert second.status_code == 409
        assert "Upload-Offset" not in second.headers  # it is growing: there is none to tell
        first.sendall(BODY[1000:])
        answer = http.client.HTTPResponse(first, method="PATCH")
        answer.begin()
        assert answer.status == 204
    assert original(box) == BODY


def test_who_comes_back_gets_the_upload_from_the_old_request(
    sender: httpx.Client, one_server: Served, box: Layout
) -> None:
    location = made(sender)
    with raw_patch(one_server.url, location, 0, len(BODY), BODY[:1000]) as first:
        wait_until("the first writes", lambda: upload_file(box).stat().st_size == 1000)
        assert offset_of(sender, location) == 1000
        answer = http.client.HTTPResponse(first, method="PATCH")
        answer.begin()
        assert answer.status == 409
        assert answer.headers["Upload-Offset"] == "1000"
        assert answer.headers["Connection"] == "close"
        assert patch(sender, location, 1000, BODY[1000:]).status_code == 204
    assert original(box) == BODY


def test_strangers_do_not_learn_that_an_upload_is_busy(
    sender: httpx.Client, one_server: Served, box: Layout
) -> None:
    location = made(sender)
    with raw_patch(one_server.url, location, 0, len(BODY), BODY[:1000]):
        wait_until("the first writes", lambda: upload_file(box).stat().st_size == 1000)
        assert head(sender, location[:-32] + "A" * 32).status_code == 404


def test_progress_is_told_but_not_for_every_piece(sender: httpx.Client) -> None:
    location = made(sender)
    for offset in range(0, 50_000, 1000):
        patch(sender, location, offset, BODY[offset : offset + 1000])
    events = list(Event.select().where(Event.type == "upload.progress").order_by(Event.id))
    assert 1 <= len(events) < 25
    first = events[0].data
    assert first["length"] == len(BODY)
    assert first["progress"] == round(first["offset"] / len(BODY), 4)


def test_deleting_the_video_ends_its_upload(sender: httpx.Client) -> None:
    location = made(sender)
    Video.delete().execute()
    assert patch(sender, location, 0, b"x").status_code == 410
    assert Upload.get().state is UploadState.TERMINATED


# "OPTIONS": MUST contain Tus-Version; the Server MUST ignore Tus-Resumable


@pytest.mark.parametrize("said", [None, "1.0.0", "0.0.1", "nonsense"])
def test_options_says_what_is_offered(
    sender: httpx.Client, one_server: Served, said: str | None
) -> None:
    headers = {"Tus-Resumable": said} if said is not None else {}
    answer = sender.options("/files", headers=headers)
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Max-Size"] == str(int(one_server.settings.max_upload_bytes))
    assert set(answer.headers["Tus-Extension"].split(",")) == {
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "checksum",
        "concatenation",
        "expiration",
        "termination",
    }


def test_anybody_may_ask_also_about_one_upload(sender: httpx.Client, one_server: Served) -> None:
    with httpx.Client(base_url=one_server.url) as nobody:
        assert nobody.options("/files").status_code == 204
        assert nobody.options(made(sender)).headers["Tus-Version"] == "1.0.0"


# Beyond the text: methods that an address doesn't have


def test_other_methods_say_which_there_are(sender: httpx.Client) -> None:
    """Source: RFC 9110 §15.5.6."""
    location = made(sender)
    for path, methods in {"/files": ["GET", "PATCH", "DELETE"], location: ["GET", "POST"]}.items():
        for method in methods:
            answer = sender.request(method, path, headers=TUS)
            assert answer.status_code == 405
            allowed = re.split(", ?", answer.headers["Allow"])
            assert "OPTIONS" in allowed
            assert method not in allowed
            assert answer.text.endswith(".")


def test_an_override_to_no_method_is_refused(sender: httpx.Client) -> None:
    location = made(sender)
    for wanted in ("", "NONSENSE", "PATCH DELETE"):
        headers = {**TUS, "X-HTTP-Method-Override": wanted}
        assert sender.post(location, headers=headers).status_code == 405
    twice = [*TUS.items(), ("X-HTTP-Method-Override", "PATCH")] * 2
    assert sender.post(location, headers=twice).status_code == 405


def test_what_no_server_could_read_gets_an_answer(one_server: Served) -> None:
    """Headers that are no HTTP never reach us; the server below says so, and lives on."""
    parts = urlsplit(one_server.url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0))) as connection:
        connection.sendall(b"POST /files HTTP/1.1\r\nHost: x\r\nUpload-Length: 5\x00\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
