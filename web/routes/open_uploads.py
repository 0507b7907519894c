"""Uploads that are not finished: a page and the API to see them, and to cancel them."""

from __future__ import annotations

import contextlib
from typing import Any

from litestar import Request, delete, get, post
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.response import Redirect, Template

from appliance.access import Scope
from appliance.db import database
from appliance.errors import NotFound
from appliance.models import Role
from storage import uploads
from web.auth import needs, principal
from web.open_uploads import OpenUploadList, OpenUploadShape, load_open_uploads

PAGE = needs(Role.EDITOR)


@get(
    "/api/v1/uploads",
    opt=needs(Role.EDITOR, Scope.READ),
    tags=["uploads"],
    summary="Unfinished uploads, the newest first: admins see all, others their own",
    sync_to_thread=True,
)
def list_open(request: Request[None, None, State]) -> OpenUploadList:
    return OpenUploadList(_load(request))


@delete(
    "/api/v1/uploads/{upload_id:str}",
    opt=needs(Role.EDITOR, Scope.WRITE),
    tags=["uploads"],
    summary="Cancel an unfinished upload, also while bytes arrive; what has arrived is removed",
    sync_to_thread=True,
)
def cancel_open(request: Request[None, None, State], upload_id: FromPath[str]) -> None:
    with database.connection_context():
        uploads.cancel(request.app.state.settings, upload_id, principal(request).user)


@get("/uploads", opt=PAGE, sync_to_thread=True, include_in_schema=False)
def show_open(request: Request[Any, Any, State]) -> Template:
    return Template("uploads/page.html", context={"uploads": _load(request)})


@get("/uploads/_list", opt=PAGE, sync_to_thread=True, include_in_schema=False)
def renew_list(request: Request[Any, Any, State]) -> Template:
    return Template("uploads/_list.html", context={"uploads": _load(request)})


@get("/uploads/{upload_id:str}/cancel", opt=PAGE, sync_to_thread=True, include_in_schema=False)
def ask_to_cancel(
    request: Request[Any, Any, State], upload_id: FromPath[str]
) -> Template | Redirect:
    """What would be lost: as a dialog over the list, or as a page of its own."""
    found = [row for row in _load(request) if row.upload_id == upload_id]
    if not found:  # it has ended while somebody thought about it
        return Redirect("/uploads", status_code=303)
    in_dialog = request.headers.get("HX-Request") == "true"
    name = "uploads/_cancel_dialog.html" if in_dialog else "uploads/cancel.html"
    return Template(name, context={"upload": found[0]})


@post("/uploads/{upload_id:str}/cancel", opt=PAGE, sync_to_thread=True, include_in_schema=False)
def cancel(request: Request[Any, Any, State], upload_id: FromPath[str]) -> Redirect:
    # When it is gone, somebody else was first: the list shows it.
    with database.connection_context(), contextlib.suppress(NotFound):
        uploads.cancel(request.app.state.settings, upload_id, principal(request).user)
    return Redirect("/uploads", status_code=303)


def _load(request: Request[Any, Any, State]) -> list[OpenUploadShape]:
    with database.connection_context():
        return load_open_uploads(principal(request).user, request.app.state.slots)
