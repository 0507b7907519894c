"""Backups: what there is, a new one, a look at one, how many are kept. For admins."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from litestar import Request, delete, get, patch, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from appliance import events
from appliance.access import Scope
from appliance.db import database
from appliance.errors import NotFound
from appliance.models import Role
from storage.backups import keys, listing, switching
from storage.ballast import although_full
from tasks import backing_up
from web import backup_view
from web.auth import needs, principal
from web.backup_view import BackupShape, BackupsShape

ADMIN = needs(Role.ADMIN, Scope.ADMIN)


class Started(msgspec.Struct, kw_only=True):
    """The job that does it; ``GET /api/v1/jobs/{job_id}`` says how far it is."""

    job_id: str


class KeyWish(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    replace: bool = False
    """Make a new one although there is one: backups made before go on needing the old one."""


class RecoveryKey(msgspec.Struct, kw_only=True):
    """The key itself is in this answer alone: nobody can ask for it again."""

    recovery_key: str
    id: str


class KeepWish(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The newest of so many days, weeks and months stay; what is left out stays as it is."""

    daily: int | None = None
    weekly: int | None = None
    monthly: int | None = None


class RemovedData(msgspec.Struct, kw_only=True):
    removed: list[str]


def _start(request: Request[Any, Any, State], verb: str, name: str = "") -> Started:
    with database.connection_context():
        if name:
            _get(request, name)
        job = backing_up.start(principal(request).user, verb, request.app.state.layout, name)
        return Started(job_id=job.public_id)


def _get(request: Request[Any, Any, State], name: str) -> BackupShape:
    for one in listing.backups(request.app.state.settings):
        if one.summary.name == name:
            return backup_view.shape_of(one)
    raise NotFound("There is no such backup.")


@get(
    "/api/v1/backups",
    opt=ADMIN,
    tags=["backups"],
    summary="All backups, what runs, and how the last try of a restore ended",
    sync_to_thread=True,
)
def list_backups(request: Request[None, None, State]) -> BackupsShape:
    with database.connection_context():
        return backup_view.load(request.app.state.settings)


@post(
    "/api/v1/backups",
    opt=ADMIN,
    tags=["backups"],
    summary="Back up now",
    status_code=202,
    sync_to_thread=True,
)
def create_backup(request: Request[None, None, State]) -> Started:
    return _start(request, "create")


@get(
    "/api/v1/backups/{name:str}",
    opt=ADMIN,
    tags=["backups"],
    summary="One backup",
    sync_to_thread=True,
)
def show_backup(request: Request[None, None, State], name: FromPath[str]) -> BackupShape:
    with database.connection_context():
        return _get(request, name)


@post(
    "/api/v1/backups/{name:str}/verify",
    opt=ADMIN,
    tags=["backups"],
    summary="Read all of a backup and compare it with its checksums",
    status_code=202,
    sync_to_thread=True,
)
def verify_backup(request: Request[None, None, State], name: FromPath[str]) -> Started:
    return _start(request, "verify", name)


@post(
    "/api/v1/backups/drill",
    opt=ADMIN,
    tags=["backups"],
    summary="Restore the newest backup on trial, where it harms nobody",
    status_code=202,
    sync_to_thread=True,
)
def drill_backup(request: Request[None, None, State]) -> Started:
    return _start(request, "drill")


@delete(
    "/api/v1/backups/{name:str}",
    opt=ADMIN,
    tags=["backups"],
    summary="Remove a backup: nothing brings it back",
    status_code=202,
    sync_to_thread=True,
)
def remove_backup(request: Request[None, None, State], name: FromPath[str]) -> Started:
    return _start(request, "remove", name)


@post(
    "/api/v1/backups/recovery-key",
    opt=ADMIN,
    tags=["backups"],
    summary="Make the recovery key; this answer alone shows it",
    status_code=201,
    sync_to_thread=True,
)
def make_recovery_key(
    request: Request[None, None, State], data: JSONBody[KeyWish | None] = None
) -> RecoveryKey:
    """Only a backup with the recovery key brings the accounts' sign-ins to another machine."""
    replace = data is not None and data.replace
    with database.connection_context():
        made = keys.make_key(principal(request).user, replace=replace)
        known = keys.known_key()
    return RecoveryKey(recovery_key=made, id=known.id if known else "")


@patch(
    "/api/v1/backups/policy",
    opt=ADMIN,
    tags=["backups"],
    summary="Choose how many backups are kept",
    sync_to_thread=True,
)
def change_policy(request: Request[None, None, State], data: JSONBody[KeepWish]) -> BackupsShape:
    wanted = {
        name: value for name, value in msgspec.structs.asdict(data).items() if value is not None
    }
    settings = request.app.state.settings
    with database.connection_context():
        keys.choose_keeping(settings, principal(request).user, **wanted)
        return backup_view.load(settings)


@delete(
    "/api/v1/backups/old-data",
    opt=ADMIN,
    tags=["backups"],
    summary="Remove the data from before a restore: nothing brings it back",
    status_code=200,
    sync_to_thread=True,
)
def remove_old_data(request: Request[None, None, State]) -> RemovedData:
    return RemovedData(removed=forget_old_data(request))


def forget_old_data(request: Request[Any, Any, State]) -> list[str]:
    state, user = request.app.state, principal(request).user
    removed = switching.remove_kept(state.settings.data)
    note = partial(events.audit, user, "backup.old_data_removed", folders=removed)
    with database.connection_context():
        although_full(state.layout, note)
    return removed
