"""What has to be done to a file so that every place takes it: as little as possible. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from appliance.models import Method
from tasks.probe.facts import Edits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.probe.facts import AudioTrack, Probe, VideoTrack
    from tasks.profiles import Acceptance, Profile, Targets


@dataclass(frozen=True)
class Picture:
    """How the picture is to be encoded. Sizes in pixels, even; ``fps`` as ffmpeg writes it."""

    width: int
    height: int
    fps: str
    level: str
    deinterlace: bool
    tone_map: bool
    from_matrix: str


@dataclass(frozen=True)
class Plan:
    """``reasons``: why it isn't less work, in words for the Video page."""

    method: Method
    video_index: int
    audio_index: int | None
    picture: Picture | None = None  # None: copied
    encode_audio: bool = False  # with audio_index None: silence is made
    reasons: tuple[str, ...] = ()


def plan(probe: Probe, profile: Profile) -> Plan:
    """The cheapest way that every place of the profile accepts: leave, remux, audio, transcode.

    The probe must have a picture.
    """
    video, audio = probe.video, probe.audio
    assert video is not None
    assert profile.targets is not None
    places = profile.places
    picture_reasons = (
        *_gather((place.place, _picture_faults(video, probe, place)) for place in places),
        *_picture_notes(video, probe),
    )
    audio_reasons = _gather((place.place, _audio_faults(audio, place)) for place in places)
    box_reasons = (
        *_gather((place.place, _container_faults(probe, place)) for place in places),
        *_container_notes(probe),
    )
    reasons = picture_reasons + audio_reasons + box_reasons
    if picture_reasons:
        method = Method.TRANSCODE
    elif audio_reasons:
        method = Method.AUDIO
    else:
        method = Method.REMUX if box_reasons else Method.LEAVE
    return Plan(
        method=method,
        video_index=video.index,
        audio_index=audio.index if audio else None,
        picture=plan_picture(video, profile.targets) if method is Method.TRANSCODE else None,
        # Sound that fits is copied even beside a new picture.
        encode_audio=bool(audio_reasons),
        reasons=reasons,
    )


def encode_anyway(probe: Probe, profile: Profile, reason: str) -> Plan:
    """The plan when a cheaper one did not give what it promised."""
    assert probe.video is not None
    assert profile.targets is not None
    return Plan(
        method=Method.TRANSCODE,
        video_index=probe.video.index,
        audio_index=probe.audio.index if probe.audio else None,
        picture=plan_picture(probe.video, profile.targets),
        encode_audio=True,
        reasons=(reason,),
    )


Faults = list[str]


def _gather(of_places: Iterable[tuple[str, Faults]]) -> tuple[str, ...]:
    """Each fault once, with the places that mind it."""
    minding: dict[str, list[str]] = {}
    for place, faults in of_places:
        for fault in faults:
            minding.setdefault(fault, []).append(place)
    return tuple(f"{fault} ({', '.join(places)})" for fault, places in minding.items())


def _picture_faults(video: VideoTrack, probe: Probe, place: Acceptance) -> Faults:
    found = []
    if place.video_codecs is not None and video.codec not in place.video_codecs:
        found.append(f"{video.codec} isn't taken")
    if place.pix_fmts is not None and video.pix_fmt not in place.pix_fmts:
        found.append(f"{video.pix_fmt} isn't taken")
    if place.max_width is not None and video.width > place.max_width:
        found.append(f"{video.width} columns are too many")
    if place.min_fps is not None and video.fps < place.min_fps:
        found.append(f"{video.fps:.3g} pictures a second are too few")
    if place.max_fps is not None and video.fps > place.max_fps * 1.001:
        found.append(f"{video.fps:.3g} pictures a second are too many")
    if place.constant_fps and video.variable:
        found.append("the frame rate varies")
    if place.progressive and video.interlaced:
        found.append("the picture is interlaced")
    if place.max_video_bps is not None and _video_bps(video, probe) > place.max_video_bps:
        found.append("the bit rate is too high")
    return found


