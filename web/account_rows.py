"""Accounts as the pages show them; loaded, because templates render without a connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from appliance import accounts, heartbeats, oauth_clients
from appliance.clock import now
from appliance.connections import LABELS, PLATFORMS, PROVIDER_LABELS
from appliance.models import Account, Connection, PostTarget
from appliance.states import AccountState
from tasks.connect import checklist, flow
from tasks.connect.tokens import redirect_for
from tasks.publish import budgets
from web import words
from web.words import Badge, _

if TYPE_CHECKING:
    from appliance.oauth_clients import About, Provider
    from appliance.settings import Settings
    from tasks.connect.checklist import Step

# What a video that YouTube locked for want of an audit is called in the ledger.
LOCKED = "locked_private"

# So few posts are left of an allowance that somebody should know.
NEARLY_USED_UP = 3
STAGE_COST = {
    "youtube": "Each video is uploaded as private when it is ready, and only made public at Post. "
    "Subscribers may not be told of it then, and each upload counts towards the project's 100 a "
    "day, posted or not.",
    "facebook": "Each video is uploaded unpublished when it is ready. It takes the Page's room "
    "until it is posted, and one that waits for long may expire there and be sent again.",
    "instagram": "A container is made up to 24 hours ahead. A changed caption needs a new one, and "
    "400 may be made a day.",
}


@dataclass(frozen=True)
class AccountRow:
    """``told``: (tone, sentence, what to press) that somebody should see; () when all is well.

    ``stage_cost``: what it costs to stage ahead; "" where it can't be.
    """

    id: str
    platform: str
    platform_name: str
    name: str
    badge: Badge
    practice: bool
    connectable: bool
    needs_reconnect: bool
    disabled: bool
    link: str
    notes: tuple[str, ...]
    told: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    expires_at: datetime | None
    checked_at: datetime | None
    next_post_at: datetime | None
    coming: int
    stage_ahead: bool
    stage_cost: str
    paused_until: datetime | None = None


def load_account(account: Account) -> AccountRow:
    """A connection must be open."""
    connectable = account.platform in PLATFORMS
    due = flow.next_post_at(account)
    return AccountRow(
        id=account.public_id,
        platform=account.platform,
        platform_name=LABELS.get(account.platform, account.platform.capitalize()),
        name=account.name,
        badge=words.badge(account.state),
        practice=account.practice or account.platform == "practice",
        connectable=connectable,
        needs_reconnect=account.state is AccountState.RECONNECT,
        disabled=account.state is AccountState.DISABLED,
        link=str(account.facts.get("link") or ""),
        notes=_notes(account),
        told=tuple(_told(account, due)),
        facts=_facts(account),
        expires_at=account.expires_at,
        checked_at=account.checked_at,
        next_post_at=due,
        coming=flow.coming_posts(account),
        stage_ahead=account.stage_ahead,
        stage_cost=_(STAGE_COST[account.platform]) if account.platform in STAGE_COST else "",
        paused_until=account.paused_until,
    )


def _notes(account: Account) -> tuple[str, ...]:
    page = account.facts.get("page")
    return (_("belongs to the Page “{page}”", page=page),) if page else ()


def _facts(account: Account) -> tuple[tuple[str, str], ...]:
    found = [(_("Handle"), account.facts.get("handle")), (_("Page"), account.facts.get("page"))]
    found.append((_("Signed in as"), account.facts.get("login")))
    if account.facts.get("long_uploads") is False:
        found.append((_("Longest video"), _("15 minutes: the channel isn't verified by phone")))
    said = [(label, str(value)) for label, value in found if value]
    for use in budgets.usage(account):
        text = _("{used} of {limit} used", used=f"{use.used:,}", limit=f"{use.limit:,}")
        said.append((_(use.label), text))
    return tuple(said)


def _told(account: Account, due: datetime | None) -> list[tuple[str, str]]:
    at = now()
    told = []
    if account.state is AccountState.RECONNECT:
        reason = account.error or _("The platform no longer accepts the sign-in.")
        told.append(("bad", reason))
        if due is not None:
            told.append(
                ("bad", _("The next post there is due soon. It waits until you reconnect."))
            )
    elif flow.ends_too_soon(account, due, at):
        ends = account.expires_at
        if ends is not None and due is not None and ends <= due:
            told.append(
                ("warn", _("The sign-in ends before the next scheduled post. Reconnect before."))
            )
        else:
            told.append(("warn", _("The sign-in ends soon. Reconnect before it does.")))
    if account.facts.get("testing") and account.state is AccountState.CONNECTED:
        told.append(
            (
                "warn",
                _(
                    "The Google app is in “Testing”, so Google ends this sign-in after 7 days. "
                    "Publish the app, then reconnect."
                ),
            )
        )
    if warning := account.facts.get("warning"):
        told.append(("warn", str(warning)))
    if missing := account.facts.get("missing"):
        told.append(("warn", _("Not allowed at Facebook: {list}.", list=", ".join(missing))))
    for use in budgets.usage(account):
        if use.posts_left <= NEARLY_USED_UP:
            told.append(("warn", _nearly_used_up(use)))
    if account.paused_until is not None and account.paused_until > at:
        told.append(("warn", account.pause_reason or _("Paused after several failures in a row.")))
    return told


def _nearly_used_up(use: budgets.Use) -> str:
    if use.posts_left == 0:
        return _("“{name}” is used up. Posts wait until there is room.", name=_(use.label))
    return _("“{name}”: room for {count} more.", name=_(use.label), count=use.posts_left)


@dataclass(frozen=True)
class ProviderRow:
    """Google, or Facebook with Instagram."""

    name: str
    label: str
    platforms: tuple[tuple[str, str], ...]
    ready: bool
    """Client id and secret are there."""
    done: int
    steps: int


def load_providers(settings: Settings) -> list[ProviderRow]:
    """A connection must be open."""
    found = []
    for name in oauth_clients.PROVIDERS:
        steps = load_steps(settings, name)
        found.append(
            ProviderRow(
                name=name,
                label=provider_label(name),
                platforms=tuple((p, LABELS[p]) for p, of in PLATFORMS.items() if of == name),
                ready=oauth_clients.describe(settings, name).is_complete,
                done=sum(step.verdict is checklist.Verdict.OK for step in steps),
                steps=len(steps),
            )
        )
    return found


def provider_label(name: str) -> str:
    return _("Google, for YouTube") if name == "google" else _("Facebook, with Instagram")


def load_steps(settings: Settings, provider: Provider) -> list[Step]:
    """The checklist of a provider with what the box sees of it. A connection must be open."""
    mine = [p for p, of in PLATFORMS.items() if of == provider]
    rows = Account.select().where(
        Account.platform.in_(mine), ~Account.practice, Account.state != AccountState.DISABLED
    )
    alive = {pulse.name: pulse.is_alive for pulse in heartbeats.workers()}
    locked = (
        PostTarget.select()
        .join(Account)
        .where(PostTarget.error_code == LOCKED, ~Account.practice)
        .exists()
    )
    seen = checklist.Seen(
        base_url=settings.base_url,
        redirect=redirect_for(settings, provider),
        client=oauth_clients.describe(settings, provider),
        check=flow.client_check(provider),
        accounts=tuple({**row.facts, "platform": row.platform} for row in rows),
        privacy_contact=settings.privacy_contact,
        worker_alive=alive["delivery"],
        locked=provider == "google" and locked,
    )
    return checklist.steps(provider, seen)


def load_all() -> list[AccountRow]:
    """All accounts that are in use. A connection must be open."""
    return [load_account(account) for account in accounts.connected()]


@dataclass(frozen=True)
class AccountNotice:
    """For pages that aren't about accounts: one account that somebody should sign in to again."""

    id: str
    name: str
    platform: str
    sentence: str
    tone: str


