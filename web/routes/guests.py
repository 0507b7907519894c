"""What guests see: the page behind a guest link, on which people without an account send videos.

Everything here hangs on the link's token and the guest's cookie; no session is looked at. Who has
neither learns nothing but that there is nothing for them.
"""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.response import Redirect, Template

from appliance import guest_links
from appliance.clock import now
from appliance.db import database
from appliance.errors import ApplianceError, InvalidInput, NotFound
from appliance.guest_links import LinkState
from appliance.models import GuestLink
from appliance.text import clean_line
from web import guest_session
from web.auth import PUBLIC, client_address
from web.forms import Form, FormData, refused, shown_again, text
from web.guest_session import Guest
from web.guest_view import enter_context, entered, find_link, guest_of, send_context

AnyRequest = Request[Any, Any, State]


@get("/send/{token:str}", opt=PUBLIC, sync_to_thread=True, include_in_schema=False)
def guest_page(request: AnyRequest, token: FromPath[str]) -> Template:
    with database.connection_context():
        try:
            link = find_link(request, token)
        except NotFound as exc:
            return _closed(404, "not_found", exc.message)
        guest = guest_of(request, link)
        state = _standing(link)
        if _is_closed_to(guest, state):
            sent = guest_links.sent_by(link, guest.guest_id) if guest is not None else []
            return _closed(410, state.value, guest_links.SENTENCES[state], sent=len(sent))
        if guest is None or not guest.entered:
            form = Form({"name": guest.name if guest is not None else ""})
            return Template("guests/enter.html", context=enter_context(link, form))
        return Template("guests/send.html", context=send_context(request, token, link, guest))


def _standing(link: GuestLink) -> LinkState:
    return guest_links.state_of(link, now(), guest_links.count_files([link])[link.id])


def _is_closed_to(guest: Guest | None, state: LinkState) -> bool:
    """Who was here before may see what they sent, and finish what they began; but not after the
    link was ended."""
    return state is LinkState.REVOKED or (state is not LinkState.OPEN and guest is None)


def _closed(status: int, state: str, sentence: str, *, sent: int = 0) -> Template:
    """Says nothing of the link: not what it was for, nor whose."""
    context = {"state": state, "sentence": sentence, "sent": sent}
    return Template("guests/closed.html", context=context, status_code=status)


@get("/send/{token:str}/_sent", opt=PUBLIC, sync_to_thread=True, include_in_schema=False)
def sent_list(request: AnyRequest, token: FromPath[str]) -> Template:
    """What has arrived, and how much more can be sent, anew."""
    with database.connection_context():
        link, guest = entered(request, token)
        return Template("guests/_arrived.html", context=send_context(request, token, link, guest))


@post(
    "/send/{token:str}", opt=PUBLIC, status_code=200, sync_to_thread=True, include_in_schema=False
)
def enter(request: AnyRequest, token: FromPath[str], data: FormData) -> Response[Any]:
    """Name and password; then the cookie, and back to the page."""
    state = request.app.state
    with database.connection_context():
        link = find_link(request, token)
        guest = guest_of(request, link)
        if _is_closed_to(guest, _standing(link)):
            return Redirect(f"{guest_links.PREFIX}/{token}", status_code=303)  # which says so
        try:
            name = clean_line(text(data, "name"), max_bytes=guest_session.MAX_NAME_BYTES)
            if not name:
                raise InvalidInput("Say who you are.", field="name")
            guest_links.check_password(
                link, text(data, "password"), address=client_address(request.scope)
            )
        except ApplianceError as exc:
            form = refused(data, exc, "name", "password")
            return shown_again("guests/enter.html", exc, enter_context(link, form))
        value = guest_session.enter(link, name, guest, state.vault)
    return Redirect(
        f"{guest_links.PREFIX}/{token}",
        status_code=303,
        cookies=[guest_session.cookie(value, token, state.settings)],
    )


@post(
    "/send/{token:str}/leave",
    opt=PUBLIC,
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def leave(request: AnyRequest, token: FromPath[str]) -> Redirect:
    """Somebody else on the same device: the cookie goes."""
    with database.connection_context():
        find_link(request, token)
    return Redirect(
        f"{guest_links.PREFIX}/{token}",
        status_code=303,
        cookies=[guest_session.cookie("", token, request.app.state.settings)],
    )
