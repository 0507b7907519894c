"""Settings → System: how the box is, in plain words; and the same for scripts."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.response import Redirect, Template

from appliance import events, night, scheduling
from appliance.access import Scope
from appliance.db import database, unless_full
from appliance.models import Role
from tasks.checkup import task as checkup
from tasks.diagnostics import bundle
from tasks.transcode import proof
from web import system_view
from web.auth import needs, principal
from web.system_view import SystemShape

PAGE = "/settings/system"
ADMIN = needs(Role.ADMIN)
ADMIN_API = needs(Role.ADMIN, Scope.ADMIN)

AnyRequest = Request[Any, Any, State]


class CheckBegun(msgspec.Struct, kw_only=True):
    job_id: str
    """When it is done, ``checkup`` of ``GET /api/v1/system`` has what it found."""


@get(PAGE, opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def system_page(request: AnyRequest) -> Template:
    settings = request.app.state.settings
    with database.connection_context():
        found = system_view.load(settings)
        load = scheduling.load()
        encoder, hardware = proof.describe(settings.encoder, proof.recall(settings))
    context = {
        "place": "system",
        "system": found,
        "load": load,
        "encoder": encoder,
        "hardware": hardware,
        "night": night.describe_start(settings),
        "settings": settings,
    }
    return Template("settings/system.html", context=context)


@post(PAGE + "/check", opt=ADMIN, status_code=303, sync_to_thread=True, include_in_schema=False)
def check_now(request: AnyRequest) -> Redirect:
    with database.connection_context():
        checkup.start(principal(request).user)
    return Redirect(f"{PAGE}#checkup", status_code=303)


@get(PAGE + "/diagnostics", opt=ADMIN, sync_to_thread=True, include_in_schema=False)
def download_diagnostics(request: AnyRequest) -> Response[bytes]:
    return _bundle(request)


def _bundle(request: AnyRequest) -> Response[bytes]:
    with database.connection_context():
        # A full disk is what somebody may want them for.
        unless_full(partial(events.audit, principal(request).user, "system.diagnostics"))
    made = bundle.make(request.app.state.settings)
    name = bundle.file_name()
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
    }
    return Response(made, media_type="application/zip", headers=headers)


@get(
    "/api/v1/system",
    opt=ADMIN_API,
    tags=["system"],
    summary="How the box is",
    sync_to_thread=True,
)
def show_system(request: AnyRequest) -> SystemShape:
    """What the System page shows: processes, queues, disk, machine, certificate, backups, accounts
    to connect again, alerts, and what the last check found."""
    with database.connection_context():
        return system_view.load(request.app.state.settings)


@post(
    "/api/v1/system/check",
    opt=ADMIN_API,
    tags=["system"],
    summary="Check the box now",
    status_code=202,
    sync_to_thread=True,
)
def start_check(request: AnyRequest) -> CheckBegun:
    """What `appliance doctor` checks, as a job; the one that is under way, if one is."""
    with database.connection_context():
        return CheckBegun(job_id=checkup.start(principal(request).user).public_id)


@get(
    "/api/v1/system/diagnostics",
    opt=ADMIN_API,
    tags=["system"],
    summary="Download the diagnostics bundle",
    sync_to_thread=True,
)
def get_diagnostics(request: AnyRequest) -> Response[bytes]:
    """A zip without secrets, for who is to help; docs/monitoring.md says what is in it."""
    return _bundle(request)
