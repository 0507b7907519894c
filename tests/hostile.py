"""Hostile files, made when a test asks: scripts in disguise, bombs, nonsense in headers, mutants.

``all_scripts`` and the rest give paths in ``tests.media.folder()``, shared by all tests of a run.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from tests import media
from tests.media import H264, clip, ffmpeg, folder, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def canary() -> Iterator[tuple[str, list[object]]]:
    """The address of a server on this machine, and who knocked there."""
    knocks: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    knocker, address = server.accept()
                except OSError:
                    return
                knocks.append(address)
                knocker.close()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", knocks
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


# Scripts and playlists: text that names other files or addresses, in files named as videos.


def scripts(address: str, secret: Path) -> dict[str, Path]:
    """Each kind of text that ffmpeg might follow. ``address`` is http://HOST:PORT."""
    inf = "#EXTINF:2,\n"
    texts = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n{inf}file:{secret}\n{inf}{address}/a.ts\n",
        "hls master": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{address}/m.m3u8\n",
        "hls key": (
            f'#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI="{address}/key"\n'
            f"{inf}file:{secret}\n#EXT-X-ENDLIST\n"
        ),
        "hls map": f'#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI="{secret}"\n{inf}{secret}\n',
        "hls by concat": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n{inf}concat:{secret}|{secret}\n",
        "ffconcat": f"ffconcat version 1.0\nfile '{secret}'\nfile '{address}/a.mp4'\n",
        "ffconcat relative": f"ffconcat version 1.0\nfile '../{secret.name}'\n",
        "dash": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp4">'
            f'<Representation id="1" bandwidth="1"><BaseURL>{address}/a.mp4</BaseURL>'
            "</Representation></AdaptationSet></Period></MPD>"
        ),
        "dash with an entity": (
            f'<?xml version="1.0"?><!DOCTYPE MPD [<!ENTITY x SYSTEM "file://{secret}">]>'
            "<MPD>&x;</MPD>"
        ),
        "smil": f'<smil><body><video src="{address}/a.mp4"/></body></smil>',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        "rtsp": f"[Reference]\nRef1={address}/a\n",
        "svg": (
            f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{address}/a.png"/>'
            f'<image href="file://{secret}"/></svg>'
        ),
        "imf": f'<AssetMap xmlns="http://x"><Path>{secret}</Path></AssetMap>',
        "subtitles of a film": f"[SCRIPT]\n[Events]\nDialogue: {secret}\n",
        "subtitles that name a film": f'<?xml version="1.0"?><tt><img src="{address}/a"/></tt>',
        "vobsub": f"# VobSub index file, v7\nid: en, index: 0\n{secret}\n",
        "mpsub": f"FORMAT=TIME\nFILE={secret}\n",
        "lrc": f"[file:{secret}]\n",
        "avisynth": f'DirectShowSource("{secret}")\n',
        "vapoursynth": f"import vapoursynth\nopen({str(secret)!r})\n",
        "ffmetadata": f";FFMETADATA1\ntitle={secret}\n",
        "filter": f"movie={secret}\n",
    }
    made = {kind: written(f"{kind.replace(' ', '-')}.mp4", text) for kind, text in texts.items()}
    # A name that is a pattern: a series of pictures is numbered.
    for number in range(2):
        still = folder() / f"still-{number}.png"
        if not still.exists():
            ffmpeg("-f", "lavfi", "-i", "color=s=32x32", "-frames:v", "1", str(still))
    made["series of pictures"] = written("still-%d.png", b"")
    made["dref"] = media.external_reference(secret)
    made["dref by alias"] = _alias(secret)
    made["subtitles beside it"] = _with_text(secret, address)
    made["font in it"] = with_attachment(texts["hls"])
    return made


