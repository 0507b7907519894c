"""What has to be done to a file so that every place takes it: as little as possible. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from appliance.models import Method
from tasks.probe.facts import Edits

if TYPE_CHECKING:
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
    picture_reasons = _gather(_picture_faults(video, probe, place) for place in profile.places)
    audio_reasons = _gather(_audio_faults(audio, place) for place in profile.places)
    box_reasons = _gather(_container_faults(probe, place) for place in profile.places)
    if probe.other_tracks:
        box_reasons += ("has more tracks than a picture and a sound",)
    if probe.has_location:
        box_reasons += ("says where it was recorded",)
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
    return Plan(
        method=Method.TRANSCODE,
        video_index=probe.video.index,
        audio_index=probe.audio.index if probe.audio else None,
        picture=plan_picture(probe.video, profile.targets),
        encode_audio=True,
        reasons=(reason,),
    )


def _gather(faults: object) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for of_one_place in faults:  # type: ignore[attr-defined]  # an iterable of iterables
        found |= dict.fromkeys(of_one_place)
    return tuple(found)


def _picture_faults(video: VideoTrack, probe: Probe, place: Acceptance) -> list[str]:
    where = place.place
    found = []
    if place.video_codecs is not None and video.codec not in place.video_codecs:
        found.append(f"{video.codec} isn't taken by {where}")
    if place.pix_fmts is not None and video.pix_fmt not in place.pix_fmts:
        found.append(f"{video.pix_fmt} isn't taken by {where}")
    if place.max_width is not None and video.width > place.max_width:
        found.append(f"{video.width} columns are too many for {where}")
    if place.min_fps is not None and video.fps < place.min_fps:
        found.append(f"{video.fps:.3g} pictures a second are too few for {where}")
    if place.max_fps is not None and video.fps > place.max_fps * 1.001:
        found.append(f"{video.fps:.3g} pictures a second are too many for {where}")
    if place.constant_fps and video.variable:
        found.append(f"its frame rate varies, and {where} wants a constant one")
    if place.progressive and video.interlaced:
        found.append("it is interlaced")
    if place.max_video_bps is not None and _video_bps(video, probe) > place.max_video_bps:
        found.append(f"its bit rate is too high for {where}")
    # Players and platforms disagree about these, so they are put into the pixels.
    if video.turned:
        found.append("it is turned by a note in the file")
    if video.sar[0] != video.sar[1]:
        found.append("its pixels aren't square")
    if video.hdr:
        found.append("it is HDR")
    if video.width % 2 or video.height % 2:
        found.append("its size is odd")
    if probe.edits is Edits.CUT:
        found.append("parts of it are cut away by a note in the file")
    return found


def _video_bps(video: VideoTrack, probe: Probe) -> float:
    if video.bit_rate:
        return video.bit_rate
    return probe.size_bytes * 8 / probe.duration_s if probe.duration_s else 0.0


def _audio_faults(audio: AudioTrack | None, place: Acceptance) -> list[str]:
    if audio is None:
        return [f"it has no sound, and {place.place} wants some"] if place.needs_audio else []
    found = []
    if place.audio_codecs is not None and not (
        audio.codec in place.audio_codecs and audio.profile in ("", "LC")
    ):
        found.append(f"its sound ({audio.codec}) isn't taken by {place.place}")
    if place.max_audio_hz is not None and audio.rate_hz > place.max_audio_hz:
        found.append(f"its sound has {audio.rate_hz} Hz, too many for {place.place}")
    if place.max_channels is not None and audio.channels > place.max_channels:
        found.append(f"its sound has {audio.channels} channels, too many for {place.place}")
    return found


def _container_faults(probe: Probe, place: Acceptance) -> list[str]:
    found = []
    if place.mp4 and (not probe.format.startswith("mov,mp4") or probe.brand == "qt  "):
        found.append(f"{place.place} wants an MP4 file")
    if place.faststart and (not probe.faststart or probe.fragmented):
        found.append("its index is at the end")
    if place.no_edit_list and probe.edits is not Edits.NONE:
        found.append("it has an edit list")
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
    return abs(ratio - round(ratio)) < 0.002
