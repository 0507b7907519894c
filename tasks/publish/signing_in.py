"""The sign-in of an account for one step, as a publisher's answer when there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.connect import tokens
from tasks.publish.publisher import NeedsReconnect, RetryAt

if TYPE_CHECKING:
    from appliance.models import Account
    from tasks.context import Context


def sign_in(account: Account, context: Context) -> dict[str, Any] | NeedsReconnect | RetryAt:
    """Credentials that last for a step; or why there are none. Without an open connection."""
    try:
        return tokens.fresh(account, context)
    except tokens.SignInLost as exc:
        return NeedsReconnect(exc.message, exc.detail)
    except tokens.SignInUnreachable as exc:
        return RetryAt(exc.when, exc.message, exc.detail, counted=exc.when is None)


def sign_in_again(
    account: Account, context: Context, refused: dict[str, Any]
) -> dict[str, Any] | None:
    """After a platform has refused the credentials ``refused``: others, made anew; None when there
    are none to be had. An access token may die before its time, and the sign-in is still good.
    Source: platforms.md §1.5, ``authError``. Without an open connection."""
    if not refused.get("refresh_token"):
        return None
    try:
        made = tokens.made_anew(account, context, refused)
    except (tokens.SignInLost, tokens.SignInUnreachable):
        return None
    return made if made.get("access_token") != refused.get("access_token") else None
