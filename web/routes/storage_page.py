"""The Storage page: what takes room, what a policy would free, files that are not as they should
be. And the two questions before something is gone for good."""

from __future__ import annotations

from functools import partial
from typing import Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Response, Template

from appliance import access, retention
from appliance.db import database
from appliance.errors import InvalidInput, NotFound
from appliance.models import Role
from appliance.retention import Originals
from storage.ballast import although_full
from storage.orphans import measure
from tasks import trash
from web import storage_view
from web.auth import needs, principal
from web.forms import Form, FormData, refused, shown_again, text
from web.routes.storage_api import start_reading, start_sweep
from web.rows import load_cards

LOOK = needs(Role.VIEWER)
CHANGE = needs(Role.EDITOR)
DECIDE = needs(Role.ADMIN)


@get("/storage", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def show_storage(
    request: Request[Any, Any, State],
    days: FromQuery[str] = "",
    sort: FromQuery[str] = "all",
    done: FromQuery[str] = "",
    whole: FromQuery[str] = "",
) -> Template:
    """What takes a look at each video comes after the page, or with it, if ``whole`` is "yes"."""
    with database.connection_context():
        context = _page(request, days, sort, whole=whole == "yes", done=done)
    return Template("storage/page.html", context=context)


@get("/storage/_policies", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def count_policies(
    request: Request[Any, Any, State], after_days: FromQuery[str] = "", kind: FromQuery[str] = ""
) -> Template:
    """The choice with its numbers, perhaps for other days than are chosen."""
    with database.connection_context():
        chosen = retention.policy_of(request.app.state.settings)
        days = _days(after_days) or chosen.policy.after_days
        counted = {policy.kind: policy for policy in storage_view.count_all(days)}
    kind = kind if kind in list(Originals) else chosen.policy.kind
    context = {
        "policy_fixed": chosen.fixed,
        "counted": counted,
        "form": Form({"kind": kind, "after_days": str(days)}),
    }
    return Template("storage/_policies.html", context=context)


@get("/storage/_biggest", opt=LOOK, sync_to_thread=True, include_in_schema=False)
def list_biggest(request: Request[Any, Any, State], sort: FromQuery[str] = "all") -> Template:
    with database.connection_context():
        found = storage_view.biggest(principal(request).user, sort)
    return Template("storage/_biggest.html", context={"biggest": found, "sort": _sort(sort)})


def _page(
    request: Request[Any, Any, State],
    days: str = "",
    sort: str = "all",
    *,
    whole: bool = False,
    **more: Any,
) -> dict[str, Any]:
    state, user = request.app.state, principal(request).user
    found = storage_view.load(
        user, state.settings, state.layout, after_days=_days(days), sort=sort, whole=whole
    )
    shown = _days(days) or found.policy.after_days
    return {
        "place": "storage",
        "storage": found,
        "policy_fixed": found.policy_fixed,
        "counted": {policy.kind: policy for policy in found.policies},
        "form": Form({"kind": found.policy.kind, "after_days": str(shown)}),
        "biggest": found.biggest if whole else None,
        "sort": _sort(sort),
        "folder": str(state.settings.data),
        "done": "",
        **more,
    }


def _sort(wanted: str) -> str:
    return wanted if wanted in storage_view.SORTS else "all"


def _days(written: str) -> int | None:
    """None for what is no number of days: the chosen one is shown instead."""
    if not (written.isascii() and written.isdecimal() and len(written) <= 4):
        return None
    return int(written) if 1 <= int(written) <= retention.MOST_DAYS else None


@post("/storage/policy", opt=DECIDE, status_code=200, sync_to_thread=True, include_in_schema=False)
def change_policy(request: Request[Any, Any, State], data: FormData) -> Response[Any]:
    """Asks once more before a policy that removes something at once."""
    state, user = request.app.state, principal(request).user
    with database.connection_context():
        try:
            days = text(data, "after_days").strip()
            policy = retention.make(
                text(data, "kind"),
                int(days) if days.isascii() and days.isdecimal() and len(days) < 9 else 0,
            )
            counted = storage_view.count(policy)
            if counted.count and text(data, "sure") != "yes":
                return Template("storage/sure.html", context={"policy": counted})
            although_full(state.layout, partial(retention.choose, state.settings, user, policy))
        except InvalidInput as exc:
            # Whole: what comes later would take the place of what was typed.
            context = _page(request, whole=True)
            context["form"] = refused(data, exc, "kind", "after_days")
            return shown_again("storage/page.html", exc, context)
    return Redirect("/storage?done=policy", status_code=303)


@post("/storage/sweep", opt=DECIDE, sync_to_thread=True, include_in_schema=False)
def sweep(request: Request[Any, Any, State]) -> Redirect:
    with database.connection_context():
        state = request.app.state
        policy = retention.policy_of(state.settings).policy
        start_sweep(principal(request).user, policy, state.layout)
    return Redirect("/storage?done=sweep", status_code=303)


@post("/storage/verify", opt=DECIDE, sync_to_thread=True, include_in_schema=False)
def verify(request: Request[Any, Any, State]) -> Redirect:
    with database.connection_context():
        start_reading(principal(request).user)
    return Redirect("/storage?done=verify", status_code=303)


# What was set aside, for good


@get("/storage/set-aside", opt=DECIDE, sync_to_thread=True, include_in_schema=False)
def ask_to_remove_set_aside(request: Request[Any, Any, State]) -> Template:
    layout = request.app.state.layout
    context = {"found": measure(layout.orphans), "folder": str(layout.orphans)}
    return Template("storage/set_aside.html", context=context)


@post("/storage/set-aside", opt=DECIDE, sync_to_thread=True, include_in_schema=False)
def remove_set_aside(request: Request[Any, Any, State]) -> Redirect:
    with database.connection_context():
        trash.remove_set_aside(principal(request).user, request.app.state.layout)
    return Redirect("/storage?done=set-aside", status_code=303)


# The bin, for good


@get("/bin/empty", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def ask_to_empty(request: Request[Any, Any, State]) -> Template:
    with database.connection_context():
        found = trash.in_bin_of(principal(request).user)
    return _ask(request, {"video": None, "count": len(found)})


@post("/bin/empty", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def empty(request: Request[Any, Any, State]) -> Redirect:
    with database.connection_context():
        trash.empty(principal(request).user, request.app.state.layout)
    return Redirect("/?show=bin", status_code=303)


@get("/bin/{video_id:str}/remove", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def ask_to_remove(
    request: Request[Any, Any, State], video_id: FromPath[str]
) -> Template | Redirect:
    user = principal(request).user
    with database.connection_context():
        try:
            video = access.get_video(user, video_id, trashed=True)
        except NotFound:  # it has gone while somebody thought about it
            return Redirect("/?show=bin", status_code=303)
        (card,) = load_cards(user, request.app.state.layout, [video])
    return _ask(request, {"video": card, "count": 1})


@post("/bin/{video_id:str}/remove", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def remove(request: Request[Any, Any, State], video_id: FromPath[str]) -> Redirect:
    user = principal(request).user
    with database.connection_context():
        try:
            video = access.get_video(user, video_id, trashed=True)
            trash.remove_for_good(video, user, request.app.state.layout)
        except NotFound:
            pass  # somebody else was first: the list shows it
    return Redirect("/?show=bin", status_code=303)


def _ask(request: Request[Any, Any, State], context: dict[str, Any]) -> Template:
    in_dialog = request.headers.get("HX-Request") == "true"
    return Template("bin/_sure_dialog.html" if in_dialog else "bin/sure.html", context=context)
