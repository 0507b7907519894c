"""Walk posts through the real ledger while the platform misbehaves and the worker dies.

::

    walk = Walk(stand, "facebook", remote_id, {"access_token": token}, monkeypatch)
    target = walk.run(Case(faults=(Fault("reels.finish", "lose"),), kills=(7,)), description="…")

A case is a script of faults and the points at which the worker dies: before and after each
request, each commit of the ledger, each end of a job. The death is an exception that nothing
catches; the next worker begins with what is in the database. Time stands still unless it is
wound, so waits cost nothing. The ledger's own code runs, without its threads.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import threading
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import httpx

import appliance.clock
from appliance import accounts, jobs, posts
from appliance.clock import now
from appliance.db import database
from appliance.jobs import LeaseLost
from appliance.models import Account, Job, Post, PostTarget, Rendition, Role, User, Video
from appliance.states import (
    JOB_ENDED,
    AccountState,
    JobState,
    RenditionState,
    TargetState,
    VideoState,
)
from appliance.vault import open_vault
from storage.layout import Layout
from tasks import runner, ticker
from tasks.context import Context
from tasks.publish import dispatch, task, wishes
from tests import media
from tests.factories import make_tables, make_user, make_video
from tests.tasks.publish.paper import Died, WoundClock
from tests.web.serving import prepare, served, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pytest

    from appliance.settings import Settings
    from tests.tasks.publish.standin import Stand
    from web.practice.ground import Fault

LONG = bool(os.environ.get("APPLIANCE_TEST_LONG"))
ENDED = (TargetState.PUBLISHED, TargetState.FAILED, TargetState.NEEDS_PERSON)
# YouTube's patience with a slow video alone is 150 looks, each a round of work and one of winding.
MOST_ROUNDS = 1000


@dataclass(frozen=True)
class Case:
    """``kills``: numbers of points, counted anew in each life of the worker; from the post's first
    job on with ``whole``. ``options``: of the post for this platform."""

    number: int
    faults: tuple[Fault, ...] = ()
    kills: tuple[int, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    hold_there: bool = False
    stage_ahead: bool = False
    whole: bool = False

    def __str__(self) -> str:
        faults = " ".join(f"{f.endpoint}:{f.kind}:{f.value}:{f.skip}" for f in self.faults)
        later = "held " * self.hold_there + "ahead " * self.stage_ahead
        return f"{self.number}: {dict(self.options)} {later}[{faults}] killed at {self.kills}"


def make_cases(
    seed: int,
    count: int,
    faults: Sequence[Fault],
    *,
    options: Sequence[dict[str, Any]] = ({},),
    later: bool = False,
    most_points: int = 45,
) -> Iterator[Case]:
    """``count`` cases, the same for the same seed: none to three faults, none to two deaths.

    ``later``: some are held by the platform or staged ahead. In short runs only every so manyth
    is taken, so that each run has some of all.
    """
    seeded = random.Random(seed)
    for number in range(count):
        chosen = [
            replace(fault, skip=seeded.choice((0, 0, 0, 1)))
            for fault in seeded.sample(list(faults), seeded.choice((0, 1, 1, 2, 3)))
        ]
        kills = [seeded.randint(1, most_points) for _ in range(seeded.choice((0, 1, 1, 1, 2)))]
        how = seeded.choice(("now", "now", "held", "ahead")) if later else "now"
        yield Case(
            number,
            tuple(chosen),
            tuple(kills),
            tuple(seeded.choice(list(options)).items()),
            hold_there=how == "held",
            stage_ahead=how == "ahead",
        )


def kill_points(points: int, *, few: int, seed: int) -> list[int]:
    """Each of so many; in short runs a ``few`` of them, the same for the same seed."""
    everywhere = range(1, points + 1)
    return list(everywhere) if LONG else sorted(random.Random(seed).sample(everywhere, few))


@contextmanager
def ledger(settings: Settings) -> Iterator[None]:
    """An empty database, open; `Walk` closes and opens it as it needs."""
    make_tables(settings)
    database.connect()
    try:
        yield
    finally:
        database.close()


@dataclass(frozen=True)
class Full:
    """The whole appliance around a stand-in, so that its fetcher finds our links."""

    settings: Settings
    app: Any


@contextmanager
def full(settings: Settings) -> Iterator[Full]:
    prepare(settings)
    with served(settings) as running:
        database.connect(reuse_if_open=True)
        try:
            yield Full(running.settings, running.app)
        finally:
            database.close()


class Walk:
    """One account on a stand-in. Wants an open database that is the stand-in's settings'."""

    def __init__(
        self,
        stand: Stand | Full,
        platform: str,
        remote_id: str,
        credentials: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        *,
        file: Path | None = None,
    ) -> None:
        self.settings = stand.settings
        self._lives = 0
        self._points: _Points = _Points()
        self.vault = open_vault(self.settings)
        WoundClock.ahead = timedelta()
        monkeypatch.setattr(appliance.clock, "datetime", WoundClock)
        monkeypatch.setattr(task, "SIT_OUT_S", -1.0)  # waits are wound over, never slept
        self._points.watch(monkeypatch)
        self.user: User = make_user("poster@example.org", Role.OWNER)
        self.account = self._open_account(platform, remote_id, credentials)
        self.video = self._ready_video(file or media.h264_aac())

    @property
    def points(self) -> int:
        """How many the last case met, all lives of the worker together, until it died last."""
        return self._points.total

    def _open_account(self, platform: str, remote_id: str, credentials: dict[str, Any]) -> Account:
        account = Account.create(platform=platform, name="There", remote_id=remote_id)
        accounts.seal(self.vault, account, credentials)
        return account

    def _ready_video(self, file: Path) -> Video:
        video = make_video(self.user, state=VideoState.READY, duration_s=5.0)
        place = Layout(self.settings.data).rendition(video.public_id, "social")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
        self.sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        Rendition.create(
            video=video,
            profile="social",
            recipe="1",
            state=RenditionState.READY,
            sha256=self.sha256,
            size_bytes=place.stat().st_size,
            ready_at=now(),
        )
        return video

    def run(self, case: Case, set_faults: Callable[[Sequence[Fault]], None]) -> PostTarget:
        """The target where it comes to rest. Raises AssertionError when it never does."""
        set_faults(case.faults)
        Account.update(
            state=AccountState.CONNECTED, stage_ahead=case.stage_ahead, failures=0,
            paused_until=None,
        ).where(Account.id == self.account.id).execute()  # fmt: skip
        later = case.hold_there or case.stage_ahead
        post = dispatch.create(
            self.settings,
            self.video,
            [Account.get_by_id(self.account.id)],
            author=self.user,
            title=f"Case {case.number}",
            description=f"case {case.number}",
            publish_at=now() + timedelta(hours=3) if later else None,
            hold_there=case.hold_there,
            overrides={self.account.public_id: {"options": dict(case.options)}},
            again=True,
        )
        (target,) = posts.latest_targets(post)
        kills = list(case.kills)
        self._points.begin(whole=case.whole)
        for _ in range(MOST_ROUNDS):
            if self._is_over(target.id):
                break
            if not self._one_job(kills):
                self._wind(post.id)
        set_faults(())
        if not self._is_over(target.id):
            self._give_up(case, target.id)
        return PostTarget.get_by_id(target.id)  # type: ignore[no-any-return]  # peewee

    def _is_over(self, target_id: int) -> bool:
        target = PostTarget.get_by_id(target_id)
        return target.state in ENDED and not _live_jobs(target).exists()

    def _give_up(self, case: Case, target_id: int) -> NoReturn:
        """Without its jobs, which would upload it once more in the middle of the next case."""
        target = PostTarget.get_by_id(target_id)
        left = list(_live_jobs(target))
        for job in left:
            jobs.cancel(job)
        raise AssertionError(f"{case}: no end, {target.state}, {target.stage}, jobs left: {left}")

    def _one_job(self, kills: list[int]) -> bool:
        """Claim and do what is due, until it ends or the worker dies; False: nothing is due."""
        self._lives += 1
        job = jobs.claim("delivery", f"worker-{self._lives}", lease_s=1e6)
        if job is None:
            return False
        self._points.count_to(kills[0] if kills else None)
        database.close()  # as in a worker, whose threads open their own
        try:
            context = Context(job, self.settings, threading.Event())
            end = runner._work(job, context)
            with database.connection_context():
                runner._record(job, end, context)
        except Died:
            kills.pop(0)
            self._bury(job)
        except LeaseLost:
            self._bury(job)
        finally:
            self._points.rest()
            database.connect(reuse_if_open=True)
        return True

    def _bury(self, job: Job) -> None:
        """The lease of a dead worker runs out."""
        with database.connection_context() if database.is_closed() else nullcontext():
            Job.update(lease_until=0.0).where(
                Job.id == job.id, Job.state == JobState.RUNNING
            ).execute()
            ticker.take_back_expired()

    def _wind(self, post_id: int) -> None:
        """Nothing is due: to when the next thing is; and a person connects a lost account, and
        decides about a post whose time has passed."""
        account = Account.get_by_id(self.account.id)
        if account.state is AccountState.RECONNECT:
            self._connect_again(account)
            return
        if (post := Post.get_by_id(post_id)).late_since is not None:
            wishes.decide_late(post, actor=self.user)
            return
        soonest = (
            Job.select(Job.run_after)
            .where(Job.state == JobState.QUEUED, Job.run_after.is_null(False))
            .order_by(Job.run_after)
            .scalar()
        )
        ahead = (soonest - now()) if soonest is not None else timedelta(seconds=60)
        WoundClock.ahead += max(ahead, timedelta()) + timedelta(milliseconds=1)
        if soonest is None:
            dispatch.sweep()

    def _connect_again(self, account: Account) -> None:
        accounts.mark_connected(account)
        dispatch.account_settled(account)


def _live_jobs(target: PostTarget) -> Any:
    return Job.select().where(Job.post == target.post, Job.state.not_in(list(JOB_ENDED)))


class LinkWalk(Walk):
    """Of an account whose stand-in fetches the file in a thread of its own. ``unfetched``: what it
    hasn't come for yet."""

    unfetched: Callable[[], Sequence[object]]

    def _wind(self, post_id: int) -> None:
        # Its work takes real time, however far the clock is wound.
        wait_until("the fetcher has come", lambda: not self.unfetched())
        super()._wind(post_id)


class _Points:
    """Counts the points at which a worker may die, and lets it die at one."""

    def __init__(self) -> None:
        self.seen = self.total = 0
        self.at: int | None = None
        self.counting = self.whole = False
        self.thread = threading.get_ident()

    def begin(self, *, whole: bool) -> None:
        self.seen, self.total, self.whole = 0, 0, whole

    def count_to(self, at: int | None) -> None:
        """In this life; or go on counting with ``whole``."""
        self.at, self.counting = at, True
        if not self.whole:
            self.seen = 0

    def rest(self) -> None:
        self.counting = False

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for owner, name in ((httpx.Client, "request"), (Context, "record"), (jobs, "complete")):
            monkeypatch.setattr(owner, name, self._around(getattr(owner, name)))

    def _around(self, inner: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self._point()
            answer = inner(*args, **kwargs)
            self._point()
            return answer

        return counted

    def _point(self) -> None:
        if not self.counting or threading.get_ident() != self.thread:
            return
        self.seen += 1
        self.total += 1
        if self.seen == self.at:
            raise Died
