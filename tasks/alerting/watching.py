"""For when the delivery worker can't tell of itself: `appliance alerts watch`, every few minutes.

A unit of its own runs it (systemd/appliance-watch.timer). As long as the delivery worker reports
and its queue moves, there is nothing to do. Else it looks as the ticker would, and sends by itself
what the worker should have sent; when the database can't be read, it tells that to the addresses
of the setting ``alert_urls``, once a day.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from appliance import alert_channels, certificates, heartbeats, jobs
from appliance.clock import now
from appliance.db import database, transaction
from appliance.errors import ApplianceError, InvalidTransition
from appliance.models import Job
from appliance.states import JobState
from tasks.alerting import certificate, sending, sweep, troubles

if TYPE_CHECKING:
    from appliance.settings import Settings
    from appliance.vault import Vault

log = logging.getLogger(__name__)

# A message that nobody has taken up for so long is sent from here.
LEFT_AFTER = timedelta(minutes=5)
CERTIFICATE_EVERY = timedelta(hours=20)
STAMP = "watch.told"


@dataclass
class Watched:
    """``delivery``: whether the worker reports. ``sent``, ``failed``: messages, by their titles."""

    delivery: bool
    sent: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def watch(settings: Settings, vault: Vault) -> Watched:
    """Once. Raises ApplianceError when the database can't be read (see `tell_without_rows`)."""
    _read_certificate(settings)
    with database.connection_context():
        alive = all(p.is_alive for p in heartbeats.pulses() if p.name == "delivery")
    done = Watched(delivery=alive)
    if not alive:
        with database.connection_context():
            found = troubles.gather(settings)
            with transaction():
                messages = sweep.settle(settings, found)
        for message in messages:
            _send(settings, vault, message, done)
    _send_what_was_left(settings, vault, done)
    return done


def _send(settings: Settings, vault: Vault, message: sweep.Message, done: Watched) -> None:
    """To each channel that wants it. One that took it is enough to call it told."""
    with database.connection_context():
        wanted = [c for c in alert_channels.channels(settings) if c.wants(message.kind)]
    reached = [
        channel.id
        for channel in wanted
        if _send_to(settings, vault, channel.id, message.title, message.body, done)
    ]
    if reached:
        with database.connection_context():
            sweep.note_told(message, now())


def _send_to(
    settings: Settings, vault: Vault, channel_id: str, title: str, body: str, done: Watched
) -> bool:
    error = None
    try:
        with database.connection_context():
            address = alert_channels.reach(settings, vault, channel_id).address
        sending.send(address, sending.subject(settings, title), body)
        done.sent.append(title)
    except (sending.NotSent, ApplianceError) as exc:
        error = str(exc)
        done.failed[title] = error
    with database.connection_context():
        alert_channels.note_sent(channel_id, error=error, at=now())
    return error is None


def _send_what_was_left(settings: Settings, vault: Vault, done: Watched) -> None:
    """Messages in line that no worker takes up: taken out of it, and sent from here."""
    with database.connection_context():
        left = list(
            Job.select().where(
                Job.kind == "alert",
                Job.state == JobState.QUEUED,
                Job.attempts == 0,
                Job.created_at < now() - LEFT_AFTER,
            )
        )
    for job in left:
        try:
            with database.connection_context():
                if jobs.cancel(job) is not JobState.CANCELLED:
                    continue  # the worker has it after all
        except InvalidTransition:
            continue
        payload = job.payload
        if not _send_to(
            settings, vault, payload["channel"], payload["title"], payload["body"], done
        ):
            with database.connection_context():
                jobs.retry(Job.get_by_id(job.id))


def _read_certificate(settings: Settings) -> None:
    """In place of a delivery worker that can't: it may be silent, or have been kept from it."""
    with database.connection_context():
        before = certificates.latest()
    if before is not None and not before.error and now() - before.read_at < CERTIFICATE_EVERY:
        return
    found = certificate.look(settings)
    if found is not None:
        with database.connection_context():
            certificates.keep(found)


def tell_without_rows(settings: Settings, problem: Exception) -> Watched:
    """The database can't be read: so no channel but those of the setting is known."""
    done = Watched(delivery=False)
    if not _is_time(settings):
        return done
    title = "The database can't be read"
    body = (
        f"{type(problem).__name__}: {problem}\n\nWhy it matters: nothing works without it.\n"
        "What to do: run `appliance doctor` on the box, then restore a backup if it is damaged."
    )
    for address in alert_channels.addresses_of(settings):
        try:
            sending.send(address, sending.subject(settings, title), body)
            done.sent.append(title)
        except sending.NotSent as exc:
            done.failed[title] = str(exc)
    if not done.sent:  # the next run tries again, not that of tomorrow
        with suppress(OSError):
            (settings.data / STAMP).unlink()
    return done


def _is_time(settings: Settings) -> bool:
    """Once a day; where not even that can be written down (a full disk), in one run an hour."""
    stamp = settings.data / STAMP
    at = now()
    try:
        last = datetime.fromtimestamp(stamp.stat().st_mtime, at.tzinfo)
        if timedelta(0) <= at - last < timedelta(days=1):
            return False
    except OSError:
        pass
    try:
        stamp.touch()
    except OSError:
        return at.minute < 5
    return True
