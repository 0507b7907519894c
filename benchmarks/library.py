"""How long the library takes with very many videos: ``python -m benchmarks.library``.

100,000 videos with four renditions each and 300,000 results of posts, as rows; the web process as
it is installed; one client. A search is compared with the scan that it replaces, on the same file
in the same run: ``LIKE '%word%'`` over titles, names and descriptions, with no hit.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.ids import new_id
from benchmarks.uploads.servers import ours
from tasks.profiles import PROFILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.uploads.servers import Server

WORDS = (
    *("interview", "keynote", "product", "launch", "teaser", "tutorial", "screen", "recording"),
    *("summer", "winter", "team", "offsite", "demo", "onboarding", "webinar", "customer", "story"),
    *("trailer", "episode", "chapter", "question", "answer", "kitchen", "garden", "workshop"),
    *("factory", "tour", "update", "release", "notes", "roadmap", "sprint", "review"),
)
PAGES = {
    "first page": "/",
    "hundredth page": "",  # worked out below
    "state": "/?show=failed",
    "oldest first": "/?sort=oldest",
    "by title": "/?sort=title",
    "the API": "/api/v1/videos",
    "search, one word": "/?q=keynote",
    "search, two words": "/?q=keynote+garden",
    "search, two letters": "/?q=ke",
    "search, no hit": "/?q=xyzzyq",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=100, help="requests for each page")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        ours(Path(folder), "ours") as server,
    ):
        database = server.folders[0].parent / "appliance.db"
        fill(database, options.videos)
        print(f"{options.videos:,} videos, {database.stat().st_size / 1e6:,.0f} MB of rows")
        measure(server, database, options)


def measure(server: Server, database: Path, options: argparse.Namespace) -> None:
    scan_ms = quantile(list(scans(database, max(10, options.rounds // 4))))
    print(f"LIKE scan, no hit: p95 {scan_ms:.1f} ms")
    connection = http.client.HTTPConnection(server.target, timeout=60)
    far = hundredth(connection, server)
    print(f"{'page':22} {'median':>8} {'p95':>8}   p95 / LIKE scan")
    for name, path in PAGES.items():
        times = [ask(connection, server, path or far) for _ in range(options.rounds + 5)][5:]
        p95 = quantile(times)
        ratio = f"{p95 / scan_ms:.3f}" if name.startswith("search") else ""
        print(f"{name:22} {statistics.median(times):8.1f} {p95:8.1f}   {ratio}")

    print(f"{'search, by itself':22} {'median':>8} {'p95':>8}   p95 / LIKE scan")
    for word in ("keynote", "keynote garden", "ke", "xyzzyq"):
        times = list(searches(database, word, options.rounds))
        ratio = quantile(times) / scan_ms
        print(f"{word:22} {statistics.median(times):8.1f} {quantile(times):8.1f}   {ratio:.3f}")


def searches(file: Path, words: str, rounds: int) -> Iterator[float]:
    """What a page asks the database for, in this process: as the scan is."""
    from appliance.db import open_database
    from appliance.models import User
    from web.listing import Wanted, load_page

    database = open_database(file)
    with database.connection_context():
        user, wanted = User.select().first(), Wanted.of(words, "", "", "", "", "", "")
        for _ in range(rounds + 5):
            began_s = time.perf_counter()
            load_page(user, wanted)
            yield (time.perf_counter() - began_s) * 1000


def ask(connection: http.client.HTTPConnection, server: Server, path: str) -> float:
    headers = server.headers if path.startswith("/api") else server.page_headers
    began_s = time.perf_counter()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path} answered {answer.status}; nothing was measured.")
    return (time.perf_counter() - began_s) * 1000


def hundredth(connection: http.client.HTTPConnection, server: Server) -> str:
    """The address of the hundredth page, as a visitor comes to it."""
    from web.listing import PAGE, Wanted, _cursor  # the cursor's form is nobody else's business

    with closing(sqlite3.connect(server.folders[0].parent / "appliance.db")) as rows:
        (number,) = rows.execute(
            "SELECT id FROM video ORDER BY id DESC LIMIT 1 OFFSET ?", (PAGE * 99,)
        ).fetchone()

    class Row:
        id, title, duration_s = number, "", 0.0

    cursor: Any = Row()
    return Wanted().url(after=_cursor(cursor, "newest"))


def scans(database: Path, rounds: int) -> Iterator[float]:
    like = "SELECT id FROM video WHERE title LIKE ? OR filename LIKE ? OR description LIKE ?"
    with closing(sqlite3.connect(database)) as rows:
        for _ in range(rounds):
            began_s = time.perf_counter()
            rows.execute(f"{like} ORDER BY id DESC LIMIT 25", ("%xyzzyq%",) * 3).fetchall()
            yield (time.perf_counter() - began_s) * 1000


def quantile(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def fill(database: Path, count: int) -> None:
    """Rows as the box itself would have written them; it runs, so no transaction is long."""
    dice = random.Random(7)
    with closing(sqlite3.connect(database, timeout=60)) as rows:
        rows.execute("PRAGMA synchronous=off")
        made = videos(dice, count)
        insert(rows, "video", made)
        numbers = [n for (n,) in rows.execute("SELECT id FROM video ORDER BY id")]
        insert(rows, "rendition", renditions(numbers))
        insert(rows, "account", accounts())
        ids = [n for (n,) in rows.execute("SELECT id FROM account ORDER BY id")][:3]
        insert(rows, "post", posts(numbers))
        made_posts = [n for (n,) in rows.execute("SELECT id FROM post ORDER BY id")]
        insert(rows, "post_target", targets(made_posts, ids))


def insert(rows: sqlite3.Connection, table: str, values: Iterable[dict[str, Any]]) -> None:
    """Columns that aren't named get "" or 0, if the table wants a value."""
    about = rows.execute(f"PRAGMA table_info({table})").fetchall()
    needed = {
        name: 0 if kind in ("INTEGER", "REAL") else ""
        for _, name, kind, not_null, default, key in about
        if not_null and default is None and not key
    }
    batch: list[dict[str, Any]] = []
    for value in values:
        batch.append({**needed, **value})
        if len(batch) == 5000:
            _write(rows, table, batch)
    _write(rows, table, batch)


