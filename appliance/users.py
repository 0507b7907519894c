"""Users: how they come, what they may become, how they go.

The rules: only an owner touches an owner, or makes one; the last active owner stays owner. All
functions expect an open connection.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from appliance import events, invites, passwords, sessions, throttle
from appliance.access import at_least, require
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import Conflict, Forbidden, InvalidInput, NotFound
from appliance.models import Invite, InviteKind, Role, Session, User
from appliance.text import clean_line

if TYPE_CHECKING:
    from appliance.settings import Settings

THEMES = ("system", "light", "dark")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def clean_email(email: str) -> str:
    """Lower case. Raises InvalidInput."""
    cleaned = unicodedata.normalize("NFC", clean_line(email)).lower()
    if not _EMAIL.fullmatch(cleaned):
        raise InvalidInput("Write the email address as name@example.org.", field="email")
    return cleaned


def check_time_zone(name: str) -> str:
    """Raises InvalidInput."""
    if name not in time_zones():
        raise InvalidInput("Choose a time zone such as Europe/Berlin.", field="time_zone")
    return name


@cache
def time_zones() -> frozenset[str]:
    """All names of zones. Looked up once: it reads some hundred files."""
    return frozenset(available_timezones())


def exist() -> bool:
    return User.select().exists()


def get(public_id: str) -> User:
    """Raises NotFound."""
    user = User.get_or_none(User.public_id == public_id)
    if user is None:
        raise NotFound("There is no such user.")
    return user


def by_email(email: str) -> User:
    """Raises NotFound."""
    user = User.get_or_none(User.email == clean_email(email))
    if user is None:
        raise NotFound(f"There is no user with the address {clean_email(email)}.")
    return user


def all_users() -> list[User]:
    """Active ones first, by name."""
    return list(User.select().order_by(User.deactivated_at.is_null(False), User.name, User.email))


def add_user(
    email: str,
    *,
    role: Role,
    password: str | None = None,
    name: str = "",
    time_zone: str = "UTC",
    actor: User | None = None,
    address: str = "",
) -> User:
    """A new user. ``password`` None: they set one by a reset link.

    Raises InvalidInput for what can't be used, Conflict when the address is taken.
    """
    email = clean_email(email)
    check_time_zone(time_zone)
    if password is not None:
        passwords.check_strength(password)
    hashed = None if password is None else passwords.hash_password(password)
    with transaction():
        if User.select().where(User.email == email).exists():
            raise Conflict(f"Somebody with the address {email} is here already.", code="taken")
        user = User.create(
            email=email,
            name=clean_line(name, max_bytes=100),
            role=role,
            password_hash=hashed,
            time_zone=time_zone,
        )
        events.audit(actor, "user.add", f"user:{user.public_id}", address=address, role=role)
    return user


# The first one


def setup_link(settings: Settings) -> str | None:
    """A fresh link to create the owner in the browser; None when there is a user already.

    Earlier set-up links end. Needs an open connection.
    """
    with transaction():
        if exist():
            return None
        _, token = invites.issue(InviteKind.SETUP, role=Role.OWNER)
    return invites.address(InviteKind.SETUP, token, settings)


def set_up(
    token: str, *, email: str, name: str, password: str, time_zone: str, address: str = ""
) -> User:
    """Create the owner by a set-up link. Raises NotFound, InvalidInput."""
    passwords.check_strength(password)
    with transaction():
        invite = invites.find(InviteKind.SETUP, token)
        if exist():
            raise NotFound("This box is set up already. Sign in.")
        user = add_user(
            email,
            role=Role.OWNER,
            password=password,
            name=name,
            time_zone=time_zone,
            address=address,
        )
        invites.use(invite)
    return user


# By invite


def invite(actor: User, *, role: Role, email: str = "") -> tuple[Invite, str]:
    """An invite and its token. Raises Forbidden, InvalidInput, Conflict."""
    require(actor, Role.ADMIN)
    if role is Role.OWNER:
        _require_owner(actor)
    if email:
        email = clean_email(email)
        if User.select().where(User.email == email).exists():
            raise Conflict(f"Somebody with the address {email} is here already.", code="taken")
    with transaction():
        row, token = invites.issue(InviteKind.INVITE, role=role, email=email, created_by=actor)
        events.audit(actor, "invite.create", f"invite:{row.public_id}", role=role, email=email)
    return row, token


def withdraw_invite(actor: User, public_id: str) -> None:
    """Raises Forbidden, NotFound."""
    require(actor, Role.ADMIN)
    with transaction():
        invites.revoke(public_id)
        events.audit(actor, "invite.withdraw", f"invite:{public_id}")


def accept_invite(
    token: str, *, email: str, name: str, password: str, time_zone: str, address: str = ""
) -> User:
    """Raises NotFound, InvalidInput, Conflict."""
    passwords.check_strength(password)
    with transaction():
        row = invites.find(InviteKind.INVITE, token)
        user = add_user(
            row.email or email,
            role=row.role,
            password=password,
            name=name,
            time_zone=time_zone,
            actor=row.created_by,
            address=address,
        )
        invites.use(row)
    return user


# Passwords


def reset_link(user: User, settings: Settings, *, actor: User | None = None) -> str:
    """A link to choose a new password; ``actor`` None: the box's own shell. Raises Forbidden."""
    if actor is not None:
        _require_may_manage(actor, user)
    with transaction():
        _, token = invites.issue(InviteKind.RESET, role=user.role, user=user, created_by=actor)
        events.audit(actor, "user.reset_link", f"user:{user.public_id}")
    return invites.address(InviteKind.RESET, token, settings)


