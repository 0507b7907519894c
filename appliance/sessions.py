"""Who is signed in: opaque random tokens, of which only the hash is kept."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from appliance import events, passwords, throttle
from appliance.clock import now
from appliance.db import transaction, unless_full
from appliance.errors import InvalidInput, NotFound
from appliance.ids import new_token
from appliance.models import Session, User
from appliance.text import clean_line

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.settings import Settings

# A row write for each request would wake every live page; once a minute is exact enough.
_TOUCH_AFTER = timedelta(minutes=1)


def hash_token(token: str) -> str:
    """Tokens are random, so one round is enough; a thief of the database can't use it."""
    return hashlib.sha256(token.encode()).hexdigest()


def check_password(email: str, password: str, *, address: str) -> User:
    """The user, when the password is theirs.

    Raises TooManyAttempts; InvalidInput with one and the same sentence for an unknown user, a
    wrong password and a deactivated account.
    """
    email = clean_line(email).lower()
    limits = [throttle.account(email)]
    if address:
        limits.append(throttle.address(address))
    throttle.count_try(limits)
    user: User | None = User.get_or_none(User.email == email)
    right = passwords.verify(password, user.password_hash if user else None)
    if user is None or not right or user.deactivated_at is not None:
        events.audit(None, "sign_in.failed", address=address, email=email)
        raise InvalidInput("Email or password is wrong.", code="wrong_credentials")
    throttle.succeeded(limits)
    if user.password_hash is not None and passwords.is_outdated(user.password_hash):
        fresh = passwords.hash_password(password)
        User.update(password_hash=fresh).where(User.id == user.id).execute()
    return user


def start(user: User, *, address: str, agent: str, settings: Settings) -> str:
    """The token of a new session; it is nowhere kept in clear."""
    token = new_token()
    at = now()
    with transaction():
        Session.create(
            user=user,
            token_hash=hash_token(token),
            created_at=at,
            last_seen_at=at,
            expires_at=at + timedelta(days=settings.session_max_days),
            address=address,
            agent=clean_line(agent, max_bytes=200),
        )
        User.update(last_seen_at=at).where(User.id == user.id).execute()
        events.audit(user, "sign_in", f"user:{user.public_id}", address=address)
    return token


def find(token: str, settings: Settings) -> Session | None:
    """The living session of a token, with its user; None: sign in again. Remembers the visit."""
    row = _with_user(Session.token_hash == hash_token(token))
    if row is None or not is_living(row, settings):
        return None
    at = now()
    if at - row.last_seen_at >= _TOUCH_AFTER:
        unless_full(partial(_remember, row, at))
    return row


def _remember(row: Session, at: datetime) -> None:
    with transaction():
        Session.update(last_seen_at=at).where(Session.id == row.id).execute()
        User.update(last_seen_at=at).where(User.id == row.user_id).execute()


def again(row: Session, settings: Settings) -> Session | None:
    """The same session as it is now, for a stream that lasts; None: it has ended."""
    fresh = _with_user(Session.id == row.id)
    return fresh if fresh is not None and is_living(fresh, settings) else None


def is_living(row: Session, settings: Settings) -> bool:
    """Not expired, not idle for too long, its user not deactivated."""
    at = now()
    idle = timedelta(days=settings.session_idle_days)
    return row.user.deactivated_at is None and at < row.expires_at and at < row.last_seen_at + idle


def remove_dead(settings: Settings) -> int:
    """Tidy up sessions that ended by themselves; how many."""
    at = now()
    idle_since = at - timedelta(days=settings.session_idle_days)
    dead = (Session.expires_at <= at) | (Session.last_seen_at <= idle_since)
    return int(Session.delete().where(dead).execute())


def _with_user(condition: Any) -> Session | None:
    row: Session | None = Session.select(Session, User).join(User).where(condition).first()
    return row


def of(user: User) -> list[Session]:
    """Newest visit first."""
    return list(Session.select().where(Session.user == user).order_by(Session.last_seen_at.desc()))


def revoke(user: User, session_id: int) -> None:
    """End one session of this user. Raises NotFound."""
    with transaction():
        gone = Session.delete().where(Session.id == session_id, Session.user == user).execute()
        if not gone:
            raise NotFound("There is no such session; it may have ended already.")
        events.audit(user, "session.revoke", f"user:{user.public_id}")
        tell_changed(user)


def end(token: str) -> None:
    """Signing out."""
    row = Session.get_or_none(Session.token_hash == hash_token(token))
    if row is not None:
        with transaction():
            row.delete_instance()
            events.audit(row.user, "sign_out", f"user:{row.user.public_id}")
            tell_changed(row.user)


def revoke_all(user: User, *, but: Session | None = None) -> int:
    """End all sessions of a user, except one perhaps; how many."""
    with transaction():
        others = Session.delete().where(Session.user == user)
        if but is not None:
            others = others.where(Session.id != but.id)
        gone = int(others.execute())
        tell_changed(user)
    return gone


def tell_changed(user: User) -> None:
    """Live pages of this user look again whether they may go on."""
    events.record("user.changed", f"user:{user.public_id}", only_user_id=user.id)
