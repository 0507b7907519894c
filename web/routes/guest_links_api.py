"""Guest links for scripts: make, look, change, end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, delete, get, patch, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, UnsetType

from appliance import access, guest_links
from appliance.access import Scope
from appliance.clock import now
from appliance.db import database
from appliance.errors import InvalidInput
from appliance.guest_links import Terms
from appliance.models import GuestLink, Role, Visibility
from storage.guest_uploads import end_uploads
from web.api_shapes import Person
from web.auth import needs, principal
from web.cursors import take_page

if TYPE_CHECKING:
    from collections.abc import Sequence

# A link lets people upload, and its address is part of every answer.
MANAGE = needs(Role.EDITOR, Scope.UPLOAD)

AnyRequest = Request[Any, Any, State]


class NewGuestLink(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``null``: no limit of its own."""

    title: str
    """What guests read first: "Send us your clip"."""
    note: str = ""
    tag: str = ""
    """Put on each video that comes by the link."""
    visibility: Visibility = Visibility.TEAM
    password: str | None = None
    max_files: int | None = None
    max_file_bytes: int | None = None
    expires_at: datetime | None = None


class GuestLinkChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays as it is; ``null`` takes a limit, or the password, away."""

    title: str | UnsetType = UNSET
    note: str | UnsetType = UNSET
    tag: str | UnsetType = UNSET
    visibility: Visibility | UnsetType = UNSET
    password: str | None | UnsetType = UNSET
    max_files: int | None | UnsetType = UNSET
    max_file_bytes: int | None | UnsetType = UNSET
    expires_at: datetime | None | UnsetType = UNSET


@dataclass(frozen=True)
class GuestLinkShape:
    """``state``: open, full, expired or revoked. ``url`` null: sealed with another key."""

    link_id: str
    title: str
    note: str
    url: str | None
    state: str
    tag: str
    visibility: str
    has_password: bool
    max_files: int | None
    max_file_bytes: int | None
    files_used: int
    created_by: Person | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True)
class GuestLinkList:
    items: list[GuestLinkShape]
    next_cursor: str | None


def load_links(request: AnyRequest, rows: Sequence[GuestLink]) -> list[GuestLinkShape]:
    """Shapes for links in hand (with their makers joined), in their order."""
    used = guest_links.count_files(rows)
    return [_shape(request, row, used[row.id]) for row in rows]


def _shape(request: AnyRequest, link: GuestLink, files_used: int) -> GuestLinkShape:
    state = request.app.state
    maker = link.created_by
    return GuestLinkShape(
        link_id=link.public_id,
        title=link.title,
        note=link.note,
        url=guest_links.address(link, state.settings, state.vault),
        state=guest_links.state_of(link, now(), files_used).value,
        tag=link.tag,
        visibility=link.visibility.value,
        has_password=link.password_hash is not None,
        max_files=link.max_files,
        max_file_bytes=link.max_file_bytes,
        files_used=files_used,
        created_by=Person(maker.public_id, maker.name or maker.email) if maker else None,
        created_at=link.created_at,
        expires_at=link.expires_at,
        revoked_at=link.revoked_at,
        last_used_at=link.last_used_at,
    )


def _one(request: AnyRequest, link: GuestLink) -> GuestLinkShape:
    return load_links(request, [guest_links.again(link.id)])[0]


@get(
    "/api/v1/guest-links",
    opt=MANAGE,
    tags=["guest links"],
    summary="List guest links",
    sync_to_thread=True,
)
def list_links(
    request: AnyRequest, cursor: FromQuery[str | None] = None, limit: FromQuery[int] = 50
) -> GuestLinkList:
    """Newest first: one's own, and for admins everybody's."""
    with database.connection_context():
        query = access.visible_guest_links(principal(request).user)
        rows, following = take_page(query, GuestLink, cursor=cursor, limit=limit)
        return GuestLinkList(load_links(request, rows), following)


@post(
    "/api/v1/guest-links",
    opt=MANAGE,
    tags=["guest links"],
    summary="Make a guest link",
    sync_to_thread=True,
)
def create_link(request: AnyRequest, data: JSONBody[NewGuestLink]) -> GuestLinkShape:
    """Whoever has its ``url`` may send videos, without an account."""
    given = msgspec.structs.asdict(data)
    password = given.pop("password") or ""
    with database.connection_context():
        link = guest_links.create(
            principal(request).user,
            request.app.state.vault,
            Terms(**{**given, "expires_at": _zoned(data.expires_at)}),
            password=password,
        )
        return _one(request, link)


def _zoned(at: datetime | None) -> datetime | None:
    """Raises InvalidInput."""
    if at is not None and at.tzinfo is None:
        sentence = "A time needs its zone, such as 2026-03-14T12:00:00Z."
        raise InvalidInput(sentence, field="expires_at")
    return at


@get(
    "/api/v1/guest-links/{link_id:str}",
    opt=MANAGE,
    tags=["guest links"],
    summary="One guest link",
    sync_to_thread=True,
)
def show_link(request: AnyRequest, link_id: FromPath[str]) -> GuestLinkShape:
    with database.connection_context():
        return _one(request, access.get_guest_link(principal(request).user, link_id))


@patch(
    "/api/v1/guest-links/{link_id:str}",
    opt=MANAGE,
    tags=["guest links"],
    summary="Change a guest link",
    sync_to_thread=True,
)
def change_link(
    request: AnyRequest, link_id: FromPath[str], data: JSONBody[GuestLinkChange]
) -> GuestLinkShape:
    """Holds from now on; what is on its way goes on. A revoked link can't be changed."""
    given = {
        name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET
    }
    password = (given.pop("password") or "") if "password" in given else None
    if "expires_at" in given:
        given["expires_at"] = _zoned(given["expires_at"])
    user = principal(request).user
    with database.connection_context():
        link = access.get_guest_link(user, link_id)
        terms = replace(guest_links.terms_of(link), **given)
        guest_links.edit(link, actor=user, terms=terms, password=password)
        return _one(request, link)


@delete(
    "/api/v1/guest-links/{link_id:str}",
    opt=MANAGE,
    tags=["guest links"],
    summary="End a guest link",
    sync_to_thread=True,
)
def revoke_link(request: AnyRequest, link_id: FromPath[str]) -> None:
    """At once and for good: what is being sent by it is cut off. Safe to repeat."""
    user = principal(request).user
    with database.connection_context():
        link = access.get_guest_link(user, link_id)
        guest_links.revoke(link, actor=user)
        end_uploads(request.app.state.settings, link)