def _picture_notes(video: VideoTrack, probe: Probe) -> Faults:
    """Players and platforms disagree about these, so they are put into the pixels."""
    found = []
    if video.turned:
        found.append("a note in the file turns the picture")
    if video.sar[0] != video.sar[1]:
        found.append("the pixels aren't square")
    if video.hdr:
        found.append("the picture is HDR")
    if video.width % 2 or video.height % 2:
        found.append("the size is odd")
    if probe.edits is Edits.CUT:
        found.append("a note in the file cuts parts away")
    return found


def _video_bps(video: VideoTrack, probe: Probe) -> float:
    if video.bit_rate:
        return video.bit_rate
    return probe.size_bytes * 8 / probe.duration_s if probe.duration_s else 0.0


def _audio_faults(audio: AudioTrack | None, place: Acceptance) -> Faults:
    if audio is None:
        return ["there is no sound"] if place.needs_audio else []
    found = []
    if place.audio_codecs is not None and not (
        audio.codec in place.audio_codecs and audio.profile in ("", "LC")
    ):
        found.append(f"sound in {audio.codec} isn't taken")
    if place.max_audio_hz is not None and audio.rate_hz > place.max_audio_hz:
        found.append(f"{audio.rate_hz} Hz are too many")
    if place.max_channels is not None and audio.channels > place.max_channels:
        found.append(f"{audio.channels} channels are too many")
    return found


def _container_faults(probe: Probe, place: Acceptance) -> Faults:
    mp4 = probe.format.startswith("mov,mp4") and probe.brand != "qt  "
    found = []
    if place.mp4 and not mp4:
        found.append("it isn't an MP4 file")
    if place.faststart and mp4 and (not probe.faststart or probe.fragmented):
        found.append("the index isn't in front")
    if place.no_edit_list and probe.edits is not Edits.NONE:
        found.append("it has an edit list")
    return found


def _container_notes(probe: Probe) -> Faults:
    found = []
    if probe.other_tracks:
        found.append("there are more tracks than a picture and a sound")
    if probe.has_location:
        found.append("it says where it was recorded")
    return found


def plan_picture(video: VideoTrack, targets: Targets) -> Picture:
    """Size, rate and corrections of an encode. Never enlarges; keeps upright and lying."""
    width, height = fit(video.shown_width, video.shown_height, targets)
    fps = choose_fps(video.fps, video.variable, targets.fps)
    level = next(name for most, name in targets.levels if Fraction(fps) <= most)
    return Picture(
        width=width,
        height=height,
        fps=fps,
        level=level,
        deinterlace=video.interlaced,
        tone_map=video.hdr,
        # ffmpeg takes untagged pictures for BT.601 at any size; players take HD for BT.709.
        from_matrix=video.matrix or ("bt709" if min(video.width, video.height) >= 720 else "bt601"),
    )


def fit(width: int, height: int, targets: Targets) -> tuple[int, int]:
    """The largest even size of this shape in the frame of the targets, not above the source's."""
    long_side, short_side = max(width, height), min(width, height)
    scale = min(1.0, targets.long_side / long_side, targets.short_side / short_side)

    def even(side: int) -> int:
        return max(2, int(side * scale + 1e-6) // 2 * 2)

    return even(width), even(height)


def choose_fps(fps: float, variable: bool, allowed: tuple[str, ...]) -> str:
    """The rate to encode at: the source's if it may stay, else one that steps evenly with it."""
    rates = {text: float(Fraction(text)) for text in allowed}
    if variable:
        # Phones and screens promise 30 or 60 and lose some.
        return "30" if fps <= 33 else "60"
    nearest = min(rates, key=lambda text: abs(rates[text] - fps))
    if abs(rates[nearest] - fps) <= 0.002 * fps:
        return nearest
    if fps > 0:
        # Fewest pictures lost first, then fewest repeated.
        for text in sorted(rates, key=rates.__getitem__, reverse=True):
            if rates[text] < fps and _whole(fps / rates[text]):
                return text
        for text in sorted(rates, key=rates.__getitem__):
            if rates[text] > fps and _whole(rates[text] / fps):
                return text
    return "30" if fps <= 45 else "60"


def _whole(ratio: float) -> bool:
    # Closer than 30 and 29.97 are to each other.
    return abs(ratio - round(ratio)) < 0.0005 * ratio
