"""The certificate that this box serves, as it was last read (tasks/alerting/certificate.py)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from appliance import kept

NAME = "certificate"
# Half of what renewal has: Caddy and others renew when a third of the life is left.
TELL_AT_FRACTION = 1 / 6
# An authority of one's own (Caddy's `tls internal`) makes them for hours, and anew in time: all
# that can be said of those is how they were when they were read.
SHORT_LIFE = timedelta(days=3)


@dataclass(frozen=True)
class Certificate:
    """``error``: why it could not be read, then all else is of the reading before, if there was
    one. ``distrust``: why this machine doesn't trust it; "" when it does."""

    read_at: datetime
    host: str
    begins_at: datetime | None = None
    ends_at: datetime | None = None
    issuer: str = ""
    distrust: str = ""
    error: str = ""

    def left(self, at: datetime) -> timedelta | None:
        """None: it was never read."""
        if self.ends_at is None:
            return None
        return self.ends_at - (self.read_at if self.is_short else at)

    @property
    def is_short(self) -> bool:
        if self.begins_at is None or self.ends_at is None:
            return False
        return self.ends_at - self.begins_at < SHORT_LIFE

    def days_left(self, at: datetime) -> float | None:
        left = self.left(at)
        return None if left is None else left / timedelta(days=1)

    def trouble(self, at: datetime) -> str:
        """One line; "" when all is well, or nothing is known."""
        left = self.left(at)
        if left is None or self.begins_at is None or self.ends_at is None:
            return ""
        if left <= timedelta(0):
            return "The certificate has ended"
        if left < TELL_AT_FRACTION * (self.ends_at - self.begins_at):
            return f"The certificate ends in {describe(left)}"
        return ""


def describe(left: timedelta) -> str:
    hours = left / timedelta(hours=1)
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{max(0.0, hours):.0f} hours"


def latest() -> Certificate | None:
    """None: nobody has looked yet. Wants a connection."""
    value = kept.read(NAME)
    return _read(value) if value else None


def keep(found: Certificate) -> None:
    """A reading that failed leaves what was known. Wants a connection."""
    before = kept.read(NAME)
    if found.error and before.get("host") == found.host:
        kept.write(NAME, {**before, "error": found.error, "tried_at": found.read_at.isoformat()})
        return
    kept.write(
        NAME,
        {
            "read_at": found.read_at.isoformat(),
            "host": found.host,
            "begins_at": found.begins_at.isoformat() if found.begins_at else None,
            "ends_at": found.ends_at.isoformat() if found.ends_at else None,
            "issuer": found.issuer,
            "distrust": found.distrust,
            "error": found.error,
        },
    )


def _read(value: dict[str, Any]) -> Certificate:
    return Certificate(
        read_at=datetime.fromisoformat(value["read_at"]),
        host=value["host"],
        begins_at=_time(value["begins_at"]),
        ends_at=_time(value["ends_at"]),
        issuer=value["issuer"],
        distrust=value["distrust"],
        error=value["error"],
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
