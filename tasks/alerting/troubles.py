"""What is wrong with the box at this moment, gathered from rows and the disk: cheap, each sweep."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from appliance import accounts, backup_runs, certificates, heartbeats, queue_lag
from appliance.alerts import Trouble
from appliance.clock import now
from appliance.models import Damage, Post, PostTarget, User
from appliance.states import AccountState, PostState
from appliance.text import clean_line, describe_size
from storage.backups.verify import say
from storage.media import free_bytes
from tasks.connect import flow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from appliance.models import Account, BackupRun
    from appliance.settings import Settings

# A post that failed is news for a day; whoever looks later finds it on the Posts page.
NEWS_FOR = timedelta(days=1)
# More than these are told of in one sentence: a client whose secret has ended takes all accounts
# with it, and fifty messages at once are read by nobody.
MOST_POSTS = 5
MOST_ACCOUNTS = 5
# Where the installation puts the timer of backups: with it they are expected.
BACKUP_TIMERS = (
    Path("/etc/systemd/system/appliance-backup.timer"),
    Path("/usr/lib/systemd/system/appliance-backup.timer"),
)


def gather(settings: Settings) -> list[Trouble]:
    """All of it. Wants a connection."""
    return [
        *silent_processes(),
        *_stuck_queues(),
        *_disk(settings),
        *_backups(),
        *_accounts(),
        *_posts(),
        *_certificate(settings),
        *_files(),
    ]


def silent_processes() -> Iterator[Trouble]:
    for pulse in heartbeats.pulses():
        if pulse.is_alive:
            continue
        name = "The web process" if pulse.name == "web" else f"The {pulse.name} worker"
        since = (
            f"It last reported {_for(pulse.silent_s)} ago."
            if pulse.silent_s is not None
            else "It has not reported since the machine started, or was stopped."
        )
        lasts = timedelta(seconds=pulse.silent_s or 0.0)
        key, title = f"worker_silent:{pulse.name}", f"{name} is silent"
        yield Trouble(key, title, f"{title}. {since}", lasts)


def _for(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _stuck_queues() -> Iterator[Trouble]:
    for lag in queue_lag.measure():
        if lag.is_stuck:
            yield Trouble(
                f"queue_stuck:{lag.queue}",
                f"The {lag.queue} queue stands still",
                f"{lag.due} jobs are due and none runs; the oldest has waited for "
                f"{_for(lag.lag_s)}.",
            )


def _disk(settings: Settings) -> Iterator[Trouble]:
    free, reserve = free_bytes(settings.data), settings.reserve_bytes()
    if free < reserve:
        yield Trouble(
            "disk_low:data",
            "The disk is nearly full",
            f"{describe_size(free)} are free on the disk of {settings.data}; "
            f"{describe_size(reserve)} are to be kept free.",
        )


def expected_since() -> datetime | None:
    """Since when somebody relies on backups; None: nobody has asked for them."""
    since = backup_runs.scheduled_since()
    if since is None and any(path.exists() for path in BACKUP_TIMERS):
        first = User.select(User.created_at).order_by(User.id).limit(1).scalar()
        return first if first is None else max(first, now() - timedelta(days=365))
    return since


def _backups() -> Iterator[Trouble]:
    found = backup_runs.latest(backup_runs.newest())
    if backup_runs.is_late(found, expected_since=expected_since(), at=now()):
        last = found.backup.finished_at if found.backup else None
        said = f"The last good one is of {last:%Y-%m-%d %H:%M} UTC." if last else "There is none."
        yield Trouble("backup_late:create", "The backup is late", said)
    for key, title, run in (
        ("backup_failed:create", "The last backup failed", found.backup_failed),
        ("backup_failed:verify", "A backup is damaged", found.verify_failed),
        ("drill_failed:drill", "The restore drill failed", found.drill_failed),
    ):
        if run is not None:
            yield Trouble(key, title, _error_of(run))
    problems = found.backup.info.get("problems") if found.backup is not None else None
    # Until the box's own look has found the files: then they are an alert by themselves.
    if problems and not Damage.select().exists():
        said = clean_line(say(problems), max_bytes=500)
        yield Trouble("backup_failed:files", "Damaged files were backed up", said)


def _error_of(run: BackupRun) -> str:
    return clean_line(run.error or "No reason is known.", max_bytes=500)


def _accounts() -> Iterator[Trouble]:
    found = list(_accounts_to_reconnect())
    yield from found[:MOST_ACCOUNTS]
    if len(found) > MOST_ACCOUNTS:
        yield Trouble(
            "account_reconnect:more",
            "Many accounts must be connected again",
            f"It is {len(found)} accounts. If all are of one platform, look at its app first.",
        )


def _accounts_to_reconnect() -> Iterator[Trouble]:
    at = now()
    for account in accounts.connected():
        key, name = f"account_reconnect:{account.public_id}", _name_of(account)
        if _is_practice(account):
            continue
        if account.state is AccountState.RECONNECT:
            yield Trouble(
                key,
                f"{name} must be connected again",
                "The platform no longer accepts the sign-in. "
                + clean_line(account.error or "", max_bytes=300),
            )
        elif flow.ends_too_soon(account, flow.next_post_at(account), at):
            yield Trouble(
                key,
                f"{name} must be connected again soon",
                f"Its sign-in ends on {account.expires_at:%Y-%m-%d %H:%M} UTC.",
            )


def _targets(post: Post) -> list[PostTarget]:
    return list(PostTarget.select().where(PostTarget.post == post))


def _is_practice(account: Account) -> bool:
    """There failing is the lesson."""
    return account.practice or account.platform == "practice"


def _name_of(account: Account) -> str:
    return f"“{clean_line(account.name, max_bytes=100)}” ({account.platform})"


def _posts() -> Iterator[Trouble]:
    failed = list(
        Post.select()
        .where(
            Post.state.in_([PostState.FAILED, PostState.PARTIAL]),
            Post.finished_at > now() - NEWS_FOR,
        )
        .order_by(Post.id)
    )
    targets = {post.id: _targets(post) for post in failed}
    real = [post for post in failed if not all(_is_practice(t.account) for t in targets[post.id])]
    for post in real[:MOST_POSTS]:
        title = clean_line(post.title, max_bytes=120) or "Without a title"
        partly = post.state is PostState.PARTIAL
        word = "was posted in part" if partly else "could not be posted"
        reasons = {clean_line(t.error, max_bytes=300) for t in targets[post.id] if t.error}
        yield Trouble(
            f"post_failed:{post.public_id}",
            f"“{title}” {word}",
            " ".join(sorted(reasons)) or "The post's page says more.",
        )
    if len(real) > MOST_POSTS:
        yield Trouble(
            "post_failed:more",
            "Many posts failed",
            f"{len(real)} posts failed within a day. Something is wrong with all of them.",
        )


def _certificate(settings: Settings) -> Iterator[Trouble]:
    found = certificates.latest()
    if not settings.https or found is None:
        return
    if said := found.trouble(now()):
        yield Trouble("certificate:served", said, f"It is served at {settings.base_url}.")


def _files() -> Iterator[Trouble]:
    damaged = Damage.select().where(~Damage.mending).count()
    if damaged:
        what = "1 file is missing or damaged" if damaged == 1 else f"{damaged} files are damaged"
        yield Trouble("file_damaged:all", what, f"{what}, and can't be made anew by the box.")
