"""tus 1.0.0, "Checksum"."""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING

import pytest

from appliance.models import Upload, Video
from tests.web.serving import wait_until
from tests.web.tus_client import (
    BODY,
    BYTES,
    encoded,
    head,
    location_of,
    made,
    offset_of,
    original,
    patch,
    post,
    raw_patch,
    upload_file,
)

if TYPE_CHECKING:
    import httpx

    from storage.layout import Layout
    from tests.web.serving import Served

ALGORITHMS = ("sha1", "sha256", "md5", "crc32")


def checksum(algorithm: str, data: bytes) -> str:
    if algorithm == "crc32":
        return f"crc32 {encoded(zlib.crc32(data).to_bytes(4, 'big'))}"
    return f"{algorithm} {encoded(hashlib.new(algorithm, data).digest())}"


def test_options_names_the_algorithms(sender: httpx.Client) -> None:
    """Tus-Checksum-Algorithm MUST be included; MUST support at least sha1. No trailers."""
    answer = sender.options("/files")
    assert tuple(answer.headers["Tus-Checksum-Algorithm"].split(",")) == ALGORITHMS
    assert "checksum-trailer" not in answer.headers["Tus-Extension"]


@pytest.mark.parametrize(
    ("said", "data"),
    [
        ("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", b"hello world"),  # the text's own example
        ("crc32 y/Q5Jg==", b"123456789"),  # the check value of CRC-32: cbf43926
        ("md5 kAFQmDzST7DWlj99KOF/cg==", b"abc"),  # RFC 1321 §A.5
        ("sha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", b"abc"),  # FIPS 180-4
    ],
    ids=lambda value: str(value)[:6],
)
def test_known_sums(sender: httpx.Client, box: Layout, said: str, data: bytes) -> None:
    location = made(sender, len(data))
    assert patch(sender, location, 0, data, Upload_Checksum=said).status_code == 204
    assert original(box) == data


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pieces_that_are_right_are_taken_and_others_discarded(
    sender: httpx.Client, box: Layout, algorithm: str
) -> None:
    """On a mismatch the chunk MUST be discarded, and the upload and its offset stay."""
    location = made(sender)
    first, second = BODY[:100_000], BODY[100_000:]
    right = patch(sender, location, 0, first, Upload_Checksum=checksum(algorithm, first))
    assert (right.status_code, right.headers["Upload-Offset"]) == (204, "100000")
    damaged = bytes([second[0] ^ 1]) + second[1:]
    wrong = patch(sender, location, 100_000, damaged, Upload_Checksum=checksum(algorithm, second))
    assert (wrong.status_code, wrong.headers["Upload-Offset"]) == (460, "100000")
    assert "Upload-Expires" in wrong.headers
    assert upload_file(box).read_bytes() == first
    assert offset_of(sender, location) == 100_000
    patch(sender, location, 100_000, second, Upload_Checksum=checksum(algorithm, second))
    assert original(box) == BODY


def test_a_chunked_body_is_checked_too(sender: httpx.Client, box: Layout) -> None:
    location = made(sender)
    pieces = [BODY[i : i + 50_000] for i in range(0, len(BODY), 50_000)]
    wrong = patch(sender, location, 0, iter(pieces[1:]), Upload_Checksum=checksum("sha1", BODY))
    assert (wrong.status_code, offset_of(sender, location)) == (460, 0)
    patch(sender, location, 0, iter(pieces), Upload_Checksum=checksum("sha1", BODY))
    assert original(box) == BODY


@pytest.mark.parametrize(
    "said",
    [
        "sha512 AAAA",
        "SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        "sha-1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        "adler32 AAAAAA==",
        "crc32c AAAAAA==",
        "none ",
    ],
)
def test_an_unknown_algorithm_is_refused(sender: httpx.Client, box: Layout, said: str) -> None:
    """400 if the algorithm is not supported; offset and upload MUST NOT be updated."""
    location = made(sender)
    headers = [("Upload-Checksum", said.strip() if said == "none " else said)]
    fixed = {"Tus-Resumable": "1.0.0", **BYTES, "Upload-Offset": "0"}
    answer = sender.patch(location, headers=[*fixed.items(), *headers], content=BODY)
    assert answer.status_code == 400
    assert upload_file(box).stat().st_size == 0


def test_an_empty_body_has_a_sum_too(sender: httpx.Client) -> None:
    location = made(sender)
    assert patch(sender, location, 0, b"", Upload_Checksum=checksum("md5", b"")).status_code == 204
    assert patch(sender, location, 0, b"", Upload_Checksum=checksum("md5", b"x")).status_code == 460


def test_the_last_request_once_more_is_checked_as_well(sender: httpx.Client) -> None:
    location = made(sender, 3)
    patch(sender, location, 0, b"abc")
    assert patch(sender, location, 3, b"", Upload_Checksum=checksum("md5", b"")).status_code == 204
    assert patch(sender, location, 3, b"", Upload_Checksum=checksum("md5", b"x")).status_code == 460


def test_nothing_is_kept_of_a_body_that_was_cut(
    sender: httpx.Client, one_server: Served, box: Layout
) -> None:
    location = made(sender)
    patch(sender, location, 0, BODY[:1000])
    line = f"Upload-Checksum: {checksum('sha1', BODY[1000:])}"
    with raw_patch(one_server.url, location, 1000, len(BODY) - 1000, BODY[1000:90_000], line):
        wait_until("some are written", lambda: upload_file(box).stat().st_size == 90_000)
    wait_until("they are gone", lambda: upload_file(box).stat().st_size == 1000)
    assert offset_of(sender, location) == 1000


def test_nothing_is_kept_of_a_body_that_was_taken_over(
    sender: httpx.Client, one_server: Served, box: Layout
) -> None:
    location = made(sender)
    line = f"Upload-Checksum: {checksum('sha1', BODY)}"
    with raw_patch(one_server.url, location, 0, len(BODY), BODY[:90_000], line):
        wait_until("some are written", lambda: upload_file(box).stat().st_size == 90_000)
        assert offset_of(sender, location) == 0
    assert patch(sender, location, 0, BODY).status_code == 204
    assert original(box) == BODY


def test_a_length_that_came_with_wrong_bytes_is_not_kept(sender: httpx.Client) -> None:
    location = location_of(post(sender, Upload_Defer_Length="1"))
    said = {"Upload-Checksum": checksum("sha1", b"abc"), "Upload-Length": "3"}
    assert patch(sender, location, 0, b"abd", **said).status_code == 460
    assert head(sender, location).headers["Upload-Defer-Length"] == "1"
    assert Video.get().size_bytes == 0
    assert patch(sender, location, 0, b"abc", **said).status_code == 204


# "Creation With Upload": similar rules as for the PATCH request and response apply


def test_first_bytes_are_checked(sender: httpx.Client, box: Layout) -> None:
    said = {**BYTES, "Upload-Length": "3", "Upload-Checksum": checksum("sha1", b"abc")}
    wrong = post(sender, b"abd", **said)
    assert wrong.status_code == 460
    assert "Location" not in wrong.headers
    assert Video.select().count() == 0
    assert list(box.uploads.iterdir()) == []
    assert post(sender, b"abc", **said).status_code == 201
    assert original(box) == b"abc"


def test_a_sum_of_no_bytes_is_refused(sender: httpx.Client) -> None:
    said = {"Upload-Length": "3", "Upload-Checksum": checksum("sha1", b"")}
    assert post(sender, **said).status_code == 400
    assert Upload.select().count() == 0
