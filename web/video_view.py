"""Everything that the page of one video shows, loaded at once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance import access
from appliance.models import Job, Post, Rendition, User, Video
from appliance.states import JobState, PostState, RenditionState, VideoState
from storage.uploads.first_looks import looks_of
from storage.uploads.rows import progress_of
from tasks.profiles import PREVIEW, SOCIAL
from web import activity, playing, progress, storage_view, version_rows, words
from web.activity import Activity
from web.playing import Playing
from web.post_rows import PostRow, load_posts
from web.progress import Phase, Work
from web.rows import VideoCard, load_cards, load_work
from web.storage_view import DamagedShape
from web.version_rows import Versions, codecs_of, describe, how_made
from web.words import _

if TYPE_CHECKING:
    from datetime import datetime

    from storage.layout import Layout

NOTHING = Playing([], "", 0.0, None, "")


@dataclass(frozen=True)
class VideoView:
    card: VideoCard
    description: str
    filename: str
    size_bytes: int
    width: int | None
    height: int | None
    codec: str
    source: str
    received_at: datetime | None
    ready_at: datetime | None
    index_moved: bool
    playing: Playing
    original: str
    phases: list[Phase]
    versions: Versions
    posts: list[PostRow]
    activity: Activity
    problem: str
    damaged: list[DamagedShape]
    detail: str
    may_post: bool
    may_make: bool
    may_choose_poster: bool
    poster_coming: bool
    poster_problem: str

    @property
    def under_way(self) -> bool:
        return self.card.state in (
            VideoState.UPLOADING,
            VideoState.RECEIVED,
            VideoState.PROCESSING,
        ) or any(post.state in (PostState.PENDING, PostState.PROCESSING) for post in self.posts)


def load(
    user: User,
    layout: Layout,
    public_id: str,
    *,
    zone: str,
    play: str = "",
    activities: int = activity.FIRST,
) -> VideoView:
    """A video in place or in the bin. ``play``: the version that somebody chose; ``activities``:
    how many lines of what happened. Raises NotFound."""
    video = access.visible_videos(user, trashed=True).where(
        Video.public_id == public_id
    ).first() or access.get_video(user, public_id)
    (card,) = load_cards(user, layout, [video])
    work = load_work([video.id])[video.id]
    renditions = list(Rendition.select().where(Rendition.video == video).order_by(Rendition.id))
    last = _last_jobs(video)
    posts = list(
        access.visible_posts(user).where(Post.video == video).order_by(Post.id.desc()).limit(20)
    )
    social = next((row for row in renditions if row.profile == "social"), None)
    in_place = video.state is not VideoState.TRASHED
    original_here = video.received_at is not None and video.original_removed_at is None
    media = f"/media/{video.public_id}"
    changes = card.may_change and in_place
    poster = last.get("poster")
    return VideoView(
        card=card,
        description=video.description,
        filename=video.filename,
        size_bytes=video.size_bytes,
        width=video.width,
        height=video.height,
        codec=codecs_of(video.facts),
        source=video.source.value,
        received_at=video.received_at,
        ready_at=video.ready_at,
        index_moved=video.index_moved,
        playing=playing.of(video, renditions if in_place else [], play) if in_place else NOTHING,
        original=f"{media}/original?download=1" if original_here and in_place else "",
        phases=_phases(video, social, work, last, part=progress_of(layout, [video]))
        + _outlook(video, looks_of([video]).get(video.id), work),
        versions=version_rows.load(
            video,
            renditions,
            work,
            may_change=changes,
            may_unpin=access.may_delete(user, video),
        )
        if video.received_at is not None and in_place
        else version_rows.NONE,
        posts=load_posts(user, posts, zone=zone),
        activity=activity.load(user, video, activities),
        problem=(video.error or "") if video.state is VideoState.FAILED else "",
        damaged=storage_view.damaged(user, video),
        detail=video.error_detail or "",
        may_post=changes and not (video.state is VideoState.FAILED and video.facts is None),
        may_make=changes and video.state is VideoState.READY and _on_demand(social),
        may_choose_poster=changes and video.facts is not None and original_here,
        poster_coming=video.poster_version > 0 and any(job.kind == "poster" for job in work),
        poster_problem=_problem(poster) if video.poster_version else "",
    )


def _last_jobs(video: Video) -> dict[str, Job]:
    """The newest job of each kind."""
    rows = Job.select().where(Job.video == video).order_by(Job.id)
    return {row.kind: row for row in rows}


def _phases(
    video: Video,
    social: Rendition | None,
    work: list[Work],
    last: dict[str, Job],
    *,
    part: dict[int, float],
) -> list[Phase]:
    of_kind: defaultdict[str, list[Work]] = defaultdict(list)
    for job in work:
        of_kind[job.kind].append(job)
    phases = [_upload_phase(video, part.get(video.id))]
    if video.received_at is None:
        return phases
    phases.append(
        progress.phase(
            _("Check the file"),
            done=video.facts is not None,
            jobs_of_it=of_kind["probe"],
            problem=_problem(last.get("probe")),
            detail=_detail(last.get("probe")),
            note=codecs_of(video.facts),
        )
    )
    if video.state is VideoState.FAILED and video.facts is None:
        return phases
    phases.append(
        progress.phase(
            _("Take the poster"),
            done=video.poster_version > 0,
            jobs_of_it=of_kind["poster"],
            problem=_problem(last.get("poster")),
            detail=_detail(last.get("poster")),
        )
    )
    preview = [job for job in work if job.profile == PREVIEW.name]
    if preview and video.state is not VideoState.READY:
        phases.append(progress.phase(_("Make the preview"), done=False, jobs_of_it=preview))
    state = social.state if social is not None else None
    phases.append(
        progress.phase(
            _("Make it ready to post"),
            done=state is RenditionState.READY,
            jobs_of_it=[job for job in work if job.profile == SOCIAL.name],
            problem=(social.error or _("Failed"))
            if social and state is RenditionState.FAILED
            else "",
            detail=(social.error_detail or "") if social else "",
            note=progress.rendition_words(None)
            if social is None or _on_demand(social)
            else how_made(social),
            wanted=not _on_demand(social),
        )
    )
    return phases


def _outlook(video: Video, look: dict[str, Any] | None, work: list[Work]) -> list[Phase]:
    """What comes after the upload, as far as its first bytes tell."""
    if look is None or video.state is not VideoState.UPLOADING or not look["sentence"]:
        return []
    says = words.outlook(look)
    if look["verdict"] != "fine":
        return [Phase(_("Check the file"), "neutral", "clock", says)]
    facts = look["facts"]
    codecs = [{"codec": facts[name]} for name in ("codec", "audio_codec") if name in facts]
    codec = codecs_of(dict(zip(("video", "audio"), codecs, strict=False)))
    seen = describe(facts.get("width"), facts.get("height"), 0, codec)
    name = _("Make it ready to post")
    encoding = progress.while_it_uploads(work)
    return [
        Phase(_("Check the first bytes"), "ok", "check", seen),
        Phase(name, "neutral", "clock", says)
        if encoding is None
        else Phase(name, "info", "spinner", encoding.words, encoding),
    ]


def _upload_phase(video: Video, part: float | None) -> Phase:
    name = _("Upload")
    if video.received_at is not None:
        return Phase(name, "ok", "check", words.size(video.size_bytes))
    if video.state is VideoState.FAILED:
        return Phase(name, "bad", "alert", _("Failed"), None, video.error or "")
    if part is None:
        return Phase(name, "neutral", "clock", _("Not here yet"))
    now = progress.of_upload(part)
    return Phase(name, "info", "spinner", now.words, now)


def _problem(job: Job | None) -> str:
    return (job.error or _("Failed")) if job is not None and job.state is JobState.FAILED else ""


def _detail(job: Job | None) -> str:
    return (job.detail or "") if job is not None and job.state is JobState.FAILED else ""


def _on_demand(rendition: Rendition | None) -> bool:
    """Nobody has asked for it yet, and it isn't made in advance (``auto_renditions`` off)."""
    return rendition is None or (rendition.state is RenditionState.PENDING and not rendition.wanted)
