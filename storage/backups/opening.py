"""Open restored data where it lies, with this version's program, before it takes its place.

In a process of its own: the rows of a program are bound to one database, and the caller may be
serving from another. Run as ``python -m storage.backups.opening``; the wish comes as JSON on
standard input, so that keys are on no command line, and the answer goes out as JSON.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import peewee

from appliance.errors import ApplianceError

# A migration of a large database takes its time.
_LONGEST_S = 6 * 3600.0


class OpeningFailed(ApplianceError):
    code = "restore_failed"


@dataclass(frozen=True)
class Wish:
    """``purpose``: "restore", "drill" (look only), or "undo" (what the box itself has kept).
    ``backup``: what it is of, in a sentence. ``rows``: as the manifest counts them.

    The keys (base64) are there when what the old one sealed is to be sealed by the new one;
    ``forget_sealed``: nobody has the old one, so those sign-ins are given up.
    """

    purpose: str
    backup: str
    made_at: str
    rows: dict[str, int]
    old_key: str = ""
    new_key: str = ""
    forget_sealed: bool = False


@dataclass(frozen=True)
class Opened:
    """``migrated``: scripts that were applied; ``lost_uploads``: were under way when the backup
    was made; ``paused``: posting waits until somebody has looked."""

    videos: int = 0
    accounts: int = 0
    migrated: list[str] = field(default_factory=list)
    lost_uploads: int = 0
    resealed: int = 0
    reconnect: int = 0
    paused: bool = False


def text_of(key: bytes) -> str:
    return base64.b64encode(key).decode()


def open_aside(data: Path, wish: Wish) -> Opened:
    """Raises OpeningFailed with the reason."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("APPLIANCE_")}
    environ.pop("CREDENTIALS_DIRECTORY", None)
    done = subprocess.run(
        [sys.executable, "-m", "storage.backups.opening", str(data)],
        input=json.dumps(asdict(wish)),
        env=environ,
        cwd=data,
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip() or f"It ended with {done.returncode}").splitlines()[-1]
        answer = {"error": f"{last}."}
    if "error" in answer:
        raise OpeningFailed(
            f"The data of {wish.backup} can't be opened by this version: "
            f"{answer['error']} Nothing was changed."
        )
    return Opened(**answer)


def main() -> int:
    from storage.backups import settling

    wish = Wish(**json.load(sys.stdin))
    data = Path(sys.argv[1])
    try:
        opened = settling.settle(data, wish)
    except ApplianceError as exc:
        print(json.dumps({"error": exc.message}))
        return 1
    except (peewee.DatabaseError, sqlite3.DatabaseError) as exc:
        print(json.dumps({"error": f"Its database is damaged: {exc}."}))
        return 1
    # Made by the migration; this data was a backup a moment ago.
    for name in ("backups", "migrate.lock"):
        path = data / name
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    print(json.dumps(asdict(opened)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
