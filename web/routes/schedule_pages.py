"""Schedule: what goes out when, and the ways to move it: by drag, by menu, by keys."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect, Response, Template

from appliance import access, approval, local_time, posts, slots
from appliance.clock import now
from appliance.db import database
from appliance.errors import ApplianceError, Conflict, InvalidInput
from appliance.models import Account, Post, Role, User, Video
from appliance.states import PostState, VideoState
from tasks.publish import approvals, dispatch, wishes
from tasks.publish.same_post import SamePost
from web import again, when_form
from web.account_rows import load_notices
from web.auth import needs, principal
from web.calendar_days import VIEWS, day_of, parse_day, span_of
from web.errors import wants_problem
from web.rows import load_cards
from web.schedule_rows import (
    Clocks,
    load_drafts,
    load_late,
    load_span,
    load_waiting,
)
from web.words import _

LOOK = needs(Role.VIEWER)
CHANGE = needs(Role.EDITOR)
DECIDE = needs(Role.ADMIN)

AnyRequest = Request[Any, Any, State]
Fields = URLEncodedBody[dict[str, Any]]
OFFERED_VIDEOS = 24


@get("/schedule", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def show_schedule(
    request: AnyRequest,
    view: FromQuery[str] = "month",
    on: FromQuery[str] = "",
    clocks: FromQuery[str] = "",
    moved: FromQuery[str] = "",
    was: FromQuery[str] = "",
) -> Template:
    user = principal(request).user
    chosen = _clocks(request, clocks)
    today = day_of(now(), chosen.zone)
    span = span_of(view if view in VIEWS else "month", parse_day(on, today))
    with database.connection_context():
        days = load_span(user, span, chosen)
        # Read before the rows: what changes in between is then older here than it is shown.
        as_of = {post.public_id: post.updated_at.isoformat() for post in approval.waiting(user)}
        context = {
            "span": span,
            "days": days,
            "today": today,
            "clocks": "team" if clocks == "team" else "",
            "zone": chosen.zone,
            "other_zone": chosen.other,
            "late": load_late(user, chosen),
            "account_notices": load_notices(),
            "waiting": [row for row in load_waiting(user, chosen) if row.id in as_of],
            "as_of": as_of,
            "drafts": load_drafts(user, chosen),
            "here": _address(view=span.view, on=on, clocks=clocks),
            "moved": _moved(user, moved, was, chosen),
        }
    return Template("schedule/page.html", context=context)


def _clocks(request: AnyRequest, wish: str) -> Clocks:
    """The person's own, or the team's by their wish."""
    mine = principal(request).user.time_zone
    team = request.app.state.settings.team_time_zone
    return Clocks(team, mine) if wish == "team" else Clocks(mine, team)


def _address(**parts: str) -> str:
    given = {name: value for name, value in parts.items() if value and value != "month"}
    return f"/schedule?{urlencode(given)}" if given else "/schedule"


def _moved(user: User, post_id: str, was: str, clocks: Clocks) -> dict[str, str] | None:
    """What was moved just now, for those without script: said, and offered to be undone."""
    if not post_id:
        return None
    try:
        found = access.get_post(user, post_id)
    except ApplianceError:
        return None
    return {"id": post_id, "was": was, "said": _said(found, clocks.zone)}


def _said(post: Post, zone: str) -> str:
    title = post.title or post.video.title
    if post.publish_at is None:
        return _("“{title}” goes out now.", title=title)
    when = when_form.day_and_time(post.publish_at, zone)
    return _("“{title}” is on {time} now.", title=title, time=when)


@get("/schedule/new", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def choose_video(request: AnyRequest, at: FromQuery[str] = "", q: FromQuery[str] = "") -> Template:
    """Which video is to go out at that time."""
    user = principal(request).user
    with database.connection_context():
        query = access.visible_videos(user).where(Video.state == VideoState.READY)
        if q.strip():
            query = query.where(Video.title.contains(q.strip()[:200]))
        found = list(query.order_by(Video.created_at.desc()).limit(OFFERED_VIDEOS))
        cards = load_cards(user, request.app.state.layout, found)
    typed = when_form.fresh(user, at=at)
    context = {"cards": cards, "at": typed.at if at else "", "q": q, "zone": user.time_zone}
    return Template("schedule/new.html", context=context)


@get("/schedule/{post_id:str}/move", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def open_move(
    request: AnyRequest, post_id: FromPath[str], back: FromQuery[str] = "/schedule"
) -> Template:
    user = principal(request).user
    with database.connection_context():
        found = access.get_post(user, post_id)
        if found.publish_at is not None and found.publish_at > now():
            typed = when_form.of_moment(found.publish_at, user.time_zone)
        else:
            typed = when_form.fresh(user, choice="later")
        return _move_form(request, found, typed, back)


@get("/schedule/{post_id:str}/_echo", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def echo_move(request: AnyRequest, post_id: FromPath[str]) -> Template:
    """What is said of the time as it stands in the form."""
    user = principal(request).user
    with database.connection_context():
        found = access.get_post(user, post_id)
        typed = when_form.read(dict(request.query_params), user)
        context = {"when": _view(request, found, typed)}
    return Template("posts/_when_echo.html", context=context)


def _view(request: AnyRequest, found: Post, typed: when_form.When) -> when_form.WhenView:
    return when_form.view(
        typed,
        principal(request).user,
        request.app.state.settings,
        _accounts(found),
        post=found.public_id,
        offers_now=False,
        offers_hold=False,
        offers_approval=False,
    )


def _accounts(found: Post) -> list[Account]:
    return [target.account for target in posts.latest_targets(found)]


def _move_form(
    request: AnyRequest,
    found: Post,
    typed: when_form.When,
    back: str,
    problems: dict[str, str] | None = None,
) -> Template:
    context = {
        "post_id": found.public_id,
        "title": found.title or found.video.title,
        "when": _view(request, found, typed),
        "problems": problems or {},
        "back": _safe_back(back),
        "late": found.late_since is not None,
        "in_dialog": _is_fragment(request),
    }
    name = "schedule/move.html"
    if _is_fragment(request):
        name = "schedule/_move_form.html" if problems else "schedule/_move_dialog.html"
    return Template(name, context=context, status_code=422 if problems else 200)


@post("/schedule/{post_id:str}/move", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def move(
    request: AnyRequest, post_id: FromPath[str], data: Fields
) -> Redirect | Response[Any] | Template:
    """To a time of the form (``when``), by some days or hours (``by``), to a day (``day``), to a
    free slot's time (``at``) or back to where it was (``to``). ``late``: it missed its time."""
    user = principal(request).user
    back = _safe_back(str(data.get("back", "")))
    with database.connection_context():
        found = access.get_post(user, post_id)
        before = found.publish_at, found.time_zone
        try:
            when, zone = _wanted(request, found, data)
            _decide(found, when, zone, data, user)
        except (InvalidInput, Conflict) as exc:
            if "when" not in data or wants_problem(request):
                raise
            typed = when_form.read(data, user)
            return _move_form(request, found, typed, back, {"publish_at": exc.message})
        fresh = access.get_post(user, post_id)
        said = _said(fresh, user.time_zone)
    undo = _undo(*before)
    if wants_problem(request):
        at = fresh.publish_at.isoformat() if fresh.publish_at else None
        told = {"post_id": post_id, "publish_at": at, "said": said, "undo": undo}
        return Response(told, status_code=200)
    if _is_fragment(request):
        done = {"say": said, "then": "live:posts", "undo": {"url": f"/schedule/{post_id}/move",
                "fields": undo} if undo else None}  # fmt: skip
        headers = {"HX-Trigger": json.dumps({"dialog:done": done}), "HX-Reswap": "none"}
        return Response("", status_code=200, media_type="text/html", headers=headers)
    more = urlencode({"moved": post_id, "was": undo["to"] if undo else ""})
    return Redirect(f"{back}{'&' if '?' in back else '?'}{more}", status_code=303)


