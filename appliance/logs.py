"""Logs: one line for each event, on stderr; nothing in a text can forge a second one.

Under systemd the same line goes to the journal, which keeps the time, with fields beside it: what
``about`` says that the work is about. ``journalctl JOB_ID=…`` then shows one job in all processes.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.journal import Journal, is_read_by_journal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from appliance.settings import Settings

# They tell of each step, or (httpx) of whole addresses, capabilities included.
_TALKATIVE = ("asyncio", "httpcore", "httpx", "huey", "litestar", "peewee", "PIL", "urllib3")


# Source: syslog(3), which the journal takes its priorities from.
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7

_about: ContextVar[Mapping[str, str]] = ContextVar("about", default={})  # noqa: B039 - never changed


def configure_logs(settings: Settings, name: str = "appliance") -> None:
    """Called once by each process of the appliance; ``name`` is what the journal calls it."""
    logging.basicConfig(handlers=[_handler(name)], level=settings.log_level.upper(), force=True)
    for library in (*_TALKATIVE, "uvicorn"):
        logging.getLogger(library).setLevel(logging.WARNING)


def _handler(name: str) -> logging.Handler:
    in_journal = is_read_by_journal(sys.stderr)
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if in_journal:
        with contextlib.suppress(OSError):  # its lines get there all the same, by stderr
            handler = JournalHandler(Journal(), name)
    handler.setFormatter(LineFormatter(with_time=not in_journal))
    return handler


@contextmanager
def about(**fields: str | None) -> Iterator[None]:
    """What is logged in the body, by this thread or task, is about these: ``job_id="…"``.

    Ids alone: no words of users, no secrets. None: there is none.
    """
    more = {name.upper(): value for name, value in fields.items() if value is not None}
    before = _about.set({**_about.get(), **more})
    try:
        yield
    finally:
        _about.reset(before)


class JournalHandler(logging.Handler):
    """Events with fields, to journald."""

    def __init__(self, journal: Journal, name: str) -> None:
        super().__init__()
        self.journal, self.process = journal, name

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
            fields = {
                "MESSAGE": line,
                "PRIORITY": str(priority_of(record.levelno)),
                "SYSLOG_IDENTIFIER": self.process,
                "LOGGER": record.name,
                "THREAD_NAME": escape(record.threadName or ""),
                "CODE_FILE": record.pathname,
                "CODE_LINE": str(record.lineno),
                "CODE_FUNC": record.funcName or "",
                **_about.get(),
            }
            try:
                self.journal.send(fields)
            except OSError:  # journald is gone, or has no room: by stderr, which systemd keeps
                sys.stderr.write(f"{line}\n")
        except Exception:
            self.handleError(record)


def priority_of(level: int) -> int:
    """syslog's number for a level of Python's."""
    return next((number for least, number in _PRIORITIES if level >= least), _DEBUG)


class LineFormatter(logging.Formatter):
    """``TIME level logger text``; what an exception adds stands indented below it."""

    def __init__(self, *, with_time: bool) -> None:
        super().__init__()
        self.with_time = with_time

    def format(self, record: logging.LogRecord) -> str:
        line = f"{record.levelname.lower()} {record.name} {escape(record.getMessage())}"
        if self.with_time:
            at = datetime.fromtimestamp(record.created, UTC)
            line = f"{at:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03}Z {line}"
        more = self.formatException(record.exc_info) if record.exc_info else ""
        return "\n    ".join([line, *map(escape, more.splitlines())])


def escape(text: str) -> str:
    """``text`` with control characters (newlines, a terminal's escapes) and such spelled out."""
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in text)
