"""The sign-in of an account, ready to be used: refreshed early, kept when a platform rotates it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance import accounts
from appliance.db import database
from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.models import Account
    from tasks.context import Context

# What `fresh` gives lasts at least this long: a step's calls fit into it.
LASTS_S = 300.0


class SignInLost(ApplianceError):
    """The platform no longer accepts the sign-in; the account says so by now. A person reconnects.

    ``detail``: its raw answer, without secrets.
    """

    code = "reconnect"

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class SignInUnreachable(ApplianceError):
    """The platform can't be asked for a new token now; the sign-in is as good as before.

    ``when``: the earliest time to ask again, if the platform named one.
    """

    code = "sign_in_unreachable"

    def __init__(self, message: str, *, when: datetime | None = None, detail: str = "") -> None:
        super().__init__(message)
        self.when, self.detail = when, detail


def fresh(account: Account, context: Context) -> dict[str, Any]:
    """The credentials of ``account`` with an ``access_token`` that lasts at least ``LASTS_S``.

    Refreshes and stores them when need be, so it may talk to the platform: call it without an open
    connection, in the delivery worker, before each step of a publisher. What has no end is given
    as it is. Raises SignInLost and SignInUnreachable.
    """
    with database.connection_context():
        return accounts.credentials(context.vault, account)
