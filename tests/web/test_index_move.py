"""The browser sends the index of camera files in front (parts/upload/index_move.js).

Checked by ffmpeg, which knows nothing of our code: every packet of picture and sound must be the
same, at the same time, and the first MiB alone must show all tracks.
"""

from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING, Any

import av
import pytest

from tests import media
from tests.iso_boxes import box, boxes, places, shifted, top
from tests.web.browser_modules import Modules, running_modules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GIB4 = 1 << 32
C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
LAST = (*media.H264, *media.AAC)


@pytest.fixture(scope="module")
def modules() -> Iterator[Modules]:
    with running_modules() as modules:
        yield modules


# The files


def camera_mp4() -> bytes:
    """B-frames, edit list, sound, index last."""
    return media.index_last().read_bytes()


def made(name: str, *options: str, **how: Any) -> bytes:
    return media.clip(name, *options, **how).read_bytes()


def timecode_mov() -> bytes:
    return made("timecode.mov", *LAST, "-timecode", "01:00:00:00")


def prores_pcm_mov() -> bytes:
    return made("prores.mov", "-c:v", "prores_ks", "-profile:v", "0", "-c:a", "pcm_s16le")


def hevc_mov() -> bytes:
    return made("hevc.mov", "-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1",
                "-x265-params", "log-level=none", *media.AAC)  # fmt: skip


def trimmed_by_edit_list() -> bytes:
    whole = media.clip("long-gop.mp4", *LAST, "-g", "60", seconds=3)
    target = media.folder() / "trimmed.mp4"
    media.ffmpeg("-ss", "1.2", "-i", str(whole), "-c", "copy", str(target))
    return target.read_bytes()


def two_sounds() -> bytes:
    one = media.index_last()
    target = media.folder() / "two-sounds.mp4"
    media.ffmpeg(
        "-i", str(one), "-i", str(one), "-map", "0", "-map", "1:a", "-c", "copy", str(target)
    )
    return target.read_bytes()


def with_subtitles() -> bytes:
    words = media.written("words.srt", "1\n00:00:00,200 --> 00:00:01,000\nHello\n")
    target = media.folder() / "subtitles.mp4"
    media.ffmpeg("-i", str(media.index_last()), "-i", str(words), "-c", "copy",
                 "-c:s", "mov_text", str(target))  # fmt: skip
    return target.read_bytes()


