"""Everything that the page of one video shows, loaded at once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance import access
from appliance.models import Event, Job, Post, Rendition, User, Video
from appliance.states import JobState, PostState, RenditionState, VideoState
from storage.uploads.first_looks import looks_of
from storage.uploads.rows import progress_of
from web import progress, words
from web.progress import Phase, Work
from web.rows import PostRow, VideoCard, load_cards, load_posts, load_work
from web.words import _

if TYPE_CHECKING:
    from datetime import datetime

    from storage.layout import Layout

MAX_EVENTS = 30
# What is worth a line in the list of what happened: event type → words.
ACTIVITY = {
    "video.created": "Upload began",
    "video.received": "All of the file arrived",
    "video.ready": "Ready",
    "video.failed": "Failed",
    "video.edited": "Title or description changed",
    "video.trashed": "Moved to the bin",
    "video.restored": "Taken out of the bin",
    "post.created": "Post made",
    "post.completed": "Posted",
    "post.partial": "Posted in part",
    "post.failed": "Post failed",
    "post.cancelled": "Post cancelled",
}


@dataclass(frozen=True)
class Version:
    """The original, or one rendition, with what is known about it."""

    name: str
    badge: words.Badge | None
    facts: str
    note: str
    download: str
    problem: str
    detail: str


@dataclass(frozen=True)
class Happening:
    at: datetime
    words: str
    who: str


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
    playable: str
    original: str
    phases: list[Phase]
    versions: list[Version]
    posts: list[PostRow]
    activity: list[Happening]
    problem: str
    detail: str
    may_post: bool
    may_make: bool

    @property
    def under_way(self) -> bool:
        return self.card.state in (
            VideoState.UPLOADING,
            VideoState.RECEIVED,
            VideoState.PROCESSING,
        ) or any(post.state in (PostState.PENDING, PostState.PROCESSING) for post in self.posts)


def load(user: User, layout: Layout, public_id: str, *, zone: str) -> VideoView:
    """A video in place or in the bin. Raises NotFound."""
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
    original_here = video.received_at is not None
    media = f"/media/{video.public_id}"
    made = social is not None and social.state is RenditionState.READY
    changes = card.may_change and in_place
    return VideoView(
        card=card,
        description=video.description,
        filename=video.filename,
        size_bytes=video.size_bytes,
        width=video.width,
        height=video.height,
        codec=_codec(video.facts),
        source=video.source.value,
        received_at=video.received_at,
        ready_at=video.ready_at,
        index_moved=video.index_moved,
        playable=_playable(video, made=made) if in_place else "",
        original=f"{media}/original?download=1" if original_here and in_place else "",
        phases=_phases(video, social, work, last, part=progress_of(layout, [video]))
        + _outlook(video, looks_of([video]).get(video.id)),
        versions=[
            _original(video, media),
            *(_version(row, media, work) for row in renditions),
        ]
        if original_here and in_place
        else [],
        posts=load_posts(user, posts, zone=zone),
        activity=_activity(user, video),
        problem=(video.error or "") if video.state is VideoState.FAILED else "",
        detail=video.error_detail or "",
        may_post=changes and not (video.state is VideoState.FAILED and video.facts is None),
        may_make=changes and video.state is VideoState.READY and _on_demand(social),
    )


def _playable(video: Video, *, made: bool) -> str:
    """What the player plays: the rendition, else the original once it was looked at."""
    if made:
        return f"/media/{video.public_id}/social.mp4"
    if video.facts is None or video.state is VideoState.FAILED and video.poster_version == 0:
        return ""
    return f"/media/{video.public_id}/original" if _browsers_play(video.facts) else ""


def _browsers_play(facts: dict[str, Any]) -> bool:
    picture, sound = facts.get("video") or {}, facts.get("audio")
    return (
        "mp4" in facts.get("format", "")
        and picture.get("codec") == "h264"
        and picture.get("pix_fmt") in ("yuv420p", "yuvj420p")
        and (sound is None or sound.get("codec") in ("aac", "mp3"))
    )


def _codec(facts: dict[str, Any] | None) -> str:
    """ "H.264 and AAC"."""
    if not facts:
        return ""
    names = [
        track["codec"] for track in (facts.get("video"), facts.get("audio")) if track is not None
    ]
    return words.joined([CODEC_NAMES.get(name, name.upper()) for name in names])


CODEC_NAMES = {
    "h264": "H.264",
    "hevc": "HEVC",
    "av1": "AV1",
    "vp8": "VP8",
    "vp9": "VP9",
    "mpeg4": "MPEG-4",
    "prores": "ProRes",
    "aac": "AAC",
    "opus": "Opus",
    "vorbis": "Vorbis",
    "mp3": "MP3",
    "pcm_s16le": "PCM",
}


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
            note=_codec(video.facts),
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
    state = social.state if social is not None else None
    phases.append(
        progress.phase(
            _("Make it ready to post"),
            done=state is RenditionState.READY,
            jobs_of_it=of_kind["encode"] + of_kind["remux"],
            problem=(social.error or _("Failed"))
            if social and state is RenditionState.FAILED
            else "",
            detail=(social.error_detail or "") if social else "",
            note=progress.rendition_words(None) if _on_demand(social) else _method(social),
            wanted=not _on_demand(social),
        )
    )
    return phases


def _outlook(video: Video, look: dict[str, Any] | None) -> list[Phase]:
    """What comes after the upload, as far as its first bytes tell."""
    if look is None or video.state is not VideoState.UPLOADING or not look["sentence"]:
        return []
    says = words.outlook(look)
    if look["verdict"] != "fine":
        return [Phase(_("Check the file"), "neutral", "clock", says)]
    facts = look["facts"]
    codecs = [{"codec": facts[name]} for name in ("codec", "audio_codec") if name in facts]
    codec = _codec(dict(zip(("video", "audio"), codecs, strict=False)))
    seen = _facts(facts.get("width"), facts.get("height"), 0, codec)
    return [
        Phase(_("Check the first bytes"), "ok", "check", seen),
        Phase(_("Make it ready to post"), "neutral", "clock", says),
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


def _method(rendition: Rendition | None) -> str:
    """How it was made, and how long that took: "Encoded in 3 min 20 s"."""
    if rendition is None or rendition.method is None:
        return ""
    word = _(words.METHOD_WORDS[rendition.method.value])
    seconds = (rendition.facts or {}).get("seconds")
    return _("{how} in {time}", how=word, time=words.took(seconds)) if seconds else word


def _original(video: Video, media: str) -> Version:
    return Version(
        name=_("Original"),
        badge=None,
        facts=_facts(video.width, video.height, video.size_bytes, _codec(video.facts)),
        note=video.filename,
        download=f"{media}/original?download=1",
        problem="",
        detail="",
    )


def _version(row: Rendition, media: str, work: list[Work]) -> Version:
    ready = row.state is RenditionState.READY
    job = progress.work_ahead([job for job in work if job.kind in ("encode", "remux")])
    number = ""
    if row.state is RenditionState.PROCESSING and job is not None and job.progress > 0:
        number = words.percent(job.progress)
    facts = (row.facts or {}).get("probe") or {}
    picture = facts.get("video") or {}
    return Version(
        name=_(words.PROFILE_NAMES.get(row.profile, row.profile.title())),
        badge=words.badge(row.state, number=number),
        facts=_facts(
            picture.get("shown_width"),
            picture.get("shown_height"),
            row.size_bytes,
            _codec(facts),
        )
        if ready
        else "",
        note=_method(row) if ready else "",
        download=f"{media}/{row.profile}.mp4?download=1" if ready else "",
        problem=(row.error or "") if row.state is RenditionState.FAILED else "",
        detail=(row.error_detail or "") if row.state is RenditionState.FAILED else "",
    )


def _facts(width: int | None, height: int | None, size_bytes: int, codec: str) -> str:
    """ "1920 × 1080, H.264 and AAC, 24.1 MB"."""
    parts = []
    if width and height:
        parts.append(f"{width} × {height}")
    if codec:
        parts.append(codec)
    if size_bytes:
        parts.append(words.size(size_bytes))
    return ", ".join(parts)


def _activity(user: User, video: Video) -> list[Happening]:
    rows = list(
        access.visible_events(user)
        .where(Event.video == video, Event.type.in_(list(ACTIVITY)))
        .order_by(Event.id.desc())
        .limit(MAX_EVENTS)
    )
    people = {
        row.id: row.name or row.email
        for row in User.select().where(User.id.in_({r.actor_id for r in rows if r.actor_id}))
    }
    # Guests have no row; what they do with a video is to bring it.
    by_guest = {"video.created": video.guest_name or ""}
    return [
        Happening(
            row.at,
            _(ACTIVITY[row.type]),
            people.get(row.actor_id or 0, "") or by_guest.get(row.type, ""),
        )
        for row in rows
    ]
