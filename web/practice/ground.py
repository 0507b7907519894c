"""What every stand-in of a platform stands on: things it keeps, calls it has seen, and its faults.

One SQLite file for each, its own, as a platform's would be: the appliance's database knows nothing
of it. All methods open a connection of their own, so any thread and any process may call them.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance.clock import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

MAX_CALLS = 2000
# An upload that isn't finished by then never will be.
UNFINISHED_LIFETIME = timedelta(days=1)
# Of one call, as JSON; of a longer one each part is cut (there are at most eight).
MAX_CALL_BYTES, MAX_PART_BYTES = 16 * 1024, 900

# One by one: `executescript` would end the transaction.
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS thing (number INTEGER PRIMARY KEY, kind TEXT NOT NULL,"
    " id TEXT NOT NULL, data TEXT NOT NULL, UNIQUE (kind, id))",
    "CREATE TABLE IF NOT EXISTS call (number INTEGER PRIMARY KEY, data TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS fault (number INTEGER PRIMARY KEY, data TEXT NOT NULL)",
)


@dataclass(frozen=True)
class Fault:
    """How a call goes wrong. ``endpoint``: the stand-in's name of it, "*" for each.

    ``kind``: "throttle" (429 or the platform's own words, nothing done; ``value`` seconds),
    "refuse" (for good; ``value`` names the error), "break_before" (a server error, nothing done),
    "break_after" (done, then a server error), "lose" (done, then the connection breaks),
    "lose_before" (the connection breaks, nothing done), "expire" (the sign-in is refused), "slow"
    (processing takes ``value`` seconds), "reject" (processing ends in an error), "blind" (it can't
    tell what was posted), "lock_private" (what is posted stays private, as of a project that the
    platform hasn't checked), "late" (the connection breaks, and ``value`` seconds later it
    is done), "twice" (what was published is published once more when somebody asks for it).
    ``skip``: so many calls go well before it. ``lasts``: until it is cleared, instead of once.
    """

    endpoint: str
    kind: str
    value: str = ""
    skip: int = 0
    lasts: bool = False


class Ground:
    """``folder`` is made; ``name`` is the file's."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.path = folder / f"{name}.db"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.connection() as db:
            for statement in _SCHEMA:
                db.execute(statement)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A transaction that keeps other writers away from its beginning on."""
        db = sqlite3.connect(self.path, timeout=10, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            # What was answered must be true after a power cut, as on a real platform.
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        finally:
            db.close()

    # Things

    def put(self, kind: str, id: str, data: dict[str, Any]) -> None:
        with self.connection() as db:
            _put(db, kind, id, data)

    def get(self, kind: str, id: str) -> dict[str, Any] | None:
        with self.connection() as db:
            return _get(db, kind, id)

    def all(self, kind: str) -> list[dict[str, Any]]:
        """In the order of their making."""
        with self.connection() as db:
            rows = db.execute("SELECT data FROM thing WHERE kind = ? ORDER BY number", (kind,))
            return [json.loads(data) for (data,) in rows]

    def change(
        self, kind: str, id: str, by: Callable[[dict[str, Any]], dict[str, Any] | None]
    ) -> dict[str, Any] | None:
        """``by`` gets what is there and gives what shall be (None: nothing changes), while nobody
        else writes; what it gave. None: it isn't there, or wasn't changed."""
        with self.connection() as db:
            found = _get(db, kind, id)
            changed = by(found) if found is not None else None
            if changed is not None:
                _put(db, kind, id, changed)
            return changed

    def remove(self, kind: str, id: str) -> bool:
        with self.connection() as db:
            gone = db.execute("DELETE FROM thing WHERE kind = ? AND id = ?", (kind, id))
            return gone.rowcount == 1

    def remove_past(self, kind: str, until: str) -> None:
        """Things whose time (the field ``until``) is over; None there: it never is."""
        at = now()
        for id, data in self._rows(kind):
            end = data.get(until)
            if end is not None and datetime.fromisoformat(end) <= at:
                self.remove(kind, id)

    def _rows(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        with self.connection() as db:
            rows = db.execute("SELECT id, data FROM thing WHERE kind = ?", (kind,))
            return [(id, json.loads(data)) for id, data in rows]

    # What it was asked

    def note(self, endpoint: str, **said: Any) -> None:
        """A call, with what tests look at: method, path, headers, body."""
        with self.connection() as db:
            text = _noted({"endpoint": endpoint, "at": now().isoformat(), **said})
            db.execute("INSERT INTO call (data) VALUES (?)", (text,))
            oldest = "SELECT max(number) - ? FROM call"
            db.execute(f"DELETE FROM call WHERE number <= ({oldest})", (MAX_CALLS,))

    def calls(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        with self.connection() as db:
            found = [json.loads(data) for (data,) in db.execute("SELECT data FROM call")]
        return [call for call in found if endpoint in (None, call["endpoint"])]

    # Faults

    def set_faults(self, faults: Sequence[Fault]) -> None:
        """These, and no others."""
        with self.connection() as db:
            db.execute("DELETE FROM fault")
            rows = [(json.dumps(asdict(fault)),) for fault in faults]
            db.executemany("INSERT INTO fault (data) VALUES (?)", rows)

    def faults(self) -> list[Fault]:
        with self.connection() as db:
            return [Fault(**json.loads(data)) for (data,) in db.execute("SELECT data FROM fault")]

    def take_fault(self, endpoint: str, *kinds: str) -> Fault | None:
        """The first that concerns this call, of these kinds (none given: of all); used up, unless
        it lasts. Of two calls at the same time one gets it."""
        with self.connection() as db:
            for number, data in db.execute("SELECT number, data FROM fault ORDER BY number"):
                fault = Fault(**json.loads(data))
                if fault.endpoint not in ("*", endpoint) or (kinds and fault.kind not in kinds):
                    continue
                if fault.skip > 0:
                    less = json.dumps({**asdict(fault), "skip": fault.skip - 1})
                    db.execute("UPDATE fault SET data = ? WHERE number = ?", (less, number))
                    return None
                if not fault.lasts:
                    db.execute("DELETE FROM fault WHERE number = ?", (number,))
                return fault
        return None


def new_number() -> str:
    """Ids are decimal, like those of Meta."""
    return str(10**15 + secrets.randbelow(9 * 10**15))


def _noted(said: dict[str, Any]) -> str:
    """What is kept of a call; a part that is too long becomes the beginning of its JSON."""
    text = json.dumps(said)
    if len(text) <= MAX_CALL_BYTES:
        return text
    parts = {name: json.dumps(value) for name, value in said.items()}
    cut = {
        name: said[name] if len(part) <= MAX_PART_BYTES else part[:MAX_PART_BYTES]
        for name, part in parts.items()
    }
    return json.dumps({**cut, "cut": True})


def _get(db: sqlite3.Connection, kind: str, id: str) -> dict[str, Any] | None:
    row = db.execute("SELECT data FROM thing WHERE kind = ? AND id = ?", (kind, id)).fetchone()
    return json.loads(row[0]) if row is not None else None


def _put(db: sqlite3.Connection, kind: str, id: str, data: dict[str, Any]) -> None:
    db.execute(
        "INSERT INTO thing (kind, id, data) VALUES (?, ?, ?)"
        " ON CONFLICT (kind, id) DO UPDATE SET data = excluded.data",
        (kind, id, json.dumps(data)),
    )
