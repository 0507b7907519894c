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
