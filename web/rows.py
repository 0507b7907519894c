"""Loaded dataclasses for templates: plain values, no row that asks the database while rendering.

``load_…`` functions run a fixed number of queries, however many rows there are; a connection
must be open.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from peewee import fn

from appliance import access, guest_links, jobs, tags
from appliance.clock import boot_id, boottime_s, now
from appliance.models import (
    Account,
    GuestLink,
    Heartbeat,
    Job,
    Post,
    PostTarget,
    Priority,
    Rendition,
    Role,
    User,
    Video,
)
from appliance.states import (
    JOB_ENDED,
    POST_ENDED,
    AccountState,
    JobState,
    PostState,
    RenditionState,
    TargetState,
    VideoState,
)
from appliance.videos import is_as_sent
from storage.uploads.first_looks import looks_of
from storage.uploads.rows import progress_of
from tasks.retrying import may_help
from web import progress, words
from web.progress import Progress, Work
from web.words import Badge, _

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from storage.layout import Layout

# A worker beats every few seconds; silent for so long, it is gone.
SILENT_S = 60.0
WORKERS = {
    "worker-media": "New videos wait to be encoded.",
    "worker-quick": "New videos wait to be checked.",
    "worker-delivery": "Posts wait.",
}


@dataclass(frozen=True)
class Viewer:
    """Who looks at the page."""

    user_id: str
    email: str
    shown_name: str
    role: str
    theme: str
    shortcuts: bool
    time_zone: str
    is_admin: bool
    may_upload: bool

    @classmethod
    def of(cls, user: User) -> Viewer:
        return cls(
            user_id=user.public_id,
            email=user.email,
            shown_name=user.name or user.email,
            role=user.role.value,
            theme=user.theme,
            shortcuts=user.shortcuts,
            time_zone=user.time_zone,
            is_admin=access.at_least(user, Role.ADMIN),
            may_upload=access.at_least(user, Role.EDITOR),
        )


@dataclass(frozen=True)
class Sender:
    """The guest who sent a video, and the link that they came by."""

    name: str
    link_id: str
    link_title: str


@dataclass(frozen=True)
class VideoCard:
    """A video in a list."""

    id: str
    title: str
    state: VideoState
    badge: Badge
    progress: Progress | None
    poster: str
    duration_s: float | None
    created_at: datetime
    deleted_at: datetime | None
    owner: str
    sender: Sender | None
    tags: list[str]
    private: bool
    outlook: str
    """What will be done with a file that is still arriving, as far as its first bytes tell."""
    problem: str
    remedy: str
    """What is offered against its failure: "retry", "upload" (another copy), or ""."""
    may_change: bool
    may_delete: bool


def poster_url(video: Video) -> str:
    """The version is part of the address, so a new poster is a new address; "" without one."""
    if video.poster_version == 0 or video.state is VideoState.TRASHED:
        return ""
    return f"/media/{video.public_id}/poster.webp?v={video.poster_version}"


def load_cards(user: User, layout: Layout, videos: Sequence[Video]) -> list[VideoCard]:
    """Cards for videos in hand, in their order."""
    ids = [video.id for video in videos]
    owners = {
        row.id: row.name or row.email
        for row in User.select().where(User.id.in_({v.owner_id for v in videos if v.owner_id}))
    }
    work = load_work(ids)
    parts = progress_of(layout, videos)
    looks = looks_of(videos)
    failed = {
        row.video_id
        for row in Rendition.select(Rendition.video).where(
            Rendition.video.in_(ids),
            Rendition.profile == "social",
            Rendition.state == RenditionState.FAILED,
        )
    }
    ends = _last_ends(v.id for v in videos if v.id in failed or v.state is VideoState.FAILED)
    tagged = tags.of(videos)
    links = guest_links.of_videos(videos)
    cards = []
    for video in videos:
        part = progress.of_video(video.state, parts.get(video.id), work[video.id])
        may_change = access.may_change(user, video)
        cards.append(
            VideoCard(
                id=video.public_id,
                title=video.title,
                state=video.state,
                badge=progress.badge(video.state, part, failed_version=video.id in failed),
                progress=part,
                poster=poster_url(video),
                duration_s=video.duration_s,
                created_at=video.created_at,
                deleted_at=video.deleted_at,
                owner=owners.get(video.owner_id or 0, ""),
                sender=_sender(video, links),
                tags=tagged.get(video.id, []),
                private=video.visibility == "private",
                outlook=words.outlook(looks.get(video.id))
                if video.state is VideoState.UPLOADING
                else "",
                problem=(video.error or "") if video.state is VideoState.FAILED else "",
                remedy=_remedy(video, ends.get(video.id), failed_version=video.id in failed)
                if may_change
                else "",
                may_change=may_change,
                may_delete=access.may_delete(user, video),
            )
        )
    return cards


def _sender(video: Video, links: dict[int, GuestLink]) -> Sender | None:
    if not video.guest_name:
        return None
    link = links.get(video.guest_link_id or 0)
    return Sender(video.guest_name, link.public_id if link else "", link.title if link else "")


def _last_ends(video_ids: Iterable[int]) -> dict[int, Job]:
    """The newest job of each video that failed, or was cancelled, while making it ready."""
    ids = list(video_ids)
    if not ids:
        return {}
    rows = Job.select().where(
        Job.video.in_(ids),
        Job.kind.in_(["probe", "remux", "encode"]),
        Job.state.in_([JobState.FAILED, JobState.CANCELLED]),
    )
    return {row.video_id: row for row in rows.order_by(Job.id) if row.video_id is not None}


def _remedy(video: Video, last: Job | None, *, failed_version: bool) -> str:
    partly = video.state is VideoState.READY and failed_version
    if video.state is not VideoState.FAILED and not partly:
        return ""
    never_arrived = video.received_at is None and video.facts is None
    if never_arrived or not is_as_sent(video):
        return "upload"
    if last is not None and not may_help(last.kind, last.error_code):
        return "upload"
    return "retry"


def load_work(video_ids: Iterable[int]) -> defaultdict[int, list[Work]]:
    """The live jobs of videos, each with its place in the line of its queue."""
    found: defaultdict[int, list[Work]] = defaultdict(list)
    wanted = set(video_ids)
    live = (
        Job.select()
        .where(Job.state.in_([JobState.QUEUED, JobState.RUNNING]))
        .order_by(Job.queue, Job.state.desc(), Job.priority.desc(), Job.id)
        .limit(2000)
    )
    places: defaultdict[str, int] = defaultdict(int)
    for job in live:
        place = places[job.queue]
        places[job.queue] += 1
        if job.video_id in wanted:
            found[job.video_id].append(work_of(job, place))
    return found


def work_of(job: Job, place: int = 0) -> Work:
    return Work(job.kind, job.state, job.stage, job.progress, job.eta_s, place)


@dataclass(frozen=True)
class JobRow:
    """A job in the list, and on its own page."""

    id: str
    kind: str
    label: str
    badge: Badge
    state: JobState
    video_id: str
    subject: str
    subject_url: str
    progress: Progress | None
    tries: str
    priority: str
    queue: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    run_after: datetime | None
    took_s: float | None
    error: str
    detail: str
    may_retry: bool
    may_help: bool
    may_cancel: bool
    cancelling: bool
    crashes: int

    @classmethod
    def of(cls, user: User, job: Job) -> JobRow:
        """``job`` with its video joined."""
        video: Video | None = job.video if job.video_id else None
        may_change = access.at_least(user, Role.EDITOR)
        ended = job.state in JOB_ENDED
        again = job.state is JobState.QUEUED and job.attempts > 0
        badge = words.badge(job.state)
        if again:
            badge = Badge("retrying", "warn", "retry", _("Retrying"))
        end = job.finished_at if ended else now()
        # ``attempts`` counts errors; a try that is under way or went well is one more.
        tries = min(job.attempts + (job.state is not JobState.FAILED), job.max_attempts)
        return cls(
            id=job.public_id,
            kind=job.kind,
            label=_(jobs.KINDS[job.kind].label),
            badge=badge,
            state=job.state,
            video_id=video.public_id if video else "",
            subject=video.title if video else "",
            subject_url=f"/videos/{video.public_id}" if video else "",
            progress=progress.of_work(work_of(job)) if job.state is JobState.RUNNING else None,
            tries=str(tries) if ended else _("{n} of {most}", n=tries, most=job.max_attempts),
            priority=_priority_word(job.priority),
            queue=job.queue,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            run_after=job.run_after if job.state is JobState.QUEUED else None,
            took_s=_seconds(job.started_at, end) if job.state is not JobState.QUEUED else None,
            error=job.error or "",
            detail=job.detail or "",
            may_retry=may_change and job.state in (JobState.FAILED, JobState.CANCELLED),
            may_help=may_help(job.kind, job.error_code),
            may_cancel=may_change and not ended and not job.cancel_requested,
            cancelling=job.cancel_requested and not ended,
            crashes=job.crashes,
        )


def _seconds(began: datetime | None, end: datetime | None) -> float | None:
    return (end - began).total_seconds() if began and end else None


def _priority_word(priority: int) -> str:
    if priority >= Priority.HIGH:
        return _("High")
    return _("Normal") if priority >= Priority.NORMAL else _("Low")


@dataclass(frozen=True)
class TargetRow:
    """One account of a post, and how it went there."""

    id: str
    account: str
    platform: str
    platform_name: str
    badge: Badge
    state: TargetState
    stage: str
    url: str
    error: str
    detail: str
    published_at: datetime | None
    may_retry: bool
    needs_person: bool
    reconnect: bool


@dataclass(frozen=True)
class PostRow:
    id: str
    video_id: str
    video_title: str
    poster: str
    title: str
    description: str
    badge: Badge
    state: PostState
    author: str
    created_at: datetime
    publish_at: datetime | None
    error: str
    may_retry: bool
    may_cancel: bool
    targets: list[TargetRow] = field(default_factory=list)


def load_posts(user: User, posts: Sequence[Post], *, zone: str = "UTC") -> list[PostRow]:
    """Rows for posts in hand (with their videos joined), in their order."""
    targets: defaultdict[int, dict[int, PostTarget]] = defaultdict(dict)
    rows = (
        PostTarget.select(PostTarget, Account)
        .join(Account)
        .where(PostTarget.post.in_([post.id for post in posts]))
        .order_by(PostTarget.generation, PostTarget.id)
    )
    for target in rows:
        targets[target.post_id][target.account_id] = target  # the newest generation stays
    authors = {
        row.id: row.name or row.email
        for row in User.select().where(User.id.in_({p.author_id for p in posts if p.author_id}))
    }
    return [_post_row(user, post, list(targets[post.id].values()), authors, zone) for post in posts]


def _post_row(
    user: User, post: Post, targets: list[PostTarget], authors: dict[int, str], zone: str
) -> PostRow:
    may_change = access.at_least(user, Role.EDITOR)
    number = ""
    if post.state is PostState.SCHEDULED and post.publish_at:
        number = words.clock_time(post.publish_at, zone, now())
    return PostRow(
        id=post.public_id,
        video_id=post.video.public_id,
        video_title=post.video.title,
        poster=poster_url(post.video),
        title=post.title or post.video.title,
        description=post.description,
        badge=words.badge(post.state, number=number),
        state=post.state,
        author=authors.get(post.author_id or 0, ""),
        created_at=post.created_at,
        publish_at=post.publish_at,
        error=post.error or "",
        may_retry=may_change and any(t.state is TargetState.FAILED for t in targets),
        may_cancel=may_change
        and post.state not in POST_ENDED
        and any(
            t.state in (TargetState.WAITING, TargetState.STAGING, TargetState.STAGED)
            for t in targets
        ),
        targets=[_target_row(target, may_change=may_change) for target in targets],
    )


def _target_row(target: PostTarget, *, may_change: bool) -> TargetRow:
    account: Account = target.account
    return TargetRow(
        id=target.public_id,
        account=account.name,
        platform=account.platform,
        platform_name=_(words.PLATFORM_NAMES.get(account.platform, account.platform.title())),
        badge=words.badge(target.state),
        state=target.state,
        stage=target.stage,
        url=_safe_link(target.url),
        error=target.error or "",
        detail=target.error_detail or "",
        published_at=target.published_at,
        may_retry=may_change and target.state is TargetState.FAILED,
        needs_person=may_change and target.state is TargetState.NEEDS_PERSON,
        reconnect=account.state is AccountState.RECONNECT,
    )


def _safe_link(url: str | None) -> str:
    """A platform's answer becomes a link only if it leads to a page, not to a script."""
    return url if url and url.startswith(("https://", "http://", "/")) else ""


