"""draft-ietf-httpbis-resumable-upload (interop 8): “State”, “Offset Retrieval”, “Upload Append”.

Each test names the section whose words it holds the server to.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from appliance.clock import now
from appliance.models import Upload, User, Video
from appliance.states import UploadState, VideoState
from storage.uploads import recover
from tests.web.draft_wire import (
    BODY,
    DRAFT,
    PARTIAL,
    TYPES,
    digest,
    head,
    made,
    original,
    partial,
    patch,
    post,
    probes,
    raw,
    state,
)
from tests.web.serving import wait_until
from tests.web.tus_client import BYTES, TUS, upload_file

if TYPE_CHECKING:
    import httpx

    from storage.layout import Layout
    from tests.web.serving import Served


# Offset Retrieval


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_retrieval_says_all_that_it_must(sender: httpx.Client, method: str) -> None:
    location = made(sender, BODY[:1000], Upload_Length="5000")
    answer = sender.request(method, location, headers=DRAFT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Upload-Offset"] == "1000"
    assert answer.headers["Upload-Complete"] == "?0"
    assert answer.headers["Upload-Length"] == "5000"
    assert answer.headers["Upload-Limit"].startswith("max-size=")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Tus-Resumable" not in answer.headers


def test_retrieval_without_a_length(sender: httpx.Client) -> None:
    """“… unless the client has not supplied one.”"""
    assert "Upload-Length" not in head(sender, made(sender)).headers


def test_retrieval_of_a_complete_upload(sender: httpx.Client) -> None:
    location = made(sender)
    patch(sender, location, 0, BODY, "?1")
    assert state(sender, location) == ("?1", len(BODY))
    assert head(sender, location).headers["Upload-Length"] == str(len(BODY))


def test_retrieval_of_what_never_was(sender: httpx.Client) -> None:
    location = made(sender)
    for other in (location[:-1] + ("A" if location[-1] != "A" else "B"), "/files/x", "/files/x.y"):
        for answer in (head(sender, other), patch(sender, other, 0, b"x")):
            assert answer.status_code == 404
    answer = patch(sender, "/files/x", 0, b"x")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"


def test_retrieval_takes_an_upload_back_at_once(
    one_server: Served, sender: httpx.Client, box: Layout
) -> None:
    """Concurrency: “terminating the previous request before processing the new request”.

    And: “the offset sent by the server MUST be accepted in a subsequent request”.
    """
    location = made(sender, Upload_Length=str(len(BODY)))
    with raw(one_server.url, "PATCH", location, partial(0, len(BODY)), BODY[:70_000]) as old:
        wait_until("bytes come", lambda: upload_file(box).stat().st_size == 70_000)
        assert state(sender, location) == ("?0", 70_000)
        said = old.recv(4000)
        assert said.startswith(b"HTTP/1.1 409")
        assert b"upload-offset: 70000\r\n" in said
        assert b"connection: close\r\n" in said.lower()
        assert patch(sender, location, 70_000, BODY[70_000:], "?1").status_code == 201
    assert original(box) == BODY


# Concurrency


def test_concurrent_append_at_the_same_offset_wins_over_the_older_one(
    one_server: Served, sender: httpx.Client, box: Layout
) -> None:
    """Nothing has come of the older one, so it may be dead."""
    location = made(sender)
    with raw(one_server.url, "PATCH", location, partial(0, len(BODY))) as old:
        assert patch(sender, location, 0, BODY, "?1").status_code == 201
        assert old.recv(4000).startswith(b"HTTP/1.1 409")
    assert original(box) == BODY


@pytest.mark.parametrize("durable", [0, 1000])
def test_a_stale_append_leaves_the_good_one_in_peace(
    one_server: Served, sender: httpx.Client, box: Layout, durable: int
) -> None:
    """Upload Append: “MUST include the correct offset”: no byte of it may get lost again."""
    location = made(sender, BODY[:durable], Upload_Length=str(len(BODY)))
    rest = partial(durable, len(BODY) - durable, "?1")
    with raw(one_server.url, "PATCH", location, rest, BODY[durable:70_000]) as good:
        wait_until("bytes come", lambda: upload_file(box).stat().st_size == 70_000)
        stale = patch(sender, location, 0 if durable else 10, BODY[:50_000])
        assert (stale.status_code, stale.headers["Upload-Offset"]) == (409, str(durable))
        assert stale.json()["type"] == TYPES + "mismatching-upload-offset"
        assert stale.json()["expected-offset"] == durable
        good.sendall(BODY[70_000:])
        assert good.recv(4000).startswith(b"HTTP/1.1 201")
    assert original(box) == BODY


def test_an_append_of_another_length_leaves_the_good_one_in_peace(
    one_server: Served, sender: httpx.Client, box: Layout
) -> None:
    location = made(sender, Upload_Length=str(len(BODY)))
    with raw(one_server.url, "PATCH", location, partial(0, len(BODY), "?1")) as good:
        wait_until("it is taken in", lambda: one_server.app.state.slots.sending())
        assert patch(sender, location, 0, BODY[:-1], "?1").status_code == 400
        good.sendall(BODY)
        assert good.recv(4000).startswith(b"HTTP/1.1 201")
    assert original(box) == BODY


def test_cancellation_ends_what_is_being_sent(
    one_server: Served, sender: httpx.Client, box: Layout
) -> None:
    """Upload Cancellation: “… SHOULD terminate any in-flight requests …”"""
    location = made(sender)
    with raw(one_server.url, "PATCH", location, partial(0, len(BODY)), BODY[:70_000]) as old:
        wait_until("bytes come", lambda: upload_file(box).stat().st_size == 70_000)
        assert sender.delete(location, headers=DRAFT).status_code == 204
        assert old.recv(4000).startswith(b"HTTP/1.1 4")
    assert list(box.uploads.iterdir()) == []
    assert Video.select().count() == 0


# Upload Cancellation


def test_cancellation_deactivates_the_upload(sender: httpx.Client) -> None:
    location = made(sender, BODY)
    answer = sender.delete(location, headers=DRAFT)
    assert (answer.status_code, "Tus-Resumable" in answer.headers) == (204, False)
    assert head(sender, location).status_code == 410
    assert patch(sender, location, len(BODY), b"", "?1").status_code == 410
    assert Video.select().count() == 0


def test_cancellation_of_a_complete_upload_leaves_its_video(sender: httpx.Client) -> None:
    location = made(sender)
    patch(sender, location, 0, BODY, "?1")
    assert sender.delete(location, headers=DRAFT).status_code == 204
    assert head(sender, location).status_code == 404
    assert Video.get().state is VideoState.RECEIVED


# Upload Append


def test_append_of_several_parts(sender: httpx.Client, box: Layout) -> None:
    location = made(sender)
    for start in range(0, 200_000, 50_000):
        answer = patch(sender, location, start, BODY[start : start + 50_000])
        assert (answer.status_code, answer.headers["Upload-Complete"]) == (204, "?0")
        assert answer.headers["Upload-Offset"] == str(start + 50_000)
        assert "Location" not in answer.headers
    answer = patch(sender, location, 200_000, BODY[200_000:], "?1")
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?1")
    assert original(box) == BODY
    assert probes() == 1


def test_append_of_unknown_size(sender: httpx.Client, box: Layout) -> None:
    location = made(sender)
    assert patch(sender, location, 0, iter([BODY[:9], BODY[9:99]])).status_code == 204
    assert patch(sender, location, 99, iter([BODY[99:]]), "?1").status_code == 201
    assert original(box) == BODY


@pytest.mark.parametrize("offset", [0, 999, 1001, 10**15 - 1])
def test_append_at_another_offset(sender: httpx.Client, offset: int) -> None:
    """“… MUST reject the request with a 409 … MUST include the correct offset …”"""
    location = made(sender, BODY[:1000])
    answer = patch(sender, location, offset, b"xyz")
    assert answer.status_code == 409
    assert answer.headers["Upload-Offset"] == "1000"
    assert answer.headers["Upload-Complete"] == "?0"
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.json()
    assert document["type"] == TYPES + "mismatching-upload-offset"
    assert document["title"] == "offset from request does not match offset of resource"
    assert (document["expected-offset"], document["provided-offset"]) == (1000, offset)
    assert state(sender, location) == ("?0", 1000)


@pytest.mark.parametrize("offset", ["-1", "1000.0", "x", "", "+1000", "1_000", "1000, 1000"])
def test_append_offset_that_is_none_counts_as_missing(sender: httpx.Client, offset: str) -> None:
    """State: “Other values MUST cause the entire header field to be ignored.”"""
    location = made(sender, BODY[:1000])
    answer = patch(sender, location, offset, b"xyz")
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (400, "?0")
    assert "Upload-Offset" in answer.json()["detail"]
    assert state(sender, location) == ("?0", 1000)


@pytest.mark.parametrize("complete", ["?2", "yes", "1", ""])
def test_append_must_say_whether_it_is_the_last(sender: httpx.Client, complete: str) -> None:
    location = made(sender)
    assert patch(sender, location, 0, b"xyz", complete).status_code == 400
    assert state(sender, location) == ("?0", 0)


def test_append_has_a_media_type_of_its_own(sender: httpx.Client) -> None:
    location = made(sender)
    answer = patch(sender, location, 0, b"x", Content_Type="application/octet-stream")
    assert (answer.status_code, answer.headers["Accept-Patch"]) == (415, PARTIAL["Content-Type"])
    asked = sender.options(location, headers=DRAFT)
    assert asked.headers["Accept-Patch"] == PARTIAL["Content-Type"]
    parameter = "Application/Partial-Upload; x=1"
    assert patch(sender, location, 0, b"x", Content_Type=parameter).status_code == 204


def test_append_by_the_address_alone(one_server: Served, sender: httpx.Client) -> None:
    """Security: the address is the permission; a token that ended stops nothing."""
    location = made(sender)
    sender.headers["Authorization"] = "Bearer long-gone"
    assert patch(sender, location, 0, BODY[:10]).status_code == 204


def test_append_that_is_cut_is_kept(one_server: Served, sender: httpx.Client, box: Layout) -> None:
    """“… SHOULD append as much of the patch document as possible … MUST NOT be considered
    complete then.”"""
    location = made(sender)
    with raw(one_server.url, "PATCH", location, partial(0, len(BODY), "?1"), BODY[:70_000]):
        wait_until("bytes come", lambda: upload_file(box).stat().st_size == 70_000)
    assert state(sender, location) == ("?0", 70_000)
    # It said that the file ends with its content, so the length is known by now.
    assert head(sender, location).headers["Upload-Length"] == str(len(BODY))
    assert patch(sender, location, 70_000, BODY[70_000:], "?1").status_code == 201
    assert original(box) == BODY


# State: Completeness


def test_length_alone_does_not_complete(
    one_server: Served, sender: httpx.Client, box: Layout
) -> None:
    """“The offset could match the length, but the upload can still be incomplete.”"""
    location = made(sender, BODY, Upload_Length=str(len(BODY)))
    assert state(sender, location) == ("?0", len(BODY))
    assert not Upload.get().complete_declared
    assert recover(one_server.settings).finished == 0  # nor does the sweep, so soon
    assert sender.head(location, headers=TUS).headers["Upload-Offset"] == str(len(BODY))
    assert Video.get().state is VideoState.UPLOADING
    answer = patch(sender, location, len(BODY), b"", "?1")
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?1")
    assert Upload.get().complete_declared
    assert original(box) == BODY


def test_a_whole_file_whose_end_nobody_said_is_taken_in_the_end(
    one_server: Served, sender: httpx.Client, box: Layout
) -> None:
    """“… until it is explicitly marked as completed by the client or the server.”"""
    location = made(sender, BODY, Upload_Length=str(len(BODY)))
    half = made(sender, BODY[:-1], Upload_Length=str(len(BODY)))
    Upload.update(
        touched_at=now() - timedelta(minutes=11), touched_boot_s=Upload.touched_boot_s - 660
    ).execute()
    assert recover(one_server.settings).finished == 1
    assert state(sender, location) == ("?1", len(BODY))
    assert state(sender, half) == ("?0", len(BODY) - 1)
    assert patch(sender, location, len(BODY), b"", "?1").status_code == 201


def test_completing_without_content_needs_all_of_the_length(sender: httpx.Client) -> None:
    location = made(sender, BODY[:1000], Upload_Length="2000")
    answer = patch(sender, location, 1000, b"", "?1")
    assert answer.status_code == 400
    assert answer.json()["type"] == TYPES + "inconsistent-upload-length"
    assert state(sender, location) == ("?0", 1000)


def test_completing_a_stream_that_is_shorter_than_its_length(sender: httpx.Client) -> None:
    location = made(sender, Upload_Length="2000")
    answer = patch(sender, location, 0, iter([BODY[:1500]]), "?1")
    assert answer.status_code == 400
    assert answer.json()["type"] == TYPES + "inconsistent-upload-length"
    assert state(sender, location) == ("?0", 1500)
    assert patch(sender, location, 1500, BODY[1500:2000], "?1").status_code == 201


def test_the_final_answer_is_replayed(sender: httpx.Client) -> None:
    """“The server can choose to replay the final response … if the request … is valid.”"""
    location = made(sender)
    first = patch(sender, location, 0, BODY, "?1")
    # The work has gone on meanwhile, or the box has got another name: the answer stays.
    Video.update(title="Other").execute()
    for _ in range(2):
        again = patch(sender, location, len(BODY), b"", "?1")
        assert (again.status_code, again.json()) == (201, first.json())
        for name in ("Upload-Complete", "Upload-Offset", "Location", "Appliance-Video-Id"):
            assert again.headers[name] == first.headers[name]
    assert probes() == 1


def test_nothing_is_added_to_a_complete_upload(sender: httpx.Client, box: Layout) -> None:
    """“After this point, no more representation data can be appended.”"""
    location = made(sender)
    patch(sender, location, 0, BODY, "?1")
    stale = patch(sender, location, 0, BODY, "?1")
    assert (stale.status_code, stale.headers["Upload-Offset"]) == (409, str(len(BODY)))
    assert stale.headers["Upload-Complete"] == "?0"
    for body, complete in ((b"more", "?1"), (b"more", "?0"), (b"", "?0"), (iter([b"x"]), "?1")):
        answer = patch(sender, location, len(BODY), body, complete)
        assert answer.status_code == 400
        assert answer.json()["type"] == TYPES + "inconsistent-upload-length"
        assert answer.headers["Upload-Complete"] == "?0"
    assert original(box) == BODY


def test_cut_between_the_last_byte_and_the_end(
    sender: httpx.Client, one_server: Served, box: Layout
) -> None:
    """What ``?1`` began is gone on with after a crash: ``finishing`` is durable."""
    location = made(sender, BODY, Upload_Length=str(len(BODY)))
    Upload.update(state=UploadState.FINISHING, complete_declared=True).execute()
    assert state(sender, location) == ("?1", len(BODY))
    answer = patch(sender, location, len(BODY), b"", "?1")
    assert (answer.status_code, answer.json()["video_id"]) == (201, Video.get().public_id)
    assert original(box) == BODY


# State: Length


def test_length_is_noted_when_it_becomes_known(sender: httpx.Client) -> None:
    location = made(sender)
    assert patch(sender, location, 0, BODY[:10], Upload_Length="1000").status_code == 204
    assert head(sender, location).headers["Upload-Length"] == "1000"
    assert Video.get().size_bytes == 1000


@pytest.mark.parametrize(
    ("body", "complete", "length"),
    [
        (b"x" * 10, "?0", "999"),  # another length than before
        (b"x" * 10, "?1", None),  # all the rest, but too little
        (b"x" * 991, "?0", None),  # more than there is room for
        (b"x" * 990, "?1", "991"),  # two indicators, one wrong
        (b"x" * 10, "?0", "5"),
    ],
)
def test_length_values_must_match(
    sender: httpx.Client, body: bytes, complete: str, length: str | None
) -> None:
    """“If multiple requests include indicators, their indicated values MUST match.”"""
    location = made(sender, b"x" * 10, Upload_Length="1000")
    headers = {} if length is None else {"Upload_Length": length}
    answer = patch(sender, location, 10, body, complete, **headers)
    assert answer.status_code == 400
    assert answer.json()["type"] == TYPES + "inconsistent-upload-length"
    assert state(sender, location) == ("?0", 10)  # nothing of it was stored


def test_length_can_not_be_exceeded(sender: httpx.Client, box: Layout) -> None:
    """“… rejecting the request once the offset exceeds the length, marking the upload resource
    invalid and rejecting any further interaction with it.”"""
    location = made(sender, Upload_Length="1000")
    answer = patch(sender, location, 0, iter([b"x" * 1001]))
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (400, "?0")
    assert answer.json()["type"] == TYPES + "inconsistent-upload-length"
    assert head(sender, location).status_code == 410
    assert patch(sender, location, 1000, b"", "?1").status_code == 410
    assert Video.get().state is VideoState.FAILED
    assert "More bytes came" in (Video.get().error or "")
    assert list(box.uploads.iterdir()) == []


def test_length_at_creation_can_not_be_exceeded(sender: httpx.Client) -> None:
    answer = post(sender, iter([b"x" * 1001]), Upload_Complete="?0", Upload_Length="1000")
    assert (answer.status_code, "Location" in answer.headers) == (400, False)
    assert Upload.get().state is UploadState.FAILED


# Integrity Digests


def test_digest_of_a_part(sender: httpx.Client, box: Layout) -> None:
    """“… SHOULD consider the transfer failed, not append the content …”"""
    location = made(sender, BODY[:1000])
    wrong = patch(sender, location, 1000, BODY[1000:], "?1", Content_Digest=digest(BODY[1001:]))
    assert (wrong.status_code, wrong.json()["code"]) == (400, "digest_mismatch")
    assert (wrong.headers["Upload-Complete"], wrong.headers["Upload-Offset"]) == ("?0", "1000")
    assert state(sender, location) == ("?0", 1000)
    right = patch(sender, location, 1000, BODY[1000:], "?1", Content_Digest=digest(BODY[1000:]))
    assert right.status_code == 201
    assert original(box) == BODY


def test_digest_of_no_content(sender: httpx.Client) -> None:
    location = made(sender)
    assert patch(sender, location, 0, b"", Content_Digest=digest(b"x")).status_code == 400
    assert patch(sender, location, 0, b"", Content_Digest=digest(b"")).status_code == 204


def test_digest_of_the_whole(sender: httpx.Client, box: Layout) -> None:
    location = made(sender, BODY[:1000], Repr_Digest=digest(BODY))
    assert patch(sender, location, 1000, BODY[1000:], "?1").status_code == 201
    assert original(box) == BODY
    assert Video.get().sent_sha256 == Upload.get().sent_sha256 is not None


def test_digest_of_another_whole(sender: httpx.Client, box: Layout) -> None:
    """“… SHOULD consider the upload failed, not process the representation further, and signal
    the failure to the client.”"""
    location = made(sender, BODY[:1000], Repr_Digest=digest(BODY))
    answer = patch(sender, location, 1000, BODY[1000:-1] + b"?", "?1")
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (400, "?1")
    assert answer.json()["code"] == "digest_mismatch"
    again = patch(sender, location, len(BODY), b"", "?1")
    assert (again.status_code, again.json()) == (400, answer.json())
    assert head(sender, location).status_code == 410
    assert Video.get().state is VideoState.FAILED
    assert list(box.uploads.iterdir()) == []
    assert probes() == 0


# Security Considerations


def test_permission_is_looked_at_again_at_the_end(sender: httpx.Client, owner: User) -> None:
    """“… SHOULD validate that the user is still allowed … before finalizing the upload.”"""
    location = made(sender, BODY)
    User.update(deactivated_at=Video.get().created_at).where(User.id == owner.id).execute()
    assert patch(sender, location, len(BODY), b"", "?1").status_code == 410
    assert Video.select().count() == 0


# Beside tus


def test_a_part_of_a_joined_upload_is_left_to_tus(sender: httpx.Client, box: Layout) -> None:
    """Its end isn't the end of a file, so neither the draft nor PUT has a word for it."""
    answer = sender.post(
        "/files", headers={**TUS, "Upload-Length": "1000", "Upload-Concat": "partial"}
    )
    location = answer.headers["Location"]
    assert patch(sender, location, 0, BODY[:1000], "?1").status_code == 409
    assert sender.put(location, content=BODY[:1000]).status_code == 409
    assert state(sender, location) == ("?0", 0)
    assert upload_file(box).stat().st_size == 0


def test_one_upload_by_both_protocols(sender: httpx.Client, box: Layout) -> None:
    location = made(sender, BODY[:1000], Upload_Length=str(len(BODY)))
    answer = sender.patch(
        location, headers={**TUS, **BYTES, "Upload-Offset": "1000"}, content=BODY[1000:2000]
    )
    assert (answer.status_code, answer.headers["Tus-Resumable"]) == (204, "1.0.0")
    assert Upload.get().protocol == "tus"
    assert patch(sender, location, 2000, BODY[2000:], "?1").status_code == 201
    assert Upload.get().protocol == "draft"
    assert original(box) == BODY
