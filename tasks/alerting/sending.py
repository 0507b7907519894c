"""The job "alert": one message to one channel. Tried again by the ledger, as all deliveries are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from appliance import __version__, alert_channels
from appliance.clock import now
from appliance.db import database
from appliance.errors import JobFailed, NotFound
from tasks.alerting import apart

if TYPE_CHECKING:
    from appliance.models import Job
    from appliance.settings import Settings
    from tasks.context import Context, Outcome


class NotSent(Exception):
    """A sentence without secrets."""


def send(address: str, title: str, body: str) -> None:
    """Plain text. Takes half a minute at most for most services. Raises NotSent."""
    wish = {"do": "send", "address": address, "title": title, "body": body}
    if said := apart.ask(wish, apart.SEND_WITHIN_S):
        raise NotSent(said)


def subject(settings: Settings, title: str) -> str:
    """Who has several boxes sees which one it is."""
    host = settings.base_url.partition("://")[2]
    return f"[{host}] {title}"


def send_alert(job: Job, context: Context) -> Outcome:
    """Payload: ``channel``, ``title``, ``body``, as they were when it was decided."""
    channel_id = str(job.payload["channel"])
    try:
        with database.connection_context():
            reached = alert_channels.reach(context.settings, context.vault, channel_id)
    except NotFound:
        return None  # it was removed meanwhile
    title = subject(context.settings, str(job.payload["title"]))
    try:
        send(reached.address, title, str(job.payload["body"]))
    except NotSent as exc:
        with database.connection_context():
            alert_channels.note_sent(channel_id, error=str(exc), at=now())
        # Who waits for the result of a test presses again; an alert is tried again by itself.
        if job.payload.get("test"):
            raise JobFailed(str(exc), permanent=True, code="test_not_sent") from None
        raise JobFailed(str(exc), permanent=False, code="not_sent") from None
    return partial(alert_channels.note_sent, channel_id, error=None, at=now())


def words_of_test() -> tuple[str, str]:
    return (
        "This is a test",
        f"Alerts of {apart.APP} {__version__} arrive here: somebody pressed “Send a test message”.",
    )
