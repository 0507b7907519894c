"""Profiles for scripts: how versions are made, and how many were made otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, get, patch
from litestar.datastructures import State
from litestar.params import JSONBody
from msgspec import UNSET, UnsetType

from appliance.access import Scope
from appliance.db import database
from appliance.models import Role
from tasks import profile_choices, profiles
from web.auth import needs, principal

READ = needs(Role.VIEWER, Scope.READ)
CHANGE = needs(Role.ADMIN, Scope.ADMIN)


class ProfileChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays as it is; ``null`` is the box's own value again."""

    crf: int | None | UnsetType = UNSET
    """Quality on x264's scale: 16 is best, 32 smallest."""
    long_side: int | None | UnsetType = UNSET
    """Of the picture, in pixels: 1920, 1280, 960 or 640."""
    preset: str | None | UnsetType = UNSET
    """x264's speed, "ultrafast" to "slow"."""
    audio_bps: int | None | UnsetType = UNSET
    """Of the sound, in bits per second."""


class ProfileChanges(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``null``: all of it as the box would do it itself."""

    social: ProfileChange | None | UnsetType = UNSET
    preview: ProfileChange | None | UnsetType = UNSET


@dataclass(frozen=True)
class ProfileShape:
    """``values``: what an encode aims at, null where nothing is encoded; ``chosen``: those of them
    that an admin has chosen. ``eager``: made for each new video. ``stale_renditions``: how many
    were made by another ``recipe``; they stay in use until they are made anew."""

    name: str
    label: str
    recipe: str
    eager: bool
    may_be_changed: bool
    values: dict[str, Any] | None
    chosen: dict[str, Any]
    max_bytes: int | None
    max_duration_s: float | None
    stale_renditions: int


@dataclass(frozen=True)
class ProfileList:
    items: list[ProfileShape]


@get("/api/v1/profiles", opt=READ, tags=["profiles"], summary="List profiles", sync_to_thread=True)
def list_profiles() -> ProfileList:
    with database.connection_context():
        return _load()


def _load() -> ProfileList:
    stale = profile_choices.stale_counts()
    items = []
    for name in profiles.PROFILES:
        profile = profiles.current(name)
        items.append(
            ProfileShape(
                name=name,
                label=profile.label,
                recipe=profile.recipe,
                eager=profile.eager,
                may_be_changed=name in profile_choices.CHANGEABLE,
                values=profile_choices.values_of(profile) if profile.targets else None,
                chosen=dict(profile.choices),
                max_bytes=profile.max_bytes,
                max_duration_s=profile.max_duration_s,
                stale_renditions=stale.get(name, 0),
            )
        )
    return ProfileList(items)


@patch(
    "/api/v1/profiles", opt=CHANGE, tags=["profiles"], summary="Change profiles",
    sync_to_thread=True,
)  # fmt: skip
def change_profiles(
    request: Request[None, None, State], data: JSONBody[ProfileChanges]
) -> ProfileList:
    """What was made before stays in use and counts as stale; make it anew by
    ``POST /api/v1/videos/{video_id}/renditions/{profile}``, or all at once."""
    user = principal(request).user
    changes = {
        name: None if change is None else _named(change)
        for name in profile_choices.CHANGEABLE
        if (change := getattr(data, name)) is not UNSET
    }
    with database.connection_context():
        profile_choices.save(changes, user)
        return _load()


def _named(change: ProfileChange) -> dict[str, Any]:
    fields = {name: getattr(change, name) for name in profile_choices.FIELDS}
    return {name: value for name, value in fields.items() if value is not UNSET}
