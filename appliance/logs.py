"""Logs: one line for each event, on stderr; nothing in a text can forge a second one.

Under systemd the journal keeps the time; elsewhere it stands at the front of the line.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.settings import Settings

# They tell of each step, or (httpx) of whole addresses, capabilities included.
_TALKATIVE = ("asyncio", "httpcore", "httpx", "huey", "litestar", "peewee", "PIL", "urllib3")


def configure_logs(settings: Settings) -> None:
    """Called once by each process of the appliance."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(with_time="JOURNAL_STREAM" not in os.environ))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    for name in (*_TALKATIVE, "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)


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