def reset_password(token: str, password: str, *, address: str = "") -> User:
    """By a reset link; ends all sessions. Raises NotFound, InvalidInput."""
    passwords.check_strength(password)
    with transaction():
        row = invites.find(InviteKind.RESET, token)
        user = row.user
        if user is None or user.deactivated_at is not None:
            raise NotFound("This account is switched off. Ask your admin.")
        invites.use(row)
        set_password(user, password, actor=user, address=address)
    return user


def set_password(
    user: User,
    password: str,
    *,
    actor: User | None = None,
    address: str = "",
    keep: Session | None = None,
) -> None:
    """Ends the user's sessions (but ``keep``) and open reset links. Raises InvalidInput."""
    passwords.check_strength(password)
    hashed = passwords.hash_password(password)
    with transaction():
        User.update(password_hash=hashed).where(User.id == user.id).execute()
        user.password_hash = hashed
        Invite.update(revoked_at=now()).where(
            Invite.user == user, Invite.used_at.is_null(), Invite.revoked_at.is_null()
        ).execute()
        sessions.revoke_all(user, but=keep)
        events.audit(actor, "user.password", f"user:{user.public_id}", address=address)


def change_password(user: User, current: str, new: str, *, address: str = "") -> None:
    """By the user: ends all sessions, so start a new one. Raises InvalidInput, TooManyAttempts."""
    limits = [throttle.account(user.email)]
    throttle.count_try(limits)
    if not passwords.verify(current, user.password_hash):
        raise InvalidInput("This is not your current password.", field="current_password")
    throttle.succeeded(limits)
    passwords.check_strength(new, field="new_password")
    set_password(user, new, actor=user, address=address)


# What they are


def edit_profile(
    user: User,
    *,
    name: str | None = None,
    time_zone: str | None = None,
    theme: str | None = None,
    shortcuts: bool | None = None,
) -> User:
    """What people set for themselves. Raises InvalidInput."""
    changes: dict[object, object] = {}
    if name is not None:
        changes[User.name] = clean_line(name, max_bytes=100)
    if time_zone is not None:
        changes[User.time_zone] = check_time_zone(time_zone)
    if theme is not None:
        if theme not in THEMES:
            raise InvalidInput("Choose one of the themes in the list.", field="theme")
        changes[User.theme] = theme
    if shortcuts is not None:
        changes[User.shortcuts] = shortcuts
    if changes:
        User.update(changes).where(User.id == user.id).execute()
    return User.get_by_id(user.id)


