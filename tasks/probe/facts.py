"""What a look into a file has found, as plain frozen values; kept in ``Video.facts``."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, TypeVar

from appliance.text import clean_line

T = TypeVar("T")

# The demuxers that a video may need, and none that opens another file or address: playlists and
# scripts name local files, whatever protocols are allowed. Source: robustness.md R16 (measured).
FORMATS = "mov,mp4,matroska,webm,mpegts,mpeg,avi,flv,ogg,wav,mp3,flac,aac"


# Of those that are kept with the video; what lies beyond is only counted.
MOST_TRACKS = 200


class Edits(StrEnum):
    """What the edit lists of an mp4 do."""

    NONE = "none"
    SHIFT = "shift"  # only make up for the delay of B-frames or of the audio encoder
    CUT = "cut"  # hide or repeat parts: a copy without them would show something else


@dataclass(frozen=True)
class Track:
    """One track of the file, whatever it holds. ``start_s`` None: it doesn't say."""

    index: int
    type: str  # video, audio, subtitle, data, attachment
    codec: str = ""
    language: str = ""
    title: str = ""
    default: bool = False
    cover: bool = False
    start_s: float | None = None


@dataclass(frozen=True)
class Chapter:
    start_s: float
    title: str = ""


@dataclass(frozen=True)
class VideoTrack:
    """``width`` and ``height`` are as stored; ``shown_*`` after rotation and pixel shape.

    ``bit_rate`` in bits per second. ``transfer``: "pq" and "hlg" are HDR. ``field_order``: "top" or
    "bottom", the field that is shown first. ``dolby_vision``: its profile, 0 if that isn't known.
    ``closed_gop`` None: no second keyframe was seen. ``duration_s``: of this track, by its header;
    None: that doesn't say.
    """

    index: int
    codec: str
    profile: str
    level: int
    pix_fmt: str
    width: int
    height: int
    shown_width: int
    shown_height: int
    turned: bool
    sar: tuple[int, int]
    fps: float  # of a varying rate the average; 0: unknown
    variable: bool
    interlaced: bool
    matrix: str
    transfer: str
    full_range: bool
    bit_rate: int | None
    first_s: float
    pictures_seen: int
    longest_gop_s: float | None
    decodes: bool
    rotation: int = 0  # degrees, counterclockwise, as players do it
    primaries: str = ""
    field_order: str = ""
    b_frames: bool = False
    closed_gop: bool | None = None
    dolby_vision: int | None = None
    duration_s: float | None = None

    @property
    def hdr(self) -> bool:
        return self.transfer in ("pq", "hlg") or self.only_dolby_vision

    @property
    def only_dolby_vision(self) -> bool:
        """Profile 5 has no picture beside it that others could show in its right colours."""
        return self.dolby_vision == 5


@dataclass(frozen=True)
class AudioTrack:
    """``duration_s`` as with the picture."""

    index: int
    codec: str
    profile: str
    rate_hz: int
    channels: int
    bit_rate: int | None
    first_s: float
    language: str = ""
    layout: str = ""  # "stereo", "5.1(side)"
    duration_s: float | None = None