def two_mdats() -> bytes:
    """The media in two boxes, with a free one and a maker's notes between and before."""
    parts = top(camera_mp4())
    ftyp, moov = parts["ftyp"], parts["moov"]
    start = camera_mp4().index(parts["mdat"])
    body = parts["mdat"][8:]
    chunks = sorted(places(moov))
    cut = chunks[len(chunks) // 2] - (start + 8)
    notes = box(b"uuid", bytes(range(16)) + b"PROF of a camera")
    between = box(b"free", bytes(100))
    new_start = len(ftyp) + len(notes) + 8
    moved = shifted(
        moov,
        lambda at: (
            at - (start + 8) + new_start + (len(between) + 8 if at - start - 8 >= cut else 0)
        ),
    )
    return (
        ftyp + notes + box(b"mdat", body[:cut]) + between + box(b"mdat", body[cut:]) + moved
        + box(b"free", bytes(8))
    )  # fmt: skip


def index_in_the_middle() -> bytes:
    """Media before and behind the index."""
    data = two_mdats()
    ftyp, notes, first, free, second, moov, end = (
        data[start:stop] for _kind, start, _body, stop in boxes(data)
    )
    border = len(ftyp) + len(notes) + len(first)
    moved = shifted(moov, lambda at: at + len(moov) if at > border else at)
    return ftyp + notes + first + moved + free + second + end


def wide_mdat() -> bytes:
    """A size of 64 bits in front of the media, as recorders write that don't know how long."""
    parts = top(camera_mp4())
    data = camera_mp4()
    before = data.index(parts["mdat"])
    body = parts["mdat"][8:]
    mdat = struct.pack(">I4sQ", 1, b"mdat", len(body) + 16) + body
    return data[:before] + mdat + shifted(parts["moov"], lambda at: at + 8)


USUAL = {
    "camera": (camera_mp4, 2),
    "timecode": (timecode_mov, 3),
    "prores": (prores_pcm_mov, 2),
    "hevc": (hevc_mov, 2),
    "edit list": (trimmed_by_edit_list, 2),
    "two sounds": (two_sounds, 3),
    "subtitles": (with_subtitles, 3),
    "two mdats": (two_mdats, 2),
    "index in the middle": (index_in_the_middle, 2),
    "wide mdat": (wide_mdat, 2),
}


def packets(file: Path) -> str:
    """A hash of each packet with its times, as ffmpeg reads them."""
    command = [media.FFMPEG, "-v", "error", "-i", str(file), "-map", "0", "-c", "copy"]
    done = subprocess.run(
        [*command, "-f", "framemd5", "-"], capture_output=True, check=True, text=True, timeout=60
    )
    return done.stdout


def tracks(file: Path) -> int:
    # As the box probes; the ffmpeg that comes with the package has no ffprobe.
    with av.open(str(file)) as opened:
        return len(opened.streams)


@pytest.mark.parametrize("name", USUAL)
def test_index_comes_first_and_no_packet_changes(
    modules: Modules, tmp_path: Path, name: str
) -> None:
    make, count = USUAL[name]
    old, new = tmp_path / "old.mov", tmp_path / "new.mov"
    old.write_bytes(make())
    made = modules.call("move", path=old, out=new)
    assert made == {"length": old.stat().st_size} == {"length": new.stat().st_size}
    assert [kind for kind, *_ in boxes(new.read_bytes())][:2] == ["ftyp", "moov"]
    assert packets(new) == packets(old)
    assert len(packets(new).splitlines()) > 50
    # What the box sees after a moment: the index is whole, whatever follows it.
    head = tmp_path / "head.mov"
    head.write_bytes(new.read_bytes()[: boxes(new.read_bytes())[1][3] + 5000])
    assert tracks(head) == count


@pytest.mark.parametrize("over", [-3500, -100, 50_000], ids=["one", "all", "before, too"])
def test_places_beyond_4_gib_get_64_bits(modules: Modules, tmp_path: Path, over: int) -> None:
    """A hole in the media, which takes no room on the disk: the last place is ``over`` 4 GiB.

    Before the move, that is; with the 3,548 bytes of the index in front, one track or all are.
    """
    data = media.index_last().read_bytes()
    parts = top(data)
    moov, body, before = parts["moov"], parts["mdat"][8:], data.index(parts["mdat"])
    shift = GIB4 + over - max(places(moov))
    gap = before + 8 + shift
    moov = _with_co64(moov, shift) if over > 0 else shifted(moov, lambda at: at + shift)
    mdat = struct.pack(">I4sQ", 1, b"mdat", shift + 8 + len(body))
    old, new = tmp_path / "old.mp4", tmp_path / "new.mp4"
    with old.open("wb") as file:
        file.write(data[:before] + mdat)
        file.seek(gap)
        file.write(body + moov)
    expected = packets(old)
    assert len(expected.splitlines()) > 50

    made = modules.call("move", path=old, out=new, most=before + 2 * len(moov))
    head = new.read_bytes()
    (_, _, _, front) = boxes(head, 0, 8)[0]
    size, kind = struct.unpack_from(">I4s", head, front)
    end = front + size
    assert kind == b"moov" and head[:end].count(b"co64") == (1 if over == -3500 else 2)
    # The rest is what it was: written here without its hole.
    with new.open("r+b") as file:
        file.truncate(end)
        file.seek(end)
        file.write(data[front:before] + mdat)
        file.seek(end + gap - front)
        file.write(body)
    assert made == {"length": new.stat().st_size}
    assert packets(new) == expected


def _with_co64(moov: bytes, shift: int) -> bytes:
    """An index with places of 64 bits, made box by box."""

    def rebuilt(data: bytes, start: int, end: int) -> bytes:
        out = b""
        for kind, at, body, stop in boxes(data, start, end):
            if kind in ("moov", "trak", "mdia", "minf", "stbl"):
                out += box(kind.encode(), rebuilt(data, body, stop))
            elif kind == "stco":
                (count,) = struct.unpack_from(">I", data, body + 4)
                places = struct.unpack_from(f">{count}I", data, body + 8)
                wide = struct.pack(f">{count}Q", *(place + shift for place in places))
                out += box(b"co64", data[body : body + 8] + wide)
            else:
                out += data[at:stop]
        return out

    return rebuilt(moov, 0, len(moov))


# What is sent as it is


def _in_index(old: bytes, new: bytes) -> bytes:
    data = camera_mp4()
    at = data.rindex(old)
    return data[:at] + new + data[at + len(old) :]


def _with_top(kind: bytes, body: bytes) -> bytes:
    data = camera_mp4()
    return data + box(kind, body)


def _outside_media() -> bytes:
    parts = top(camera_mp4())
    moov = shifted(parts["moov"], lambda at: 12)
    return camera_mp4().replace(parts["moov"], moov)


UNUSUAL = {
    "index is first": lambda: media.h264_aac().read_bytes(),
    "fragments": lambda: made("frag.mp4", *LAST, "-movflags", "frag_keyframe+empty_moov"),
    "fragments with an index": lambda: made("hybrid.mp4", *LAST, "-movflags", "frag_keyframe"),
    "cut off": lambda: camera_mp4()[:-100],
    "cut in a header": lambda: camera_mp4() + b"\0\0\0",
    "rubbish behind": lambda: camera_mp4() + b"SEFT" * 10,
    "no index": lambda: top(camera_mp4())["ftyp"] + top(camera_mp4())["mdat"],
    "no ftyp": lambda: camera_mp4()[len(top(camera_mp4())["ftyp"]) :],
    "two indexes": lambda: camera_mp4() + top(camera_mp4())["moov"],
    "compressed index": lambda: _in_index(b"mvhd", b"cmov"),
    "fragments promised": lambda: _in_index(b"udta", b"mvex"),
    "items": lambda: camera_mp4().replace(b"hdlr\0\0\0\0\0\0\0\0mdir", b"iloc\0\0\0\0\0\0\0\0mdir"),
    "auxiliary data": lambda: _in_index(b"stsz", b"saio"),
    "other file": lambda: _in_index(b"url \0\0\0\1", b"url \0\0\0\0"),
    "unknown box": lambda: _with_top(b"PICT", b"what is this"),
    "credentials": lambda: _with_top(b"uuid", C2PA + b"signed"),
    "places outside": _outside_media,
    "table too short": lambda: _in_index(b"stsz", b"stco"),
    "not of boxes": lambda: media.webm_vp9().read_bytes(),
    "nothing": lambda: b"",
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSUAL)
def test_anything_unusual_is_sent_as_it_is(modules: Modules, tmp_path: Path, name: str) -> None:
    file = tmp_path / "file.mp4"
    data = UNUSUAL[name]()
    assert data != camera_mp4()
    file.write_bytes(data)
    assert modules.call("move", path=file, out=tmp_path / "never.mp4") is None
    assert not (tmp_path / "never.mp4").exists()


def test_duration_is_read_from_the_index(modules: Modules) -> None:
    assert modules.call("duration", path=media.index_last()) == pytest.approx(2, abs=0.05)
    assert modules.call("duration", path=media.very_long()) > 6 * 3600
    assert modules.call("duration", path=media.webm_vp9()) is None
