"""Every header of tus 1.0.0 in every wrong form: refused with one sentence, and nothing is stored.

Requests are written by hand: HTTP libraries would not send some of these.
"""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from appliance.models import Upload, Video
from tests.web.tus_client import encoded, made, upload_file

if TYPE_CHECKING:
    import httpx

    from storage.layout import Layout
    from tests.web.serving import Served

Lines = list[tuple[str, str]]

OTHER_DIGITS = "\u0663".encode().decode("latin-1")  # an Arabic three, as its bytes
BIG = str(2**53 + 1)
HUGE = "9" * 400

# What is wrong with a number of bytes, for every header that is one.
NUMBERS: dict[str, tuple[str, int]] = {
    "empty": ("", 400),
    "no number": ("x", 400),
    "a sign": ("+5", 400),
    "negative": ("-5", 400),
    "minus zero": ("-0", 400),
    "a fraction": ("5.0", 400),
    "an exponent": ("5e3", 400),
    "hexadecimal": ("0x5", 400),
    "an underscore": ("1_0", 400),
    "two numbers": ("5 5", 400),
    "a list": ("5,5", 400),
    "quoted": ('"5"', 400),
    "other digits": (OTHER_DIGITS, 400),
    "beyond what can be counted": (BIG, 413),
    "far beyond": (HUGE, 413),
    "zeros in front of far beyond": ("0" * 50 + HUGE, 413),
}

CREATIONS: dict[str, tuple[Lines, int]] = {
    **{f"Upload-Length: {what}": ([("Upload-Length", v)], s) for what, (v, s) in NUMBERS.items()},
    "Upload-Length: twice": ([("Upload-Length", "5"), ("Upload-Length", "5")], 400),
    "Upload-Length: missing": ([], 400),
    "Upload-Length: and deferred": ([("Upload-Length", "5"), ("Upload-Defer-Length", "1")], 400),
    **{
        f"Upload-Defer-Length: {value!r}": ([("Upload-Defer-Length", value)], 400)
        for value in ("", "0", "2", "01", "true", "1,1", "+1")
    },
    "Upload-Defer-Length: twice": (
        [("Upload-Defer-Length", "1"), ("Upload-Defer-Length", "1")],
        400,
    ),
    **{
        f"Upload-Metadata: {what}": ([("Upload-Length", "5"), ("Upload-Metadata", value)], 400)
        for what, value in {
            "no base64": "filename %%%",
            "base64 for addresses": "filename _-_-",
            "base64 without its end": "filename YQ",
            "two blanks": "filename  YQ==",
            "a tab": "filename\tYQ==",
            "three words": "filename YQ== YQ==",
            "a key twice": "filename YQ==,filename Yg==",
            "a key twice without values": "a,b,a",
            "no key": ",",
            "an empty key in front": ",a YQ==",
            "an empty key at the end": "a YQ==,",
            "too long": f"a {'YWFh' * 3000}",
            "sha256 that is none": f"sha256 {encoded('abc')}",
            "a value that is no text": "filename Y\xe4==",
        }.items()
    },
    "Upload-Metadata: twice": (
        [("Upload-Length", "5"), ("Upload-Metadata", "a"), ("Upload-Metadata", "b")],
        400,
    ),
    **{
        f"Upload-Concat: {value!r}": ([("Upload-Length", "5"), ("Upload-Concat", value)], 400)
        for value in ("", "Partial", "partial;", "partial,partial", "whole", "final")
    },
    **{
        f"Upload-Concat: {value!r}": ([("Upload-Concat", value)], status)
        for value, status in {
            "final;": 400,
            "final;http://[": 400,
            "final;ftp://box/files/x": 400,
            "final;/media/x": 400,
            "final;/files/x?y": 400,
            "final;/files/x": 404,
            "final;/files/x,/files/y": 400,
        }.items()
    },
    "Upload-Concat: twice": (
        [("Upload-Length", "5"), ("Upload-Concat", "partial"), ("Upload-Concat", "partial")],
        400,
    ),
    "Upload-Checksum: without bytes": (
        [("Upload-Length", "5"), ("Upload-Checksum", "md5 1B2M2Y8AsgTpgAmY7PhCfg==")],
        400,
    ),
    "Content-Type: twice": (
        [
            ("Upload-Length", "5"),
            ("Content-Type", "application/offset+octet-stream"),
            ("Content-Type", "application/offset+octet-stream"),
        ],
        400,
    ),
    "Content-Type: of first bytes": (
        [("Upload-Length", "5"), ("Content-Type", "text/plain"), ("Content-Length", "1")],
        415,
    ),
    "Tus-Resumable: twice": ([("Upload-Length", "5"), ("Tus-Resumable", "1.0.0")], 412),
}

