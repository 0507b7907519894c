"""How far a video is, decided from plain facts: for cards, the phase list and the badge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance import jobs
from appliance.states import JobState, RenditionState, VideoState
from web import words
from web.words import Badge, _

if TYPE_CHECKING:
    from collections.abc import Sequence

# The later in this order, the more of the wait it is.
KINDS = ("probe", "poster", "remux", "encode")


@dataclass(frozen=True)
class Work:
    """A live job of a video. ``place``: how many jobs of its queue run or wait before it."""

    kind: str
    state: JobState
    stage: str
    progress: float
    eta_s: float | None
    place: int = 0


@dataclass(frozen=True)
class Progress:
    """``fraction`` None: under way, but nobody can say how far. ``words`` beside the bar."""

    fraction: float | None
    words: str


def work_ahead(work: Sequence[Work]) -> Work | None:
    """The job that says most about the wait: what runs and takes longest, else what waits."""
    known = [job for job in work if job.kind in KINDS]
    running = [job for job in known if job.state is JobState.RUNNING]
    return max(running or known, key=lambda job: KINDS.index(job.kind), default=None)


def of_upload(part: float) -> Progress:
    return Progress(part, words.percent(part))


def of_work(job: Work) -> Progress:
    label = _(jobs.KINDS[job.kind].label)
    if job.state is JobState.QUEUED:
        return Progress(None, in_line(job.place))
    if job.progress <= 0:
        return Progress(None, job.stage or label)
    left = words.time_left(job.eta_s)
    percent = words.percent(job.progress)
    return Progress(job.progress, f"{percent}, {left}" if left else percent)


def in_line(place: int) -> str:
    """ "Next in line", "3rd in line"; ``place`` counts from 0."""
    if place <= 0:
        return _("Next in line")
    number = place + 1
    endings = {1: "st", 2: "nd", 3: "rd"}
    ending = "th" if number % 100 in (11, 12, 13) else endings.get(number % 10, "th")
    return _("{n} in line", n=f"{number}{ending}")


def of_video(
    state: VideoState, part_uploaded: float | None, work: Sequence[Work]
) -> Progress | None:
    """How far a video is; None when nothing is under way."""
    if state is VideoState.UPLOADING:
        return None if part_uploaded is None else of_upload(part_uploaded)
    if state in (VideoState.RECEIVED, VideoState.PROCESSING):
        job = work_ahead(work)
        return None if job is None else of_work(job)
    return None


def badge(state: VideoState, progress: Progress | None, *, failed_version: bool = False) -> Badge:
    """A video's badge: its state, and the percent if there is one.

    ``failed_version``: it can be played, but a rendition of it failed.
    """
    if state is VideoState.READY and failed_version:
        return Badge("partly", "warn", "alert", _("Ready, not for posting"))
    if state in (VideoState.UPLOADING, VideoState.PROCESSING) and progress is not None:
        number = "" if progress.fraction is None else words.percent(progress.fraction)
        return words.badge(state, number=number)
    return words.badge(state)


@dataclass(frozen=True)
class Phase:
    """One line of the list of what happens to a video."""

    name: str
    tone: str
    icon: str
    note: str = ""
    progress: Progress | None = None
    problem: str = ""
    detail: str = ""


def phase(
    name: str,
    *,
    done: bool,
    jobs_of_it: Sequence[Work],
    problem: str = "",
    detail: str = "",
    note: str = "",
    wanted: bool = True,
) -> Phase:
    """A phase from what is known of it: done, failed, running, waiting or not wanted."""
    if problem:
        return Phase(name, "bad", "alert", _("Failed"), None, problem, detail)
    live = work_ahead(jobs_of_it)
    if live is not None and live.state is JobState.RUNNING:
        progress = of_work(live)
        return Phase(name, "info", "spinner", progress.words, progress)
    if done:
        return Phase(name, "ok", "check", note)
    if live is not None:
        return Phase(name, "neutral", "clock", in_line(live.place))
    return Phase(name, "neutral", "clock" if wanted else "dot", note or _("Waiting"))


def rendition_words(state: RenditionState | None) -> str:
    """What stands where a version's facts would be, while there are none."""
    if state is None:
        return _("Made when a post needs it")
    return {
        RenditionState.PENDING: _("Waiting"),
        RenditionState.PROCESSING: _("Being made"),
        RenditionState.READY: "",
        RenditionState.FAILED: _("Failed"),
    }[state]
