"""The form that makes a post: a page, or in the dialog."""

from __future__ import annotations

import json
from typing import Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect, Response, Template

from appliance import access, accounts, approval, drafts, post_templates, posts
from appliance.db import database, transaction
from appliance.errors import Conflict, InvalidInput, NotFound
from appliance.models import Account, Post, Role, User, Video
from appliance.settings import Settings
from appliance.states import PostState, VideoState
from tasks.publish import composing, dispatch, outlook, rules
from tasks.publish.publisher import FIRST_COMMENT
from tasks.publish.same_post import SamePost
from web import idempotency, lateness, post_form, when_form
from web.auth import needs, principal
from web.post_form import Typed
from web.words import _

CHANGE = needs(Role.EDITOR)

Fields = URLEncodedBody[dict[str, Any]]
AnyRequest = Request[Any, Any, State]


@get("/videos/{video_id:str}/post", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def open_form(
    request: AnyRequest,
    video_id: FromPath[str],
    at: FromQuery[str] = "",
    draft: FromQuery[str] = "",
) -> Template:
    """``at``: a local time, chosen in the calendar. ``draft``: a post to write on."""
    user = principal(request).user
    with database.connection_context():
        video = access.get_video(user, video_id)
        if draft:
            return _form(request, video, post_form.of_draft(_draft(user, draft), user), {})
        return _form(request, video, post_form.fresh(video, user, at=at), {})


@post(
    "/videos/{video_id:str}/post/check",
    opt=CHANGE,
    sync_to_thread=True,
    status_code=200,
    include_in_schema=False,
)
def check(request: AnyRequest, video_id: FromPath[str], data: Fields) -> Template:
    """The accounts, with what each has to say about the post as it stands now."""
    user = principal(request).user
    with database.connection_context():
        video = access.get_video(user, video_id)
        context = _context(request, video, post_form.read(data, user), {})
    return Template("posts/_check.html", context=context)


@post(
    "/videos/{video_id:str}/post/change",
    opt=CHANGE,
    sync_to_thread=True,
    status_code=200,
    include_in_schema=False,
)
def change(request: AnyRequest, video_id: FromPath[str], data: Fields) -> Template:
    """The form again: after one press on a fix ("ACCOUNT fix"), or filled from a template."""
    user = principal(request).user
    typed, problems = post_form.read(data, user), {}
    with database.connection_context():
        video = access.get_video(user, video_id)
        try:
            if fix := str(data.get("fix", "")):
                account_id, _blank, name = fix.partition(" ")
                typed = post_form.mended(typed, accounts.get(account_id), name, video)
            elif word := str(data.get("template", "")):
                template = post_templates.get(word)
                texts = post_templates.texts_for(template, video)
                typed = post_form.from_template(typed, template, texts)
        except NotFound as exc:
            problems = {"": exc.message}
        return _form(request, video, typed, problems)


@post("/videos/{video_id:str}/post", opt=CHANGE, sync_to_thread=True, include_in_schema=False)
def send(
    request: AnyRequest, video_id: FromPath[str], data: Fields
) -> Redirect | Response[Any] | Template:
    user = principal(request).user
    typed = post_form.read(data, user)
    with database.connection_context():
        video = access.get_video(user, video_id)
        try:
            made = _create(request.app.state.settings, user, video, typed)
        except SamePost as exc:
            return _form(request, video, typed, {}, same=exc)
        except InvalidInput as exc:
            return _form(request, video, typed, {_anchor(exc.field): exc.message})
        except (Conflict, NotFound) as exc:
            return _form(request, video, typed, {"": exc.message})
        names = [target.account.name for target in posts.latest_targets(made)]
        said = post_form.say(names, made.publish_at, user.time_zone)
        if approval.is_waiting(made):
            said = _("Sent for approval")
    if not _is_fragment(request):
        return Redirect(f"/videos/{video_id}", status_code=303)
    done = {
        "say": _("Kept as a draft") if typed.draft else said,
        "then": f"live:video-{video_id}",
        "forget": f"post:{typed.draft_id or video_id}",
    }
    # 202: it is on its way. The dialog closes by this event, and nothing is put in its place.
    headers = {"HX-Trigger": json.dumps({"dialog:done": done}), "HX-Reswap": "none"}
    return Response("", status_code=202, media_type="text/html", headers=headers)


# Fields of errors → what the form's summary leads to.
_ANCHORS = {"title": "title", "description": "description", "publish_at": "publish_at"}


def _anchor(field: str | None) -> str:
    return _ANCHORS.get(field or "", "accounts" if field else "")


def _create(settings: Settings, user: User, video: Video, typed: Typed) -> Post:
    """The post of this form. A form that comes twice (a double click) makes one post."""

    def work() -> dict[str, Any]:
        chosen = accounts.choose(ids=typed.accounts) if typed.accounts or not typed.draft else []
        due = when_form.due(typed.when, chosen)
        composed = post_form.composed_of(typed, chosen)
        if not typed.draft:
            _refuse(settings, video, chosen, composed, typed)
        if typed.draft_id:
            return {"post_id": _write(settings, user, typed, chosen, due, composed).public_id}
        made = dispatch.create(
            settings,
            video,
            chosen,
            author=user,
            title=typed.title,
            description=typed.description,
            publish_at=due.publish_at,
            hold_there=due.hold_there,
            time_zone=due.zone,
            overrides=composed,
            draft=typed.draft,
            again=typed.again,
        )
        return {"post_id": made.public_id}

    key = f"form:{typed.key}" if typed.key else None
    answer, _again = idempotency.once(user, key, video.public_id, work)
    return access.get_post(user, answer["post_id"])


def _draft(user: User, post_id: str) -> Post:
    """Raises NotFound, Conflict."""
    found = access.get_post(user, post_id)
    if found.state is not PostState.DRAFT:
        raise Conflict("This post was sent already; look again.", code="not_a_draft")
    return found


def _write(
    settings: Settings,
    user: User,
    typed: Typed,
    chosen: list[Account],
    due: when_form.Due,
    composed: dict[str, composing.Changes],
) -> Post:
    """The draft as the form has it; sent, unless it shall stay one."""
    with transaction():
        found = drafts.change(
            _draft(user, typed.draft_id),
            actor=user,
            accounts=chosen,
            title=typed.title,
            description=typed.description,
            publish_at=due.publish_at,
            time_zone=due.zone,
            hold_there=due.hold_there,
            overrides=composed,
        )
        if not typed.draft:
            dispatch.submit(settings, found, actor=user, again=typed.again)
    return found


def _refuse(
    settings: Settings,
    video: Video,
    chosen: list[Account],
    composed: dict[str, composing.Changes],
    typed: Typed,
) -> None:
    drafts = composing.drafts_of(
        video, chosen, composed, title=typed.title, description=typed.description
    )
    outlook.refuse(outlook.look(settings, video, drafts))


def _form(
    request: AnyRequest,
    video: Video,
    typed: Typed,
    problems: dict[str, str],
    *,
    same: SamePost | None = None,
) -> Template:
    context = _context(request, video, typed, problems) | {"same": same}
    name = "posts/new.html"
    if _is_fragment(request):
        name = "posts/_form.html" if request.method == "POST" else "posts/_dialog.html"
    status_code = 409 if same is not None else 422 if problems else 200
    return Template(name, context=context, status_code=status_code)


def _context(
    request: AnyRequest, video: Video, typed: Typed, problems: dict[str, str]
) -> dict[str, Any]:
    settings, user = request.app.state.settings, principal(request).user
    shown = accounts.connected()
    offered = post_form.choices(video, typed, settings, shown=shown)
    ids = {choice.id for choice in offered if choice.checked}
    chosen = [account for account in shown if account.public_id in ids]
    try:
        due = when_form.due(typed.when, chosen).publish_at
    except InvalidInput:
        due = None
    platforms = [choice.platform for choice in offered if choice.checked]
    return {
        "late": lateness.of_choice(video, platforms, due, user.time_zone),
        "video_id": video.public_id,
        "video_title": video.title,
        "ready": video.state is VideoState.READY,
        "duration_s": video.duration_s,
        "typed": typed,
        "offered": offered,
        "counters": {
            name: post_form.counters(typed, offered, name)
            for name in ("title", "description", FIRST_COMMENT)
        },
        "variables": post_form.variables(offered),
        "templates": post_templates.all_templates(),
        "rules": rules.rules(),
        "when": when_form.view(typed.when, user, settings, chosen),
        "problems": problems,
        "in_dialog": _is_fragment(request),
    }


def _is_fragment(request: AnyRequest) -> bool:
    return request.headers.get("hx-request") == "true"