_OF_BYTES = "application/offset+octet-stream"
PATCHES: dict[str, tuple[Lines, int]] = {
    **{
        f"Upload-Offset: {what}": ([("Content-Type", _OF_BYTES), ("Upload-Offset", v)], s)
        for what, (v, s) in NUMBERS.items()
    },
    **{
        f"Upload-Length: {what}": (
            [("Content-Type", _OF_BYTES), ("Upload-Offset", "0"), ("Upload-Length", v)],
            s,
        )
        for what, (v, s) in NUMBERS.items()
    },
    **{
        what: ([("Content-Type", _OF_BYTES), ("Upload-Offset", "0"), *lines], status)
        for what, (lines, status) in {
            "Upload-Offset: twice": ([("Upload-Offset", "0")], 400),
            "Upload-Length: twice": ([("Upload-Length", "9"), ("Upload-Length", "9")], 400),
            "Upload-Length: too short for the body": ([("Upload-Length", "4")], 413),
            "Upload-Length: and deferred": (
                [("Upload-Length", "9"), ("Upload-Defer-Length", "1")],
                400,
            ),
            "Upload-Defer-Length: 2": ([("Upload-Defer-Length", "2")], 400),
            "Content-Type: twice": ([("Content-Type", _OF_BYTES)], 400),
            "Upload-Checksum: empty": ([("Upload-Checksum", "")], 400),
            "Upload-Checksum: no sum": ([("Upload-Checksum", "sha1")], 400),
            "Upload-Checksum: two blanks": ([("Upload-Checksum", "sha1  AAAA")], 400),
            "Upload-Checksum: three words": ([("Upload-Checksum", "sha1 AAAA AAAA")], 400),
            "Upload-Checksum: a comma": ([("Upload-Checksum", "sha1,AAAA")], 400),
            "Upload-Checksum: no base64": ([("Upload-Checksum", "sha1 %%%%")], 400),
            "Upload-Checksum: hexadecimal": ([("Upload-Checksum", f"sha1 {'0a' * 20}")], 400),
            "Upload-Checksum: too short": ([("Upload-Checksum", "sha1 AAAA")], 400),
            "Upload-Checksum: too long": ([("Upload-Checksum", "crc32 AAAAAAA=")], 400),
            "Upload-Checksum: unknown": ([("Upload-Checksum", "sha512 AAAA")], 400),
            "Upload-Checksum: capitals": (
                [("Upload-Checksum", "SHA1 qvTGHdzF6KLavt4PO0gs2a6pQ00=")],
                400,
            ),
            "Upload-Checksum: no text": ([("Upload-Checksum", "sha1 \xe4\xf6\xfc")], 400),
            "Upload-Checksum: twice": (
                [
                    ("Upload-Checksum", "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00="),
                    ("Upload-Checksum", "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00="),
                ],
                400,
            ),
            "Tus-Resumable: twice": ([("Tus-Resumable", "1.0.0")], 412),
        }.items()
    },
    "Upload-Offset: missing": ([("Content-Type", _OF_BYTES)], 400),
    "Content-Type: missing": ([("Upload-Offset", "0")], 415),
    "Content-Type: empty": ([("Upload-Offset", "0"), ("Content-Type", "")], 415),
    "Content-Type: another": ([("Upload-Offset", "0"), ("Content-Type", "video/mp4")], 415),
    "Content-Type: a list": (
        [("Upload-Offset", "0"), ("Content-Type", f"{_OF_BYTES}, {_OF_BYTES}")],
        415,
    ),
}


