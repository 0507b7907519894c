"""Settings → Schedule: slots, whose posts need approval, what becomes of late ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from appliance import access, late_posts, schedule_rules, slots
from appliance.clock import now
from appliance.db import database, transaction
from appliance.errors import ApplianceError, InvalidInput
from appliance.models import Role, Slot, User
from appliance.schedule import upcoming
from web import words
from web.auth import needs, principal
from web.forms import Form, FormData, refused, shown_again, text
from web.words import _

LOOK = needs(Role.VIEWER)
CHANGE = needs(Role.EDITOR)
ADMIN = needs(Role.ADMIN)

APPROVAL_WORDS = (
    ("nobody", "Nobody's: all posts go out at their time"),
    ("editors", "Those of editors: an admin or an owner approves them"),
    ("everybody", "All but the owners': another admin or an owner approves them"),
)
LATE_WORDS = (
    ("ask", "Ask: they wait until somebody says “Post now” or chooses another time"),
    ("post", "Post them as soon as the box is back"),
)


@dataclass(frozen=True)
class SlotRow:
    """A time of the week. ``mine``: when it comes next, by the reader's clocks."""

    id: str
    day: str
    time: str
    zone: str
    mine: str


@get("/settings/schedule", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def schedule_settings(request: Request[Any, Any, State], saved: FromQuery[str] = "") -> Template:
    with database.connection_context():
        return Template("settings/schedule.html", context=_context(request, saved=saved))


def _context(request: Request[Any, Any, State], **more: Any) -> dict[str, Any]:
    user = principal(request).user
    rules, late = schedule_rules.current(), late_posts.policy()
    team = request.app.state.settings.team_time_zone
    return {
        "place": "schedule",
        "slots": [_slot_row(row, user.time_zone) for row in slots.every()],
        "days": [(str(n), _(name)) for n, name in enumerate(slots.DAYS)],
        "zones": list(dict.fromkeys([team, user.time_zone, "UTC"])),
        "approvals": APPROVAL_WORDS,
        "lates": LATE_WORDS,
        "rules": Form(
            {
                "apart_minutes": rules.apart_minutes,
                "approval": rules.approval.value,
                "when_late": late.when_late.value,
                "after_min": f"{late.after_s / 60:g}",
            }
        ),
        "slot": Form({"weekday": "0", "time": "18:00", "time_zone": team}),
        "may_change": access.at_least(user, Role.EDITOR),
        "saved": "",
        **more,
    }


def _slot_row(row: Slot, zone: str) -> SlotRow:
    following = next(upcoming([slots.week_time(row)], now()))
    return SlotRow(
        id=row.public_id,
        day=_(slots.DAYS[row.weekday]),
        time=row.time,
        zone=row.time_zone,
        mine=words.clock_time(following, zone, now()),
    )


@post(
    "/settings/schedule/slots",
    opt=CHANGE,
    status_code=200,
    sync_to_thread=True,
    include_in_schema=False,
)
def add_slot(request: Request[Any, Any, State], data: FormData) -> Response[Any]:
    """For one day of the week, or all days from Monday to Friday (``weekday`` = "work")."""
    user = principal(request).user
    wanted = text(data, "weekday")
    with database.connection_context():
        try:
            with transaction():
                for weekday in _weekdays(wanted):
                    slots.add(weekday, text(data, "time"), text(data, "time_zone"), actor=user)
        except ApplianceError as exc:
            form = refused(data, exc, "weekday", "time", "time_zone")
            return shown_again("settings/schedule.html", exc, _context(request, slot=form))
    return Redirect("/settings/schedule?saved=slot#slots", status_code=303)


def _weekdays(wanted: str) -> list[int]:
    if wanted == "work":
        return [0, 1, 2, 3, 4]
    if wanted not in ("0", "1", "2", "3", "4", "5", "6"):
        raise InvalidInput("Choose a day of the list.", field="weekday")
    return [int(wanted)]


@post(
    "/settings/schedule/slots/{slot_id:str}/remove",
    opt=CHANGE,
    sync_to_thread=True,
    include_in_schema=False,
)
def remove_slot(request: Request[Any, Any, State], slot_id: FromPath[str]) -> Redirect:
    with database.connection_context():
        slots.remove(slot_id, actor=principal(request).user)
    return Redirect("/settings/schedule?saved=removed#slots", status_code=303)


@post(
    "/settings/schedule/rules",
    opt=ADMIN,
    status_code=200,
    sync_to_thread=True,
    include_in_schema=False,
)
def save_rules(request: Request[Any, Any, State], data: FormData) -> Response[Any]:
    user = principal(request).user
    with database.connection_context():
        try:
            with transaction():
                schedule_rules.keep(
                    apart_minutes=_minutes(text(data, "apart_minutes"), "apart_minutes"),
                    approval=text(data, "approval"),
                    actor=user,
                )
                _keep_late(data, actor=user)
        except ApplianceError as exc:
            form = refused(data, exc, "apart_minutes", "approval", "when_late", "after_min")
            return shown_again("settings/schedule.html", exc, _context(request, rules=form))
    return Redirect("/settings/schedule?saved=rules#rules", status_code=303)


def _keep_late(data: dict[str, Any], *, actor: User) -> None:
    after_s = 60.0 * _minutes(text(data, "after_min"), "after_min")
    try:
        late_posts.keep(when_late=text(data, "when_late"), after_s=after_s, actor=actor)
    except InvalidInput as exc:  # the form asks for minutes
        field = "after_min" if exc.field == "late_after_s" else exc.field
        raise InvalidInput(exc.message, field=field) from exc


def _minutes(written: str, field: str) -> int:
    if not (written.isascii() and written.isdecimal() and len(written) <= 6):
        raise InvalidInput("Write a number of minutes, such as 15.", field=field)
    return int(written)
