"""What admins choose about profiles: checked, kept in one row of the settings, and counted out.

A choice that is the same as our own value isn't kept, so that going back to it makes the files
that were made by it current again.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from peewee import SQL, NodeList, fn

from appliance import events, kept
from appliance.db import database, transaction
from appliance.errors import InvalidInput
from appliance.models import Rendition, Video
from appliance.states import RenditionState, VideoState
from tasks import profiles
from tasks.profiles import CHOICES, PREVIEW, PROFILES, SOCIAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.models import User
    from tasks.profiles import Profile

CHANGEABLE = (SOCIAL.name, PREVIEW.name)
# Longest side of the picture → the other one, in pixels; what H.264's levels here are made for.
SIDES = {1920: 1080, 1280: 720, 960: 540, 640: 360}
# x264's, quickest first; slower ones take more than they give on small machines.
# Source: performance.md §4.
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow")
AUDIO_BPS = (48_000, 64_000, 96_000, 128_000, 160_000, 192_000, 256_000)
# x264's scale of quality: 18 can hardly be told from the source, from 32 on everybody sees it.
CRF = range(16, 33)
FIELDS = ("crf", "long_side", "preset", "audio_bps")


def chosen() -> dict[str, dict[str, Any]]:
    """{profile: {field of its targets: value}} that differ from ours. Wants a connection."""
    return kept.read(CHOICES)


def values_of(profile: Profile) -> dict[str, Any]:
    """The fields that may be chosen, as they are."""
    return {name: getattr(profile.targets, name) for name in FIELDS}


def save(changes: Mapping[str, Mapping[str, Any] | None], actor: User | None) -> None:
    """Take over choices: {profile: {field: value}}; what isn't named stays, None is our own value.

    Raises InvalidInput with the field "profile.field".
    """
    with transaction():
        before = chosen()
        after = {name: dict(fields) for name, fields in before.items()}
        for name, fields in changes.items():
            if name not in CHANGEABLE:
                raise InvalidInput(
                    f"Only these profiles can be changed: {', '.join(CHANGEABLE)}.", field=name
                )
            after[name] = _changed(name, after.get(name, {}), fields)
        after = {name: fields for name, fields in after.items() if fields}
        if after == before:
            return
        kept.write(CHOICES, after)
        events.audit(actor, "profiles.change", "setting:profiles", before=before, after=after)


def _changed(
    name: str, before: Mapping[str, Any], fields: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The choices for one profile with ``fields`` laid over them, less what is as ours."""
    if fields is None:
        return {}
    ours = PROFILES[name].targets
    result = dict(before)
    for field, value in fields.items():
        check = _CHECKS.get(field)
        if check is None:
            raise InvalidInput(
                f"Only these can be chosen: {', '.join(FIELDS)}.", field=f"{name}.{field}"
            )
        if value is not None and (sentence := check(value)):
            raise InvalidInput(sentence, field=f"{name}.{field}")
        wanted = {field: value}
        if field == "long_side":
            wanted["short_side"] = SIDES.get(value)
        for key, new in wanted.items():
            result.pop(key, None)
            if new is not None and new != getattr(ours, key):
                result[key] = new
    return result


def _check_crf(value: Any) -> str:
    right = type(value) is int and value in CRF
    return "" if right else f"Quality is a number from {CRF[0]} (best) to {CRF[-1]} (smallest)."


def _check_side(value: Any) -> str:
    sides = ", ".join(map(str, SIDES))
    right = type(value) is int and value in SIDES
    return "" if right else f"The longest side is one of these, in pixels: {sides}."


def _check_preset(value: Any) -> str:
    return "" if value in PRESETS else f"The speed is one of these: {', '.join(PRESETS)}."


def _check_audio(value: Any) -> str:
    rates = ", ".join(map(str, AUDIO_BPS))
    right = type(value) is int and value in AUDIO_BPS
    return "" if right else f"Sound has one of these rates, in bits per second: {rates}."


_CHECKS = {
    "crf": _check_crf,
    "long_side": _check_side,
    "preset": _check_preset,
    "audio_bps": _check_audio,
}


# What was made by other choices, or by an older version


def stale_condition(only: str | None = None) -> Any:
    """The condition on Rendition rows that were made by another recipe than today's.

    ``only``: of this profile. As two ranges, which the index on (profile, recipe) answers however
    many rows there are.
    """
    # With a plus, which keeps SQLite from going by the state: nearly all are ready.
    ready = NodeList((SQL("+"), Rendition.state)) == RenditionState.READY.value
    found = []
    for name, profile in profiles.all_current().items():
        if only is None or name == only:
            mine = Rendition.profile == name
            found.append(mine & (Rendition.recipe < profile.recipe) & ready)
            found.append(mine & (Rendition.recipe > profile.recipe) & ready)
    return reduce(or_, found)


def some_stale(most: int) -> set[int]:
    """The row ids of videos with a version made by other settings than today's: of each range of
    the index at most so many. For each visit of the library, so it is one statement as text.
    """
    ranges, values = [], []
    for name, profile in profiles.all_current().items():
        for sign in ("<", ">"):
            ranges.append(_STALE_RANGE.format(sign=sign))
            values += [name, profile.recipe, most]
    rows = database.execute_sql(" UNION ALL ".join(ranges), values)
    return {int(video_id) for (video_id,) in rows}


_STALE_RANGE = (
    'SELECT * FROM (SELECT "video_id" FROM "rendition" WHERE "profile" = ?'
    ' AND "recipe" {sign} ? AND +"state" = \'ready\' LIMIT ?)'
)


def can_be_made_anew() -> Any:
    """The condition on Rendition rows whose videos are not in the bin, and have their originals."""
    trashed = Video.state == VideoState.TRASHED
    gone = Video.select(Video.id).where(trashed | Video.original_removed_at.is_null(False))
    return Rendition.video.not_in(gone)


def stale_counts() -> dict[str, int]:
    """How many ready renditions of each profile could be made anew; those with none are left out.

    Not those in the bin, nor those whose original is gone.
    """
    rows: Any = (
        Rendition.select(Rendition.profile, fn.COUNT(Rendition.id))
        .where(stale_condition(), can_be_made_anew())
        .group_by(Rendition.profile)
        .tuples()
    )
    return dict(rows)