def send(
    server: Served, method: str, path: str, lines: Lines, body: bytes = b""
) -> tuple[int, http.client.HTTPMessage, str]:
    """The answer to exactly these lines, after Host and Tus-Resumable."""
    parts = urlsplit(server.url)
    if body and all(name != "Content-Length" for name, _ in lines):
        lines = [*lines, ("Content-Length", str(len(body)))]
    head = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", "Tus-Resumable: 1.0.0"]
    head += [f"{name}: {value}" for name, value in lines]
    with socket.create_connection((str(parts.hostname), int(parts.port or 0))) as connection:
        connection.settimeout(20)
        connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + body)
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        return answer.status, answer.headers, answer.read().decode()


@pytest.mark.parametrize("case", CREATIONS)
def test_a_bad_creation_makes_nothing(
    sender: httpx.Client, one_server: Served, box: Layout, case: str
) -> None:
    lines, status = CREATIONS[case]
    body = b"x" if ("Content-Length", "1") in lines else b""
    signed = [("Authorization", sender.headers["Authorization"]), *lines]
    answered, headers, text = send(one_server, "POST", "/files", signed, body)
    assert answered == status, text
    check_answer(headers, text)
    assert "Location" not in headers
    assert Upload.select().count() == Video.select().count() == 0
    assert list(box.uploads.iterdir()) == []


@pytest.mark.parametrize("case", PATCHES)
def test_a_bad_patch_stores_nothing(
    sender: httpx.Client, one_server: Served, box: Layout, case: str
) -> None:
    lines, status = PATCHES[case]
    # Of unknown length, so that a length might be taken, too.
    answer = sender.post("/files", headers={"Tus-Resumable": "1.0.0", "Upload-Defer-Length": "1"})
    location = answer.headers["Location"]
    before = {**Upload.get().__data__}
    answered, headers, text = send(one_server, "PATCH", location, lines, b"12345")
    assert answered == status, text
    check_answer(headers, text)
    assert upload_file(box).stat().st_size == 0
    assert {**Upload.get().__data__} == before
    assert sender.head(location, headers={"Tus-Resumable": "1.0.0"}).status_code == 200


def check_answer(headers: http.client.HTTPMessage, text: str) -> None:
    assert headers.get_all("Tus-Resumable") == ["1.0.0"]
    assert (headers["Content-Type"] or "").startswith("text/plain")
    # One or two sentences for a person, and no innards.
    assert text.endswith((".", "?"))
    assert text[0].isupper()
    assert 10 < len(text) < 200
    assert "Traceback" not in text


@pytest.mark.parametrize("name", ["Upload-Offset", "Upload-Length"])
@pytest.mark.parametrize("value", ["007", "0" * 60 + "7", str(10**5)])
def test_numbers_that_are_right_are_taken(
    sender: httpx.Client, one_server: Served, name: str, value: str
) -> None:
    """[0-9]+ and nothing else: zeros in front are fine."""
    location = made(sender, 10**5)
    sender.patch(
        location,
        headers={"Tus-Resumable": "1.0.0", "Content-Type": _OF_BYTES, "Upload-Offset": "0"},
        content=b"1234567",
    )
    lines = [("Content-Type", _OF_BYTES), ("Upload-Offset", "7"), ("Upload-Length", "0100000")]
    lines = [(key, value if key == name else text) for key, text in lines]
    answered, _, text = send(one_server, "PATCH", location, lines, b"x")
    right = int(value) == (7 if name == "Upload-Offset" else 10**5)
    assert (answered == 204) is right, text


def test_there_are_enough_of_them() -> None:
    assert len(CREATIONS) + len(PATCHES) >= 60
