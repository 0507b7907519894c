"""Guest links: addresses at which people without an account may send videos.

An editor makes one, and whoever holds its address may send, until it is ended, runs out or is
full. The address is a secret: its hash finds the row; a copy sealed by the vault lets its maker
see it again. All functions but the pure ones want an open database connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from peewee import JOIN, fn

from appliance import access, events, passwords, tags, throttle
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import ApplianceError, InvalidInput, NotFound, SettingsError, TooLarge
from appliance.ids import new_token
from appliance.models import GuestLink, Role, User, Video, Visibility
from appliance.sessions import hash_token
from appliance.states import VideoState
from appliance.text import clean_line, clean_text, describe_size

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from peewee import ModelSelect

    from appliance.settings import Settings
    from appliance.vault import Vault

PREFIX = "/send"
MAX_TITLE_BYTES = 150
MAX_NOTE_BYTES = 4000
MAX_FILES = 10_000
MIN_PASSWORD_CHARS = 6  # told to many, and guesses are slowed down: less than for an account


class LinkState(StrEnum):
    """How a link stands at a moment; nothing of it is stored."""

    OPEN = "open"
    REVOKED = "revoked"  # ended by its maker or an admin; or its maker may not upload any more
    EXPIRED = "expired"
    FULL = "full"


SENTENCES = {
    LinkState.REVOKED: "This link was ended. Ask whoever gave it to you for a new one.",
    LinkState.EXPIRED: "This link has run out. Ask whoever gave it to you for a new one.",
    LinkState.FULL: "This link has all the files that it takes. Ask whoever gave it to you "
    "if you have more.",
}
UNKNOWN = (
    "This link leads nowhere. Look whether all of its address was copied, or ask whoever gave "
    "it to you."
)
CUT_OFF = (
    "The link that this file was sent by was ended, so the file was not taken. Ask whoever gave "
    "the link to you for a new one."
)


class LinkClosed(ApplianceError):
    """The link takes nothing more."""

    code = "link_closed"

    def __init__(self, state: LinkState) -> None:
        super().__init__(SENTENCES[state], code=f"link_{state}")
        self.state = state


@dataclass(frozen=True)
class Terms:
    """What a link says and allows. None: no limit of its own. Sizes in bytes."""

    title: str
    note: str = ""
    tag: str = ""
    visibility: Visibility = Visibility.TEAM
    max_files: int | None = None
    max_file_bytes: int | None = None
    expires_at: datetime | None = None


# Deciding


def state_of(link: GuestLink, at: datetime, files_used: int) -> LinkState:
    """Pure; ``link`` with its maker joined."""
    maker: User | None = link.created_by
    may_upload = (
        maker is not None and maker.deactivated_at is None and access.at_least(maker, Role.EDITOR)
    )
    if link.revoked_at is not None or not may_upload:
        return LinkState.REVOKED
    if link.expires_at is not None and link.expires_at <= at:
        return LinkState.EXPIRED
    if link.max_files is not None and files_used >= link.max_files:
        return LinkState.FULL
    return LinkState.OPEN


def may_send(
    link: GuestLink, at: datetime, files_used: int, size_bytes: int
) -> ApplianceError | None:
    """Why not one file more, of this size; None: it may come. Pure."""
    state = state_of(link, at, files_used)
    if state is not LinkState.OPEN:
        return LinkClosed(state)
    most = link.max_file_bytes
    if most is not None and size_bytes > most:
        return TooLarge(
            f"The file has {describe_size(size_bytes)}; this link takes up to "
            f"{describe_size(most)} each. Export it smaller, or ask whoever gave you the link."
        )
    return None


def check_terms(terms: Terms, *, before: Terms | None = None) -> Terms:
    """The same, cleaned. ``before``: what stood so far, which may stay. Raises InvalidInput."""
    title = clean_line(terms.title, max_bytes=MAX_TITLE_BYTES)
    if not title:
        raise InvalidInput("Say in a few words what guests shall send.", field="title")
    if terms.max_files is not None and not 1 <= terms.max_files <= MAX_FILES:
        raise InvalidInput(f"A link takes 1 to {MAX_FILES:,} files.", field="max_files")
    if terms.max_file_bytes is not None and terms.max_file_bytes < 1:
        raise InvalidInput("The largest file must have at least 1 byte.", field="max_file_bytes")
    moved = before is None or terms.expires_at != before.expires_at
    if moved and terms.expires_at is not None and terms.expires_at <= now():
        raise InvalidInput("The end of the link must lie ahead.", field="expires_at")
    try:
        tag = tags.clean(terms.tag)
    except InvalidInput as exc:
        raise InvalidInput(exc.message, field="tag") from exc
    return Terms(
        title=title,
        note=clean_text(terms.note, max_bytes=MAX_NOTE_BYTES),
        tag=tag,
        visibility=terms.visibility,
        max_files=terms.max_files,
        max_file_bytes=terms.max_file_bytes,
        expires_at=terms.expires_at,
    )


# Making and changing


def create(actor: User, vault: Vault, terms: Terms, *, password: str = "") -> GuestLink:
    """A new link of ``actor``. Raises Forbidden, InvalidInput."""
    access.require(actor, Role.EDITOR)
    checked = check_terms(terms)
    hashed = _hash_password(password)
    token = new_token()
    with transaction():
        link = GuestLink.create(
            token_hash=hash_token(token),
            created_by=actor,
            password_hash=hashed,
            **_columns(checked),
        )
        sealed = vault.encrypt({"token": token}, bound_to=_bound_to(link))
        GuestLink.update(token_sealed=sealed).where(GuestLink.id == link.id).execute()
        link.token_sealed = sealed
        _tell(link, "guest_link.created", actor)
    return link


def _columns(terms: Terms) -> dict[str, object]:
    return {name: getattr(terms, name) for name in Terms.__dataclass_fields__}


def _bound_to(link: GuestLink) -> str:
    return f"guest_link:{link.public_id}"


def _hash_password(password: str) -> str | None:
    if not password:
        return None
    if not MIN_PASSWORD_CHARS <= len(password) <= passwords.MAX_CHARS:
        raise InvalidInput(
            f"The password needs at least {MIN_PASSWORD_CHARS} characters.", field="password"
        )
    return passwords.hash_password(password)


def _tell(link: GuestLink, type: str, actor: User | None) -> None:
    """To its maker's and the admins' pages, and to the audit trail."""
    events.record(
        type,
        f"guest_link:{link.public_id}",
        actor_id=actor.id if actor else None,
        only_user_id=link.created_by_id,
        admins_only=link.created_by_id is None,
        link_id=link.public_id,
    )
    events.audit(actor, type, f"guest_link:{link.public_id}", title=link.title)


def terms_of(link: GuestLink) -> Terms:
    return Terms(**{name: getattr(link, name) for name in Terms.__dataclass_fields__})


def edit(link: GuestLink, *, actor: User, terms: Terms, password: str | None = None) -> None:
    """Other terms, from now on. ``password`` None: stays as it is; "": none any more.

    Raises InvalidInput; LinkClosed for one that was revoked.
    """
    checked = check_terms(terms, before=terms_of(link))
    changes = _columns(checked)
    if password is not None:
        changes["password_hash"] = _hash_password(password)
    with transaction():
        changed = (
            GuestLink.update(**changes)
            .where(GuestLink.id == link.id, GuestLink.revoked_at.is_null())
            .execute()
        )
        if not changed:
            raise LinkClosed(LinkState.REVOKED)
        _tell(link, "guest_link.changed", actor)


def revoke(link: GuestLink, *, actor: User) -> bool:
    """For good. False: it was revoked before. What is being sent is ended by
    ``storage.guest_uploads.end_uploads``, and by itself at its next request."""
    with transaction():
        changed = (
            GuestLink.update(revoked_at=now())
            .where(GuestLink.id == link.id, GuestLink.revoked_at.is_null())
            .execute()
        )
        if changed:
            _tell(link, "guest_link.revoked", actor)
    return bool(changed)


# Looking up


def select() -> ModelSelect[GuestLink]:
    """Links with their makers joined."""
    return GuestLink.select(GuestLink, User).join(User, JOIN.LEFT_OUTER)


def find(token: str) -> GuestLink:
    """The link that ``token`` is for, with its maker. Raises NotFound."""
    link: GuestLink | None = select().where(GuestLink.token_hash == hash_token(token)).first()
    if link is None:
        raise NotFound(UNKNOWN)
    return link


def again(link_id: int) -> GuestLink:
    """As the row stands now. Raises NotFound."""
    link: GuestLink | None = select().where(GuestLink.id == link_id).first()
    if link is None:
        raise NotFound(UNKNOWN)
    return link


def is_revoked(link_id: int) -> bool:
    """As ``LinkState.REVOKED`` says, or the link is gone."""
    link = select().where(GuestLink.id == link_id).first()
    return link is None or state_of(link, now(), 0) is LinkState.REVOKED


def address(link: GuestLink, settings: Settings, vault: Vault) -> str | None:
    """What is given to guests; None when it was sealed with another key."""
    try:
        opened = vault.decrypt(link.token_sealed or "", bound_to=_bound_to(link))
    except SettingsError:
        return None
    return f"{settings.base_url}{PREFIX}/{opened['token']}"


def count_files(links: Iterable[GuestLink]) -> dict[int, int]:
    """How many files each link has taken, those on their way included; by row id; one query.

    What was cancelled, or never arrived, makes room again; so does what was deleted for good.
    """
    ids = [link.id for link in links]
    never_arrived = (Video.state == VideoState.FAILED) & Video.received_at.is_null()
    rows: Any = (
        Video.select(Video.guest_link_id, fn.COUNT(Video.id))
        .where(Video.guest_link_id.in_(ids), ~never_arrived)
        .group_by(Video.guest_link_id)
        .tuples()
    )
    return {**dict.fromkeys(ids, 0), **dict(rows)}


def check_may_send(link: GuestLink, size_bytes: int) -> None:
    """As things stand; in the transaction that makes the upload, so that no two guests get the
    last place. Raises LinkClosed, TooLarge, NotFound."""
    fresh = again(link.id)
    refusal = may_send(fresh, now(), count_files([fresh])[fresh.id], size_bytes)
    if refusal is not None:
        raise refusal
    GuestLink.update(last_used_at=now()).where(GuestLink.id == link.id).execute()


def narrow(query: ModelSelect[Video], public_id: str) -> ModelSelect[Video]:
    """Those that were sent by the link."""
    link = GuestLink.select(GuestLink.id).where(GuestLink.public_id == public_id)
    return query.where(Video.guest_link_id.in_(link))


def of_videos(videos: Iterable[Video]) -> dict[int, GuestLink]:
    """The links that videos were sent by, by the links' row ids; one query, or none."""
    ids = {video.guest_link_id for video in videos if video.guest_link_id is not None}
    if not ids:
        return {}
    return {link.id: link for link in GuestLink.select().where(GuestLink.id.in_(ids))}


