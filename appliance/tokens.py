"""API tokens: for scripts, limited to scopes, shown once, revocable at once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from appliance import events
from appliance.access import Scope, at_least
from appliance.clock import now
from appliance.db import transaction, unless_full
from appliance.errors import Forbidden, InvalidInput, NotFound
from appliance.ids import new_token
from appliance.models import ApiToken, Role, User
from appliance.sessions import hash_token, tell_changed
from appliance.text import clean_line

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "ma_"
_SHOWN_CHARS = len(PREFIX) + 6
_TOUCH_AFTER = timedelta(minutes=1)


def create(
    user: User, *, name: str, scopes: Iterable[str], expires_days: int | None = None
) -> tuple[ApiToken, str]:
    """The row, and the token itself: the only time that it is seen.

    Raises InvalidInput; Forbidden for a scope that the user's own role doesn't reach.
    """
    name = clean_line(name, max_bytes=100)
    if not name:
        raise InvalidInput("A token needs a name, so that you can tell it apart.", field="name")
    try:
        wanted = sorted({Scope(scope) for scope in scopes})
    except ValueError as exc:
        known = ", ".join(Scope)
        raise InvalidInput(f"Unknown scope. There are: {known}.", field="scopes") from exc
    if not wanted:
        raise InvalidInput("Choose at least one thing that the token may do.", field="scopes")
    if Scope.ADMIN in wanted and not at_least(user, Role.ADMIN):
        raise Forbidden("Only admins can make a token with the scope “admin”.")
    if expires_days is not None and not 1 <= expires_days <= 3650:
        raise InvalidInput("A token lives between 1 and 3,650 days.", field="expires_days")
    text = PREFIX + new_token()
    with transaction():
        row = ApiToken.create(
            user=user,
            name=name,
            prefix=text[:_SHOWN_CHARS],
            token_hash=hash_token(text),
            scopes=[scope.value for scope in wanted],
            expires_at=None if expires_days is None else now() + timedelta(days=expires_days),
        )
        events.audit(user, "token.create", f"token:{row.public_id}", name=name)
    return row, text


def find(text: str) -> ApiToken | None:
    """The living token, with its user; None: unknown, expired, revoked, or its user is gone."""
    if not text.startswith(PREFIX):
        return None
    row = _with_user(ApiToken.token_hash == hash_token(text))
    if row is None or not is_living(row):
        return None
    at = now()
    if row.last_used_at is None or at - row.last_used_at >= _TOUCH_AFTER:
        unless_full(ApiToken.update(last_used_at=at).where(ApiToken.id == row.id).execute)
    return row


def again(row: ApiToken) -> ApiToken | None:
    """The same token as it is now, for a stream that lasts; None: it has ended."""
    fresh = _with_user(ApiToken.id == row.id)
    return fresh if fresh is not None and is_living(fresh) else None


def _with_user(condition: Any) -> ApiToken | None:
    row: ApiToken | None = ApiToken.select(ApiToken, User).join(User).where(condition).first()
    return row


def is_living(row: ApiToken) -> bool:
    expired = row.expires_at is not None and now() >= row.expires_at
    return not expired and row.revoked_at is None and row.user.deactivated_at is None


def of(user: User) -> list[ApiToken]:
    """Living and expired ones, newest first; revoked ones are gone from sight."""
    return list(
        ApiToken.select()
        .where(ApiToken.user == user, ApiToken.revoked_at.is_null())
        .order_by(ApiToken.id.desc())
    )


def revoke(user: User, public_id: str) -> None:
    """Raises NotFound."""
    with transaction():
        changed = (
            ApiToken.update(revoked_at=now())
            .where(
                ApiToken.public_id == public_id,
                ApiToken.user == user,
                ApiToken.revoked_at.is_null(),
            )
            .execute()
        )
        if not changed:
            raise NotFound("There is no such token; it may be revoked already.")
        events.audit(user, "token.revoke", f"token:{public_id}")
        tell_changed(user)
