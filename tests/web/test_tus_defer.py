"""tus 1.0.0, "Creation": ``Upload-Defer-Length``, an upload whose length is said later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.models import Job, Upload, Video
from appliance.states import VideoState
from tests.web.serving import wait_until
from tests.web.tus_client import (
    BODY,
    BYTES,
    TUS,
    delete,
    head,
    location_of,
    offset_of,
    original,
    patch,
    post,
    upload_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from storage.layout import Layout
    from tests.web.serving import Served


def deferred(client: httpx.Client) -> str:
    return location_of(post(client, Upload_Defer_Length="1"))


def test_head_says_that_the_length_is_unknown_until_it_is_declared(sender: httpx.Client) -> None:
    location = deferred(sender)
    for offset in (0, 1000):
        patch(sender, location, offset, BODY[offset : offset + 1000])
        answer = head(sender, location)
        assert answer.headers["Upload-Offset"] == str(offset + 1000)
        assert answer.headers["Upload-Defer-Length"] == "1"
        assert "Upload-Length" not in answer.headers
    patch(sender, location, 2000, b"x", Upload_Length="5000")
    answer = head(sender, location)
    assert answer.headers["Upload-Length"] == "5000"
    assert "Upload-Defer-Length" not in answer.headers


def test_the_length_may_come_with_the_last_bytes(sender: httpx.Client, box: Layout) -> None:
    location = deferred(sender)
    patch(sender, location, 0, BODY[:100_000])
    last = patch(sender, location, 100_000, BODY[100_000:], Upload_Length=str(len(BODY)))
    assert (last.status_code, last.headers["Upload-Offset"]) == (204, str(len(BODY)))
    assert original(box) == BODY
    (video,) = Video.select()
    assert (video.state, video.size_bytes) == (VideoState.RECEIVED, len(BODY))
    assert last.headers["Appliance-Video-Id"] == video.public_id


def test_the_length_may_come_after_the_last_bytes(sender: httpx.Client, box: Layout) -> None:
    location = deferred(sender)
    patch(sender, location, 0, BODY)
    assert Video.get().state is VideoState.UPLOADING
    assert patch(sender, location, len(BODY), b"", Upload_Length=str(len(BODY))).status_code == 204
    assert original(box) == BODY
    assert Job.select().count() == 1


def test_bytes_go_on_after_the_length_was_declared(sender: httpx.Client, box: Layout) -> None:
    location = deferred(sender)
    patch(sender, location, 0, BODY[:10], Upload_Length="20")
    assert patch(sender, location, 10, BODY[10:20]).status_code == 204
    assert original(box) == BODY[:20]


def test_an_empty_file_is_complete_when_its_length_is_declared(
    sender: httpx.Client, box: Layout
) -> None:
    location = deferred(sender)
    assert patch(sender, location, 0, b"", Upload_Length="0").status_code == 204
    assert original(box) == b""
    assert offset_of(sender, location) == 0


def test_the_first_bytes_may_come_with_the_creation(sender: httpx.Client, box: Layout) -> None:
    answer = post(sender, BODY[:1000], Upload_Defer_Length="1", **BYTES)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "1000")
    location = location_of(answer)
    patch(sender, location, 1000, BODY[1000:], Upload_Length=str(len(BODY)))
    assert original(box) == BODY


def test_once_set_the_length_does_not_change(sender: httpx.Client, box: Layout) -> None:
    location = deferred(sender)
    patch(sender, location, 0, BODY[:10], Upload_Length="100")
    for other in ("99", "101"):
        answer = patch(sender, location, 10, b"x", Upload_Length=other)
        assert (answer.status_code, upload_file(box).stat().st_size) == (400, 10)
    assert head(sender, location).headers["Upload-Length"] == "100"
    # A client that lost the answer says the same once more.
    assert patch(sender, location, 10, b"x", Upload_Length="100").status_code == 204


def test_the_length_of_an_ordinary_upload_does_not_change(sender: httpx.Client) -> None:
    location = location_of(post(sender, Upload_Length="100"))
    assert patch(sender, location, 0, b"x", Upload_Length="50").status_code == 400
    assert offset_of(sender, location) == 0


@pytest.mark.parametrize(
    ("length", "status"),
    [("9", 400), ("10", 413), ("x", 400), ("", 400), ("99999999999999", 413), ("1" * 30, 413)],
)
def test_a_length_that_cannot_be_is_refused_and_not_kept(
    sender: httpx.Client, box: Layout, length: str, status: int
) -> None:
    location = deferred(sender)
    patch(sender, location, 0, BODY[:10])
    answer = patch(sender, location, 10, BODY[10:20], Upload_Length=length)
    assert answer.status_code == status
    assert answer.text.endswith(".")
    assert upload_file(box).stat().st_size == 10
    assert Upload.get().length is None


@pytest.mark.parametrize("value", ["0", "2", "true", "", "1,1", "01"])
def test_any_other_value_than_1_is_refused(sender: httpx.Client, value: str) -> None:
    answer = sender.post("/files", headers={**TUS, "Upload-Defer-Length": value})
    assert answer.status_code == 400
    assert Upload.select().count() == 0


def test_both_a_length_and_none_is_refused(sender: httpx.Client) -> None:
    assert post(sender, Upload_Defer_Length="1", Upload_Length="5").status_code == 400
    assert Upload.select().count() == 0


def test_bytes_beyond_what_the_box_takes_are_refused_before_they_come(
    sender: httpx.Client, one_server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = deferred(sender)
    monkeypatch.setattr("storage.budget.free_bytes", lambda _: 10 << 20)  # the reserve
    answer = patch(sender, location, 0, BODY)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (507, "0")
    assert patch(sender, location, 0, b"", Upload_Length="1").status_code == 507
    assert Upload.get().length is None


def test_room_is_looked_for_while_bytes_come(
    sender: httpx.Client, box: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = deferred(sender)
    monkeypatch.setattr("storage.uploads.receiving.CHECKPOINT_BYTES", 50_000)
    free = [10 << 40]

    def chunks() -> Iterator[bytes]:
        yield BODY[:100_000]
        wait_until("they are written", lambda: upload_file(box).stat().st_size == 100_000)
        free[0] = 0
        for _ in range(2000):  # far more than it takes for the next look
            yield BODY[:50_000]

    monkeypatch.setattr("storage.budget.free_bytes", lambda _: free[0])
    answer = patch(sender, location, 0, chunks())
    assert answer.status_code == 507
    kept = offset_of(sender, location)
    assert 100_000 <= kept < 100_000_000
    assert int(answer.headers["Upload-Offset"]) <= kept


def test_it_can_be_terminated(sender: httpx.Client, box: Layout) -> None:
    location = deferred(sender)
    patch(sender, location, 0, BODY)
    assert delete(sender, location).status_code == 204
    assert list(box.uploads.iterdir()) == []
