"""The history of posts as CSV (RFC 4180), one line for each account of a post.

Titles and errors are what other people wrote, and a spreadsheet takes a cell that begins with
``=`` for a formula: such cells get an apostrophe in front. Source: OWASP, "CSV Injection".
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from appliance.db import database
from appliance.models import Post, User
from web.post_shapes import load_posts
from web.words import machine_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from peewee import ModelSelect

    from web.post_shapes import PostShape, ResultShape

COLUMNS = (
    "post_id", "status", "title", "video_id", "video_title", "author", "created_at", "publish_at",
    "time_zone", "platform", "account", "result", "url", "remote_id", "published_at", "error_code",
    "error", "attempts", "path", "edited_at", "removed_at", "views", "likes", "comments",
)  # fmt: skip
_AT_ONCE = 500
# As spreadsheets take them for the beginning of a formula, full-width ones, too.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def safe_cell(text: str) -> str:
    """What a spreadsheet shows as it is."""
    return f"'{text}" if text.lstrip(" \u00a0\u200b\ufeff").startswith(_FORMULA) else text


def lines(query: ModelSelect[Post], *, base_url: str) -> Iterator[str]:
    """The file in pieces, the newest post first. No connection is held between two pieces."""
    yield _written([COLUMNS])
    before: int | None = None
    while True:
        with database.connection_context():
            page = query if before is None else query.where(Post.id < before)
            rows = list(page.order_by(Post.id.desc()).limit(_AT_ONCE))
            shapes = load_posts(rows, base_url=base_url)
            authors = _authors(rows)
        for_each = zip(rows, shapes, strict=True)
        yield _written(line for row, shape in for_each for line in _lines(row, shape, authors))
        if len(rows) < _AT_ONCE:
            return
        before = rows[-1].id


def filename() -> str:
    return f"posts-{now():%Y-%m-%d}.csv"


def _authors(rows: Sequence[Post]) -> dict[int, str]:
    ids = {row.author_id for row in rows if row.author_id}
    return {user.id: user.email for user in User.select().where(User.id.in_(ids))}


def _lines(post: Post, shape: PostShape, authors: dict[int, str]) -> Iterator[list[str]]:
    results: list[ResultShape | None] = [*shape.results] or [None]
    for result in results:
        yield [
            shape.post_id,
            str(shape.status),
            safe_cell(shape.title),
            shape.video_id,
            safe_cell(post.video.title),
            safe_cell(authors.get(post.author_id or 0, "")),
            _time(shape.created_at),
            _time(shape.publish_at),
            shape.time_zone,
            *(_result(result) if result else [""] * 15),
        ]


def _result(result: ResultShape) -> list[str]:
    return [
        result.platform,
        safe_cell(result.account_name),
        str(result.state),
        safe_cell(result.url or ""),
        safe_cell(result.remote_id or ""),
        _time(result.published_at),
        result.error_code or "",
        safe_cell(result.error or ""),
        str(result.attempts),
        result.path or "",
        _time(result.edited_at),
        _time(result.removed_at),
        *(str(result.numbers.get(name, "")) for name in ("views", "likes", "comments")),
    ]


def _time(when: datetime | None) -> str:
    return machine_time(when) if when is not None else ""


def _written(rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)
    return out.getvalue()


def with_mark(pieces: Iterable[str]) -> Iterator[str]:
    """With the byte order mark, without which some spreadsheets take UTF-8 for something else."""
    yield "\ufeff"
    yield from pieces