def set_role(user: User, role: Role, *, actor: User | None, address: str = "") -> None:
    """They sign in again with it. Raises Forbidden, Conflict for the last owner."""
    if actor is not None:
        _require_may_manage(actor, user)
        if role is Role.OWNER:
            _require_owner(actor)
    with transaction():
        fresh = User.get_by_id(user.id)
        if fresh.role is role:
            return
        if role is not Role.OWNER:
            _keep_an_owner(fresh)
        User.update(role=role).where(User.id == user.id).execute()
        _end_links(user, still_admin=role in (Role.ADMIN, Role.OWNER))
        sessions.revoke_all(user)
        events.audit(
            actor,
            "user.role",
            f"user:{user.public_id}",
            address=address,
            old=fresh.role,
            new=role,
        )


def set_quota(
    user: User, quota_bytes: int | None, *, actor: User | None, address: str = ""
) -> None:
    """What this person's videos may take; None: as the setting ``user_quota`` says.

    ``appliance.quotas.UNLIMITED``: no limit. What is there already stays. Raises Forbidden.
    """
    if actor is not None:
        _require_may_manage(actor, user)
    with transaction():
        User.update(quota_bytes=quota_bytes).where(User.id == user.id).execute()
        events.audit(
            actor, "user.quota", f"user:{user.public_id}", address=address, quota_bytes=quota_bytes
        )


def deactivate(user: User, *, actor: User | None, address: str = "") -> None:
    """They can't sign in, their tokens stop, their videos stay. Raises Forbidden, Conflict."""
    if actor is not None:
        _require_may_manage(actor, user)
    with transaction():
        fresh = User.get_by_id(user.id)
        if fresh.deactivated_at is not None:
            return
        _keep_an_owner(fresh)
        User.update(deactivated_at=now()).where(User.id == user.id).execute()
        _end_links(user, still_admin=False)
        sessions.revoke_all(user)
        events.audit(actor, "user.deactivate", f"user:{user.public_id}", address=address)


def _end_links(user: User, *, still_admin: bool) -> None:
    """Unused links to this account: an admin who kept one would walk in with the new role.

    And, unless ``still_admin``, those that they made themselves: they could come back by one.
    """
    theirs = Invite.user == user
    if not still_admin:
        theirs |= Invite.created_by == user
    Invite.update(revoked_at=now()).where(
        theirs, Invite.used_at.is_null(), Invite.revoked_at.is_null()
    ).execute()


def reactivate(user: User, *, actor: User | None, address: str = "") -> None:
    """Raises Forbidden."""
    if actor is not None:
        _require_may_manage(actor, user)
    with transaction():
        User.update(deactivated_at=None).where(User.id == user.id).execute()
        events.audit(actor, "user.reactivate", f"user:{user.public_id}", address=address)


def may_manage(actor: User, user: User) -> bool:
    """Admins manage everybody but owners; owners everybody."""
    if not at_least(actor, Role.ADMIN):
        return False
    return user.role is not Role.OWNER or actor.role is Role.OWNER


def _require_may_manage(actor: User, user: User) -> None:
    require(actor, Role.ADMIN)
    if not may_manage(actor, user):
        raise Forbidden("Only an owner may change an owner's account.")


def _require_owner(actor: User) -> None:
    if actor.role is not Role.OWNER:
        raise Forbidden("Only an owner may make somebody an owner.")


def _keep_an_owner(user: User) -> None:
    """Raises Conflict when ``user`` is the only active owner."""
    others = User.select().where(
        User.role == Role.OWNER, User.deactivated_at.is_null(), User.id != user.id
    )
    if user.role is Role.OWNER and user.deactivated_at is None and not others.exists():
        raise Conflict("This is the only owner. Make somebody else an owner first.")
