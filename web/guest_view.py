"""Guests and their link: who asks, and what the page behind the link shows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from appliance import guest_links
from appliance.clock import now
from appliance.errors import Forbidden, NotFound
from appliance.guest_links import LinkClosed, LinkState
from web import guest_session
from web.auth import client_address
from web.routes.public import Guesses

if TYPE_CHECKING:
    from litestar import Request
    from litestar.datastructures import State

    from appliance.models import GuestLink
    from web.forms import Form
    from web.guest_session import Guest

    AnyRequest = Request[Any, Any, State]

STALE = "This page was open for too long. Reload it, then go on; what has arrived is kept."


@dataclass(frozen=True)
class SentRow:
    name: str
    size_bytes: int
    at: datetime


def find_link(request: AnyRequest, token: str) -> GuestLink:
    """Raises NotFound, TooManyAttempts."""
    guesses: Guesses = request.app.state.setdefault("guesses", Guesses())
    address = client_address(request.scope)
    guesses.check(address)
    try:
        return guest_links.find(token)
    except NotFound:
        guesses.note(address)
        raise


def guest_of(request: AnyRequest, link: GuestLink) -> Guest | None:
    state = request.app.state
    value = request.cookies.get(guest_session.cookie_name(state.settings), "")
    return guest_session.read(value, link, state.vault)


def entered(request: AnyRequest, token: str) -> tuple[GuestLink, Guest]:
    """Raises NotFound, LinkClosed (ended), Forbidden (not entered, or too long ago)."""
    link = find_link(request, token)
    if guest_links.state_of(link, now(), 0) is LinkState.REVOKED:
        raise LinkClosed(LinkState.REVOKED)
    guest = guest_of(request, link)
    if guest is None or not guest.entered:
        raise Forbidden(STALE, code="guest_session")
    return link, guest


def enter_context(link: GuestLink, form: Form) -> dict[str, Any]:
    return {"title": link.title, "asks_password": link.password_hash is not None, "form": form}


def send_context(
    request: AnyRequest, token: str, link: GuestLink, guest: Guest, problem: str = ""
) -> dict[str, Any]:
    state = request.app.state
    here = f"{guest_links.PREFIX}/{token}"
    used = guest_links.count_files([link])[link.id]
    standing = guest_links.state_of(link, now(), used)
    # Not the room that is left: that is nothing for guests to know.
    most = int(state.settings.max_upload_bytes)
    maker = link.created_by
    return {
        "here": here,
        "title": link.title,
        "note": link.note,
        "maker": (maker.name or maker.email.partition("@")[0]) if maker else "",
        "guest": guest,
        "form_action": f"{here}/file/{guest.form_key}",
        "most": min(most, link.max_file_bytes) if link.max_file_bytes else most,
        "left": None if link.max_files is None else max(0, link.max_files - used),
        "expires_at": link.expires_at,
        "closed": "" if standing is LinkState.OPEN else guest_links.SENTENCES[standing],
        "sent": _sent_rows(link, guest),
        "problem": problem,
    }


def _sent_rows(link: GuestLink, guest: Guest) -> list[SentRow]:
    return [
        SentRow(row.filename, row.size_bytes, row.received_at)
        for row in guest_links.sent_by(link, guest.guest_id)
        if row.received_at is not None
    ]
