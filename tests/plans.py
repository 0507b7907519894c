"""How SQLite goes about what our code asks: by an index, or by reading a whole table."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from appliance.db import database

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Asked(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.queries: list[tuple[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.queries.append(record.msg)  # type: ignore[arg-type]  # peewee logs (sql, values)


@contextmanager
def looking_at_plans() -> Iterator[list[str]]:
    """A list that afterwards holds the steps by which all that was asked meanwhile is found."""
    logger, asked, steps = logging.getLogger("peewee"), _Asked(), list[str]()
    level = logger.level
    logger.addHandler(asked)
    logger.setLevel(logging.DEBUG)
    try:
        yield steps
    finally:
        logger.removeHandler(asked)
        logger.setLevel(level)
    for sql, values in asked.queries:
        if sql.startswith(("SELECT", "UPDATE", "DELETE")):
            found = database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", values)
            steps.extend(row[3] for row in found.fetchall() if row[3] != "SCAN CONSTANT ROW")
