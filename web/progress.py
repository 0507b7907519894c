"""How far a video is, decided from plain facts: for cards, the phase list and the badge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance import job_kinds
from appliance.job_history import FAR
from appliance.states import JobState, RenditionState, VideoState
from tasks.profiles import SOCIAL
from tasks.renditions import AHEAD
from web import words
from web.words import Badge, _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.job_history import Range

# The later in this order, the more of the wait it is.
KINDS = ("probe", "poster", "remux", "encode", AHEAD)
# A video is ready when this version of it is; other versions are no part of the wait.
_DECIDES = ("", SOCIAL.name)


@dataclass(frozen=True)
class Work:
    """A live job of a video. ``place``: how many jobs of its queue run or wait before it;
    ``profile``: what it makes, "" for other work. ``only_at_night``: and it isn't night."""

    kind: str
    state: JobState
    stage: str
    progress: float
    eta_s: float | None
    place: int = 0
    profile: str = ""
    only_at_night: bool = False
    left: Range | None = None


@dataclass(frozen=True)
class Progress:
    """``fraction`` None: under way, but nobody can say how far. ``words`` beside the bar."""

    fraction: float | None
    words: str


def work_ahead(work: Sequence[Work]) -> Work | None:
    """The job that says most about the wait for being ready: what runs and takes longest, else
    what waits."""
    return foremost([job for job in work if job.kind in KINDS and job.profile in _DECIDES])


def while_it_uploads(work: Sequence[Work]) -> Progress | None:
    """An encode of what has come so far; None: there is none, or it waits."""
    found = next((job for job in work if job.kind == AHEAD), None)
    if found is None or found.state is not JobState.RUNNING or not found.stage:
        return None
    return Progress(found.progress, _("{what}, {percent}", what=_(found.stage),
                                      percent=words.percent(found.progress)))  # fmt: skip


def foremost(work: Sequence[Work]) -> Work | None:
    """Of jobs for one thing the one to show: what runs and takes longest, else what waits."""
    running = [job for job in work if job.state is JobState.RUNNING]
    return max(
        running or work,
        key=lambda job: KINDS.index(job.kind) if job.kind in KINDS else -1,
        default=None,
    )


def of_upload(part: float) -> Progress:
    return Progress(part, words.percent(part))


def of_work(job: Work) -> Progress:
    label = _(job_kinds.KINDS[job.kind].label)
    if job.state is JobState.QUEUED and job.only_at_night:
        return Progress(None, _("Waits for the night"))
    if job.state is JobState.QUEUED:
        return Progress(None, waiting(job))
    if job.progress <= 0:
        left = _until_done(job) if job.left is not None else ""
        stage = _(job.stage) if job.stage else ""
        return Progress(None, f"{stage or label}, {left}" if left else stage or label)
    left = _until_done(job)
    percent = words.percent(job.progress)
    return Progress(job.progress, f"{percent}, {left}" if left else percent)


def _until_done(job: Work) -> str:
    """ "about 3–5 min left"; "" when nobody can tell."""
    if job.left is None:
        return words.time_left(job.eta_s)
    return _("{time} left", time=words.time_between(job.left.low_s, job.left.high_s))


def waiting(job: Work) -> str:
    """What one that hasn't begun waits for, and until when it may be there."""
    if job.stage:
        return _(job.stage)
    if job.left is None:
        return in_line(job.place)
    until = words.time_between(job.left.low_s, job.left.high_s)
    return _("{place}, {time}", place=in_line(job.place), time=until)


def in_line(place: int) -> str:
    """ "Next in line", "3rd in line"; ``place`` counts from 0."""
    if place <= 0:
        return _("Next in line")
    if place >= FAR:
        return _("More than {n} come first", n=f"{FAR:,}")
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
    live = foremost(jobs_of_it)
    if live is not None and live.state is JobState.RUNNING:
        progress = of_work(live)
        return Phase(name, "info", "spinner", progress.words, progress)
    if done:
        return Phase(name, "ok", "check", note)
    if live is not None:
        return Phase(name, "neutral", "clock", of_work(live).words)
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
