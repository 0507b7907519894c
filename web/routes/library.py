"""The library: all videos that a person may see, as cards."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Response, Template

from appliance import access, guest_links
from appliance.db import database
from appliance.errors import NotFound
from appliance.models import GuestLink, Role, User, Video
from storage.usage import Warned, warned
from web import listing
from web.account_rows import load_notices
from web.auth import needs, principal
from web.listing import Wanted
from web.routes import library_batch
from web.rows import load_cards


@get("/", opt=needs(Role.VIEWER), sync_to_thread=True, include_in_schema=False)
def library(
    request: Request[Any, Any, State],
    q: FromQuery[str] = "",
    show: FromQuery[str] = "",
    sort: FromQuery[str] = "",
    view: FromQuery[str] = "",
    after: FromQuery[str] = "",
    tag: FromQuery[str] = "",
    link: FromQuery[str] = "",
    trashed: FromQuery[str] = "",
    did: FromQuery[str] = "",
    n: FromQuery[int] = 0,
    left_out: Annotated[int, QueryParameter(name="not")] = 0,
    why: FromQuery[str] = "",
) -> Template:
    """``did``, ``n``, ``not`` and ``why`` tell of what was done with several videos."""
    user = principal(request).user
    wanted = Wanted.of(q, show, sort, view, after, tag, link)
    with database.connection_context():
        videos, cursor = listing.load_page(user, wanted)
        gone = (
            access.visible_videos(user, trashed=True).where(Video.public_id == trashed).first()
            if trashed and not did
            else None
        )
        context = {
            "wanted": wanted,
            "account_notices": load_notices() if access.at_least(user, Role.EDITOR) else [],
            "storage": warned(request.app.state.settings)
            if access.at_least(user, Role.ADMIN)
            else Warned(),
            "tabs": listing.load_tabs(user, wanted),
            "in_bin": listing.count_bin(user),
            "cards": load_cards(user, request.app.state.layout, videos),
            "more": wanted.url(after=cursor) if cursor else "",
            "trashed": load_cards(user, request.app.state.layout, [gone])[0] if gone else None,
            "search_words": wanted.words,
            "picks": wanted.state != "bin",
            "told": library_batch.tell(did, n, left_out, why[:300], trashed),
            "link_title": _title_of(user, wanted.link, videos),
        }
    return Template("library/page.html", context=context)


def _title_of(user: User, link_id: str, videos: list[Video]) -> str:
    """What a guest link is called, for those who see it or something that came by it."""
    if not link_id:
        return ""
    seen = access.visible_guest_links(user).where(GuestLink.public_id == link_id).first()
    link = seen or next(iter(guest_links.of_videos(videos).values()), None)
    return link.title if link is not None else ""


@get("/_tabs", opt=needs(Role.VIEWER), sync_to_thread=True, include_in_schema=False)
def tabs(
    request: Request[Any, Any, State],
    q: FromQuery[str] = "",
    show: FromQuery[str] = "",
    sort: FromQuery[str] = "",
    view: FromQuery[str] = "",
    tag: FromQuery[str] = "",
    link: FromQuery[str] = "",
) -> Template:
    """The filters with their counts, anew."""
    wanted = Wanted.of(q, show, sort, view, "", tag, link)
    with database.connection_context():
        context = {"wanted": wanted, "tabs": listing.load_tabs(principal(request).user, wanted)}
    return Template("library/_tabs.html", context=context)


@get(
    "/videos/{video_id:str}/_card",
    opt=needs(Role.VIEWER),
    sync_to_thread=True,
    include_in_schema=False,
)
def card(request: Request[Any, Any, State], video_id: FromPath[str]) -> Response[Any] | Template:
    """One card, anew; nothing (and the order to remove it) when it is gone."""
    user = principal(request).user
    with database.connection_context():
        try:
            video = access.get_video(user, video_id)
        except NotFound:
            return Response("", media_type="text/html", headers={"HX-Reswap": "delete"})
        (row,) = load_cards(user, request.app.state.layout, [video])
    return Template("library/_card.html", context={"card": row, "picks": True})
