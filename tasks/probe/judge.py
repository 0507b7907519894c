"""Is it a video that can be worked with? If not: why, and what to do, in a sentence. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.probe.decoders import ALLOWED

if TYPE_CHECKING:
    from tasks.probe.facts import Probe

# A macroblock; anything smaller is a pixel to be counted by, not a picture to be looked at.
MIN_SIDE_PX = 16

_PICTURES = (
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
_STILL_BRANDS = (b"heic", b"heix", b"mif1", b"avif")


@dataclass(frozen=True)
class Limits:
    max_duration_s: float
    max_pixels: int
    max_tracks: int


@dataclass(frozen=True)
class Refusal:
    """``code`` is for scripts, ``sentence`` for the person who brought the file."""

    code: str
    sentence: str


def judge(probe: Probe, limits: Limits, head: bytes) -> list[Refusal]:
    """Why the file can't be used, the best reason first; [] if it can.

    ``head``: the first bytes of the file, to name what it is instead.
    """
    if probe.size_bytes == 0:
        return [
            Refusal(
                "empty",
                "The file is empty: it has 0 bytes. Export or copy it again, then upload that.",
            )
        ]
    if probe.video is None:
        return [_without_picture(probe, head)]
    # What isn't opened has no size and no pictures either: that comes first.
    found = [*_shut(probe), _ends_early(probe), *_beyond_limits(probe, limits), *_unplayable(probe)]
    return [refusal for refusal in found if refusal is not None]


def _without_picture(probe: Probe, head: bytes) -> Refusal:
    if (kind := name_content(head)) is not None:
        return kind
    if probe.audio is not None:
        return Refusal(
            "no_picture",
            "This file has sound but no picture. Upload a video; for music or speech, make a "
            "video with a still picture first.",
        )
    if (early := _ends_early(probe)) is not None:
        return early
    if probe.size_bytes < 64:
        return Refusal(
            "too_small",
            f"The file has only {probe.size_bytes} bytes, too few for a video. Look at the "
            "source, then upload it again.",
        )
    return Refusal(
        "not_a_video",
        "This is no video that can be read: another kind of file, or a damaged one. If it plays "
        "on your computer, export it as MP4 and upload that.",
    )


def name_content(head: bytes) -> Refusal | None:
    """What a file is, from its first bytes, if it is one of the things that people mix up."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, name in _PICTURES:
        if head.startswith(magic):
            return _still(name)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _still("WebP")
    if head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS:
        return _still(head[8:12].decode().upper())
    if text.startswith((b"#EXTM3U", b"ffconcat", b"[playlist]")) or b"<MPD" in text[:2000]:
        return Refusal(
            "playlist",
            "This is a playlist: text that names other files, without any picture of its own. "
            "Upload the video file itself.",
        )
    if text.startswith(b"v=0") and b"m=" in text:
        return Refusal(
            "playlist",
            "This describes a stream on the network and holds no picture. Record it, then upload "
            "the recording.",
        )
    for magic, name in (
        (b"%PDF", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive or an office document"),
        (b"\x1f\x8b", "a compressed archive"),
        (b"7z\xbc\xaf", "a 7-Zip archive"),
        (b"Rar!", "a RAR archive"),
        (b"\xfd7zXZ\x00", "a compressed archive"),
        (b"\x28\xb5\x2f\xfd", "a compressed archive"),
        (b"BZh", "a compressed archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document"),
        (b"8BPS", "a Photoshop picture"),
        (b"SQLite format 3\x00", "a database"),
        (b"\x7fELF", "a program"),
        (b"MZ", "a program"),
    ):
        if text.startswith(magic):
            return Refusal("not_a_video", f"This is {name}, not a video. Upload the video in it.")
    if head[257:262] == b"ustar":
        return Refusal("not_a_video", "This is an archive, not a video. Upload the video in it.")
    if re.match(rb"(?is)<(!doctype|html|\?xml|svg)", text):
        return Refusal(
            "not_a_video",
            "This is a web page or a drawing, not a video. If it was downloaded, the download "
            "went wrong: get the video file itself.",
        )
    if len(head) >= 64 and head.isascii() and b"\0" not in head:
        return Refusal("not_a_video", "This is a text file, not a video. Upload a video file.")
    return None


def _still(name: str) -> Refusal:
    return Refusal(
        "picture", f"This is a still picture ({name}), not a video. Upload a video file."
    )


def _shut(probe: Probe) -> list[Refusal]:
    """Formats that ffmpeg knows and we leave alone: see tasks/probe/decoders.py."""
    tracks = (("picture", probe.video), ("sound", probe.audio))
    return [
        Refusal(
            "format_refused",
            f"The {what} is in a format ({track.codec}) that this box doesn't open, because it "
            "is rare and seldom safe. Export the video as MP4 and upload that.",
        )
        for what, track in tracks
        if track is not None and track.codec and track.codec not in ALLOWED
    ]


def _ends_early(probe: Probe) -> Refusal | None:
    declared = probe.declared_bytes or 0
    missing = max(0, declared - probe.size_bytes)
    # RIFF counts a padding byte that some programs leave out.
    if probe.has_index and missing <= 8:
        return None
    if missing > 8 and declared > 0:
        how_much = f"at least {100 * missing // declared} % of it is missing"
        if missing * 100 < declared:
            how_much = f"its last {missing:,} bytes are missing"
    elif probe.fragmented:
        return None
    else:
        how_much = "its index, which cameras write last, is missing"
    return Refusal(
        "ends_early",
        f"The file ends early: {how_much}. Copy it again from the camera or the program that "
        "made it, then upload that.",
    )


def _beyond_limits(probe: Probe, limits: Limits) -> list[Refusal]:
    assert probe.video is not None
    width, height = probe.video.width, probe.video.height
    found = []
    if width < MIN_SIDE_PX or height < MIN_SIDE_PX:
        found.append(
            Refusal(
                "too_few_pixels",
                f"The picture is {width} × {height} pixels, too small to be shown. Upload a video "
                f"of at least {MIN_SIDE_PX} × {MIN_SIDE_PX}.",
            )
        )
    if width * height > limits.max_pixels:
        found.append(
            Refusal(
                "too_many_pixels",
                f"The picture is {width} × {height} pixels, more than this box takes "
                f"({limits.max_pixels / 1e6:.0f} megapixels). Export it smaller, in 4K say.",
            )
        )
    if probe.duration_s > limits.max_duration_s:
        found.append(
            Refusal(
                "too_long",
                f"The video lasts {_hours(probe.duration_s)}; this box takes up to "
                f"{_hours(limits.max_duration_s)}. Cut it into parts, or ask your admin.",
            )
        )
    if probe.tracks > limits.max_tracks:
        found.append(
            Refusal(
                "too_many_tracks",
                f"The file has {probe.tracks} tracks; this box takes up to {limits.max_tracks}. "
                "Export it with one picture and one sound track.",
            )
        )
    return found


def _unplayable(probe: Probe) -> list[Refusal]:
    assert probe.video is not None
    if not probe.video.decodes:
        return [
            Refusal(
                "undecodable",
                "The picture can't be decoded: the file is damaged, or its format "
                f"({probe.video.codec}) isn't known here. Export it as MP4 and upload that.",
            )
        ]
    if probe.video.pictures_seen < 2:
        return [Refusal("picture", "This holds a single picture. Upload a video file.")]
    if probe.duration_s <= 0:
        return [
            Refusal(
                "no_duration",
                "The file doesn't say how long it lasts, and it can't be measured. Export it as "
                "MP4 and upload that.",
            )
        ]
    return []


def _hours(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:,.1f} hours".replace(".0 ", " ")
