"""A whole file, or pieces of it, by plain PUT to an upload address (RFC 9110 §14.4, §14.5)."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance import metrics
from appliance.models import Upload, Video
from appliance.states import VideoState
from tests.web.draft_wire import digest, probes, raw
from tests.web.granting import BODY, granted, put_part
from tests.web.serving import wait_until
from tests.web.tus_client import made, upload_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from storage.layout import Layout
    from tests.web.serving import Served

CURL = shutil.which("curl")


@pytest.fixture
def stranger(one_server: Served) -> Iterator[httpx.Client]:
    """Who has the address, and nothing else."""
    with httpx.Client(timeout=20) as client:
        yield client


@pytest.fixture
def grant(sender: httpx.Client) -> dict[str, Any]:
    return granted(sender)


@pytest.fixture
def address(grant: dict[str, Any]) -> str:
    return str(grant["upload_url"])


def asked(client: httpx.Client, address: str) -> httpx.Response:
    return client.put(address, headers={"Content-Range": f"bytes */{len(BODY)}"})


def test_one_put_is_enough(
    stranger: httpx.Client, grant: dict[str, Any], address: str, box: Layout
) -> None:
    """S4-23, S1-01: and a lost answer is given again."""
    for _ in range(2):
        answer = stranger.put(address, content=BODY, headers={"Content-Type": "video/mp4"})
        assert answer.status_code == 201
        assert answer.json() == {
            "video_id": grant["video_id"],
            "offset": len(BODY),
            "length": len(BODY),
        }
        assert answer.headers["Appliance-Video-Id"] == grant["video_id"]
    assert box.original(grant["video_id"]).read_bytes() == BODY
    assert probes() == 1
    assert Upload.get().protocol == "put"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (BODY + b"x", 413, "too_large"),
        (BODY[:-1], 400, "inconsistent_length"),
        (b"", 400, "inconsistent_length"),
    ],
)
def test_another_size_is_refused(
    stranger: httpx.Client, address: str, box: Layout, body: bytes, status: int, code: str
) -> None:
    """S3-11: for this file alone."""
    answer = stranger.put(address, content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert str(len(BODY)) in answer.json()["detail"]
    assert upload_file(box).stat().st_size == 0


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Range": "bytes all"}, 400, "bad_header"),
        ({"Content-Range": "bytes 5-2/200000"}, 400, "bad_header"),
        ({"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
        (
            {"Content-Range": "bytes 0-4/200000", "Transfer-Encoding": "chunked"},
            411,
            "length_required",
        ),
    ],
    ids=str,
)
def test_refusals_have_names(
    stranger: httpx.Client, address: str, headers: dict[str, str], status: int, code: str
) -> None:
    """For programs; and they are counted by them."""
    name, label = "appliance_upload_refused_total", {"reason": code}
    before = metrics.registry.get_sample_value(name, label) or 0
    body = iter([b"12345"]) if "Transfer-Encoding" in headers else b"12345"
    answer = stranger.put(address, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert metrics.registry.get_sample_value(name, label) == before + 1


def test_a_silent_sender_is_let_go(
    one_server: Served, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "web.upload_body.Body.limit", lambda body, _: setattr(body, "silence_s", 0.2)
    )
    target = address.removeprefix(one_server.url)
    lines = [f"Content-Length: {len(BODY)}"]
    with raw(one_server.url, "PUT", target, lines, BODY[:1000]) as connection:
        answer = http.client.HTTPResponse(connection, method="PUT")
        answer.begin()
        document = json.load(answer)
    assert (answer.status, document["code"]) == (408, "body_stalled")
    assert document["offset"] == 1000


def test_chunks_may_come_where_the_length_is_known(
    stranger: httpx.Client, grant: dict[str, Any], address: str, box: Layout
) -> None:
    answer = stranger.put(address, content=iter([BODY[:1000], BODY[1000:]]))
    assert answer.status_code == 201
    assert box.original(grant["video_id"]).read_bytes() == BODY


def test_chunks_that_end_too_early_or_too_late(
    stranger: httpx.Client, address: str, box: Layout
) -> None:
    short = stranger.put(address, content=iter([BODY[:1000]]))
    assert (short.status_code, short.json()["offset"]) == (400, 1000)
    assert short.json()["code"] == "body_too_short"
    assert "ended after 1000 bytes" in short.json()["detail"]
    long = stranger.put(address, content=iter([BODY, b"x"]))
    assert (long.status_code, long.json()["code"]) == (413, "too_large")
    assert Video.get().state is VideoState.UPLOADING


def test_chunks_where_no_length_is_known(sender: httpx.Client) -> None:
    """An upload that tus made without a length has an address that nothing is known about."""
    created = sender.post("/files", headers={"Tus-Resumable": "1.0.0", "Upload-Defer-Length": "1"})
    location = created.headers["Location"]
    assert sender.put(location, content=iter([BODY])).status_code == 411
    assert sender.put(location, content=BODY).status_code == 201
    assert Video.get().size_bytes == len(BODY)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([], 411),
        (["Content-Range: bytes 0-9/200000"], 411),
        (["Content-Range: bytes */200000"], 202),  # brings nothing, so it needs no length
        (["Content-Range: bytes */200000", "Transfer-Encoding: chunked"], 400),
        (["Content-Range: bytes 0-9/200000", "Transfer-Encoding: chunked"], 411),
    ],
)
def test_a_put_without_any_length(
    one_server: Served, address: str, lines: list[str], status: int
) -> None:
    target = address.removeprefix(one_server.url)
    with raw(one_server.url, "PUT", target, lines) as connection:
        assert connection.recv(100).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_whole_put_after_a_cut_one_starts_anew(
    one_server: Served, stranger: httpx.Client, grant: dict[str, Any], address: str, box: Layout
) -> None:
    target = address.removeprefix(one_server.url)
    lines = [f"Content-Length: {len(BODY)}"]
    with raw(one_server.url, "PUT", target, lines, b"x" * 60_000):
        wait_until("bytes come", lambda: upload_file(box).stat().st_size == 60_000)
    assert stranger.put(address, content=BODY).status_code == 201
    assert box.original(grant["video_id"]).read_bytes() == BODY


def test_a_put_takes_over_from_one_that_hangs(
    one_server: Served, stranger: httpx.Client, grant: dict[str, Any], address: str, box: Layout
) -> None:
    target = address.removeprefix(one_server.url)
    lines = [f"Content-Length: {len(BODY)}"]
    with raw(one_server.url, "PUT", target, lines, BODY[:60_000]) as old:
        wait_until("bytes come", lambda: upload_file(box).stat().st_size == 60_000)
        where = asked(stranger, address)
        assert (where.status_code, where.json()["offset"]) == (202, 60_000)
        assert old.recv(4000).startswith(b"HTTP/1.1 409")
        assert put_part(stranger, address, 60_000, len(BODY)).status_code == 201
    assert box.original(grant["video_id"]).read_bytes() == BODY


@pytest.mark.parametrize(
    ("wanted", "size", "status"),
    [
        (f"bytes 0-99/{len(BODY)}", 100, 409),
        (f"bytes 60000-60099/{len(BODY) + 1}", 100, 400),
        (None, len(BODY) - 1, 400),
        (None, len(BODY) + 1, 413),
    ],
    ids=["a stale piece", "a piece of another file", "a shorter file", "a longer file"],
)
def test_what_can_not_be_right_leaves_the_good_one_in_peace(
    one_server: Served,
    stranger: httpx.Client,
    grant: dict[str, Any],
    address: str,
    box: Layout,
    wanted: str | None,
    size: int,
    status: int,
) -> None:
    target = address.removeprefix(one_server.url)
    lines = [f"Content-Length: {len(BODY)}"]
    with raw(one_server.url, "PUT", target, lines, BODY[:60_000]) as good:
        wait_until("bytes come", lambda: upload_file(box).stat().st_size == 60_000)
        headers = {} if wanted is None else {"Content-Range": wanted}
        refused = stranger.put(address, content=b"x" * size, headers=headers)
        assert refused.status_code == status
        good.sendall(BODY[60_000:])
        assert good.recv(4000).startswith(b"HTTP/1.1 201")
    assert box.original(grant["video_id"]).read_bytes() == BODY


def test_pieces_by_content_range(
    stranger: httpx.Client, grant: dict[str, Any], address: str, box: Layout
) -> None:
    """S3-33, S4-56."""
    first = put_part(stranger, address, 0, 50_000)
    assert (first.status_code, first.headers["Upload-Offset"]) == (202, "50000")
    assert (asked(stranger, address).status_code, asked(stranger, address).json()["offset"]) == (
        202,
        50_000,
    )
    assert put_part(stranger, address, 50_000, len(BODY)).status_code == 201
    assert box.original(grant["video_id"]).read_bytes() == BODY
    assert asked(stranger, address).status_code == 201


@pytest.mark.parametrize("first", [0, 49_999, 50_001, 60_000])
def test_a_piece_that_does_not_go_on_where_it_ended(
    stranger: httpx.Client, address: str, first: int
) -> None:
    """Repeated, overlapping, or after a gap: the answer says where to go on."""
    put_part(stranger, address, 0, 50_000)
    answer = put_part(stranger, address, first, first + 50_000)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "50000")
    assert (answer.json()["code"], answer.json()["offset"]) == ("wrong_offset", 50_000)
    assert put_part(stranger, address, 50_000, len(BODY)).status_code == 201


def test_a_last_piece_whose_answer_was_lost(stranger: httpx.Client, address: str) -> None:
    put_part(stranger, address, 0, 150_000)
    for _ in range(2):
        assert put_part(stranger, address, 150_000, len(BODY)).status_code == 201
    assert probes() == 1


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes 0-9/5",
        "bytes 5-1/200000",
        "bytes 199995-200004/200000",
        "0-9/200000",
        "bytes 0-9/*",
        "bytes 0-9",
        "items 0-9/200000",
        "bytes 0-8/200000",
        "bytes 0-9/200001",
        "bytes */200000",
        "bytes */*",
        "bytes 0-9/200000, bytes 20-29/200000",
    ],
)
def test_a_content_range_that_makes_no_sense(
    stranger: httpx.Client, address: str, box: Layout, wanted: str
) -> None:
    answer = stranger.put(address, content=BODY[:10], headers={"Content-Range": wanted})
    assert answer.status_code == 400
    assert upload_file(box).stat().st_size == 0


def test_digests_of_pieces_are_checked(stranger: httpx.Client, address: str, box: Layout) -> None:
    headers = {"Content-Range": f"bytes 0-9/{len(BODY)}", "Content-Digest": digest(b"other")}
    answer = stranger.put(address, content=BODY[:10], headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "digest_mismatch")
    assert answer.json()["offset"] == upload_file(box).stat().st_size == 0
    right = {"Content-Digest": digest(BODY)}
    assert stranger.put(address, content=BODY, headers=right).status_code == 201


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [("Content-Encoding", "gzip", 415), ("Upload-Complete", "?0", 400)],
)
def test_what_is_not_the_file_itself(
    stranger: httpx.Client, address: str, box: Layout, header: str, value: str, status: int
) -> None:
    answer = stranger.put(address, content=BODY, headers={header: value})
    assert answer.status_code == status
    assert upload_file(box).stat().st_size == 0


def test_an_invitation_to_resume_is_ignored(stranger: httpx.Client, address: str) -> None:
    """IETF draft, “Upgrading To Resumable Uploads”: such a PUT works as if it said nothing."""
    headers = {"Upload-Complete": "?1", "Upload-Draft-Interop-Version": "8"}
    assert stranger.put(address, content=BODY, headers=headers).status_code == 201


def test_a_put_to_an_address_of_tus(sender: httpx.Client, box: Layout) -> None:
    assert sender.put(made(sender, len(BODY)), content=BODY).status_code == 201


def test_a_put_to_nowhere(stranger: httpx.Client, address: str) -> None:
    answer = stranger.put(address[:-4] + "AAAA", content=BODY)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


# curl


def curl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CURL or "", "-sS", "-v", "--max-time", "30", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "talk.mp4"
    path.write_bytes(BODY)
    return path


needs_curl = pytest.mark.skipif(CURL is None, reason="curl isn't installed")


@needs_curl
def test_curl_waits_for_100_and_sends(
    file: Path, grant: dict[str, Any], address: str, box: Layout
) -> None:
    done = curl("-T", file, "-H", "Expect: 100-continue", address)
    assert "< HTTP/1.1 100 Continue" in done.stderr
    assert "< HTTP/1.1 201" in done.stderr
    assert box.original(grant["video_id"]).read_bytes() == BODY


@needs_curl
def test_curl_sends_nothing_when_it_is_refused(file: Path, address: str, box: Layout) -> None:
    other = address[:-4] + "AAAA"
    done = curl(
        "-T", file, "-H", "Expect: 100-continue", "--expect100-timeout", "20", "-w",
        "%{http_code} %{size_upload}", other,
    )  # fmt: skip
    assert "100 Continue" not in done.stderr
    assert re.search(r"404 0$", done.stdout), done.stdout
    assert upload_file(box).stat().st_size == 0


@needs_curl
def test_curl_sends_from_a_pipe(
    file: Path, grant: dict[str, Any], address: str, box: Layout
) -> None:
    """In chunks: the address knows how long the file is."""
    done = subprocess.run(
        [CURL or "", "-sS", "-w", "%{http_code}", "-T", "-", address],
        input=file.read_bytes(),
        capture_output=True,
        timeout=60,
    )
    assert done.stdout.endswith(b"201"), done
    assert box.original(grant["video_id"]).read_bytes() == BODY


@needs_curl
def test_curl_goes_on_after_a_cut(
    file: Path, grant: dict[str, Any], address: str, box: Layout, stranger: httpx.Client
) -> None:
    """``-C OFFSET`` makes curl send the rest, with the Content-Range that it needs."""
    put_part(stranger, address, 0, 70_000)
    where = asked(stranger, address).json()["offset"]
    done = curl("-C", str(where), "-T", file, address)
    assert "> Content-Range: bytes 70000-199999/200000" in done.stderr
    assert "< HTTP/1.1 201" in done.stderr
    assert box.original(grant["video_id"]).read_bytes() == BODY
