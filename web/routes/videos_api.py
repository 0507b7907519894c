"""Videos: list, look, edit, retry, delete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from appliance import access, guest_links, tags, videos
from appliance.access import Scope
from appliance.db import database
from appliance.errors import Forbidden, InvalidInput
from appliance.job_kinds import KINDS
from appliance.models import Job, Rendition, Role, User, Video, Visibility
from appliance.states import JOB_ENDED, RenditionState, VideoState
from storage.public_links import PublicLinks
from tasks import restarts, trash
from tasks.profiles import SOCIAL
from web.api_shapes import EarlyLook, VideoList, VideoShape, load_videos
from web.auth import needs, principal
from web.cursors import take_page

READ = needs(Role.VIEWER, Scope.READ)
WRITE = needs(Role.EDITOR, Scope.WRITE)
# Without live updates: look again so soon, then ever later (contract: 3 s with back-off).
POLL_S = 3


class VideoChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is left out, or null, stays as it is."""

    title: str | None = None
    description: str | None = None
    visibility: Visibility | None = None
    tags: list[str] | None = None
    """All of them: those that are not named are taken away."""
    keep_original: bool | None = None
    """True: it stays, whatever the policy for originals says."""
    social_ready_status: str | None = None
    """Only "pending": make the version for posting again."""


@dataclass(frozen=True)
class JobInShort:
    job_id: str
    kind: str
    label: str
    state: str
    stage: str
    progress: float
    eta_s: float | None


@dataclass(frozen=True)
class VideoStatus:
    """``poll_after_s``: null when nothing more will happen by itself."""

    video_id: str
    state: str
    error: str | None
    upload_progress: float | None
    early_look: EarlyLook | None
    social_ready_status: str
    social_ready_progress: float
    social_ready_url: str | None
    social_ready_error: str | None
    jobs: list[JobInShort]
    poll_after_s: int | None


@get("/api/v1/videos", opt=READ, tags=["videos"], summary="List videos", sync_to_thread=True)
def list_videos(
    request: Request[None, None, State],
    q: FromQuery[str] = "",
    in_state: Annotated[str | None, QueryParameter(name="state")] = None,
    social_ready_status: FromQuery[str | None] = None,
    owner: FromQuery[str | None] = None,
    tag: FromQuery[str] = "",
    guest_link: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = 50,
) -> VideoList:
    """``q`` searches title, name and description; ``owner`` is a user's id or "me";
    ``guest_link`` the id of the link that a video was sent by; the state "trashed" lists the bin.
    """
    user = principal(request).user
    with database.connection_context():
        query = access.visible_videos(user, trashed=in_state == VideoState.TRASHED)
        if in_state is not None:
            if in_state not in list(VideoState):
                raise InvalidInput(f"There is no state “{in_state[:40]}” of videos.", field="state")
            query = query.where(Video.state == in_state)
        if social_ready_status is not None:
            query = query.where(_has_status(social_ready_status))
        if owner is not None:
            chosen = User.get_or_none(User.public_id == owner) if owner != "me" else user
            query = query.where(Video.owner == (chosen.id if chosen else 0))
        if guest_link is not None:
            query = guest_links.narrow(query, guest_link)
        query = tags.narrow(videos.search(query, q), tag)
        rows, following = take_page(query, Video, cursor=cursor, limit=limit)
        return VideoList(_shapes(request, rows), following)


def _has_status(wanted: str) -> Any:
    if wanted not in list(RenditionState):
        raise InvalidInput(
            f"There is no status “{wanted[:40]}” of versions for posting.",
            field="social_ready_status",
        )
    social = Rendition.select(Rendition.video).where(Rendition.profile == SOCIAL.name)
    with_state = Video.id.in_(social.where(Rendition.state == wanted))
    without = Video.id.not_in(social)
    if wanted == RenditionState.PENDING:
        return with_state | (without & (Video.state != VideoState.FAILED))
    if wanted == RenditionState.FAILED:
        return with_state | (without & (Video.state == VideoState.FAILED))
    return with_state


def _shapes(request: Request[None, None, State], rows: list[Video]) -> list[VideoShape]:
    state = request.app.state
    return load_videos(
        rows,
        layout=state.layout,
        links=PublicLinks(state.settings, state.vault),
        base_url=state.settings.base_url,
    )


def _one(request: Request[None, None, State], video_id: str) -> VideoShape:
    user = principal(request).user
    return _shapes(request, [access.get_video(user, video_id)])[0]


@get("/api/v1/videos/{video_id:str}", opt=READ, tags=["videos"], summary="One video",
     sync_to_thread=True)  # fmt: skip
def show_video(request: Request[None, None, State], video_id: FromPath[str]) -> VideoShape:
    with database.connection_context():
        return _one(request, video_id)


@patch("/api/v1/videos/{video_id:str}", opt=WRITE, tags=["videos"], summary="Change a video",
       sync_to_thread=True)  # fmt: skip
