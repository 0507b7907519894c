"""What has to be done to a file so that every place takes it: as little as possible. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.errors import Conflict
from appliance.models import Method
from tasks.acceptance import in_time
from tasks.probe.facts import Edits
from tasks.transcode.budget import rate_within, shrink
from tasks.transcode.faults import (
    audio_faults,
    container_faults,
    container_notes,
    cut_notes,
    gather,
    is_cut,
    picture_faults,
    picture_notes,
    profile_faults,
    sound_notes,
)
from tasks.transcode.picture import Picture, choose_fps, fit, plan_picture

if TYPE_CHECKING:
    from tasks.probe.facts import Probe
    from tasks.profiles import Profile

__all__ = [
    "Impossible",
    "Picture",
    "Plan",
    "choose_fps",
    "encode_anyway",
    "fit",
    "plan",
    "plan_picture",
    "too_long",
]

# A cut ends so much before the longest that is allowed: the last picture and the last piece of
# sound reach a little over it.
_CUT_SLACK_S = 0.1
# A copied sound of more than that eats up what two passes have saved for the picture.
_RICH_SOUND = 1.5


class Impossible(Conflict):
    """The profile can't be made of this file, however it is done."""

    code = "impossible"


@dataclass(frozen=True)
class Plan:
    """``reasons``: why it isn't less work, in words for the Video page.

    ``rate_bps``: two passes of the encoder, with so many bits a second for the picture; None: one,
    by quality. ``cut_s``: how much of the beginning is taken; None: all.
    """

    method: Method
    video_index: int
    audio_index: int | None
    picture: Picture | None = None  # None: copied
    encode_audio: bool = False  # with audio_index None: silence is made
    reasons: tuple[str, ...] = ()
    rate_bps: int | None = None
    cut_s: float | None = None

    @property
    def passes(self) -> int:
        return 1 if self.rate_bps is None else 2

    def seconds(self, probe: Probe) -> float:
        """How long the result will be."""
        return probe.duration_s if self.cut_s is None else min(self.cut_s, probe.duration_s)


def plan(probe: Probe, profile: Profile) -> Plan:
    """The cheapest way that every place of the profile accepts: leave, remux, audio, transcode.

    The probe must have a picture. Raises Impossible when the profile can't be made of it.
    """
    video, audio, places = probe.video, probe.audio, profile.places
    assert video is not None
    _refuse_long(probe, profile)
    picture_reasons = (
        *gather((place.place, picture_faults(video, probe, place)) for place in places),
        *picture_notes(video, probe),
        *profile_faults(probe, profile),
    )
    audio_reasons = (
        *gather((place.place, audio_faults(audio, place)) for place in places),
        *sound_notes(probe),
    )
    box_reasons = (
        *gather((place.place, container_faults(probe, place)) for place in places),
        *container_notes(probe),
        *cut_notes(probe, profile),
    )
    reasons = picture_reasons + audio_reasons + box_reasons
    if picture_reasons:
        return _transcode(probe, profile, bool(audio_reasons), reasons)
    cheap = Method.REMUX if box_reasons else Method.LEAVE
    return Plan(
        method=Method.AUDIO if audio_reasons else cheap,
        video_index=video.index,
        audio_index=audio.index if audio else None,
        encode_audio=bool(audio_reasons),
        reasons=reasons,
        cut_s=_cut_s(probe, profile),
    )


def encode_anyway(probe: Probe, profile: Profile, reason: str) -> Plan:
    """The plan when a cheaper one did not give what it promised. Raises Impossible."""
    _refuse_long(probe, profile)
    return _transcode(probe, profile, True, (reason,))


def _transcode(
    probe: Probe, profile: Profile, encode_audio: bool, reasons: tuple[str, ...]
) -> Plan:
    """Sound that fits is copied even beside a new picture."""
    video, audio, targets = probe.video, probe.audio, profile.targets
    assert video is not None and targets is not None
    picture = plan_picture(video, targets, profile.shape)
    cut_s = _cut_s(probe, profile)
    rate_bps = None
    if profile.max_bytes is not None:
        rich = audio is not None and (audio.bit_rate or 1e9) > _RICH_SOUND * targets.audio_bps
        seconds = cut_s or probe.duration_s
        rate_bps = rate_within(profile.max_bytes, seconds, targets, _RICH_SOUND * targets.audio_bps)
        encode_audio = encode_audio or (rich and rate_bps is not None)
    if rate_bps is not None:
        picture = shrink(picture, rate_bps, targets)
    return Plan(
        method=Method.TRANSCODE,
        video_index=video.index,
        audio_index=audio.index if audio else None,
        picture=picture,
        # Packets that an edit list hides would be copied, too.
        encode_audio=encode_audio or (audio is not None and probe.edits is Edits.CUT),
        reasons=reasons,
        rate_bps=rate_bps,
        cut_s=cut_s,
    )


def _cut_s(probe: Probe, profile: Profile) -> float | None:
    if not is_cut(probe, profile) or profile.max_duration_s is None:
        return None
    return profile.max_duration_s - _CUT_SLACK_S


def _refuse_long(probe: Probe, profile: Profile) -> None:
    if reason := too_long(probe, profile):
        raise Impossible(reason, code="too_long")


def too_long(probe: Probe, profile: Profile) -> str:
    """Why the profile can't be made of so long a film, in a sentence; "": it can."""
    most = profile.max_duration_s
    if most is None or profile.cut or probe.duration_s <= most:
        return ""
    return (
        f"“{profile.label}” can't be made of this video: it lasts {in_time(probe.duration_s)}, "
        f"and at most {in_time(most)} are allowed. Cut it, then upload that."
    )
