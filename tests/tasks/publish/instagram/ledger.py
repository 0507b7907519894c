"""The ledger in memory: the machine and the publisher are the real ones, what is committed are
attributes. A worker dies in it by an exception that nothing catches; what was committed stays.

The rounds are those of tasks/publish/task.py: look and write down, one step, record.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import tasks.publish.graph
from appliance.states import TargetState
from tasks.publish.answers import after, kept_until, lost_answer
from tasks.publish.machine import (
    CREATING,
    STATE_DURING,
    Act,
    Past,
    Rest,
    Situation,
    Then,
    count,
    next_act,
)
from tasks.publish.publisher import RetryAt, Unsure

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import pytest

    from tasks.publish.publisher import Publisher, Step, Target

ENDED = (
    TargetState.PUBLISHED,
    TargetState.FAILED,
    TargetState.NEEDS_PERSON,
    TargetState.CANCELLED,
)
MAX_ROUNDS = 400


class Died(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class Points:
    """The moments at which a worker may die: before and after each call and each commit."""

    def __init__(self) -> None:
        self.seen = 0
        self.kill_at: int | None = None

    def __call__(self) -> None:
        self.seen += 1
        if self.seen == self.kill_at:
            raise Died

    def around_calls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        inner = tasks.publish.graph.call

        def counted(*args: Any, **kwargs: Any) -> Any:
            self()
            answer = inner(*args, **kwargs)
            self()
            return answer

        monkeypatch.setattr(tasks.publish.graph, "call", counted)


@dataclass
class Ledger:
    """One target. ``reconnect``: what a person does when the sign-in was refused."""

    publisher: Publisher
    target: Target
    now: Callable[[], datetime]
    wait_until: Callable[[datetime], None]
    point: Callable[[], None] = lambda: None
    reconnect: Callable[[], None] = lambda: None
    state: TargetState = TargetState.WAITING
    checkpoint: dict[str, Any] = field(default_factory=dict)
    staged_until: datetime | None = None
    record: list[Past] = field(default_factory=list)
    open: Act | None = None
    remote_id: str | None = None
    url: str | None = None
    error: str = ""
    deaths: int = 0

    def run(self) -> TargetState:
        for _ in range(MAX_ROUNDS):
            if self.state in ENDED:
                return self.state
            try:
                self._round()
            except Died:
                self.deaths += 1  # the next worker takes it over
        raise AssertionError(f"no end: {self.state}, {self.record[-6:]}")

    def _round(self) -> None:
        situation, act = self._begin()
        step = self._do(act)
        verdict = after(replace(situation, now=self.now()), act, step)
        self.point()
        staged_until, _ = kept_until(situation, verdict)
        self.record.append(Past(act, verdict.outcome))
        self.open, self.state, self.staged_until = None, verdict.state, staged_until
        if verdict.forget:
            self.checkpoint = {}
        if verdict.state is TargetState.PUBLISHED:
            self.remote_id, self.url = verdict.remote_id, verdict.url
        self.error = verdict.error or ""
        self.point()
        if verdict.account_lost:
            self.reconnect()
        if verdict.then is Then.WAIT and verdict.when is not None:
            self.wait_until(verdict.when)

    def _begin(self) -> tuple[Situation, Act]:
        self.point()
        state, lost = self.state, self.open
        during = state in (TargetState.STAGING, TargetState.PUBLISHING)
        record = [*self.record]
        if lost is not None:
            record.append(Past(lost, "lost"))
        tries, asks = count(record)
        creating = [past.step for past in record if past.step in CREATING]
        situation = Situation(
            state=state,
            now=self.now(),
            lost=lost if lost in CREATING else None,
            about=Act(creating[-1]) if creating else Act.STAGE,
            staged_until=self.staged_until,
            prepared=bool(self.checkpoint),
            tries=tries,
            asks=asks,
        )
        if situation.lost is not None and during:
            state = lost_answer(situation, "died").state
            situation = replace(situation, state=state, lost=None)
        act = next_act(situation)
        assert act is not None and not isinstance(act, Rest), situation
        self.record, self.open = record, act
        self.state = STATE_DURING.get(act, state)
        self.point()
        return replace(situation, state=self.state), act

    def _do(self, act: Act) -> Step:
        target = replace(self.target, checkpoint=dict(self.checkpoint))
        try:
            match act:
                case Act.STAGE:
                    return self.publisher.stage(target, self._save)
                case Act.POLL:
                    return self.publisher.poll(target)
                case Act.GO_LIVE:
                    return self.publisher.go_live(target, self._save)
                case Act.RECONCILE:
                    return self.publisher.reconcile(target)
                case Act.DELETE:
                    return self.publisher.delete(target)
        except Exception as exc:  # as tasks/publish/task.py takes it
            return Unsure(repr(exc)) if act in CREATING else RetryAt(None, repr(exc))

    def _save(self, checkpoint: dict[str, Any]) -> None:
        self.point()
        self.checkpoint = dict(checkpoint)
        self.point()
