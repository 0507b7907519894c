"""What the beginning of a file tells about the whole. Pure.

The checks and the sentences are those of the look into the whole file (tasks/probe/judge.py), and
so is what will be done (tasks/transcode/plan.py). Here is only decided which of these can already
be relied on: a beginning breaks off somewhere, and much of what looks wrong with it is just that.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from appliance.models import Method
from tasks.early_look.estimate import encode_s, in_words
from tasks.probe.judge import judge, name_content
from tasks.transcode.plan import plan

if TYPE_CHECKING:
    from tasks.probe.facts import Probe
    from tasks.probe.judge import Limits, Refusal
    from tasks.profiles import Profile
    from tasks.transcode.plan import Plan

# libavformat knows a file's kind from at most so much of it (PROBE_BUF_MAX), and looks for the
# tracks of kinds that have no header in so much (``probesize``: 5,000,000).
# Source: ffmpeg.org/ffmpeg-formats.html; libavformat/internal.h.
KIND_BYTES = 1 << 20
TRACKS_BYTES = 5_000_000
# Beyond these nothing new is to be expected before the end.
LAST_LOOK_BYTES = 16 << 20
# How much a duration may still change by what the packets say.
_SLACK = 1.01
# A measured rate of less than that says nothing about the whole.
_MEASURE_S = 2.0

# libavformat's words for a file whose kind it knows and we don't take (libavformat/demux.c).
_OTHER_KIND = "Format not on whitelist"
_ONLY_SOUND = ("mp3", "wav", "flac", "aac")
_LIMITS = ("too_few_pixels", "too_many_pixels")
_WHEN_ALL_IS_HERE = "What has to be done is known when all of the file is here."


class Kind(StrEnum):
    REFUSED = "refused"  # the whole can't be used, whatever comes
    FINE = "fine"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Beginning:
    """``probe`` of the first ``here_bytes``; ``length``: of the whole, None if not known yet.

    ``probe.size_bytes`` is the length if that is known. ``head``: the very first bytes.
    """

    probe: Probe
    head: bytes
    here_bytes: int
    length: int | None


@dataclass(frozen=True)
class Verdict:
    """``sentence`` is for whoever sends the file. ``final``: more bytes won't tell more."""

    kind: Kind
    sentence: str
    final: bool
    code: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.kind.value,
            "sentence": self.sentence,
            "code": self.code,
            "final": self.final,
            "facts": self.facts,
        }


def decide(
    beginning: Beginning, limits: Limits, profile: Profile, *, pixels_per_s: float
) -> Verdict:
    """``pixels_per_s``: how fast this box encodes, for the estimate."""
    facts = _facts_of(beginning)
    refusals = judge(beginning.probe, limits, beginning.head)
    for refusal in refusals:
        if is_certain(refusal, beginning, limits):
            return Verdict(Kind.REFUSED, refusal.sentence, True, refusal.code, facts)
    if _index_is_last(beginning):
        facts["index"] = "last"
        sentence = f"Its index comes last. {_WHEN_ALL_IS_HERE}"
        return Verdict(Kind.UNKNOWN, sentence, _beyond(beginning, LAST_LOOK_BYTES), facts=facts)
    doubts = [refusal for refusal in refusals if not _only_cut(refusal, beginning)]
    if doubts or not _tells_enough(beginning):
        last = beginning.here_bytes >= LAST_LOOK_BYTES
        return Verdict(Kind.UNKNOWN, _WHEN_ALL_IS_HERE if last else "", last, facts=facts)
    return _fine(beginning, profile, pixels_per_s, facts)


def is_certain(refusal: Refusal, beginning: Beginning, limits: Limits) -> bool:
    """Whether the look into the whole file must come to a refusal, too."""
    probe = beginning.probe
    if beginning.here_bytes < KIND_BYTES:
        return False
    match refusal.code:
        case "ends_early":
            # The very place that is read at the end says so: more than will ever come.
            length = beginning.length
            return length is not None and (probe.declared_bytes or 0) > length + 8
        case "too_many_tracks":
            return True  # there can only be more
        case "too_long":
            # Of others the duration is guessed from the size and the rate.
            said = not probe.duration_measured and not probe.fragmented
            kind = probe.format.startswith(("mov,", "matroska,"))
            over = probe.duration_s > limits.max_duration_s * _SLACK
            return said and kind and over and _header_is_here(beginning)
        case code if code in _LIMITS:
            video = probe.video
            known = video is not None and min(video.width, video.height) > 0
            seen = video is not None and video.pictures_seen > 0
            return known and seen and _tracks_are_known(beginning)
        case "no_picture":
            return probe.format in _ONLY_SOUND or _header_is_here(beginning)
        case _:
            return _is_something_else(refusal, beginning)


