"""The database: one proxy, its pragmas, the base row and our column types.

Edges (a request handler, a job, a command) open the connection with
``with database.connection_context():``; whoever changes more than one row says
``with transaction():``. Never hold either across ffmpeg or the network.
"""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import peewee
from peewee import AutoField, DatabaseProxy, Field, Model, SqliteDatabase, TextField

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_V = TypeVar("_V")
_E = TypeVar("_E", bound=StrEnum)
_R = TypeVar("_R", bound="Row")
_SEALED = re.compile(r"[0-9a-f]{8}:[A-Za-z0-9+/]+=*")

database = DatabaseProxy()

# synchronous=FULL: with NORMAL, a power cut takes back transactions that were already answered
# (measured: 0 of 200 left, against 200 of 200).
PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",
    "foreign_keys": 1,
    "busy_timeout": 10_000,
    "cache_size": -16_000,
}


class _Sqlite(SqliteDatabase):
    """SQLite ends a transaction by itself when the disk is full (sqlite.org/lang_transaction.html,
    "Response To Errors Within A Transaction"). peewee's ROLLBACK then failed in turn, and "no
    transaction is active" was all that anybody read.
    """

    def rollback(self) -> None:
        if self.connection().in_transaction:  # type: ignore[no-untyped-call]
            super().rollback()


def open_database(path: Path) -> SqliteDatabase:
    """Bind the proxy to the SQLite file at ``path``; connections are opened by whoever needs one.

    ``autoconnect=False``: a forgotten ``connection_context`` fails at once, in every test,
    instead of leaking a connection per thread. Binding the same file again changes nothing.
    """
    bound = database.obj
    if isinstance(bound, SqliteDatabase) and bound.database == str(path):
        return bound
    db = _Sqlite(str(path), pragmas=PRAGMAS, autoconnect=False, timeout=10)
    database.initialize(db)
    return db


def transaction() -> Any:
    """A write transaction that takes the lock at its start; inside another one, a savepoint.

    IMMEDIATE, because a deferred transaction that first reads and then writes fails at once with
    "database is locked" when another writer came in between: busy_timeout doesn't help it.
    """
    return database.atomic("IMMEDIATE")


def find(model: type[_R], column: Any, value: Any) -> _R | None:
    """``model.get_or_none(column == value)``, in a quarter of the time: the SQL is made only once.

    For what is asked with every request that brings bytes; elsewhere peewee's own words are plain
    enough, and quick enough.
    """
    found: _R | None = next(iter(model.raw(_sql_to_find(model, column.name), value)), None)
    return found


def update_where(model: type[Row], columns: dict[str, Any], **where: Any) -> int:
    """``model.update(columns)`` where all of ``where`` is so; quick as ``find``. Rows changed."""
    fields = model._meta.fields
    changes = ", ".join(f'"{fields[name].column_name}" = ?' for name in columns)
    conditions = " AND ".join(f'"{fields[name].column_name}" = ?' for name in where)
    values = [fields[name].db_value(value) for name, value in (*columns.items(), *where.items())]
    sql = f'UPDATE "{model._meta.table_name}" SET {changes} WHERE {conditions}'
    return int(database.execute_sql(sql, values).rowcount)


@cache
def _sql_to_find(model: type[Row], column: str) -> str:
    sql, _ = model.select().where(getattr(model, column) == 0).sql()
    return str(sql)


if TYPE_CHECKING:
    # peewee's fields are generic in its stubs only; these say what ours hold.
    class TimeField(Field[_V]):
        @overload
        def __new__(cls, *, null: Literal[True], **options: Any) -> TimeField[datetime | None]: ...
        @overload
        def __new__(cls, *, null: Literal[False] = ..., **options: Any) -> TimeField[datetime]: ...
        def __new__(cls, **options: Any) -> Any: ...

    class JsonField(Field[_V]):
        def __new__(cls, **options: Any) -> JsonField[Any]: ...

    class StateField(Field[_V]):
        def __new__(cls, kind: type[_E], **options: Any) -> StateField[_E]: ...

    class SealedField(Field[_V]):
        def __new__(cls, **options: Any) -> SealedField[str | None]: ...

else:

    class TimeField(TextField):
        """An aware UTC datetime, kept as RFC 3339 text of fixed width, so that it sorts as text."""

        def db_value(self, value: datetime | None) -> str | None:
            if value is None or isinstance(value, str):
                return value
            if value.tzinfo is None:
                raise ValueError("a time without zone can't be stored")
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

        def python_value(self, value: str | None) -> datetime | None:
            return None if value is None else datetime.fromisoformat(value)

    class JsonField(TextField):
        """A JSON value; only plain data goes in, so that what comes out is what went in."""

        def db_value(self, value: Any) -> str | None:
            return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)

        def python_value(self, value: str | None) -> Any:
            return None if value is None else json.loads(value)

    class StateField(TextField):
        """A StrEnum of appliance/states.py; unknown words fail on the way in and out."""

        def __init__(self, kind: type[StrEnum], **options: Any) -> None:
            self.kind = kind
            super().__init__(**options)

        def db_value(self, value: str | None) -> str | None:
            return None if value is None else str(self.kind(value))

        def python_value(self, value: str | None) -> StrEnum | None:
            return None if value is None else self.kind(value)

    class SealedField(TextField):
        """Ciphertext of appliance/vault.py; a secret in clear can't get in by mistake."""

        def __init__(self, **options: Any) -> None:
            super().__init__(null=True, **options)

        def db_value(self, value: str | None) -> str | None:
            if value is not None and not _SEALED.fullmatch(value):
                raise ValueError("only text sealed by the vault goes into this column")
            return value


class Row(Model):
    """Base of all rows: an integer that stays inside."""

    id = AutoField()

    class Meta:
        database = database
        legacy_table_names = False


def learn_sizes() -> None:
    """Let SQLite look at how many rows of a kind there are: without that it guesses which index
    to go by. A few milliseconds, whatever the size: each index is read in a few places only.

    ``PRAGMA optimize`` would only look at what this very connection has asked for before.
    Source: sqlite.org/lang_analyze.html, "Approximate ANALYZE For Large Databases".
    """
    database.execute_sql("PRAGMA analysis_limit=1000")
    database.execute_sql("ANALYZE")


def is_full(error: peewee.OperationalError | sqlite3.OperationalError) -> bool:
    """Whether SQLite failed because the disk is full.

    The error of an outer savepoint, which went with its transaction, may hide the one that counts.
    """
    seen: BaseException | None = error
    while seen is not None:
        if "disk is full" in str(seen) or "disk I/O error" in str(seen):
            return True
        seen = seen.__context__
    return False


def unless_full(write: Callable[[], object]) -> None:
    """Write what may as well be left out when the disk is full: a note of when something was used
    must not keep people from deleting.
    """
    try:
        write()
    except peewee.OperationalError as exc:
        if not is_full(exc):
            raise
