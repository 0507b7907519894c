"""A delivery worker that dies at chosen moments, and the ones that come after it.

The real executor with the real database, in this thread: a death is an exception that nothing
catches, at a point before or after a remote call or a commit. What was committed stays, what was in
memory is gone, and the lease of the job runs out at once. Nothing of the code under test is
replaced: calls are only counted; and nobody waits, for whatever was to be done later is due.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import httpx

from appliance import accounts, jobs
from appliance.db import database
from appliance.models import Account, Job, Post, PostTarget, QuotaUse
from appliance.states import JOB_ENDED, POST_ENDED, AccountState, JobState, TargetState
from tasks import runner, ticker
from tasks.context import Context
from tasks.publish import dispatch, task

if TYPE_CHECKING:
    from collections.abc import Collection

    import pytest

    from appliance.settings import Settings

MAX_ROUNDS = 300


class Died(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class Mortal:
    """``kill_at``: the points (from 1 on) at which it dies. ``seen``: how many there were."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = settings
        self.kill_at: Collection[int] = ()
        self.seen = 0
        self._counting = False
        # Waits are put back instead of sat out.
        monkeypatch.setattr(task, "SIT_OUT_S", -1.0)
        self._around(monkeypatch, httpx.Client, "request")
        self._around(monkeypatch, Context, "record")
        self._around(monkeypatch, jobs, "complete")

    def _around(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        inner = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self._point()
            answer = inner(*args, **kwargs)
            self._point()
            return answer

        monkeypatch.setattr(owner, name, counted)

    def _point(self) -> None:
        if self._counting:
            self.seen += 1
            if self.seen in self.kill_at:
                raise Died

    def run(self, post: Post, *, kill_at: Collection[int] = ()) -> PostTarget:
        """Until the post has ended, or a person is wanted; its only target."""
        self.kill_at, self.seen = kill_at, 0
        for _ in range(MAX_ROUNDS):
            with database.connection_context():
                target = PostTarget.get(PostTarget.post == post)
                if _is_over(post, target):
                    return target
                self._let_time_pass()
                job = jobs.claim("delivery", "mortal", lease_s=60)
            if job is not None:
                self._work(job)
        raise AssertionError(f"no end: {target.state}, {target.stage}, {target.error}")

    def _work(self, job: Job) -> None:
        context = Context(job, self.settings, threading.Event())
        self._counting = True
        try:
            end = runner._work(job, context)
            with database.connection_context():
                runner._record(job, end, context)
        except Died:
            pass
        finally:
            self._counting = False

    def _let_time_pass(self) -> None:
        """Leases run out, pauses end, somebody connects what has to be connected again."""
        Job.update(lease_until=0.0).where(Job.state == JobState.RUNNING).execute()
        Job.update(run_after=None).where(Job.state == JobState.QUEUED).execute()
        Account.update(paused_until=None, pause_reason=None, failures=0).execute()
        QuotaUse.delete().execute()
        ticker.take_back_expired()
        for account in Account.select().where(Account.state == AccountState.RECONNECT):
            accounts.mark_connected(account)
            dispatch.account_settled(account)
        dispatch.sweep()


def _is_over(post: Post, target: PostTarget) -> bool:
    if target.state is TargetState.NEEDS_PERSON:
        return True
    live = Job.select().where(Job.post == post, Job.state.not_in(list(JOB_ENDED)))
    return Post.get_by_id(post.id).state in POST_ENDED and not live.exists()