def _decide(
    found: Post, when: datetime | None, zone: str | None, data: dict[str, Any], user: User
) -> None:
    """``late``: the page said that it missed its time. Of two who see that only one decides."""
    choose = wishes.decide_late if data.get("late") == "yes" else wishes.reschedule
    choose(found, when, zone, actor=user)


def _undo(at: datetime | None, zone: str) -> dict[str, str] | None:
    """What brings it back; None when it had no time, or one that has passed."""
    if at is None or at <= now():
        return None
    return {"to": at.isoformat(), "time_zone": zone}


def _wanted(
    request: AnyRequest, found: Post, data: dict[str, Any]
) -> tuple[datetime | None, str | None]:
    """The time that is asked for, and the zone it was chosen in (None: as before)."""
    user = principal(request).user
    zone = _clocks(request, str(data.get("clocks", ""))).zone
    if "when" in data:
        due = when_form.due(when_form.read(data, user), _accounts(found), post=found.public_id)
        return due.publish_at, due.zone
    if "to" in data:
        return local_time.parse(str(data["to"])), str(data.get("time_zone", "")) or None
    if "slot" in data:
        return slots.next_free_slot(_accounts(found), but=found.public_id), zone
    if "at" in data:
        return local_time.moment_of(local_time.parse(str(data["at"])), zone), zone
    at = found.publish_at
    if at is None:
        raise Conflict("This draft has no time yet. Choose one.", code="no_time")
    if "day" in data:
        try:
            day = date.fromisoformat(str(data["day"]))
        except ValueError as exc:
            raise InvalidInput("Choose a day of the calendar.", field="day") from exc
        return local_time.on_day(at, zone, day), zone
    unit, _colon, number = str(data.get("by", "")).partition(":")
    if unit not in ("day", "week", "hour") or not re.fullmatch("[+-]?[123]", number):
        raise InvalidInput("Choose where to move it.", field="by")
    steps = int(number)
    if unit == "hour":
        return local_time.shifted(at, zone, hours=steps), zone
    return local_time.shifted(at, zone, days=steps * (7 if unit == "week" else 1)), zone