def _alias(target: Path) -> Path:
    """A mov whose samples lie in another file, named the way of the old Macintosh."""
    whole = bytearray(media.index_last().read_bytes())
    at = whole.index(b"url \x00\x00\x00\x01") - 4
    name = str(target).encode()
    record = bytearray(150)
    struct.pack_into(">H", record, 4, 150)
    struct.pack_into(">H", record, 6, 2)
    record[50 : 50 + min(63, len(name)) + 1] = bytes([min(63, len(name))]) + name[:63]
    record += struct.pack(">HH", 2, len(name)) + name + b"\0" * (len(name) % 2)
    record += struct.pack(">HH", 18, len(name)) + name + b"\0" * (len(name) % 2)
    record += struct.pack(">HH", 0xFFFF, 0)
    entry = struct.pack(">I4sI", 12 + len(record), b"alis", 0) + record
    _replace_box(whole, at, 12, entry)
    return written("alias.mp4", bytes(whole))


def _replace_box(whole: bytearray, at: int, length: int, entry: bytes) -> None:
    whole[at : at + length] = entry
    for kind in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        size_at = whole.rindex(kind, 0, at) - 4
        (size,) = struct.unpack_from(">I", whole, size_at)
        struct.pack_into(">I", whole, size_at, size + len(entry) - length)


def _with_text(secret: Path, address: str) -> Path:
    """A film with a text track that names others."""
    text = f"1\n00:00:00,000 --> 00:00:01,000\n<img src={address}/a> {{file:{secret}}}\n"
    subtitles, target = written("named.srt", text), folder() / "with-text.mkv"
    ffmpeg(
        "-i", str(media.h264_opus()), "-i", str(subtitles), "-c", "copy", "-c:s", "ass", str(target)
    )
    return target


def with_attachment(text: str) -> Path:
    """A film with a font in it that is none."""
    target = folder() / "with-font.mkv"
    attach = ("-attach", str(written("font.ttf", text)))
    about = ("-metadata:s:t", "mimetype=application/x-truetype-font")
    ffmpeg("-i", str(media.h264_opus()), *attach, *about, "-c", "copy", str(target))
    return target


# Bombs: small files that ask for much.

BLACK = "color=s={size}:r={fps}"


@cache
def pictures_of_a_thousand_tons() -> Path:
    """8192 × 8192, half a gigabyte to decode (R17)."""
    return media.huge_picture()


@cache
def a_day() -> Path:
    """24 hours in some kilobytes (R17)."""
    return clip(
        "day.mp4", *H264, size="32x32", fps="1/120", seconds=86400, sound=None, source=BLACK
    )


@cache
def a_million_pictures_a_second() -> Path:
    source = clip("few.mp4", *H264, "-frames:v", "50", size="64x64", sound=None)
    return with_clock(source, "million.mp4", 1_000_000)


def with_clock(source: Path, name: str, ticks_per_s: int) -> Path:
    """The film played so fast or slow that the track's clock has so many ticks per second."""
    whole = bytearray(source.read_bytes())
    for kind in (b"mdhd",):
        at = whole.index(kind) + 4
        struct.pack_into(">I", whole, at + 12, ticks_per_s)
    return written(name, bytes(whole))


@cache
def grows_in_the_middle() -> Path:
    """64 × 64 for a second, then 8192 × 8192: the header says nothing of that."""
    small = clip("small.ts", *H264, "-f", "mpegts", size="64x64", seconds=1, sound=None)
    options = (*H264, "-frames:v", "2", "-f", "mpegts", "-output_ts_offset", "1")
    large = clip("large.ts", *options, size="8192x8192", sound=None, source=BLACK)
    return written("grows.mp4", small.read_bytes() + large.read_bytes())


def of_size(width: int, height: int) -> Path:
    """Some grey pictures of a size that filters and most encoders refuse."""
    name = f"grey-{width}x{height}"
    target = folder() / f"{name}.mkv"
    raw = written(f"{name}.raw", bytes(10 * width * height))
    options = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}")
    ffmpeg(*options, "-i", str(raw), "-c:v", "ffv1", str(target))
    return target


