"""How asking for a sign-in can end badly. Nothing in them is secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from datetime import datetime


class SignInLost(ApplianceError):
    """The platform no longer accepts the sign-in. A person connects the account again.

    ``detail``: the platform's raw answer.
    """

    code = "reconnect"

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class SignInUnreachable(ApplianceError):
    """The platform can't be asked now; the sign-in is as good as before.

    ``when``: the earliest time to ask again, if the platform named one.
    """

    code = "sign_in_unreachable"

    def __init__(self, message: str, *, when: datetime | None = None, detail: str = "") -> None:
        super().__init__(message)
        self.when, self.detail = when, detail


class ConnectRefused(ApplianceError):
    """The platform said no, and will say so again until somebody changes something: the sentence
    names it. ``code``: "bad_client", "bad_redirect", "scope", "no_channel", "api_off", …"""

    code = "connect_refused"

    def __init__(self, message: str, *, code: str = "connect_refused", detail: str = "") -> None:
        super().__init__(message, code=code)
        self.detail = detail