@post("/schedule/{post_id:str}/now", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def post_now(request: AnyRequest, post_id: FromPath[str], data: Fields) -> Redirect:
    """As soon as it can; of a late one (``late``) that is one of its two choices."""
    user = principal(request).user
    with database.connection_context():
        found = access.get_post(user, post_id)
        if found.state is PostState.DRAFT:
            raise Conflict("This is a draft. Send it first.", code="draft")
        _decide(found, None, None, data, user)
    return Redirect(f"/posts/{post_id}", status_code=303)


# Approval


@post("/schedule/{post_id:str}/approve", opt=DECIDE, sync_to_thread=True, include_in_schema=False)
def approve(request: AnyRequest, post_id: FromPath[str], data: Fields) -> Redirect | Template:
    """``now``: it goes out at once, because its time has passed meanwhile. ``as_of``: when what
    the page showed was changed last."""
    user = principal(request).user
    back = _safe_back(str(data.get("back", "")))
    with database.connection_context():
        found = access.get_post(user, post_id)
        try:
            approvals.approve(
                request.app.state.settings,
                found,
                actor=user,
                note=str(data.get("note", "")),
                now=data.get("now") == "yes",
                as_of=_as_of(data),
                again=again.is_meant(data),
            )
        except SamePost as exc:
            return again.ask(request, exc, data, back=back)
    return Redirect(back, status_code=303)


def _as_of(data: dict[str, Any]) -> datetime | None:
    """Raises InvalidInput."""
    word = str(data.get("as_of", ""))
    return local_time.parse(word, field="as_of") if word else None


@get("/schedule/{post_id:str}/refuse", opt=DECIDE, sync_to_thread=True, include_in_schema=False)
def open_refuse(
    request: AnyRequest,
    post_id: FromPath[str],
    back: FromQuery[str] = "/schedule",
    as_of: FromQuery[str] = "",
) -> Template:
    """``as_of``: when what the page showed was changed last."""
    with database.connection_context():
        found = access.get_post(principal(request).user, post_id)
        return _refuse_form(request, found, {"back": back, "as_of": as_of}, {})


@post("/schedule/{post_id:str}/refuse", opt=DECIDE, sync_to_thread=True, include_in_schema=False)
def refuse(
    request: AnyRequest, post_id: FromPath[str], data: Fields
) -> Redirect | Response[Any] | Template:
    user = principal(request).user
    note, back = str(data.get("note", "")), _safe_back(str(data.get("back", "")))
    with database.connection_context():
        found = access.get_post(user, post_id)
        try:
            approval.refuse(found, actor=user, note=note, as_of=_as_of(data))
        except InvalidInput as exc:
            return _refuse_form(request, found, data, {"note": exc.message})
        except Conflict as exc:
            if wants_problem(request):
                raise
            return _refuse_form(request, found, data, {"": exc.message})
    if _is_fragment(request):
        done = {"say": _("Sent back with your note"), "then": "live:posts"}
        headers = {"HX-Trigger": json.dumps({"dialog:done": done}), "HX-Reswap": "none"}
        return Response("", status_code=200, media_type="text/html", headers=headers)
    return Redirect(back, status_code=303)


def _refuse_form(
    request: AnyRequest, found: Post, data: dict[str, Any], problems: dict[str, str]
) -> Template:
    context = {
        "post_id": found.public_id,
        "title": found.title or found.video.title,
        "note": str(data.get("note", "")),
        "as_of": str(data.get("as_of", "")),
        "problems": problems,
        "back": _safe_back(str(data.get("back", ""))),
        "in_dialog": _is_fragment(request),
    }
    name = "schedule/refuse.html"
    if _is_fragment(request):
        name = "schedule/_refuse_form.html" if problems else "schedule/_refuse_dialog.html"
    return Template(name, context=context, status_code=422 if problems else 200)


@post("/schedule/{post_id:str}/withdraw", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def withdraw(request: AnyRequest, post_id: FromPath[str], data: Fields) -> Redirect:
    """The question is taken back: a plain draft again."""
    user = principal(request).user
    with database.connection_context():
        approval.withdraw(access.get_post(user, post_id), actor=user)
    return Redirect(_safe_back(str(data.get("back", ""))), status_code=303)


@post("/schedule/{post_id:str}/submit", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def submit(request: AnyRequest, post_id: FromPath[str], data: Fields) -> Redirect | Template:
    """Send a draft: at its time, now, or to who has to approve it. ``as_of``: when what the page
    showed was changed last."""
    user, back = principal(request).user, _safe_back(str(data.get("back", "")))
    with database.connection_context():
        found = access.get_post(user, post_id)
        try:
            dispatch.submit(
                request.app.state.settings,
                found,
                actor=user,
                as_of=_as_of(data),
                again=again.is_meant(data),
            )
        except SamePost as exc:
            return again.ask(request, exc, data, back=back)
    return Redirect(back, status_code=303)


def _safe_back(address: str) -> str:
    """Only to pages of ours."""
    ours = address in ("/schedule", "/posts") or address.startswith(("/schedule?", "/posts/"))
    return address if ours and "\n" not in address and "\\" not in address else "/schedule"


def _is_fragment(request: AnyRequest) -> bool:
    return request.headers.get("hx-request") == "true"