def change_video(
    request: Request[None, None, State], video_id: FromPath[str], data: JSONBody[VideoChange]
) -> VideoShape:
    user = principal(request).user
    if data.social_ready_status not in (None, RenditionState.PENDING):
        raise InvalidInput(
            "The status can only be set to “pending”, which makes the version for posting again.",
            field="social_ready_status",
        )
    with database.connection_context():
        video = access.get_video(user, video_id)
        if data.visibility not in (None, video.visibility) and not access.may_delete(user, video):
            raise Forbidden("Only its owner and admins change who sees a video.")
        if data.keep_original is not None:
            videos.keep_original(video, actor=user, keep=data.keep_original)
        videos.edit(
            video,
            actor=user,
            title=data.title,
            description=data.description,
            visibility=data.visibility,
            tag_names=data.tags,
        )
        if data.social_ready_status is not None:
            restarts.retry_video(video, user)
        return _one(request, video_id)


@post(
    "/api/v1/videos/{video_id:str}/retry",
    opt=WRITE,
    tags=["videos"],
    summary="Do what failed again",
    status_code=202,
    sync_to_thread=True,
)
def retry_video(request: Request[None, None, State], video_id: FromPath[str]) -> VideoShape:
    user = principal(request).user
    with database.connection_context():
        restarts.retry_video(access.get_video(user, video_id), user)
        return _one(request, video_id)


@delete(
    "/api/v1/videos/{video_id:str}",
    opt=WRITE,
    tags=["videos"],
    summary="Put a video in the bin",
    sync_to_thread=True,
)
def delete_video(request: Request[None, None, State], video_id: FromPath[str]) -> None:
    user = principal(request).user
    with database.connection_context():
        trash.throw_away(access.get_video(user, video_id), user, request.app.state.layout)


@post(
    "/api/v1/videos/{video_id:str}/restore",
    opt=WRITE,
    tags=["videos"],
    summary="Take a video out of the bin",
    status_code=200,
    sync_to_thread=True,
)
def restore_video(request: Request[None, None, State], video_id: FromPath[str]) -> VideoShape:
    user = principal(request).user
    with database.connection_context():
        video = access.get_video(user, video_id, trashed=True)
        state = request.app.state
        trash.take_out(video, user, state.layout, state.settings)
        return _one(request, video_id)


@get(
    "/api/v1/videos/{video_id:str}/status",
    opt=READ,
    tags=["videos"],
    summary="How far a video is",
    sync_to_thread=True,
)
def video_status(
    request: Request[None, None, State], video_id: FromPath[str]
) -> Response[VideoStatus]:
    """Short, for polling; ``Retry-After`` says when to look again."""
    user = principal(request).user
    with database.connection_context():
        video = access.get_video(user, video_id)
        shape = _shapes(request, [video])[0]
        live = list(
            Job.select()
            .where(Job.video == video, Job.state.not_in(list(JOB_ENDED)))
            .order_by(Job.id)
        )
    status = _status(shape, live, has_file=_has_rendition_file(request, video))
    headers = {} if status.poll_after_s is None else {"Retry-After": str(status.poll_after_s)}
    return Response(status, headers=headers)


def _has_rendition_file(request: Request[None, None, State], video: Video) -> bool:
    path = request.app.state.layout.rendition(video.public_id, SOCIAL.name)
    return bool(path.is_file())


def _status(shape: VideoShape, live: list[Job], *, has_file: bool) -> VideoStatus:
    """The rows say it. Where the job that a row waits for is gone (pruned, or its database was
    restored from a backup), the file decides: it only stands at its place when it is whole."""
    social = shape.social_ready_status
    progress = shape.social_ready_progress
    waits = social in (RenditionState.PENDING, RenditionState.PROCESSING)
    if waits and not live and has_file:
        social, progress = RenditionState.READY.value, 1.0
    elif social == RenditionState.PROCESSING and not live:
        social = RenditionState.PENDING.value
    # One that is being processed without a job is mended by the sweep: worth another look.
    under_way = bool(live) or shape.state in (
        VideoState.UPLOADING,
        VideoState.RECEIVED,
        VideoState.PROCESSING,
    )
    return VideoStatus(
        video_id=shape.video_id,
        state=shape.state,
        error=shape.error,
        upload_progress=shape.upload_progress,
        early_look=shape.early_look,
        social_ready_status=social,
        social_ready_progress=progress,
        social_ready_url=shape.social_ready_url,
        social_ready_error=shape.social_ready_error,
        jobs=[
            JobInShort(
                job_id=row.public_id,
                kind=row.kind,
                label=KINDS[row.kind].label,
                state=row.state,
                stage=row.stage,
                progress=row.progress,
                eta_s=row.eta_s,
            )
            for row in live
        ],
        poll_after_s=POLL_S if under_way else None,
    )