def _is_something_else(refusal: Refusal, beginning: Beginning) -> bool:
    """Its first bytes are another kind of file's, and no demuxer sees a video in it."""
    probe = beginning.probe
    if _OTHER_KIND in probe.error:
        return True
    if probe.video is not None or refusal != name_content(beginning.head):
        return False
    if beginning.head[4:8] == b"ftyp":  # named a picture by its brand, but a film may follow
        return False
    # Any other error (out of time, of memory) says nothing about the file.
    if probe.format == "":
        return probe.error.startswith("InvalidDataError")
    # Taken for sound by chance, as random bytes often are, or for something without a header.
    return probe.format in _ONLY_SOUND or beginning.here_bytes >= TRACKS_BYTES


def _header_is_here(beginning: Beginning) -> bool:
    end = beginning.probe.header_end
    return end is not None and end <= beginning.here_bytes


def _tracks_are_known(beginning: Beginning) -> bool:
    if beginning.probe.header_end is not None or beginning.probe.format.startswith("mov,"):
        return _header_is_here(beginning)
    return beginning.here_bytes >= TRACKS_BYTES


def _index_is_last(beginning: Beginning) -> bool:
    """An ISO file of which the media come first; the index may be next, or gigabytes away."""
    probe = beginning.probe
    iso = beginning.head[4:8] in (b"ftyp", b"mdat", b"wide", b"free", b"skip")
    return iso and not probe.has_index and not probe.fragmented and probe.video is None


def _beyond(beginning: Beginning, mark: int) -> bool:
    """Whether what is at hand reaches over ``mark``, at least by what it says of itself."""
    return max(beginning.here_bytes, beginning.probe.declared_bytes or 0) >= mark


def _only_cut(refusal: Refusal, beginning: Beginning) -> bool:
    """That the file ends early is no wonder, as long as nobody knows how long it will be."""
    return refusal.code == "ends_early" and beginning.length is None


def _tells_enough(beginning: Beginning) -> bool:
    probe, video = beginning.probe, beginning.probe.video
    return (
        video is not None
        and video.decodes
        and video.pictures_seen >= 2
        and _tracks_are_known(beginning)
        and (
            _says_how_long(probe)
            or probe.duration_s >= _MEASURE_S
            or beginning.here_bytes >= LAST_LOOK_BYTES
        )
    )


def _says_how_long(probe: Probe) -> bool:
    """Whether the duration is the whole file's, and not just that of its beginning."""
    header = probe.format.startswith(("mov,", "matroska,", "flv"))
    return header and not probe.duration_measured and not probe.fragmented


def whole(beginning: Beginning) -> Probe:
    """The facts as they will be: what was measured so far grows with the file."""
    probe, length = beginning.probe, beginning.length
    if length is None or (probe.format.startswith("mov,") and _says_how_long(probe)):
        return probe
    duration_s = probe.duration_s
    if not _says_how_long(probe):
        duration_s *= length / beginning.here_bytes
    # The rate of a track counts only the packets that are here, too: better none.
    video = probe.video and replace(probe.video, bit_rate=None)
    return replace(probe, duration_s=duration_s, video=video)


def _fine(
    beginning: Beginning, profile: Profile, pixels_per_s: float, facts: dict[str, Any]
) -> Verdict:
    probe = whole(beginning)
    chosen = plan(probe, profile)
    estimate_s = None
    if chosen.picture is not None and beginning.length is not None:
        estimate_s = encode_s(chosen.picture, probe.duration_s, pixels_per_s)
    facts |= {
        "duration_s": round(probe.duration_s, 1) if beginning.length is not None else None,
        "method": chosen.method.value,
        "reasons": list(chosen.reasons),
        "encode_s": estimate_s,
    }
    return Verdict(Kind.FINE, say(chosen, estimate_s), True, facts=facts)


def say(chosen: Plan, estimate_s: float | None) -> str:
    """What will be done, for whoever sends the file."""
    match chosen.method:
        case Method.LEAVE | Method.REMUX:
            return "No re-encoding needed."
        case Method.AUDIO:
            return "Only the sound will be encoded; that is quick."
        case _:
            if estimate_s is None:
                return "Will be made social-ready."
            return f"Will be made social-ready: about {in_words(estimate_s)}."


def _facts_of(beginning: Beginning) -> dict[str, Any]:
    """What is shown beside the verdict; only what is known already."""
    probe = beginning.probe
    facts: dict[str, Any] = {"looked_at_bytes": beginning.here_bytes}
    if probe.format:
        facts["format"] = probe.format
    if probe.brand:
        facts["brand"] = probe.brand.strip()
    if probe.video is not None:
        facts["codec"] = probe.video.codec
        facts["width"] = probe.video.shown_width
        facts["height"] = probe.video.shown_height
    if probe.audio is not None:
        facts["audio_codec"] = probe.audio.codec
    return facts
