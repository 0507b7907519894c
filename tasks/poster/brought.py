"""A picture that a person has brought: what it is, which way up, and ffmpeg's words for it. Pure.

It is as untrusted as any upload: only ffmpeg in the sandbox decodes it, told which of three
formats it is. What is read here are a few bytes of its head.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tasks import pictures

if TYPE_CHECKING:
    from collections.abc import Iterator

BROUGHT, OUTPUT = "brought", "brought.ppm"
MAX_BYTES = 20_000_000
MAX_PIXELS = 60_000_000
# How much of a file is looked through for its orientation.
HEAD_BYTES = 256 * 1024

# Names of ffmpeg's demuxers and decoders.
_DECODERS = {"png_pipe": "png", "jpeg_pipe": "mjpeg", "webp_pipe": "webp"}
# Source: EXIF 2.32 §4.6.4, tag 0x0112: what has to be done to see it upright.
_UPRIGHT = {
    2: "hflip",
    3: "hflip,vflip",
    4: "vflip",
    5: "transpose=cclock_flip",
    6: "transpose=clock",
    7: "transpose=clock_flip",
    8: "transpose=cclock",
}


def demuxer_of(head: bytes) -> str | None:
    """Which of the three it is by its first bytes; None: something else."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png_pipe"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg_pipe"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp_pipe"
    return None


def orientation_of(head: bytes) -> int:
    """1 to 8 as EXIF counts; 1, upright, when the file doesn't say."""
    demuxer = demuxer_of(head)
    chunks = {"png_pipe": _png_exif, "jpeg_pipe": _jpeg_exif, "webp_pipe": _webp_exif}
    if demuxer is None:
        return 1
    try:
        return next((_in_tiff(tiff) for tiff in chunks[demuxer](head)), 1)
    except struct.error:
        return 1


def _jpeg_exif(head: bytes) -> Iterator[bytes]:
    at = 2
    while at + 4 <= len(head) and head[at] == 0xFF:
        kind, size = head[at + 1], struct.unpack_from(">H", head, at + 2)[0]
        if kind == 0xDA or size < 2:  # the picture itself begins
            return
        if kind == 0xE1 and head[at + 4 : at + 10] == b"Exif\0\0":
            yield head[at + 10 : at + 2 + size]
        at += 2 + size


def _png_exif(head: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(head):
        size, kind = struct.unpack_from(">I4s", head, at)
        if kind == b"eXIf":
            yield head[at + 8 : at + 8 + size]
        at += 12 + size


def _webp_exif(head: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(head):
        kind, size = struct.unpack_from("<4sI", head, at)
        if kind == b"EXIF":
            tiff = head[at + 8 : at + 8 + size]
            yield tiff.removeprefix(b"Exif\0\0")
        at += 8 + size + size % 2


def _in_tiff(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    (first,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, first)
    for number in range(min(count, 200)):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, first + 2 + 12 * number)
        if tag == 0x0112:
            return int(value) if 1 <= value <= 8 else 1
    return 1


def brought_command(head: bytes, box: pictures.Size, *, ffmpeg: str) -> list[str]:
    """From ``BROUGHT`` to ``OUTPUT``: upright, fitting into ``box``, nothing but pixels.

    ``head``: its first bytes, of one of the three formats.
    """
    demuxer = demuxer_of(head)
    assert demuxer is not None
    chain = [
        *((_UPRIGHT[turn],) if (turn := orientation_of(head)) in _UPRIGHT else ()),
        f"scale=w='min({box[0]},iw)':h='min({box[1]},ih)':force_original_aspect_ratio=decrease",
        # What is transparent becomes black.
        "format=gbrap",
        "premultiply=inplace=1",
        "format=rgb24",
    ]
    return [
        *(ffmpeg, *pictures.QUIET),
        *("-protocol_whitelist", "file", "-format_whitelist", demuxer, "-noautorotate"),
        *("-max_pixels", str(MAX_PIXELS), "-threads", "1"),
        *("-f", demuxer, "-c:v", _DECODERS[demuxer], "-i", f"file:{BROUGHT}"),
        *("-map", "0:v:0", "-vf", ",".join(chain), "-frames:v", "1", "-map_metadata", "-1"),
        *("-c:v", "ppm", "-f", "rawvideo", f"file:{OUTPUT}"),
    ]