@dataclass(frozen=True)
class Probe:
    """One file. ``video`` and ``audio``: the tracks that count, or None. ``all_tracks``: all.

    ``faststart`` is None where the question makes no sense (not mp4). ``declared_bytes``: how
    long the file says it is; more than ``size_bytes`` means that its end is missing.
    """

    size_bytes: int
    format: str = ""
    brand: str = ""
    duration_s: float = 0.0
    bit_rate: int | None = None
    video: VideoTrack | None = None
    audio: AudioTrack | None = None
    tracks: int = 0
    other_tracks: int = 0  # covers, text, timecode, further video and audio
    faststart: bool | None = None
    fragmented: bool = False
    edits: Edits = Edits.NONE
    declared_bytes: int | None = None
    # How far the part reaches that describes the tracks; None: not found, or there is no such part.
    header_end: int | None = None
    duration_measured: bool = False  # from the packets; the file itself doesn't say it
    has_index: bool = True
    has_location: bool = False
    error: str = ""  # in the words of the library; for the folded part of the screen
    all_tracks: tuple[Track, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    start_s: float = 0.0  # where the clock of the file begins
    timecode: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Probe:
        """Also of what older versions wrote: what they didn't look for is as if not found."""
        video, audio = data.get("video"), data.get("audio")
        if video is not None:
            video = _load(VideoTrack, {**video, "sar": tuple(video["sar"])})
        return _load(
            cls,
            {
                "size_bytes": 0,
                **data,
                "edits": Edits(data.get("edits", Edits.NONE)),
                "video": video,
                "audio": _load(AudioTrack, audio) if audio is not None else None,
                "all_tracks": tuple(_load(Track, t) for t in data.get("all_tracks", ())),
                "chapters": tuple(_load(Chapter, c) for c in data.get("chapters", ())),
            },
        )


def _load(kind: type[T], data: dict[str, Any]) -> T:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # all are dataclasses
    return kind(**{name: value for name, value in data.items() if name in known})


def parse(report: dict[str, Any], size_bytes: int) -> Probe:
    """The report of tasks/probe/child.py, judged by nobody yet.

    Raises KeyError, TypeError or ValueError when it is no such report.
    """
    shape: dict[str, Any] = report["shape"]
    known: dict[str, Any] = {
        "size_bytes": size_bytes,
        "declared_bytes": shape.get("declared_size"),
        "header_end": shape.get("header_end"),
        "has_index": bool(shape.get("has_index", True)),
        "faststart": shape.get("faststart"),
        "fragmented": bool(shape.get("fragmented", False)),
        "brand": str(shape.get("brand", "")),
        "error": str(report.get("error", ""))[:2000],
    }
    media = report.get("media")
    if media is None:
        return Probe(**known)
    tracks: list[dict[str, Any]] = media["tracks"]
    pictures = [t for t in tracks if "decodes" in t] or [
        t for t in tracks if t["type"] == "video" and not t["cover"] and "width" in t
    ]
    sound = _choose_sound(tracks)
    return Probe(
        **known,
        format=str(media["format"]),
        duration_s=_finite(media["duration_s"]),
        duration_measured=bool(media.get("duration_measured", False)),
        bit_rate=media["bit_rate"],
        video=_video(pictures[0], shape.get("dolby_vision")) if pictures else None,
        audio=_audio(sound) if sound else None,
        tracks=len(tracks),
        other_tracks=len(tracks) - bool(pictures) - bool(sound),
        edits=_edits(shape.get("edits", [])),
        has_location=bool(media["has_location"]),
        all_tracks=tuple(_track(track) for track in tracks[:MOST_TRACKS]),
        chapters=tuple(
            Chapter(_finite(start), clean_line(str(title), max_bytes=200))
            for start, title in media.get("chapters", [])[:MOST_TRACKS]
        ),
        start_s=_finite(media.get("start_s")),
        timecode=clean_line(str(media.get("timecode", "")), max_bytes=32),
    )


def _choose_sound(tracks: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The sound that players choose: the default, else the first; comments for some come last.

    Phones add a track in a codec of their own beside it, which nobody here can read.
    """
    sounds = [t for t in tracks if t["type"] == "audio" and t.get("rate_hz", 0) > 0]
    sounds.sort(key=lambda t: (bool(t.get("apart")), not t.get("default")))
    return sounds[0] if sounds else None


def _track(track: dict[str, Any]) -> Track:
    start = track.get("start_s")
    return Track(
        index=int(track["index"]),
        type=str(track["type"]),
        codec=str(track.get("codec", "")),
        language=clean_line(str(track.get("language", "")), max_bytes=16),
        title=clean_line(str(track.get("title", "")), max_bytes=200),
        default=bool(track.get("default")),
        cover=bool(track.get("cover")),
        start_s=None if start is None else _finite(start),
    )


def _video(track: dict[str, Any], dolby_vision: int | None) -> VideoTrack:
    sar_num, sar_den = (int(part) for part in track["sar"])
    if sar_num <= 0 or sar_den <= 0:
        sar_num = sar_den = 1
    shown_width = max(1, round(track["width"] * sar_num / sar_den))
    shown_height = int(track["height"])
    if track.get("rotation", 0) in (90, 270):
        shown_width, shown_height = shown_height, shown_width
    average, base = _finite(track["fps_average"]), _finite(track["fps_base"])
    return VideoTrack(
        index=int(track["index"]),
        codec=str(track["codec"]),
        profile=str(track["profile"]),
        level=int(track["level"]),
        pix_fmt=str(track["pix_fmt"]),
        width=int(track["width"]),
        height=int(track["height"]),
        shown_width=shown_width,
        shown_height=shown_height,
        turned=bool(track.get("turned", False)),
        sar=(sar_num, sar_den),
        # Of a short file the header's average is off by the last picture.
        fps=_finite(track.get("fps_seen")) or average or base,
        variable=bool(track.get("variable", False)),
        interlaced=bool(track.get("interlaced", False)),
        matrix=str(track.get("matrix", "")),
        transfer=str(track.get("transfer", "")),
        full_range=bool(track.get("full_range", False)),
        bit_rate=track["bit_rate"],
        first_s=_finite(track.get("first_s", track.get("start_s"))),
        pictures_seen=int(track.get("pictures_seen", 0)),
        longest_gop_s=track.get("longest_gop_s"),
        decodes=bool(track.get("decodes", False)),
        rotation=int(track.get("rotation", 0)),
        primaries=str(track.get("primaries", "")),
        field_order=str(track.get("field_order", "")),
        b_frames=bool(track.get("b_frames", False)),
        closed_gop=track.get("closed_gop"),
        dolby_vision=dolby_vision if dolby_vision else 0 if track.get("dolby_vision") else None,
        duration_s=_finite(track.get("duration_s")) or None,
    )


def _audio(track: dict[str, Any]) -> AudioTrack:
    return AudioTrack(
        index=int(track["index"]),
        codec=str(track["codec"]),
        profile=str(track["profile"]),
        rate_hz=int(track["rate_hz"]),
        channels=int(track["channels"]),
        bit_rate=track["bit_rate"],
        first_s=_finite(track.get("first_s", track.get("start_s"))),
        language=clean_line(str(track.get("language", "")), max_bytes=16),
        layout=str(track.get("layout", "")),
        duration_s=_finite(track.get("duration_s")) or None,
    )


# B-frames delay by a few pictures, AAC encoders by at most 2112 samples.
_SHIFT_S = 0.25


def _edits(tracks: list[list[list[float]]]) -> Edits:
    if not tracks:
        return Edits.NONE
    for entries in tracks:
        shown = [(length, begin) for length, begin in entries if begin >= 0]
        waits = [length for length, begin in entries if begin < 0]
        if len(shown) != 1 or shown[0][1] > _SHIFT_S or sum(waits) > _SHIFT_S:
            return Edits.CUT
    return Edits.SHIFT


def _finite(value: Any) -> float:
    number = float(value or 0.0)
    return number if math.isfinite(number) else 0.0
