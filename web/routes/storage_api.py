"""Storage: what takes room, the policy for originals, looks at the files, the bin for good."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody

from appliance import access, events, retention
from appliance.access import Scope
from appliance.db import database, transaction
from appliance.models import Priority, Role
from storage.ballast import although_full
from storage.layout import Layout
from tasks import retention as removal
from tasks import tidy, trash
from web import storage_view
from web.auth import needs, principal
from web.storage_view import BigVideo, StorageShape

READ = needs(Role.VIEWER, Scope.READ)
WRITE = needs(Role.EDITOR, Scope.WRITE)
ADMIN = needs(Role.ADMIN, Scope.ADMIN)
SHOWN = 100


class PolicyChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    kind: str
    """keep, delete or smaller."""
    after_days: int = retention.DEFAULT_DAYS


class SweepWish(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    dry_run: bool = False
    """Only say what would be removed."""


class Emptied(msgspec.Struct, kw_only=True):
    removed: int


class Freed(msgspec.Struct, kw_only=True):
    """``removed``: files."""

    removed: int
    size_bytes: int


@dataclass(frozen=True)
class SweepShape:
    """``videos``: the largest of those whose originals the policy removes; only in a dry run.
    ``jobs``: the jobs that were started, or were under way."""

    dry_run: bool
    count: int
    size_bytes: int
    spared: int
    videos: list[BigVideo]
    jobs: list[str]


@get("/api/v1/storage", opt=READ, tags=["storage"], summary="What takes room", sync_to_thread=True)
def show_storage(
    request: Request[None, None, State],
    after_days: FromQuery[int | None] = None,
    sort: FromQuery[str] = "all",
) -> StorageShape:
    """``after_days``: for which ``policies`` are counted, instead of the chosen number of days.
    ``sort`` of ``biggest``: all, original or versions."""
    state = request.app.state
    if after_days is not None:
        retention.make("keep", after_days)
    with database.connection_context():
        return storage_view.load(
            principal(request).user,
            state.settings,
            state.layout,
            after_days=after_days,
            sort=sort,
        )


@patch(
    "/api/v1/storage/policy",
    opt=ADMIN,
    tags=["storage"],
    summary="Choose what becomes of originals",
    sync_to_thread=True,
)
def change_policy(
    request: Request[None, None, State], data: JSONBody[PolicyChange]
) -> StorageShape:
    state, user = request.app.state, principal(request).user
    policy = retention.make(data.kind, data.after_days)
    with database.connection_context():
        although_full(state.layout, partial(retention.choose, state.settings, user, policy))
        return storage_view.load(user, state.settings, state.layout)


@post(
    "/api/v1/storage/sweep",
    opt=ADMIN,
    tags=["storage"],
    summary="Apply the policy and look at all files now",
    status_code=202,
    sync_to_thread=True,
)
def sweep(
    request: Request[None, None, State], data: JSONBody[SweepWish | None] = None
) -> Response[SweepShape]:
    """202: the jobs that do it. With ``dry_run`` 200: what the policy would remove."""
    settings = request.app.state.settings
    with database.connection_context():
        policy = retention.policy_of(settings).policy
        freed = removal.would_free(policy)
        numbers = (freed.count, freed.size_bytes, freed.spared)
        if data is not None and data.dry_run:
            videos = [
                BigVideo(video.public_id, video.title, video.size_bytes, 0)
                for video in removal.would_remove(policy, SHOWN)
            ]
            return Response(SweepShape(True, *numbers, videos, []), status_code=200)
        started = start_sweep(principal(request).user, policy, request.app.state.layout)
    return Response(SweepShape(False, *numbers, [], started), status_code=202)


def start_sweep(user: Any, policy: retention.Policy, layout: Layout) -> list[str]:
    """The ids of the jobs. Works on a full disk, too. Wants a connection."""
    kinds = ["tidy"] if policy.kind is retention.Originals.KEEP else ["retain", "tidy"]

    def start() -> list[str]:
        with transaction():
            events.audit(user, "storage.sweep")
            return [tidy.start(kind, Priority.NORMAL).public_id for kind in kinds]

    return although_full(layout, start)


@post(
    "/api/v1/storage/verify",
    opt=ADMIN,
    tags=["storage"],
    summary="Read all files and compare them with their digests",
    status_code=202,
    sync_to_thread=True,
)
def verify(request: Request[None, None, State]) -> SweepShape:
    """Whatever else waits goes first. ``GET /api/v1/storage`` says how far it is."""
    with database.connection_context():
        return SweepShape(False, 0, 0, 0, [], [start_reading(principal(request).user)])


def start_reading(user: Any) -> str:
    """The id of the job. Wants a connection."""
    events.audit(user, "storage.verify")
    return str(tidy.start("verify").public_id)


@delete(
    "/api/v1/storage/set-aside",
    opt=ADMIN,
    tags=["storage"],
    summary="Remove the files of no video that were set aside: nothing brings them back",
    status_code=200,
    sync_to_thread=True,
)
def remove_set_aside(request: Request[None, None, State]) -> Freed:
    with database.connection_context():
        gone = trash.remove_set_aside(principal(request).user, request.app.state.layout)
    return Freed(removed=gone.files, size_bytes=gone.size_bytes)


@delete(
    "/api/v1/bin",
    opt=WRITE,
    tags=["storage"],
    summary="Empty the bin: nothing brings that back",
    status_code=200,
    sync_to_thread=True,
)
def empty_bin(request: Request[None, None, State]) -> Emptied:
    """Admins empty all of it, others remove what is theirs."""
    with database.connection_context():
        return Emptied(removed=trash.empty(principal(request).user, request.app.state.layout))


@delete(
    "/api/v1/bin/{video_id:str}",
    opt=WRITE,
    tags=["storage"],
    summary="Remove a video that is in the bin for good",
    sync_to_thread=True,
)
def remove_for_good(request: Request[None, None, State], video_id: FromPath[str]) -> None:
    user = principal(request).user
    with database.connection_context():
        video = access.get_video(user, video_id, trashed=True)
        trash.remove_for_good(video, user, request.app.state.layout)
