"""Guest links of editors: make them, hand them out, see what came, end them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from appliance import access, guest_links
from appliance.clock import now
from appliance.db import database
from appliance.errors import ApplianceError, InvalidInput
from appliance.guest_links import LinkState, Terms
from appliance.models import GuestLink, Role, User, Visibility
from storage.guest_uploads import end_uploads
from web.auth import needs, principal
from web.forms import Form, FormData, refused, shown_again, text
from web.words import Badge, _

MANAGE = needs(Role.EDITOR)
AnyRequest = Request[Any, Any, State]

# What the form offers as "Ends after": days → words; "": never, "keep": as it is.
LIFETIMES = [("1", "1 day"), ("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("", "Never")]
FIELDS = ("title", "note", "tag", "visibility", "password", "max_files", "max_gb", "ends")
# Names of the terms → fields of the form.
_PLACES = {"max_file_bytes": "max_gb", "expires_at": "ends"}
_BYTES_PER_GB = 10**9

_BADGES = {
    LinkState.OPEN: ("ok", "check", "Open"),
    LinkState.FULL: ("neutral", "check", "Full"),
    LinkState.EXPIRED: ("neutral", "clock", "Run out"),
    LinkState.REVOKED: ("neutral", "x", "Ended"),
}


@dataclass(frozen=True)
class LinkRow:
    id: str
    title: str
    note: str
    address: str | None
    state: LinkState
    badge: Badge
    tag: str
    private: bool
    has_password: bool
    files_used: int
    max_files: int | None
    max_file_bytes: int | None
    maker: str
    mine: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


def _rows(request: AnyRequest, links: list[GuestLink]) -> list[LinkRow]:
    user = principal(request).user
    used = guest_links.count_files(links)
    return [_row(request, user, link, used[link.id]) for link in links]


def _row(request: AnyRequest, user: User, link: GuestLink, files_used: int) -> LinkRow:
    settings, vault = request.app.state.settings, request.app.state.vault
    state = guest_links.state_of(link, now(), files_used)
    tone, icon, word = _BADGES[state]
    maker = link.created_by
    return LinkRow(
        id=link.public_id,
        title=link.title,
        note=link.note,
        address=guest_links.address(link, settings, vault),
        state=state,
        badge=Badge(state.value, tone, icon, _(word)),
        tag=link.tag,
        private=link.visibility is Visibility.PRIVATE,
        has_password=link.password_hash is not None,
        files_used=files_used,
        max_files=link.max_files,
        max_file_bytes=link.max_file_bytes,
        maker=(maker.name or maker.email) if maker else "",
        mine=link.created_by_id == user.id,
        created_at=link.created_at,
        expires_at=link.expires_at,
        revoked_at=link.revoked_at,
        last_used_at=link.last_used_at,
    )


@get("/guest-links", opt=MANAGE, sync_to_thread=True, include_in_schema=False)
def links_page(
    request: AnyRequest, made: FromQuery[str] = "", done: FromQuery[str] = ""
) -> Template:
    with database.connection_context():
        return Template("guests/links.html", context=_page(request, made=made, done=done))


def _page(
    request: AnyRequest, *, made: str = "", done: str = "", form: Form | None = None
) -> dict[str, Any]:
    query = access.visible_guest_links(principal(request).user)
    rows = _rows(request, list(query.order_by(GuestLink.id.desc()).limit(500)))
    ended = [row for row in rows if row.state is LinkState.REVOKED]
    return {
        "links": [row for row in rows if row.state is not LinkState.REVOKED],
        "ended": ended,
        "made": next((row for row in rows if row.id == made), None),
        "done": done,
        "form": form or Form({"visibility": Visibility.TEAM.value, "ends": "30"}),
        "lifetimes": LIFETIMES,
        "link": None,
    }


@post("/guest-links", opt=MANAGE, status_code=200, sync_to_thread=True, include_in_schema=False)
def create_link(request: AnyRequest, data: FormData) -> Response[Any]:
    with database.connection_context():
        try:
            link = guest_links.create(
                principal(request).user,
                request.app.state.vault,
                _terms(data),
                password=text(data, "password"),
            )
        except ApplianceError as exc:
            form = _refused(data, exc)
            return shown_again("guests/links.html", exc, _page(request, form=form))
    return Redirect(f"/guest-links?made={link.public_id}", status_code=303)


def _refused(data: dict[str, Any], error: ApplianceError) -> Form:
    name = getattr(error, "field", None)
    if isinstance(error, InvalidInput) and name in _PLACES:
        error = InvalidInput(error.message, field=_PLACES[name], code=error.code)
    return refused(data, error, *FIELDS)


def _terms(data: dict[str, Any], before: Terms | None = None) -> Terms:
    """``before``: what an end that is kept means. Raises InvalidInput."""
    visibility = text(data, "visibility") or Visibility.TEAM.value
    if visibility not in list(Visibility):
        raise InvalidInput("Choose who sees what arrives.", field="visibility")
    return Terms(
        title=text(data, "title"),
        note=text(data, "note"),
        tag=text(data, "tag"),
        visibility=Visibility(visibility),
        max_files=_count(text(data, "max_files")),
        max_file_bytes=_gigabytes(text(data, "max_gb")),
        expires_at=_end(text(data, "ends"), before),
    )


def _count(written: str) -> int | None:
    written = written.strip()
    if not written:
        return None
    if not (written.isascii() and written.isdecimal() and len(written) <= 9):
        raise InvalidInput("Write a whole number of files, or nothing.", field="max_files")
    return int(written)


def _gigabytes(written: str) -> int | None:
    """In bytes. "1.5" and "1,5" are the same."""
    written = written.strip().replace(",", ".")
    if not written:
        return None
    try:
        amount = Decimal(written)
    except InvalidOperation:
        amount = Decimal(0)
    if not (amount.is_finite() and Decimal("0.001") <= amount <= 100_000):
        raise InvalidInput("Write a size in GB, such as 2 or 0.5, or nothing.", field="max_gb")
    return int(amount * _BYTES_PER_GB)


def _end(written: str, before: Terms | None) -> datetime | None:
    if before is not None and written == "keep":
        return before.expires_at
    if written not in dict(LIFETIMES):
        raise InvalidInput("Choose one of the times in the list.", field="ends")
    return now() + timedelta(days=int(written)) if written else None


@get("/guest-links/{link_id:str}", opt=MANAGE, sync_to_thread=True, include_in_schema=False)
def edit_page(request: AnyRequest, link_id: FromPath[str]) -> Template:
    with database.connection_context():
        link = access.get_guest_link(principal(request).user, link_id)
        return Template("guests/edit.html", context=_edit_context(request, link))


def _edit_context(request: AnyRequest, link: GuestLink, form: Form | None = None) -> dict[str, Any]:
    (row,) = _rows(request, [link])
    gigabytes = ""
    if link.max_file_bytes is not None:
        gigabytes = f"{Decimal(link.max_file_bytes) / _BYTES_PER_GB:f}"
    shown = Form(
        {
            "title": link.title,
            "note": link.note,
            "tag": link.tag,
            "visibility": link.visibility.value,
            "max_files": link.max_files or "",
            "max_gb": gigabytes,
            "ends": "keep",
        }
    )
    return {"link": row, "form": form or shown, "lifetimes": LIFETIMES}


@post(
    "/guest-links/{link_id:str}",
    opt=MANAGE,
    status_code=200,
    sync_to_thread=True,
    include_in_schema=False,
)
def edit_link(request: AnyRequest, link_id: FromPath[str], data: FormData) -> Response[Any]:
    user = principal(request).user
    with database.connection_context():
        link = access.get_guest_link(user, link_id)
        before = guest_links.terms_of(link)
        try:
            terms = _terms(data, before)
            guest_links.edit(link, actor=user, terms=terms, password=_password(data))
        except ApplianceError as exc:
            form = _refused(data, exc)
            return shown_again("guests/edit.html", exc, _edit_context(request, link, form))
    return Redirect("/guest-links?done=changed", status_code=303)


def _password(data: dict[str, Any]) -> str | None:
    """None: as it is. A new one counts more than the box that takes it away."""
    written = text(data, "password")
    return written if written or text(data, "no_password") == "on" else None


@post(
    "/guest-links/{link_id:str}/revoke",
    opt=MANAGE,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def revoke_link(request: AnyRequest, link_id: FromPath[str]) -> Redirect:
    user = principal(request).user
    with database.connection_context():
        link = access.get_guest_link(user, link_id)
        guest_links.revoke(link, actor=user)
        end_uploads(request.app.state.settings, link)
    return Redirect("/guest-links?done=revoked", status_code=303)
