"""What browsers decide before and while they send (assets/js/parts/upload), called in Node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import media
from tests.web.browser_modules import Modules, running_modules

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def modules() -> Iterator[Modules]:
    with running_modules() as modules:
        yield modules


def _made(name: str, *options: str) -> Any:
    return media.clip(name, "-c:v", "mpeg2video", "-c:a", "mp2", *options)


VIDEOS = {
    "MP4": media.h264_aac,
    "MOV": lambda: media.clip("kind.mov", *media.H264, *media.AAC),
    "MKV": media.h264_opus,
    "WebM": media.webm_vp9,
    "AVI": lambda: _made("kind.avi"),
    "MPEG-TS": lambda: _made("kind.ts"),
    "MPEG": lambda: _made("kind.mpg", "-f", "vob"),
    "FLV": lambda: media.clip("kind.flv", *media.H264, *media.AAC),
    "3GP": lambda: media.clip("kind.3gp", *media.H264, *media.AAC, "-brand", "3gp4"),
    "Ogg": lambda: media.clip("kind.ogv", "-c:v", "libtheora", "-c:a", "libvorbis"),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_videos_are_known_by_their_first_bytes(modules: Modules, name: str) -> None:
    found = modules.call("kind", path=VIDEOS[name](), name="no ending")
    assert found["kind"]["name"] == name
    assert found["problem"] == ""
    assert bool(found["kind"].get("iso")) == (name in ("MP4", "MOV", "3GP"))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (lambda: media.clip("kind.m2ts", *media.H264, "-mpegts_m2ts_mode", "1"), "MPEG-TS"),
        (lambda: media.clip("avc.mkv", *media.H264, *media.AAC), "MKV"),
    ],
    ids=["m2ts", "mkv with aac"],
)
def test_relatives_are_known_too(modules: Modules, file: Any, name: str) -> None:
    assert modules.call("kind", path=file())["kind"]["name"] == name


OTHERS = {
    "a picture": [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"\0\0\0\x18ftypheic",
                  b"\0\0\0\x20ftypavif", b"RIFF\1\2\3\4WEBPVP8 "],
    "a PDF": [b"%PDF-1.7\n%\xe2\xe3"],
    "an archive": [b"PK\3\4\x14\0", b"Rar!\x1a\7", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b\x08\0",
                   bytes(257) + b"ustar\x0000"],
    "a program": [b"MZ\x90\0\3\0\0\0", b"\x7fELF\2\1\1\0"],
    "sound only": [b"ID3\4\0\0", b"\xff\xfb\x90\x64", b"fLaC\0\0", b"RIFF\1\2\3\4WAVEfmt ",
                   b"\0\0\0\x20ftypM4A ", b"OggS\0\2" + bytes(20) + b"\x01vorbis"],
    "text": [b"Dear all,\r\n\tthe video follows.\n", "Grüße, 世界\n".encode(),
             b"\xff\xfeh\0i\0", b"<?xml version='1.0'?><a/>", b"1\n00:00:01,000 --> 00:00:02,0\n"],
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_other_files_are_named_whatever_they_are_called(modules: Modules, what: str) -> None:
    for head in OTHERS[what]:
        found = modules.call("kind", hex=head.hex(), name="holiday.mp4", type="video/mp4")
        assert found["problem"].startswith(f"This is no video file: it holds {what}."), head


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (bytes.fromhex("3026b2758e66cf11a6d9"), "The box can't read WMV. Export"),
        (bytes(12) + bytes.fromhex("060e2b34020501010d0102"), "The box can't read MXF. Export"),
        (bytes(4096), "This file holds nothing but zeros"),
    ],
)
def test_what_the_box_has_no_reader_for_is_said_before(
    modules: Modules, head: bytes, says: str
) -> None:
    assert modules.call("kind", hex=head.hex(), name="a.mp4")["problem"].startswith(says)


def test_unknown_bytes_are_sent_when_the_name_promises_a_video(modules: Modules) -> None:
    head = bytes([1, 2, 3, 200, 0, 17] * 30).hex()
    assert modules.call("kind", hex=head, name="a.MOD")["problem"] == ""
    assert modules.call("kind", hex=head, name="a", type="video/x-new")["problem"] == ""
    found = modules.call("kind", hex=head, name="a.bin", type="application/octet-stream")
    assert found["problem"].startswith("This is no video file.")


PROBLEM = '{"status": 507, "detail": "The box has no room for this file."}'


@pytest.mark.parametrize(
    ("answer", "act", "wait_s", "say"),
    [
        ({"status": 0}, "again", 1, ""),
        ({"status": 0, "tries": 3}, "again", 8, ""),
        ({"status": 0, "tries": 99}, "again", 30, ""),
        ({"status": 409, "text": "A later request has taken over."}, "again", 1, ""),
        ({"status": 423, "retryAfter": 7}, "again", 7, ""),
        ({"status": 460}, "again", 1, ""),
        ({"status": 502, "text": "<html>Bad gateway</html>"}, "again", 1, ""),
        ({"status": 429, "text": "50 wait.", "retryAfter": 60}, "again", 60, "50 wait."),
        ({"status": 503, "text": "Busy.", "retryAfter": 5}, "again", 5, "Busy."),
        ({"status": 507, "text": PROBLEM}, "room", 30, "The box has no room for this file."),
        ({"status": 404}, "anew", 0, ""),
        ({"status": 410, "ended": "expired", "text": "Removed."}, "anew", 0, "Removed."),
        ({"status": 410, "ended": "lost", "tries": 2, "text": "Gone."}, "stop", None, "Gone."),
        ({"status": 410, "ended": "failed", "text": "No video."}, "stop", None, "No video."),
        ({"status": 413, "text": "Too large."}, "stop", None, "Too large."),
        ({"status": 400, "text": "<p>x</p>"}, "stop", None, "The box refused this upload."),
        ({"status": 401}, "stop", None, "You are signed out."),
    ],
)  # fmt: skip
def test_answers_of_the_box_decide_how_it_goes_on(
    modules: Modules, answer: dict[str, Any], act: str, wait_s: int | None, say: str
) -> None:
    verdict = modules.call("judge", **answer)
    assert (verdict["act"], verdict.get("wait_s")) == (act, wait_s)
    assert verdict["say"].startswith(say) if say else verdict["say"] == ""


def test_what_systems_leave_in_folders_is_no_video_of_anybody(modules: Modules) -> None:
    left = [".DS_Store", "DCIM/._C0001.MP4", "a/Thumbs.db", "desktop.ini", "__MACOSX/a.mp4",
            "x/.Trashes/b.mp4", "$RECYCLE.BIN/c.mp4"]  # fmt: skip
    kept = ["a.mp4", "DCIM/C0001.MP4", "my.holiday/1.mov", "a/Thumbs.db.mp4", "lost.mp4"]
    assert modules.call("system", names=left + kept) == left


def test_time_left_is_said_after_five_seconds_and_follows_slowly(modules: Modules) -> None:
    steady = [[at, at * 1000] for at in range(0, 4900, 100)]  # 1 MB/s
    found = modules.call("pace", samples=steady, left=10_000_000)
    assert found["speed"] == pytest.approx(1e6, rel=0.01)
    assert found["left"] is None
    later = [[at, at * 1000] for at in range(0, 8000, 100)]
    assert modules.call("pace", samples=later, left=10_000_000)["left"] == pytest.approx(
        10, rel=0.01
    )
    # The network stalls for a second: the estimate doesn't jump to the double.
    stalled = [*later, [8900, 7_900_000], [9000, 7_900_000]]
    assert 10 < modules.call("pace", samples=stalled, left=10_000_000)["left"] < 13


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(45, "45 s"), (240, "4 min"), (6 * 3600, "6 h"), (3900, "1 h 5 min"), (18_035, "5 h 1 min")],
)
def test_spans_are_written_as_on_the_pages(modules: Modules, seconds: int, words: str) -> None:
    assert modules.call("span", seconds=seconds) == words


def test_recording_is_read_from_where_the_box_is(modules: Modules) -> None:
    """After a cut the box may ask again from its last acknowledgement, never from before."""
    found = modules.call("grow", blobs=["abc", "defg", "hi"], asks=[0, 2, 3, 7, 9])
    assert "".join(found["read"][0][0]) == "abc"
    assert found["read"][1] == ["c", False]
    assert [done for _text, done in found["read"]] == [False, False, False, False, True]
    assert found["read"][-1] == ["", True]
    assert found["total"] == 9
    lost = modules.call("grow", blobs=["abc", "defg"], asks=[0, 3, 7, 1])
    assert lost["read"][-1].startswith("The box has lost bytes of this recording.")
