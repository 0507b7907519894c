"""Each sweep of the ticker: what is wrong, what follows from it, rows and messages.

appliance/alerts.py decides; here stands what it decides from, and what becomes of it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance import alert_channels, alerts, events, jobs, kept
from appliance.alerts import Decision, Known, Trouble, What
from appliance.clock import now
from appliance.db import transaction
from appliance.models import Alert
from appliance.states import AlertState, move
from tasks.alerting import disk_history, sending, troubles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.settings import Settings

log = logging.getLogger(__name__)

SEEN = "alerts_seen"
QUIET = "alerts_quiet"
# What was over so long ago is no history any more.
KEEP = timedelta(days=90)
MAX_QUIET = timedelta(hours=2)
_UPGRADE = "upgrade"
# One that was cut short for good must be heard of.
MAX_UPGRADE = timedelta(minutes=30)
_OPEN = Alert.state == AlertState.OPEN


def look(settings: Settings) -> None:
    """Look, decide, write down, and put the messages in line. Wants a connection."""
    disk_history.note(settings)
    alert_channels.note_fixed(settings)
    found = troubles.gather(settings)
    if not found and not kept.read(SEEN) and not Alert.select().where(_OPEN).exists():
        return  # as nearly always: nothing is written
    with transaction():
        for message in settle(settings, found):
            enqueue(settings, message)


class Message:
    """What one alert has to say now; ``kind`` chooses the channels."""

    def __init__(self, settings: Settings, row: Alert, what: What) -> None:
        self.key, self.kind, self.what = row.key, row.kind, what
        link = f"{settings.base_url}{alerts.path_of(row.key)}"
        self.title, self.body = alerts.words_of(what, row.key, row.title, row.text, link=link)


def settle(settings: Settings, found: Iterable[Trouble]) -> list[Message]:
    """Write down what was decided; what is to be told. In a transaction.

    Who sends a message, or puts it in line, says so with `note_told`.
    """
    at = now()
    rows = {row.key: row for row in Alert.select()}
    known = {
        key: Known(row.state, row.first_at, row.last_at, row.cleared_at, row.told_at)
        for key, row in rows.items()
    }
    before = kept.read(SEEN)
    seen = {key: datetime.fromisoformat(text) for key, text in before.items()}
    made = alerts.decide(at, found, known, seen, quiet=is_quiet(at))
    after = {key: since.isoformat() for key, since in made.seen.items()}
    if after != before:
        kept.write(SEEN, after)
    _write(made, rows, at)
    Alert.delete().where(Alert.state == AlertState.CLEARED, Alert.last_at < at - KEEP).execute()
    fresh = {row.key: row for row in Alert.select().where(Alert.key.in_(list(made.told)))}
    return [Message(settings, fresh[key], what) for key, what in made.told.items()]


def _write(made: Decision, rows: dict[str, Alert], at: datetime) -> None:
    for trouble in made.opened:
        columns: dict[str, Any] = {"title": trouble.title, "text": trouble.text, "told_at": None}
        times = {"first_at": at, "last_at": at}
        row = rows.get(trouble.key)
        if row is None:
            Alert.create(key=trouble.key, kind=trouble.kind, **columns, **times)
        elif not move(Alert, row.id, row.state, AlertState.OPEN, **columns, **times):
            continue
        log.warning("alert opened: %s: %s", trouble.key, trouble.title)
        _tell("alert.opened", trouble.key, trouble.title)
    for trouble in made.standing:
        row = rows[trouble.key]
        said = {"title": trouble.title, "text": trouble.text}
        Alert.update(**said, last_at=at).where(Alert.id == row.id).execute()
    for key in made.cleared:
        if move(Alert, rows[key].id, AlertState.OPEN, AlertState.CLEARED, cleared_at=at):
            log.info("alert cleared: %s", key)
            _tell("alert.cleared", key, rows[key].title)


def _tell(word: str, key: str, title: str) -> None:
    events.record(word, f"alert:{key}", admins_only=True, title=title)


def note_told(message: Message, at: datetime) -> None:
    """It is on its way, or there."""
    if message.what is not What.CLEARED:
        Alert.update(told_at=at).where(Alert.key == message.key).execute()


def enqueue(settings: Settings, message: Message) -> None:
    """One job for each channel that wants it; without any it is told once there is one."""
    wanted = [c for c in alert_channels.channels(settings) if c.wants(message.kind)]
    for channel in wanted:
        jobs.create(
            "alert",
            f"alert:{channel.id}:{message.key}:{message.what}",
            payload={"channel": channel.id, "title": message.title, "body": message.body},
        )
    if wanted:
        note_told(message, now())


def ask_for_test(channel_id: str) -> str:
    """The id of the job that sends the test message. Wants a connection."""
    title, body = sending.words_of_test()
    payload = {"channel": channel_id, "title": title, "body": body, "test": True}
    with transaction():
        return str(jobs.create("alert", f"alert:{channel_id}:test", payload=payload).public_id)


# Planned stops


@dataclass(frozen=True)
class Quiet:
    """Until when nothing is told, and why."""

    until: datetime
    reason: str


def be_quiet(reason: str, lasts: timedelta) -> datetime:
    """Until when nothing is told: an upgrade, say, stops things on purpose. Wants a connection."""
    until = now() + min(lasts, MAX_QUIET)
    with transaction():
        kept.write(QUIET, {"until": until.isoformat(), "reason": reason})
        events.record("alerts.quiet", "alert:quiet", admins_only=True, reason=reason)
        events.audit(None, "alerts.quiet", until=until.isoformat(), reason=reason)
    return until


def end_quiet() -> None:
    """Wants a connection."""
    with transaction():
        kept.write(QUIET, {})
        events.record("alerts.told_again", "alert:quiet", admins_only=True)
        events.audit(None, "alerts.told_again")


def begin_upgrade() -> datetime | None:
    """Quiet as long as an upgrade may take; None: it is by somebody's wish. Wants a connection."""
    return None if is_quiet(now()) else be_quiet(_UPGRADE, MAX_UPGRADE)


def end_upgrade() -> None:
    """Wants a connection."""
    if kept.read(QUIET).get("reason") == _UPGRADE:
        end_quiet()


def is_quiet(at: datetime) -> bool:
    """Wants a connection."""
    return quiet_of(at) is not None


def quiet_of(at: datetime) -> Quiet | None:
    """None: alerts are told. Wants a connection.

    A clock that was set back makes no quiet longer than it may be.
    """
    value = kept.read(QUIET)
    if not value:
        return None
    until = datetime.fromisoformat(value["until"])
    return Quiet(until, value["reason"]) if at <= until <= at + MAX_QUIET else None