def _write(rows: sqlite3.Connection, table: str, batch: list[dict[str, Any]]) -> None:
    if batch:
        names = list(batch[0])
        marks = ", ".join(f":{name}" for name in names)
        rows.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", batch)
        rows.commit()
        batch.clear()


def moment(number: int) -> str:
    at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def videos(dice: random.Random, count: int) -> Iterator[dict[str, Any]]:
    facts = json.dumps({"format": "mov,mp4,m4a,3gp,3g2,mj2", "filler": "x" * 1200})
    for number in range(count):
        title = " ".join(dice.choices(WORDS, k=4))
        yield {
            "public_id": new_id(),
            "owner_id": 1,
            "state": "failed" if number % 200 == 0 else "ready",
            "visibility": "team",
            "source": "browser",
            "title": f"{title} {number}",
            "description": " ".join(dice.choices(WORDS, k=20)),
            "filename": f"{title.replace(' ', '-')}.mp4",
            "size_bytes": 50_000_000,
            "duration_s": float(dice.randrange(5, 900)),
            "width": 1920,
            "height": 1080,
            "facts": facts,
            "poster_version": 1,
            "link_generation": 1,
            "created_at": moment(number),
            "received_at": moment(number),
            "ready_at": moment(number),
        }


def renditions(video_ids: list[int]) -> Iterator[dict[str, Any]]:
    for number, video_id in enumerate(video_ids):
        for profile in ("social", "preview", "storyboard", "waveform"):
            yield {
                "public_id": new_id(),
                "video_id": video_id,
                "profile": profile,
                "recipe": PROFILES[profile].recipe,
                "state": "ready",
                "method": "remux",
                "facts": "{}",
                "size_bytes": 10_000_000,
                "created_at": moment(number),
                "ready_at": moment(number),
            }


def accounts() -> Iterator[dict[str, Any]]:
    for name in ("one", "two", "three"):
        yield {
            "public_id": new_id(),
            "platform": "folder",
            "name": name,
            "remote_id": f"benchmark-{name}",
            "options": "{}",
            "state": "connected",
            "created_at": moment(0),
        }


def posts(video_ids: list[int]) -> Iterator[dict[str, Any]]:
    for number, video_id in enumerate(video_ids):
        yield {
            "public_id": new_id(),
            "video_id": video_id,
            "author_id": 1,
            "state": "completed",
            "approval": "not_needed",
            "title": "Posted",
            "time_zone": "UTC",
            "created_at": moment(number),
            "updated_at": moment(number),
            "finished_at": moment(number),
        }


def targets(post_ids: list[int], account_ids: list[int]) -> Iterator[dict[str, Any]]:
    for number, post_id in enumerate(post_ids):
        for account_id in account_ids:
            yield {
                "public_id": new_id(),
                "post_id": post_id,
                "account_id": account_id,
                "state": "published",
                "overrides": "{}",
                "checkpoint": "{}",
                "created_at": moment(number),
                "updated_at": moment(number),
                "published_at": moment(number),
            }


if __name__ == "__main__":
    main()