@cache
def a_thousand_tracks() -> Path:
    """No tool writes so many: the one track is written again and again, under new numbers."""
    whole = media.silent().read_bytes()
    at = whole.index(b"trak") - 4
    (size,) = struct.unpack_from(">I", whole, at)
    track = bytearray(whole[at : at + size])
    number_at = track.index(b"tkhd") + 4 + 12
    copies = bytearray()
    for number in range(2, 1001):
        struct.pack_into(">I", track, number_at, number)
        copies += track
    made = bytearray(whole)
    made[at + size : at + size] = copies
    moov_at = made.index(b"moov") - 4
    (moov,) = struct.unpack_from(">I", made, moov_at)
    struct.pack_into(">I", made, moov_at, moov + len(copies))
    return written("thousand.mp4", bytes(made))


@cache
def without_a_rate() -> Path:
    """0 pictures a second: each is shown for 0 ticks."""
    whole = bytearray(media.silent().read_bytes())
    at = whole.index(b"stts") + 4
    (count,) = struct.unpack_from(">I", whole, at + 4)
    for entry in range(count):
        struct.pack_into(">I", whole, at + 8 + 8 * entry + 4, 0)
    return written("rate-0.mp4", bytes(whole))


def with_matroska_duration(value: bytes, name: str) -> Path:
    """``value``: the eight bytes of the number that says how long the film is."""
    whole = bytearray(media.h264_opus().read_bytes())
    at = whole.index(b"\x44\x89\x88") + 3
    whole[at : at + 8] = value
    return written(name, bytes(whole))


@cache
def with_negative_length() -> Path:
    whole = bytearray(media.silent().read_bytes())
    for kind, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        struct.pack_into(">i", whole, whole.index(kind) + offset, -90_000)
    return written("negative.mp4", bytes(whole))


BOMBS: dict[str, Callable[[], Path]] = {
    "8192 x 8192": pictures_of_a_thousand_tons,
    "a day": a_day,
    "a million pictures a second": a_million_pictures_a_second,
    "grows in the middle": grows_in_the_middle,
    "one pixel": lambda: of_size(1, 1),
    "65535 x 1": lambda: of_size(65535, 1),
    "a thousand tracks": a_thousand_tracks,
    "no rate": without_a_rate,
    "lasts NaN": lambda: with_matroska_duration(struct.pack(">d", float("nan")), "nan.mkv"),
    "lasts for ever": lambda: with_matroska_duration(struct.pack(">d", float("inf")), "inf.mkv"),
    "lasts -1 s": lambda: with_matroska_duration(struct.pack(">d", -1000.0), "minus.mkv"),
    "lasts less than nothing": with_negative_length,
}

# Damage.

SOURCES: tuple[Callable[[], Path], ...] = (
    media.h264_aac,
    media.index_last,
    media.h264_opus,
    media.webm_vp9,
)


def truncations(source: Path) -> list[Path]:
    """Cut off at every tenth."""
    whole = source.read_bytes()
    return [
        written(f"cut-{tenth}0-{source.name}", whole[: len(whole) * tenth // 10])
        for tenth in range(1, 10)
    ]


def mutant(seed: int) -> Path:
    """One of the sources with some bits turned over, most of them in front, where the headers are;
    now and then with a piece of another in the middle, or cut off."""
    seeded = random.Random(seed)
    source = seeded.choice(SOURCES)()
    content = bytearray(source.read_bytes())
    for _ in range(seeded.choice((1, 2, 8, 64, 512))):
        at = int(len(content) * seeded.random() ** seeded.choice((1, 3)))
        content[at] ^= 1 << seeded.randrange(8)
    if seeded.random() < 0.2:
        piece = seeded.choice(SOURCES)().read_bytes()
        at, begin = seeded.randrange(len(content)), seeded.randrange(len(piece))
        content[at : at + 512] = piece[begin : begin + 512]
    if seeded.random() < 0.3:
        del content[int(len(content) * (0.3 + 0.7 * seeded.random())) :]
    return written(f"mutant-{seed}{source.suffix}", bytes(content))
