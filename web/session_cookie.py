"""The cookie of a session: handed over at sign-in, taken back at sign-out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.datastructures import Cookie
from litestar.response import Redirect

from appliance import sessions
from web.auth import client_address, cookie_name

if TYPE_CHECKING:
    from litestar import Request

    from appliance.models import User
    from appliance.settings import Settings


def cookie_for(token: str, settings: Settings) -> Cookie:
    """Lax: a link from a mail leads to a signed-in page; posts from elsewhere come without it."""
    return Cookie(
        key=cookie_name(settings, "session"),
        value=token,
        path="/",
        httponly=True,
        secure=settings.https,
        samesite="lax",
        max_age=int(settings.session_max_days * 86_400),
    )


def enter(request: Request[Any, Any, Any], user: User, where: str = "/") -> Redirect:
    """Start a session for ``user`` (ending the browser's former one) and go to ``where``.

    A connection must be open.
    """
    settings: Settings = request.app.state.settings
    end_current(request)
    token = sessions.start(
        user,
        address=client_address(request.scope),
        agent=request.headers.get("user-agent", ""),
        settings=settings,
    )
    return Redirect(where, status_code=303, cookies=[cookie_for(token, settings)])


def end_current(request: Request[Any, Any, Any]) -> None:
    """End the session that this browser has now, if any. A connection must be open."""
    token = request.cookies.get(cookie_name(request.app.state.settings, "session"))
    if token:
        sessions.end(token)


def leave(request: Request[Any, Any, Any]) -> Redirect:
    """Take the cookie back and go to the sign-in page."""
    settings: Settings = request.app.state.settings
    gone = Cookie(
        key=cookie_name(settings, "session"),
        value="",
        path="/",
        httponly=True,
        secure=settings.https,
        samesite="lax",
        max_age=0,
    )
    return Redirect("/sign-in", status_code=303, cookies=[gone])


def safe_return(address: str) -> str:
    """Where to go after signing in: a path of this box, never another site."""
    plain = address.startswith("/") and not address.startswith(("//", "/\\"))
    if not plain or any(ord(ch) < 32 or ch == "\\" for ch in address):
        return "/"
    return address
