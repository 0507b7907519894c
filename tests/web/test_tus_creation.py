"""tus 1.0.0, "Creation" and "Creation With Upload". Lengths that come later: test_tus_defer.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest

from appliance.access import Scope
from appliance.models import Job, Role, Upload, Video
from tests.web.serving import add_user, browser, script, wait_until
from tests.web.tus_client import (
    BODY,
    BYTES,
    create,
    delete,
    head,
    location_of,
    made,
    offset_of,
    original,
    patch,
    post,
    raw_request,
)

if TYPE_CHECKING:
    from appliance.models import User
    from storage.layout import Layout
    from tests.web.serving import Served


# "POST": MUST acknowledge a successful creation with 201; MUST set Location, absolute or relative


def test_location_is_relative_and_a_capability(sender: httpx.Client) -> None:
    answer = create(sender, 5)
    assert answer.status_code == 201
    assert re.fullmatch(r"/files/[0-9a-z]{26}\.[A-Za-z0-9_-]{32}", answer.headers["Location"])
    assert answer.headers["Appliance-Video-Id"] == Video.get().public_id


def test_the_token_itself_is_nowhere_in_the_database(sender: httpx.Client, box: Layout) -> None:
    token = made(sender).rpartition(".")[2]
    for path in box.data.glob("appliance.db*"):
        assert token.encode() not in path.read_bytes()


def test_forwarded_headers_have_no_say_in_it(sender: httpx.Client) -> None:
    answer = create(sender, 5, X_Forwarded_Proto="javascript", X_Forwarded_Host="evil.example")
    assert answer.headers["Location"].startswith("/files/")


def test_the_new_resource_has_the_offset_0(sender: httpx.Client) -> None:
    assert offset_of(sender, made(sender)) == 0


def test_without_a_length_nothing_is_made(sender: httpx.Client) -> None:
    """The request MUST include Upload-Length or Upload-Defer-Length: 1."""
    assert post(sender).status_code == 400
    assert Upload.select().count() == 0


def test_an_empty_file_is_complete_at_once(sender: httpx.Client, box: Layout) -> None:
    """Upload-Length MAY be 0: complete after its creation, without PATCH."""
    answer = create(sender, 0)
    assert answer.status_code == 201
    assert answer.headers["Upload-Offset"] == "0"
    assert original(box) == b""
    assert Job.select().count() == 1
    assert offset_of(sender, location_of(answer)) == 0


def test_what_is_too_long_is_refused(sender: httpx.Client, one_server: Served) -> None:
    """If the length exceeds the maximum, the Server MUST respond with 413."""
    most = int(sender.options("/files").headers["Tus-Max-Size"])
    answer = create(sender, most + 1)
    assert (answer.status_code, "takes at most" in answer.text) == (413, True)
    assert Upload.select().count() == 0


def test_too_many_open_uploads(sender: httpx.Client, one_server: Served) -> None:
    locations = [made(sender, 1) for _ in range(one_server.settings.max_open_uploads)]
    answer = create(sender, 5)
    assert answer.status_code == 429
    assert "unfinished uploads" in answer.text
    assert "Retry-After" in answer.headers
    delete(sender, locations[0])
    assert create(sender, 5).status_code == 201


# Authentication and authorization are left for the Server to decide


def test_creating_needs_somebody_who_may(one_server: Served, owner: User) -> None:
    url = one_server.url
    with httpx.Client(base_url=url) as nobody:
        assert create(nobody, 5).status_code == 401
    viewer = add_user("viewer@example.org", Role.VIEWER)
    with script(url, viewer) as client:
        assert create(client, 5).status_code == 403
    with script(url, owner, [Scope.READ]) as client:
        assert create(client, 5).status_code == 403
    with browser(url, owner) as client:
        assert create(client, 5).status_code == 201


def test_the_capability_alone_is_enough_to_go_on(sender: httpx.Client, one_server: Served) -> None:
    location = made(sender)
    with httpx.Client(base_url=one_server.url) as stranger:
        assert patch(stranger, location, 0, BODY[:10]).status_code == 204
        assert offset_of(stranger, location) == 10
        assert delete(stranger, location).status_code == 204


def test_a_token_that_ended_does_not_stop_an_upload(sender: httpx.Client) -> None:
    location = made(sender)
    sender.headers["Authorization"] = "Bearer long-gone"
    assert patch(sender, location, 0, BODY[:10]).status_code == 204
    assert create(sender, 5).status_code == 401


# "Creation With Upload": the body of the POST is the beginning of the file


def test_the_first_bytes_may_come_with_the_creation(sender: httpx.Client, box: Layout) -> None:
    """MUST include Upload-Offset, set to the offset after applying the accepted bytes."""
    answer = post(sender, BODY[:1000], **BYTES, Upload_Length=str(len(BODY)))
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "1000")
    assert patch(sender, location_of(answer), 1000, BODY[1000:]).status_code == 204
    assert original(box) == BODY


def test_the_whole_file_may_come_with_the_creation(sender: httpx.Client, box: Layout) -> None:
    answer = post(sender, BODY, **BYTES, Upload_Length=str(len(BODY)))
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, str(len(BODY)))
    assert "Upload-Expires" not in answer.headers
    assert original(box) == BODY


def test_an_empty_body_of_that_type_is_fine(sender: httpx.Client) -> None:
    answer = post(sender, b"", **BYTES, Upload_Length="5")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "0")


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain", ""])
def test_bytes_of_another_type_are_refused(sender: httpx.Client, kind: str) -> None:
    """The Client MUST include the Content-Type."""
    assert post(sender, b"x", Content_Type=kind, Upload_Length="5").status_code == 415
    assert Upload.select().count() == 0


def test_more_than_the_length_is_refused(sender: httpx.Client, box: Layout) -> None:
    assert post(sender, b"x" * 6, **BYTES, Upload_Length="5").status_code == 413
    assert post(sender, iter([b"x" * 6]), **BYTES, Upload_Length="5").status_code == 413
    assert Video.select().count() == 0
    assert list(box.uploads.iterdir()) == []


def test_a_creation_that_was_cut_leaves_nothing(
    sender: httpx.Client, one_server: Served, box: Layout
) -> None:
    """Nobody was told its address, so nobody could ever go on with it."""
    lines = [f"Authorization: {sender.headers['Authorization']}", "Upload-Length: 5000"]
    with raw_request(one_server.url, "POST /files", 5000, BODY[:1000], *lines):
        wait_until("bytes have come", lambda: [f.stat().st_size for f in _files(box)] == [1000])
    wait_until("it is gone", lambda: not _files(box) and not Video.select().count())


def _files(box: Layout) -> list[object]:
    return list(box.uploads.iterdir())


def test_what_the_disk_has_no_room_for_is_told_with_the_address(
    sender: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SHOULD accept as many bytes as possible: the client goes on from there."""
    from appliance.errors import TooBusy

    def refuse(*_: object) -> None:
        raise TooBusy("Later.", retry_after_s=1)

    monkeypatch.setattr("web.upload_desk.Bodies.admit", refuse)
    answer = post(sender, BODY[:1000], **BYTES, Upload_Length="1000")
    monkeypatch.undo()
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "0")
    assert patch(sender, location_of(answer), 0, BODY[:1000]).status_code == 204


def test_the_length_stays_what_it_was(sender: httpx.Client) -> None:
    location = location_of(post(sender, b"abc", **BYTES, Upload_Length="5"))
    assert head(sender, location).headers["Upload-Length"] == "5"
