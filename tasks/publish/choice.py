"""Which file of a video a platform gets. Pure.

The social rendition where it fits; else one that was made for the place. What is ready goes before
what would have to be made. When none can be made, the original goes out if the place accepts it
as it is, and that is said.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from appliance.states import RenditionState
from tasks.acceptance import whole_faults
from tasks.profiles import PROFILES, SOCIAL
from tasks.transcode.faults import form_faults
from tasks.transcode.plan import Impossible, plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.acceptance import Acceptance, Delivery
    from tasks.probe.facts import Probe
    from tasks.profiles import Profile


class Use(StrEnum):
    RENDITION = "rendition"  # goes out now
    ORIGINAL = "original"  # goes out now, as it came
    WAIT = "wait"  # the rendition is being made, or has to be
    FAILED = "failed"  # it can't be made at the moment; Retry may help
    NOTHING = "nothing"  # no rendition can ever fit


@dataclass(frozen=True)
class Known:
    """What is known of a rendition. ``probe``: of the file that is ready; it may be a stale one."""

    state: RenditionState
    probe: Probe | None = None
    error: str = ""


@dataclass(frozen=True)
class Choice:
    """``profile``: of the rendition that goes out or is waited for. ``why``: a sentence, where it
    isn't the social rendition."""

    use: Use
    profile: str = ""
    why: str = ""


def choose(
    delivery: Delivery,
    original: Probe | None,
    known: Mapping[str, Known],
    *,
    original_here: bool = False,
    takes_any: bool = False,
    trouble: str = "",
) -> Choice:
    """``original``: None as long as nobody has looked. ``original_here``: it could go out.
    ``takes_any``: the platform takes any file at all. ``trouble``: what is wrong with the whole
    video, for when a rendition has no words of its own."""
    fitting = fitting_profiles(delivery, original, known)
    if not fitting:
        return Choice(Use.NOTHING, why=_why_nothing(delivery, original, known))
    for name in fitting:
        if name in known and known[name].state is RenditionState.READY:
            return Choice(Use.RENDITION, name, _why_other(name, delivery, original, known))
    for name in fitting:
        if name not in known or known[name].state is not RenditionState.FAILED:
            return Choice(Use.WAIT, name, _why_other(name, delivery, original, known))
    name = fitting[0]
    error = known[name].error or trouble or "no reason is known"
    if original_here and (takes_any or accepts(delivery.place, original)):
        return Choice(
            Use.ORIGINAL, why=f"No rendition could be made ({error}); the original goes out."
        )
    return Choice(Use.FAILED, name, f"The video could not be made ready: {error}")


def fitting_profiles(
    delivery: Delivery, original: Probe | None, known: Mapping[str, Known]
) -> list[str]:
    """Those that the place takes, by the file where there is one, else by what it will be like."""
    return [
        name
        for name in delivery.profiles
        if not _faults(delivery.place, name, original, known.get(name))
    ]


def accepts(place: Acceptance, probe: Probe | None) -> bool:
    """Whether the place takes this very file, and may see all of it: not where it was recorded."""
    if probe is None or probe.has_location:
        return False
    return not form_faults(probe, place) and not whole_faults(probe, place)


def _faults(place: Acceptance, name: str, original: Probe | None, known: Known | None) -> list[str]:
    if known is not None and known.state is RenditionState.READY and known.probe is not None:
        return whole_faults(known.probe, place)
    if original is None or original.video is None:
        return []  # that is seen when somebody has looked
    expected = expect(original, PROFILES[name])
    return ["it can't be made"] if expected is None else whole_faults(expected, place)


def expect(original: Probe, profile: Profile) -> Probe | None:
    """What a rendition will be like, as far as the place minds it; None: it can't be made.

    How large an encode by quality becomes isn't known before: it counts as fitting.
    """
    video = original.video
    assert video is not None
    try:
        chosen = plan(original, profile)
    except Impossible:
        return None
    if (picture := chosen.picture) is not None:
        video = replace(video, shown_width=picture.width, shown_height=picture.height)
    copied = picture is None and chosen.cut_s is None
    return replace(
        original,
        video=video,
        size_bytes=original.size_bytes if copied else 0,
        duration_s=chosen.seconds(original),
    )


def _why_other(
    name: str, delivery: Delivery, original: Probe | None, known: Mapping[str, Known]
) -> str:
    """Why it isn't the social rendition; "" if it is."""
    if name == SOCIAL.name:
        return ""
    faults = _faults(delivery.place, SOCIAL.name, original, known.get(SOCIAL.name))
    because = f": {'; '.join(faults)}" if faults else ""
    social = known.get(SOCIAL.name)
    if not because and social is not None and social.state is RenditionState.FAILED:
        because = f": “{SOCIAL.label}” could not be made"
    return f"“{PROFILES[name].label}” is for {delivery.place.place}{because}."


def _why_nothing(delivery: Delivery, original: Probe | None, known: Mapping[str, Known]) -> str:
    name = delivery.profiles[0]
    faults = "; ".join(_faults(delivery.place, name, original, known.get(name)))
    shortest_s = delivery.place.min_duration_s
    short = original is not None and original.duration_s < (shortest_s or 0.0)
    do = "Upload a longer one." if short else "Cut it, then upload that."
    return f"{delivery.place.place} doesn't take this video: {faults}. {do}"
