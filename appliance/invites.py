"""Links that are worth something once: first set-up, an invite, a new password.

Unknown, used, expired and revoked ones look alike: not found.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.clock import now
from appliance.db import transaction
from appliance.errors import NotFound
from appliance.ids import new_token
from appliance.models import Invite, InviteKind, Role, User
from appliance.sessions import hash_token

if TYPE_CHECKING:
    from appliance.settings import Settings

LIFETIMES = {
    InviteKind.SETUP: timedelta(days=1),
    InviteKind.INVITE: timedelta(days=7),
    InviteKind.RESET: timedelta(days=1),
}


def address(kind: InviteKind, token: str, settings: Settings) -> str:
    """What is given to the person."""
    return f"{settings.base_url}/{kind.value}/{token}"


def issue(
    kind: InviteKind,
    *,
    role: Role,
    email: str = "",
    user: User | None = None,
    created_by: User | None = None,
) -> tuple[Invite, str]:
    """The row and its token. Older set-up links, and older ones for the same user, end."""
    token = new_token()
    at = now()
    with transaction():
        older = Invite.update(revoked_at=at).where(
            Invite.kind == kind, Invite.used_at.is_null(), Invite.revoked_at.is_null()
        )
        if kind is InviteKind.SETUP:
            older.execute()
        elif user is not None:
            older.where(Invite.user == user).execute()
        row = Invite.create(
            kind=kind,
            token_hash=hash_token(token),
            role=role,
            email=email,
            user=user,
            created_by=created_by,
            expires_at=at + LIFETIMES[kind],
        )
    return row, token


def find(kind: InviteKind, token: str) -> Invite:
    """Raises NotFound."""
    row = Invite.get_or_none(
        Invite.kind == kind,
        Invite.token_hash == hash_token(token),
        Invite.used_at.is_null(),
        Invite.revoked_at.is_null(),
        Invite.expires_at > now(),
    )
    if row is None:
        raise NotFound("This link is used up, out of date or not complete. Ask for a new one.")
    return row


def use(row: Invite) -> None:
    """Spend it, in the transaction of what it is spent on. Raises NotFound when it was spent."""
    spent = (
        Invite.update(used_at=now())
        .where(Invite.id == row.id, Invite.used_at.is_null(), Invite.revoked_at.is_null())
        .execute()
    )
    if spent != 1:
        raise NotFound("This link was used in the meantime. Ask for a new one.")


def revoke(public_id: str) -> None:
    """Raises NotFound."""
    changed = (
        Invite.update(revoked_at=now())
        .where(Invite.public_id == public_id, Invite.used_at.is_null(), Invite.revoked_at.is_null())
        .execute()
    )
    if not changed:
        raise NotFound("There is no such invite; it may be used or withdrawn already.")


def open_invites() -> list[Invite]:
    """Invites that wait for their person, newest first."""
    return list(
        Invite.select()
        .where(
            Invite.kind == InviteKind.INVITE,
            Invite.used_at.is_null(),
            Invite.revoked_at.is_null(),
            Invite.expires_at > now(),
        )
        .order_by(Invite.id.desc())
    )
