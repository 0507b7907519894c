"""What is done with several videos at once. Each for itself: one that can't stops no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from litestar import Request, post
from litestar.datastructures import State
from litestar.response import Redirect

from appliance import access, tags, videos
from appliance.db import database
from appliance.errors import ApplianceError, InvalidInput
from appliance.models import Rendition, Role, User, Video
from appliance.states import RenditionState
from tasks import asking, remaking, trash
from tasks.profiles import SOCIAL
from web import words
from web.auth import needs, principal
from web.forms import FormData, several, text
from web.words import _

# More than this at once is a job for the command line.
MOST = 500


@dataclass(frozen=True)
class Doing:
    """``do``: False when there was nothing to do. ``one`` and ``many``: what was done, in words."""

    do: Callable[[User, Video, State, str], bool]
    one: str
    many: str
    from_bin: bool = False
    tone: str = "ok"


def _make(user: User, video: Video, *, at_night: bool) -> bool:
    ready = Rendition.select().where(
        Rendition.video == video,
        Rendition.profile == SOCIAL.name,
        Rendition.state == RenditionState.READY,
    )
    if ready.exists():
        return False
    asking.ask(video, SOCIAL.name, user, at_night=at_night)
    return True


def _remake(user: User, video: Video, *, at_night: bool) -> bool:
    return remaking.remake_many(user, videos=[video.public_id], only_at_night=at_night) > 0


def _throw_away(user: User, video: Video, state: State, tag: str) -> bool:
    trash.throw_away(video, user, state.layout)
    return True


def _take_out(user: User, video: Video, state: State, tag: str) -> bool:
    trash.take_out(video, user, state.layout, state.settings)
    return True


def _add_tag(user: User, video: Video, state: State, tag: str) -> bool:
    has = tags.of([video]).get(video.id, [])
    if tags.clean(tag) in has:
        return False
    videos.edit(video, actor=user, tag_names=[*has, tag])
    return True


DOINGS = {
    "make": Doing(
        lambda user, video, state, tag: _make(user, video, at_night=False),
        "1 video is being made ready.",
        "{n} videos are being made ready.",
    ),
    "make-night": Doing(
        lambda user, video, state, tag: _make(user, video, at_night=True),
        "1 video is made ready tonight.",
        "{n} videos are made ready tonight.",
    ),
    "remake": Doing(
        lambda user, video, state, tag: _remake(user, video, at_night=False),
        "1 video is made anew. The old versions stay in use until then.",
        "{n} videos are made anew. The old versions stay in use until then.",
    ),
    "remake-night": Doing(
        lambda user, video, state, tag: _remake(user, video, at_night=True),
        "1 video is made anew tonight. The old versions stay in use until then.",
        "{n} videos are made anew tonight. The old versions stay in use until then.",
    ),
    "tag": Doing(_add_tag, "1 video has the tag now.", "{n} videos have the tag now."),
    "bin": Doing(
        _throw_away,
        "1 video is in the bin. It is removed for good after 7 days.",
        "{n} videos are in the bin. They are removed for good after 7 days.",
        tone="neutral",
    ),
    "restore": Doing(_take_out, "1 video is back.", "{n} videos are back.", from_bin=True),
}


@post(
    "/library/batch",
    opt=needs(Role.EDITOR),
    status_code=303,
    sync_to_thread=True,
    include_in_schema=False,
)
def act_on_several(request: Request[Any, Any, State], data: FormData) -> Redirect:
    """``ids``, ``action`` and, for tags, ``tag``; back to the list with what became of it."""
    doing = DOINGS.get(text(data, "action"))
    if doing is None:
        raise InvalidInput("Choose what to do with the videos.", field="action")
    tag = text(data, "tag")
    if text(data, "action") == "tag" and not tags.clean(tag):
        raise InvalidInput("Write the tag that the videos shall have.", field="tag")
    user, state = principal(request).user, request.app.state
    done, left_out, why = [], 0, ""
    with database.connection_context():
        for video_id in several(data, "ids")[:MOST]:
            try:
                video = access.get_video(user, video_id, trashed=doing.from_bin)
                if doing.do(user, video, state, tag):
                    done.append(video_id)
                    continue
            except ApplianceError as exc:
                why = why or exc.message
            left_out += 1
    query = {"did": text(data, "action"), "n": len(done), "not": left_out, "why": why}
    if text(data, "action") == "bin":
        query["trashed"] = ",".join(done)
    return Redirect(_back(text(data, "back"), query), status_code=303)


def _back(path: str, query: dict[str, Any]) -> str:
    """The list that the form was on, and nowhere else."""
    base = path if path.startswith("/?") else "/"
    more = urlencode({name: value for name, value in query.items() if value})
    return f"{base}{'&' if '?' in base else '?'}{more}"


@dataclass(frozen=True)
class Told:
    """What became of it, as the list says it."""

    sentence: str
    tone: str
    undo: list[str]


def tell(did: str, done: int, left_out: int, why: str, trashed: str) -> Told | None:
    """The notice for the address of the list; None when it says of nothing that was done."""
    doing = DOINGS.get(did)
    if doing is None:
        return None
    sentences = []
    if done:
        sentences.append(words.count(done, doing.one, doing.many))
    if left_out:
        reason = why or _("There was nothing to do for them.")
        rest = words.count(left_out, "1 was left out", "{n} were left out")
        sentences.append(f"{rest}: {reason}")
    if not sentences:
        sentences.append(_("Nothing was chosen."))
    undo = trashed.split(",") if did == "bin" and done else []
    return Told(" ".join(sentences), doing.tone if done else "warn", undo)
