"""The job "alert": one message to one channel. Tried again by the ledger, as all deliveries are."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from appliance import __version__, alert_channels
from appliance.clock import now
from appliance.db import database
from appliance.errors import InvalidInput, JobFailed, NotFound
from appliance.text import clean_line, clean_text
from tasks.alerting import addresses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.models import Job
    from appliance.settings import Settings
    from tasks.context import Context, Outcome

_UNKNOWN = "The service did not take the message, and gave no reason."


class NotSent(Exception):
    """A sentence without secrets."""


def send(address: str, title: str, body: str) -> None:
    """Plain text. Takes half a minute at most for most services. Raises NotSent."""
    from apprise import NotifyFormat

    try:
        opened = addresses.open_address(address)
        addresses.refuse_metadata(opened, look_up=True)
    except InvalidInput as exc:
        raise NotSent(exc.message) from None
    with _listening() as said:
        try:
            sent = opened.notify(
                title=clean_line(title, max_bytes=200),
                body=clean_text(body, max_bytes=4000),
                body_format=NotifyFormat.TEXT,
            )
        except Exception as exc:
            # Whatever a service's code stumbles over: the reason is told, the worker goes on.
            said.append(f"{type(exc).__name__}: {exc}")
            sent = False
    if not sent:
        reason = clean_line(" ".join(said[:3]), max_bytes=600) or _UNKNOWN
        raise NotSent(clean_line(addresses.without_secrets(reason, address), max_bytes=300))


@contextmanager
def _listening() -> Iterator[list[str]]:
    """What Apprise says about failures in this thread."""
    said: list[str] = []
    mine = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == mine:
                said.append(record.getMessage())

    log = logging.getLogger("apprise")
    listener = Listener(level=logging.WARNING)
    log.addHandler(listener)
    try:
        yield said
    finally:
        log.removeHandler(listener)


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
        is_test = bool(job.payload.get("test"))
        raise JobFailed(str(exc), permanent=is_test, code="not_sent") from None
    return partial(alert_channels.note_sent, channel_id, error=None, at=now())


def words_of_test() -> tuple[str, str]:
    return (
        "This is a test",
        f"Alerts of {addresses.APP} {__version__} arrive here: somebody pressed “Send a test "
        "message”.",
    )
