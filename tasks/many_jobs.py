"""One press for many jobs: all that failed, all that wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.errors import Conflict
from appliance.models import Job
from appliance.states import JobState
from tasks import pipeline, restarts
from tasks.retrying import hopeful

if TYPE_CHECKING:
    from peewee import ModelSelect

    from appliance.models import User

# Of one press: bounded, the rest takes another.
MOST = 200


@dataclass(frozen=True)
class Pressed:
    """``done``: how many were started, or ended; ``left``: how many the next press is for."""

    done: int
    left: int


def retry_failed(visible: ModelSelect[Job], actor: User) -> Pressed:
    """Start what failed and may succeed now, the newest first; what a newer job has replaced
    stays as it is, and is in nobody's way."""
    failed = visible.where(Job.state == JobState.FAILED, hopeful()).order_by(Job.id.desc())
    done, piece = 0, list(failed.limit(MOST))
    while piece:
        for job in piece:
            try:
                restarts.retry_job(job, actor)
            except Conflict:
                continue
            done += 1
            if done == MOST:
                return Pressed(done, failed.where(Job.id < job.id).count())
        piece = list(failed.where(Job.id < piece[-1].id).limit(MOST))
    return Pressed(done, 0)


def waiting(visible: ModelSelect[Job]) -> ModelSelect[Job]:
    """Those of ``visible`` that wait to make something. Posts that wait for their time are no
    work that could be in the way: they are called back one by one, where posts are."""
    return visible.where(Job.state == JobState.QUEUED, Job.kind != "publish")


def cancel_waiting(visible: ModelSelect[Job], actor: User) -> Pressed:
    """End what waits; what runs goes on."""
    found = list(waiting(visible).order_by(Job.id.desc()).limit(MOST))
    done = 0
    for job in found:
        try:
            pipeline.cancel_job(job, actor)
        except Conflict:
            continue  # it has begun and ended, or somebody was faster
        done += 1
    return Pressed(done, waiting(visible).count())
