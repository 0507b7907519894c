"""What people see of the stand-ins of real platforms: what each received, the calls it saw, and
how to break it.

They hold copies of the team's videos, private ones too: who sees a video here is decided as on the
practice platform (web/practice/pages.py). Calls and faults are for admins.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from litestar import HttpMethod, Request, get, post, route
from litestar.datastructures import State
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Template
from litestar.types import ASGIApp

from appliance import access, accounts
from appliance.access import Scope
from appliance.db import database
from appliance.errors import InvalidInput, NotFound
from appliance.models import Account, Post, PostTarget, Role
from appliance.states import AccountState
from tasks.publish import dispatch
from web.auth import needs, principal
from web.posting_words import platform_name
from web.practice.ground import Fault
from web.practice.presets import KINDS, PLATFORMS, Platform, tabs
from web.practice.shown import Shown, received
from web.sendfile import SendFile, content_disposition

if TYPE_CHECKING:
    from appliance.models import User
    from web.practice.stand_ins import StandIn

SEE = needs(Role.VIEWER, Scope.READ)
MAX_SHOWN, MAX_CALLS = 100, 40

AnyRequest = Request[Any, Any, State]


@dataclass(frozen=True)
class CallRow:
    at: datetime
    method: str
    path: str
    words: str


@dataclass(frozen=True)
class FaultRow:
    """``number``: its place in the stand-in's list."""

    number: int
    words: str
    where: str
    value: str
    skip: int
    lasts: bool


@get("/of/{platform:str}", opt=SEE, sync_to_thread=True, include_in_schema=False)
def show(request: AnyRequest, platform: FromPath[str]) -> Template:
    """One stand-in."""
    stand_in, chosen = _find(request, platform)
    user = principal(request).user
    admin = access.at_least(user, Role.ADMIN)
    with database.connection_context():
        visible = _visible(user, platform)
    found = [
        shown
        for shown in received(platform, request.app.state)
        if admin or any(shown.is_called(id) for id in visible)
    ]
    mine = {n: words for n, words in stand_in.endpoints.items() if chosen.owns(n)}
    context = {
        "platform": platform,
        "name": platform_name(platform),
        "tabs": tabs(request.app.state),
        "received": found[:MAX_SHOWN],
        "more": max(0, len(found) - MAX_SHOWN),
        "may_break": admin,
        "presets": chosen.presets,
        "endpoints": {"*": "Any call", **mine},
        "kinds": KINDS,
        "faults": _faults(stand_in, chosen) if admin else [],
        "calls": _calls(stand_in, chosen) if admin else [],
    }
    return Template("practice/stand_in.html", context=context)


@get("/of/{platform:str}/{remote_id:str}", opt=SEE, sync_to_thread=True, include_in_schema=False)
def watch(request: AnyRequest, platform: FromPath[str], remote_id: FromPath[str]) -> Template:
    shown, video_id = _find_shown(request, platform, remote_id)
    context = {
        "platform": platform,
        "name": platform_name(platform),
        "shown": shown,
        "video_id": video_id,
    }
    return Template("practice/watch_copy.html", context=context)


@route(
    "/of/{platform:str}/{remote_id:str}/video.mp4",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    opt=SEE,
    sync_to_thread=True,
    include_in_schema=False,
)
def send_copy(request: AnyRequest, platform: FromPath[str], remote_id: FromPath[str]) -> ASGIApp:
    """The stand-in's own copy, not the appliance's file."""
    shown, _ = _find_shown(request, platform, remote_id)
    if shown.file is None or not shown.file.is_file():
        raise NotFound("The stand-in doesn't have the file of this video.")
    name = content_disposition("inline", f"{shown.title or 'video'}.mp4")
    return SendFile(shown.file, "video/mp4", disposition=name)


@post(
    "/of/{platform:str}/{remote_id:str}/remove",
    opt=needs(Role.EDITOR),
    sync_to_thread=True,
    include_in_schema=False,
)
def remove_copy(request: AnyRequest, platform: FromPath[str], remote_id: FromPath[str]) -> Redirect:
    """As somebody would on the platform, behind the appliance's back."""
    shown, _ = _find_shown(request, platform, remote_id)
    shown.remove()
    return Redirect(f"/practice/of/{platform}", status_code=303)