def load_notices() -> list[AccountNotice]:
    """What posts will wait for unless somebody signs in again: shown before they are due.

    One query when nothing is wrong. A connection must be open.
    """
    at = now()
    rows = Account.select().where(
        Account.platform.in_(list(PLATFORMS)), Account.state != AccountState.DISABLED
    )
    found = []
    for account in rows:
        lost = account.state is AccountState.RECONNECT
        if not lost and account.expires_at is None:
            continue
        due = flow.next_post_at(account)
        if lost:
            sentence = account.error or _("The platform no longer accepts the sign-in.")
            waiting = flow.coming_posts(account)
            if waiting:
                sentence += " " + (
                    _("1 post waits for it.")
                    if waiting == 1
                    else _("{n} posts wait for it.", n=waiting)
                )
        elif flow.ends_too_soon(account, due, at):
            sentence = (
                _("The sign-in ends before the next scheduled post.")
                if due is not None and account.expires_at and account.expires_at <= due
                else _("The sign-in ends within a week.")
            )
        else:
            continue
        platform = LABELS.get(account.platform, account.platform)
        tone = "bad" if lost else "warn"
        found.append(AccountNotice(account.public_id, account.name, platform, sentence, tone))
    return found


@dataclass(frozen=True)
class Offer:
    """One account to choose on the page of a sign-in."""

    key: str
    platform: str
    platform_name: str
    name: str
    note: str
    blocked: str
    checked: bool


@dataclass(frozen=True)
class ConnectionView:
    """A sign-in under way."""

    id: str
    state: str
    platform: str
    where: str
    practice: bool
    error: str
    again: str
    """The account that was to be connected again; "" for a new one."""
    offers: list[Offer] = field(default_factory=list)
    made: list[dict[str, Any]] = field(default_factory=list)
    worker_alive: bool = True


def load_connection(row: Connection) -> ConnectionView:
    """A connection must be open."""
    alive = {pulse.name: pulse.is_alive for pulse in heartbeats.workers()}
    choosing = row.state.value == "choosing"
    return ConnectionView(
        id=row.public_id,
        state=row.state.value,
        platform=row.platform,
        where=PROVIDER_LABELS[PLATFORMS[row.platform]],
        practice=row.practice,
        error=row.error or "",
        again=row.account.public_id if row.account_id and row.account else "",
        offers=[_offer(entry) for entry in row.found] if choosing else [],
        made=[{**entry, "platform_name": LABELS.get(entry["platform"], "")} for entry in row.found]
        if row.state.value == "connected"
        else [],
        worker_alive=alive["delivery"],
    )


def _offer(entry: dict[str, Any]) -> Offer:
    facts = entry["facts"]
    page = facts.get("page")
    blocked = str(facts.get("blocked") or "")
    return Offer(
        key=entry["key"],
        platform=entry["platform"],
        platform_name=LABELS.get(entry["platform"], entry["platform"]),
        name=entry["name"],
        note=_("belongs to the Page “{page}”", page=page) if page else "",
        blocked=blocked,
        checked=not blocked,
    )


def client_context(about: About) -> dict[str, Any]:
    """What the form of a client may show; never a secret."""
    return {
        "id": about.id,
        "has_secret": about.has_secret,
        "fixed": about.source == "settings",
        "saved_at": about.saved_at,
    }
