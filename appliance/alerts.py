"""What an admin must be told, and when: from what is wrong now and what was told before.

A pure decider (`decide`) and the words of each kind. Nothing here reads the clock, rows or disk:
tasks/alerting/ gathers the troubles, keeps the rows and sends the messages. The rules:

- a trouble must last (``opens_after``) before it becomes an alert, and be gone for a while
  (``clears_after``) before the alert is cleared: a restart or a flicker tells nobody anything;
- one message when it opens, one a day as long as it stands, one when it is cleared;
- what came back within an hour of being cleared has to stay away for an hour the next time, so
  that something that comes and goes sends two messages, not two hundred;
- during a planned stop (an upgrade) nothing opens and nothing is told, and nothing is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from appliance.states import AlertState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REMIND_EVERY = timedelta(days=1)
FLAPS_WITHIN = timedelta(hours=1)
FLAPPING_CLEARS_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Kind:
    """``why`` it matters, what to do (``mend``), and the page (``path``) where that is done."""

    label: str
    why: str
    mend: str
    path: str
    opens_after: timedelta = timedelta(minutes=2)
    clears_after: timedelta = timedelta(minutes=5)
    # Something that has happened, rather than something that lasts: no reminder, no "all is well".
    once: bool = False


KINDS: dict[str, Kind] = {
    "worker_silent": Kind(
        "A process is silent",
        "What it does stands still until it runs again.",
        "Run `systemctl status 'appliance-*'` and look into `journalctl -u 'appliance-*' -n 100`. "
        "`appliance doctor` says more.",
        "/settings/system",
        opens_after=timedelta(minutes=3),
    ),
    "queue_stuck": Kind(
        "A queue stands still",
        "Videos are not made ready, or posts don't go out.",
        "Open the Jobs page: the oldest waiting job says what it waits for. Restart the worker of "
        "that queue if nothing moves.",
        "/jobs?show=waiting",
    ),
    "disk_low": Kind(
        "The disk is nearly full",
        "No upload is taken, and no version made, until there is room.",
        "Empty the bin, let the policy remove originals, or add disk. The Storage page says what "
        "takes room.",
        "/storage",
        clears_after=timedelta(minutes=10),
    ),
    "backup_late": Kind(
        "The backup is late",
        "If the disk fails now, all since the last backup is lost.",
        "Press “Back up now” in Settings → Backups, or run `appliance backup create`; "
        "`systemctl list-timers` shows whether the timer runs.",
        "/settings/backups",
        opens_after=timedelta(minutes=10),
    ),
    "backup_failed": Kind(
        "A backup failed",
        "Without a good backup a failed disk is the end of all videos.",
        "Settings → Backups says why. Mend that, then press “Back up now”.",
        "/settings/backups",
        opens_after=timedelta(0),
    ),
    "drill_failed": Kind(
        "The restore drill failed",
        "A backup that can't be restored is none.",
        "Settings → Backups says what was wrong. Make a new backup and run "
        "`appliance backup drill`.",
        "/settings/backups",
        opens_after=timedelta(0),
    ),
    "account_reconnect": Kind(
        "An account must be connected again",
        "Posts to it wait, and fail in the end.",
        "Open Settings → Accounts and press Reconnect.",
        "/settings/accounts",
        opens_after=timedelta(0),
    ),
    "post_failed": Kind(
        "A post failed",
        "It isn't public where it should be.",
        "Open the post: it says why, for each account, and what helps.",
        "/posts",
        opens_after=timedelta(0),
        clears_after=timedelta(0),
        once=True,
    ),
    "certificate": Kind(
        "Trouble with the certificate",
        "When it ends, no browser opens this box, and no platform fetches videos from it.",
        "Look into `journalctl -u caddy -n 100`: ports 80 and 443 must be reachable from outside, "
        "and the name must lead here.",
        "/settings/system",
        clears_after=timedelta(minutes=1),
    ),
    "file_damaged": Kind(
        "A file is damaged",
        "The video can't be shown or posted as it was.",
        "The Storage page lists them. Restore them from a backup, or upload them again.",
        "/storage#damaged-title",
    ),
}


class What(StrEnum):
    """Why a message goes out."""

    OPENED = "opened"
    REMINDER = "reminder"
    CLEARED = "cleared"


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong at this moment. ``key`` names it: "worker_silent:media".

    ``title``: one line; ``text``: what was found, in a sentence or two; ``lasts``: how long it has
    been so at least, where that is known.
    """

    key: str
    title: str
    text: str
    lasts: timedelta = timedelta(0)

    @property
    def kind(self) -> str:
        return self.key.partition(":")[0]


