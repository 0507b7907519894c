"""tus 1.0.0, "Concatenation"."""

from __future__ import annotations

import fcntl
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from appliance.models import Job, Upload, Video
from appliance.states import VideoState
from tests.web.serving import add_user, script, wait_until
from tests.web.tus_client import (
    BODY,
    BYTES,
    create,
    delete,
    encoded,
    head,
    location_of,
    made,
    offset_of,
    original,
    patch,
    post,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from storage.layout import Layout
    from tests.web.serving import Served

A, B = BODY[:100_000], BODY[100_000:]


def part(client: httpx.Client, data: bytes) -> str:
    location = made(client, len(data), Upload_Concat="partial")
    if data:
        assert patch(client, location, 0, data).status_code == 204
    return location


def join(client: httpx.Client, *parts: str, **headers: str) -> httpx.Response:
    return post(client, Upload_Concat=f"final;{' '.join(parts)}", **headers)


def joined(client: httpx.Client, *parts: str) -> str:
    return location_of(join(client, *parts))


# A partial upload represents a chunk of a file


def test_parts_become_one_file_in_the_order_of_the_list(sender: httpx.Client, box: Layout) -> None:
    second, first = part(sender, B), part(sender, A)
    answer = join(sender, first, second, Upload_Metadata=f"filename {encoded('Film.mp4')}")
    location = location_of(answer)
    assert original(box) == BODY
    (video,) = Video.select()
    assert answer.headers["Appliance-Video-Id"] == video.public_id
    assert (video.title, video.state, video.size_bytes) == ("Film", VideoState.RECEIVED, len(BODY))
    assert [job.kind for job in Job.select()] == ["probe"]
    assert offset_of(sender, location) == len(BODY)
    assert list(box.uploads.iterdir()) == []


def test_parts_may_arrive_at_the_same_time(sender: httpx.Client, box: Layout) -> None:
    with ThreadPoolExecutor(4) as pool:
        pieces = [BODY[i : i + 75_000] for i in range(0, len(BODY), 75_000)]
        parts = list(pool.map(lambda piece: part(sender, piece), pieces))
    joined(sender, *parts)
    assert original(box) == BODY


def test_parts_are_not_processed(sender: httpx.Client) -> None:
    """The Server SHOULD NOT process these partial uploads until they are concatenated."""
    part(sender, BODY)
    assert Video.select().count() == Job.select().count() == 0


def test_a_part_says_what_it_is_and_until_when_it_is_kept(sender: httpx.Client) -> None:
    location = part(sender, A)
    answer = head(sender, location)
    assert answer.headers["Upload-Concat"] == "partial"
    assert answer.headers["Upload-Offset"] == answer.headers["Upload-Length"] == str(len(A))
    assert "Upload-Expires" in answer.headers
    assert "Appliance-Video-Id" not in answer.headers


def test_a_part_may_be_deferred_empty_or_come_with_its_creation(
    sender: httpx.Client, box: Layout
) -> None:
    deferred = location_of(post(sender, Upload_Defer_Length="1", Upload_Concat="partial"))
    assert patch(sender, deferred, 0, A, Upload_Length=str(len(A))).status_code == 204
    empty = part(sender, b"")
    headers = {"Upload-Length": str(len(B)), "Upload-Concat": "partial"}
    at_once = location_of(post(sender, B, **BYTES, **headers))
    joined(sender, deferred, empty, at_once)
    assert original(box) == BODY


def test_other_requests_about_a_part_may_say_that_it_is_one(sender: httpx.Client) -> None:
    """As tus-js-client does."""
    location = made(sender, 3, Upload_Concat="partial")
    assert patch(sender, location, 0, b"abc", Upload_Concat="partial").status_code == 204


def test_a_part_can_be_terminated(sender: httpx.Client, box: Layout) -> None:
    location = part(sender, A)
    assert delete(sender, location).status_code == 204
    assert list(box.uploads.iterdir()) == []
    assert head(sender, location).status_code == 410
    assert join(sender, location).status_code == 410


# In order to create a new final upload, the Client MUST add the Upload-Concat header


@pytest.mark.parametrize("form", ["{url}{path}", "http://elsewhere.example{path}", "{path}"])
def test_addresses_of_parts_may_be_absolute_or_relative(
    sender: httpx.Client, one_server: Served, box: Layout, form: str
) -> None:
    """Behind proxies a box has many names; the path is what counts."""
    parts = [form.format(url=one_server.url, path=part(sender, piece)) for piece in (A, B)]
    joined(sender, *parts)
    assert original(box) == BODY


def test_what_was_said_comes_back(sender: httpx.Client) -> None:
    value = f"final;{part(sender, A)} {part(sender, B)}"
    location = location_of(post(sender, Upload_Concat=value))
    assert head(sender, location).headers["Upload-Concat"] == value


def test_metadata_is_that_of_the_final_upload_alone(sender: httpx.Client) -> None:
    """The partial uploads' metadata SHALL NOT be transferred to the new final upload."""
    location = made(sender, 3, Upload_Concat="partial", Upload_Metadata="title UGFydA==,x")
    patch(sender, location, 0, b"abc")
    assert head(sender, location).headers["Upload-Metadata"] == "title UGFydA==,x"
    final = joined(sender, location)
    assert "Upload-Metadata" not in head(sender, final).headers
    assert Video.get().title != "Part"


def test_the_same_parts_again_give_the_same_upload(sender: httpx.Client) -> None:
    """For clients that lost the answer; parts are used up by a final upload."""
    parts = [part(sender, A), part(sender, B)]
    location = joined(sender, *parts)
    assert joined(sender, *parts) == location
    assert [offset_of(sender, one) for one in parts] == [len(A), len(B)]
    assert Video.select().count() == 1
    assert join(sender, parts[0]).status_code == 409


@pytest.mark.parametrize(
    ("case", "status", "words"),
    [
        ("unknown id", 404, "Part 2 is no upload of yours."),
        ("wrong token", 404, "Part 2 is no upload of yours."),
        ("no capability", 404, "Part 2 is no upload of yours."),
        ("foreign", 404, "Part 2 is no upload of yours."),
        ("elsewhere", 400, "no address of an upload here"),
        ("other scheme", 400, "no address of an upload here"),
        ("with a query", 400, "no address of an upload here"),
        ("broken", 400, "no address"),
        ("twice", 400, "Part 2 is named twice"),
        ("ordinary", 400, "not begun as a part"),
        ("final", 400, "not begun as a part"),
        ("unfinished", 409, "Part 2 is not complete"),
        ("used", 409, "Part 2 belongs to another file already."),
        ("ended", 410, "Part 2: This upload was cancelled."),
    ],
)
def test_what_cannot_be_joined_is_refused(
    sender: httpx.Client, one_server: Served, case: str, status: int, words: str
) -> None:
    first = part(sender, A)
    second = _second(sender, one_server, first, case)
    before = Video.select().count()
    answer = join(sender, first, second)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert Video.select().count() == before
    assert offset_of(sender, first) == len(A)
    joined(sender, first)  # nothing has happened to the good one


def _second(client: httpx.Client, server: Served, first: str, case: str) -> str:
    match case:
        case "unknown id":
            return f"/files/{'0' * 26}.{first[-32:]}"
        case "wrong token":
            return part(client, B)[:-32] + "A" * 32
        case "no capability":
            return "/files/second"
        case "foreign":
            with script(server.url, add_user("other@example.org")) as other:
                return part(other, B)
        case "elsewhere":
            return "/media/" + first.removeprefix("/files/")
        case "other scheme":
            return "file://" + part(client, B)
        case "with a query":
            return part(client, B) + "?x=1"
        case "broken":
            return "http://[" + part(client, B)
        case "twice":
            return first
        case "ordinary":
            return made(client, 5)
        case "final":
            return joined(client, part(client, B))
        case "unfinished":
            return made(client, 5, Upload_Concat="partial")
        case "used":
            used = part(client, B)
            joined(client, used)
            return used
        case _:
            ended = part(client, B)
            delete(client, ended)
            return ended


@pytest.mark.parametrize(
    "headers",
    [
        {"Upload-Length": "5"},
        {"Upload-Defer-Length": "1"},
        {"Content-Type": "application/offset+octet-stream"},
        {"Upload-Checksum": "crc32 AAAAAA=="},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_a_final_upload_has_no_length_and_no_bytes_of_its_own(
    sender: httpx.Client, headers: dict[str, str]
) -> None:
    first = part(sender, A)
    assert join(sender, first, **headers).status_code == 400
    assert Video.select().count() == 0


@pytest.mark.parametrize(
    "value", ["", "final", "final;", "Partial", "partial;", "partial ,", "first"]
)
def test_any_other_value_is_refused(sender: httpx.Client, value: str) -> None:
    assert create(sender, 5, Upload_Concat=value).status_code == 400
    assert Upload.select().count() == 0


# The Server MUST respond with the 403 Forbidden status to PATCH requests against a final upload


def test_a_final_upload_takes_no_bytes(sender: httpx.Client, box: Layout) -> None:
    location = joined(sender, part(sender, A), part(sender, B))
    for offset, body in ((len(BODY), b"more"), (0, b"x"), (len(BODY), b"")):
        assert patch(sender, location, offset, body).status_code == 403
    assert original(box) == BODY


def test_a_final_upload_can_be_terminated_and_the_video_stays(
    sender: httpx.Client, box: Layout
) -> None:
    location = joined(sender, part(sender, A), part(sender, B))
    assert delete(sender, location).status_code == 204
    assert head(sender, location).status_code == 404
    assert original(box) == BODY


# HEAD for a final upload SHOULD NOT contain Upload-Offset unless the concatenation has finished


@contextmanager
def held_up(box: Layout, location: str) -> Iterator[None]:
    """A final upload isn't brought further while somebody else holds its first part."""
    name = location.removeprefix("/files/").partition(".")[0]
    with box.upload(name).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_no_offset_is_told_before_the_file_is_there(
    sender: httpx.Client, box: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.upload_joins.WAIT_S", 0.05)
    parts = [part(sender, A), part(sender, B)]
    with held_up(box, parts[0]):
        answer = join(sender, *parts)
        location = location_of(answer)
        assert "Upload-Offset" not in answer.headers
        assert answer.headers["Appliance-Video-Id"] == Video.get().public_id
        answer = head(sender, location)
        assert answer.status_code == 200
        assert "Upload-Offset" not in answer.headers
        assert answer.headers["Upload-Length"] == str(len(BODY))
        assert answer.headers["Upload-Concat"].startswith("final;/files/")
        assert answer.headers["Cache-Control"] == "no-store"
        assert patch(sender, location, len(BODY), b"").status_code == 403
        assert delete(sender, location).status_code == 423
        assert [offset_of(sender, one) for one in parts[1:]] == [len(B)]
        assert Video.get().state is VideoState.UPLOADING
    wait_until("it is joined", lambda: "Upload-Offset" in head(sender, location).headers)
    assert offset_of(sender, location) == len(BODY)
    assert original(box) == BODY
