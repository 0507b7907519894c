"""Settings → Video: how versions are made, and what becomes of those made before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from appliance import night
from appliance.db import database
from appliance.errors import InvalidInput
from appliance.models import Role
from tasks import night_work, profile_choices, profiles, remaking
from tasks.profile_choices import AUDIO_BPS, CHANGEABLE, PRESETS, SIDES
from tasks.transcode import encoders
from web import words
from web.auth import needs, principal
from web.forms import Form, FormData, refused, shown_again, text
from web.words import _

ADMIN = needs(Role.ADMIN)

# Steps on x264's scale from our own value: six of them double the size of a file, or halve it.
QUALITIES = (
    (-3, "Best: files larger by half"),
    (0, "Balanced"),
    (4, "Smaller: files smaller by a third"),
)
PRESET_WORDS = {
    "ultrafast": "Fastest, largest files",
    "superfast": "Very fast",
    "veryfast": "Fast",
    "faster": "Rather fast",
    "fast": "Balanced",
    "medium": "Slow",
    "slow": "Slowest, smallest files",
}
SIDE_WORDS = {1920: "Full HD", 1280: "HD", 960: "Half of full HD", 640: "Small"}


@dataclass(frozen=True)
class Choice:
    """One option of a list. ``own``: the box's own value."""

    value: str
    label: str
    chosen: bool
    own: bool


@dataclass(frozen=True)
class ProfileRow:
    name: str
    label: str
    purpose: str
    changed: bool
    stale: int
    lists: list[tuple[str, str, str, list[Choice]]]
    """Field, label, hint, choices."""


def load(name: str, stale: int, typed: Form | None = None) -> ProfileRow:
    """A profile as its form shows it; ``typed``: what somebody sent that can't be taken."""
    profile, own = profiles.current(name), profiles.PROFILES[name]
    now = profile_choices.values_of(profile)
    ours = profile_choices.values_of(own)

    def choices(field: str, options: list[tuple[Any, str]]) -> list[Choice]:
        chosen = typed.value(field) if typed else str(now[field])
        if all(str(value) != chosen for value, _label in options):
            options = [*options, (chosen, _("As chosen by API ({value})", value=chosen))]
        return [
            Choice(str(value), label, str(value) == chosen, value == ours[field])
            for value, label in options
        ]

    return ProfileRow(
        name=name,
        label=_(profile.label),
        purpose=words.purpose(name),
        changed=bool(profile.choices),
        stale=stale,
        lists=[
            ("crf", _("Quality"), "", choices("crf", _qualities(ours["crf"]))),
            (
                "long_side",
                _("Largest picture"),
                _("Larger films are made smaller; smaller ones stay as they are."),
                choices("long_side", _sides()),
            ),
            (
                "preset",
                _("Speed"),
                _("Slower encoding takes several times as long for files a little smaller."),
                choices("preset", [(word, _(PRESET_WORDS[word])) for word in PRESETS]),
            ),
            (
                "audio_bps",
                _("Sound"),
                "",
                choices("audio_bps", [(bps, _rate(bps)) for bps in AUDIO_BPS]),
            ),
        ],
    )


def _qualities(own: int) -> list[tuple[Any, str]]:
    return [(own + step, _(label)) for step, label in QUALITIES]


def _sides() -> list[tuple[Any, str]]:
    return [
        (side, _("{word}, {w} × {h}", word=_(SIDE_WORDS[side]), w=side, h=short))
        for side, short in SIDES.items()
    ]


def _rate(bps: int) -> str:
    return f"{bps // 1000} kbit/s"


@get("/settings/video", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def video_page(request: Request[Any, Any, State], saved: FromQuery[str] = "") -> Template:
    with database.connection_context():
        return Template("settings/video.html", context=_context(request, saved=saved))


def _context(
    request: Request[Any, Any, State],
    *,
    saved: str = "",
    typed: tuple[str, Form] | None = None,
) -> dict[str, Any]:
    stale = profile_choices.stale_counts()
    settings = request.app.state.settings
    return {
        "place": "video",
        "profiles": [
            load(name, stale.get(name, 0), typed[1] if typed and typed[0] == name else None)
            for name in CHANGEABLE
        ],
        "form": typed[1] if typed else Form(),
        "refused": typed[0] if typed else "",
        "stale": sum(stale.values()),
        "night": {"only": night.is_only(), "hours": settings.night_hours},
        "encoder": encoders.choose(settings).label,
        "saved": saved,
    }


@post(
    "/settings/video/profiles/{name:str}",
    opt=ADMIN,
    status_code=200,
    sync_to_thread=True,
    include_in_schema=False,
)
def save_profile(
    request: Request[Any, Any, State], name: FromPath[str], data: FormData
) -> Response[Any]:
    user = principal(request).user
    with database.connection_context():
        try:
            profile_choices.save({name: _fields(data)}, user)
        except InvalidInput as exc:
            field = (exc.field or "").partition(".")[2]
            shown = refused(data, InvalidInput(exc.message, field=field), *profile_choices.FIELDS)
            context = _context(request, typed=(name, shown))
            return shown_again("settings/video.html", exc, context)
    return Redirect(f"/settings/video?saved={name}#profile-{name}", status_code=303)


def _fields(data: dict[str, Any]) -> dict[str, Any] | None:
    """What the form says; None: back to our own values."""
    if text(data, "reset"):
        return None
    return {
        field: _number(text(data, field)) for field in profile_choices.FIELDS if text(data, field)
    }


def _number(written: str) -> Any:
    return int(written) if written.isascii() and written.isdecimal() else written


@post(
    "/settings/video/night",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def save_night(request: Request[Any, Any, State], data: FormData) -> Redirect:
    """``only``: "yes", or nothing."""
    with database.connection_context():
        night_work.save(text(data, "only") == "yes", principal(request).user)
    return Redirect("/settings/video?saved=night#night", status_code=303)


@post(
    "/settings/video/remake",
    opt=ADMIN,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def remake_all(request: Request[Any, Any, State], data: FormData) -> Redirect:
    """All that was made by other settings. ``when``: "now" or "night"."""
    at_night = text(data, "when") == "night"
    with database.connection_context():
        remaking.remake_many(principal(request).user, only_at_night=at_night)
    return Redirect(
        f"/settings/video?saved=remake-{'night' if at_night else 'now'}", status_code=303
    )