@dataclass(frozen=True)
class Known:
    """The row of an alert. ``told_at``: the last message that it stands; None: none went out."""

    state: AlertState
    first_at: datetime
    last_at: datetime
    cleared_at: datetime | None = None
    told_at: datetime | None = None


@dataclass(frozen=True)
class Decision:
    """What to write and to say. ``opened``, ``standing``: troubles; ``cleared``, ``told``: keys.

    ``seen``: since when the troubles that are no alerts yet have been there, for the next time.
    """

    opened: list[Trouble] = field(default_factory=list)
    standing: list[Trouble] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    told: dict[str, What] = field(default_factory=dict)
    seen: dict[str, datetime] = field(default_factory=dict)


def decide(
    at: datetime,
    troubles: Iterable[Trouble],
    known: Mapping[str, Known],
    seen: Mapping[str, datetime],
    *,
    quiet: bool = False,
) -> Decision:
    """What follows from the ``troubles`` of this moment. ``quiet``: a planned stop is under way."""
    made = Decision()
    here = {trouble.key: trouble for trouble in troubles}
    for key, trouble in here.items():
        row = known.get(key)
        if row is not None and row.state is AlertState.OPEN:
            made.standing.append(trouble)
            if not quiet and (what := _due(at, KINDS[trouble.kind], row)):
                made.told[key] = what
            continue
        # During a planned stop it begins to count when that is over.
        since = at if quiet else min(seen.get(key, at), at - trouble.lasts)
        if quiet or at - since < KINDS[trouble.kind].opens_after:
            made.seen[key] = since
            continue
        made.opened.append(trouble)
        made.told[key] = What.OPENED
    for key, row in known.items():
        gone = row.state is AlertState.OPEN and key not in here
        if gone and not quiet and _is_over(at, key, row):
            made.cleared.append(key)
            if row.told_at is not None and not kind_of(key).once:
                made.told[key] = What.CLEARED
    return made


def kind_of(key: str) -> Kind:
    """A later version may have had others: those are over, and nobody hears of it."""
    return KINDS.get(key.partition(":")[0], KINDS["post_failed"])


def path_of(key: str) -> str:
    """The page where a person sees to it."""
    name, _, subject = key.partition(":")
    if subject == "more":
        return kind_of(key).path
    if name == "post_failed":
        return f"/posts/{subject}"
    if name == "account_reconnect":
        return f"/settings/accounts/{subject}"
    return kind_of(key).path


def _due(at: datetime, kind: Kind, row: Known) -> What | None:
    """Of an alert that stands: whether somebody should hear of it (again)."""
    if row.told_at is None:
        return What.OPENED  # nobody could be reached so far
    return What.REMINDER if not kind.once and _elapsed(at, row.told_at) >= REMIND_EVERY else None


def _is_over(at: datetime, key: str, row: Known) -> bool:
    came_back = row.cleared_at is not None and _elapsed(row.first_at, row.cleared_at) < FLAPS_WITHIN
    wait = FLAPPING_CLEARS_AFTER if came_back else kind_of(key).clears_after
    return _elapsed(at, row.last_at) >= (timedelta(0) if kind_of(key).once else wait)


def _elapsed(at: datetime, since: datetime) -> timedelta:
    """A ``since`` that lies ahead was written by a clock that was wrong: long ago."""
    return at - since if since <= at else timedelta.max


def service_of(address: str) -> str:
    """Of a channel's address the word before "://": that much of it may be shown."""
    return address.partition("://")[0].lower()


def words_of(what: What, key: str, title: str, text: str, *, link: str) -> tuple[str, str]:
    """Subject and body of a message, plain text. ``link``: the page where it is seen to."""
    kind = kind_of(key)
    if what is What.CLEARED:
        return f"Over: {title}", f"{title}: this is over.\n\n{link}"
    subject = f"Still: {title}" if what is What.REMINDER else title
    return subject, f"{text}\n\nWhy it matters: {kind.why}\nWhat to do: {kind.mend}\n\n{link}"