@dataclass(frozen=True)
class JobCounts:
    running: int
    waiting: int
    failed: int
    hopeful: int
    """How many of the failed ones another try may help."""
    done_today: int


def count_jobs(user: User) -> JobCounts:
    """Of the jobs that this person may see."""
    states: Any = (
        access.visible_jobs(user).select(Job.state, fn.COUNT(Job.id)).group_by(Job.state).tuples()
    )
    by_state = dict(states)
    ends: Any = (
        access.visible_jobs(user)
        .where(Job.state == JobState.FAILED)
        .select(Job.kind, Job.error_code, fn.COUNT(Job.id))
        .group_by(Job.kind, Job.error_code)
        .tuples()
    )
    since = now() - timedelta(days=1)
    done = (
        access.visible_jobs(user)
        .where(Job.state == JobState.COMPLETED, Job.finished_at >= since)
        .count()
    )
    return JobCounts(
        running=by_state.get(JobState.RUNNING, 0),
        waiting=by_state.get(JobState.QUEUED, 0),
        failed=by_state.get(JobState.FAILED, 0),
        hopeful=sum(number for kind, code, number in ends if may_help(kind, code)),
        done_today=done,
    )


@dataclass(frozen=True)
class GoneWorker:
    name: str
    since: datetime | None
    effect: str


def gone_workers() -> list[GoneWorker]:
    """Workers that don't report; their work waits."""
    beats: dict[str, Any] = {row.process: row for row in Heartbeat.select()}
    gone = []
    for process, effect in WORKERS.items():
        beat = beats.get(process)
        alive = (
            beat is not None
            and beat.boot_id == boot_id()
            and boottime_s() - beat.beat_boottime_s < SILENT_S
        )
        if not alive:
            name = process.removeprefix("worker-")
            gone.append(GoneWorker(name, beat.beat_at if beat else None, _(effect)))
    return gone