# Guests


def check_password(link: GuestLink, password: str, *, address: str) -> None:
    """Raises InvalidInput when it is wrong, TooManyAttempts after too many guesses."""
    if link.password_hash is None:
        return
    limits = [throttle.Limit(f"guest-link:{link.public_id}", free=50)]
    if address:
        limits.append(throttle.Limit(f"guest-link:{link.public_id}:{address}", free=5))
    throttle.count_try(limits)
    if not passwords.verify(password, link.password_hash):
        events.audit(
            None, "guest_link.wrong_password", f"guest_link:{link.public_id}", address=address
        )
        raise InvalidInput("This is not the password of the link.", field="password")
    throttle.succeeded(limits)


def count_grant(link: GuestLink, settings: Settings, *, address: str) -> None:
    """One file more from this address. Raises TooManyAttempts.

    Behind a socket that says no addresses, all guests of a link count together.
    """
    key = f"guest-grants:{address or link.public_id}"
    throttle.take_share(throttle.Share(key, most=settings.guest_files_per_hour))


def sent_by(link: GuestLink, guest_id: str) -> list[Video]:
    """What has arrived from one guest by this link, newest first."""
    return list(
        Video.select()
        .where(
            Video.guest_link_id == link.id,
            Video.guest_id == guest_id,
            Video.received_at.is_null(False),
        )
        .order_by(Video.id.desc())
        .limit(200)
    )