@post(
    "/of/{platform:str}/faults",
    opt=needs(Role.ADMIN),
    sync_to_thread=True,
    include_in_schema=False,
)
def change_faults(
    request: AnyRequest, platform: FromPath[str], data: URLEncodedBody[dict[str, str]]
) -> Redirect:
    """``preset``: set that one. ``kind`` with its fields: set exactly this. ``clear``: a number, or
    "all" of this platform."""
    stand_in, chosen = _find(request, platform)
    before = stand_in.ground.faults()
    if (cleared := data.get("clear")) is not None:
        after = [
            fault
            for number, fault in enumerate(before)
            if not (cleared == str(number) or (cleared == "all" and chosen.owns(fault.endpoint)))
        ]
    else:
        after = [*before, _wanted(stand_in, chosen, data)]
    stand_in.ground.set_faults(after)
    if _refuses(before) and not _refuses(after):
        _reconnect(chosen.stand_in)
    return Redirect(f"/practice/of/{platform}#faults", status_code=303)


def _wanted(stand_in: StandIn, chosen: Platform, data: dict[str, str]) -> Fault:
    if (name := data.get("preset")) is not None:
        if name not in chosen.presets:
            raise InvalidInput("There is no such fault.", field="preset")
        return chosen.presets[name].fault
    endpoint, kind, skip = data.get("endpoint", ""), data.get("kind", ""), data.get("skip", "")
    known = endpoint == "*" or (endpoint in stand_in.endpoints and chosen.owns(endpoint))
    if not known or kind not in KINDS:
        raise InvalidInput("Choose a call, and what goes wrong with it.", field="kind")
    return Fault(
        endpoint,
        kind,
        data.get("value", "").strip()[:100],
        min(int(skip), 1000) if skip.isascii() and skip.isdecimal() and len(skip) < 6 else 0,
        "lasts" in data,
    )


def _refuses(faults: list[Fault]) -> bool:
    return any(fault.kind == "expire" for fault in faults)


def _reconnect(stand_in: str) -> None:
    """The sign-in is taken again: practice accounts that wait for that go on."""
    platforms = {p.name for p in PLATFORMS.values() if p.stand_in == stand_in}
    with database.connection_context():
        for account in Account.select().where(
            Account.platform.in_(platforms),
            Account.practice == True,  # noqa: E712  # SQL, not Python
            Account.state == AccountState.RECONNECT,
        ):
            accounts.mark_connected(account)
            dispatch.account_settled(account)


def _faults(stand_in: StandIn, chosen: Platform) -> list[FaultRow]:
    return [
        FaultRow(
            number=number,
            words=KINDS[fault.kind][0] if fault.kind in KINDS else fault.kind,
            where=stand_in.endpoints.get(fault.endpoint, "Any call"),
            value=fault.value,
            skip=fault.skip,
            lasts=fault.lasts,
        )
        for number, fault in enumerate(stand_in.ground.faults())
        if chosen.owns(fault.endpoint)
    ]


def _calls(stand_in: StandIn, chosen: Platform) -> list[CallRow]:
    """The latest first."""
    mine = [call for call in stand_in.ground.calls() if chosen.owns(call["endpoint"])]
    return [
        CallRow(
            at=datetime.fromisoformat(call["at"]),
            method=str(call.get("method", "")),
            path=str(call.get("path", "")),
            words=stand_in.endpoints.get(call["endpoint"], call["endpoint"]),
        )
        for call in reversed(mine[-MAX_CALLS:])
    ]


def _find(request: AnyRequest, platform: str) -> tuple[StandIn, Platform]:
    """Raises NotFound."""
    chosen = PLATFORMS.get(platform)
    if chosen is None or chosen.stand_in not in request.app.state:
        raise NotFound("There is no stand-in of this platform.")
    return request.app.state[chosen.stand_in], chosen


def _find_shown(request: AnyRequest, platform: str, remote_id: str) -> tuple[Shown, str]:
    """What was posted there, if this person may see it, and its video's id here ("" if it's gone).

    Raises NotFound.
    """
    _find(request, platform)
    user = principal(request).user
    with database.connection_context():
        visible = _visible(user, platform, remote_id)
    if remote_id in visible or access.at_least(user, Role.ADMIN):
        for shown in received(platform, request.app.state):
            if shown.is_called(remote_id):
                return shown, visible.get(remote_id, "")
    raise NotFound("There is no such video on the stand-in, or it was removed there.")


def _visible(user: User, platform: str, remote_id: str | None = None) -> dict[str, str]:
    """What this person may see: id there → id of the video here."""
    targets = (
        PostTarget.select(PostTarget, Post)
        .join(Post)
        .switch(PostTarget)
        .join(Account)
        .where(
            Account.platform == platform,
            PostTarget.remote_id.is_null(False),
            Post.id.in_(access.visible_posts(user).select(Post.id)),
        )
    )
    if remote_id is not None:
        targets = targets.where(PostTarget.remote_id == remote_id)
    return {str(target.remote_id): target.post.video.public_id for target in targets}
