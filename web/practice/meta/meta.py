"""The parts of the stand-in of Meta: what it keeps, whom it knows, and how it answers.

Source of shapes and errors: platforms.md §2 and §3, which cite developers.facebook.com.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from litestar import Request, Response
from litestar.datastructures import State

from appliance.clock import now
from web.auth import PUBLIC
from web.practice.ground import UNFINISHED_LIFETIME, Ground
from web.practice.meta import people
from web.practice.meta.refusal import AFTER, BEFORE, Refusal, as_number, misbehave, refuse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from appliance.settings import Settings

AnyRequest = Request[Any, Any, State]
# Meta has its own sign-in: whoever has one of its tokens. Forms of other sites can't send one.
OPT: dict[str, Any] = {**PUBLIC, "exclude_from_csrf": True}

VERSION = re.compile(r"v\d{1,3}\.\d", re.ASCII)
# Of a multipart body that is held in memory; the upload host writes to disk as it comes.
PIECE_BYTES = 4 * 1024 * 1024
MAX_FORM_BYTES = PIECE_BYTES + 12 * 1024 * 1024


@dataclass(frozen=True)
class Call:
    """One call of the Graph API: parameters of address and form together, files, whose token."""

    method: str
    params: Mapping[str, str]
    caller: people.Caller
    files: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)  # name: filename, bytes
    cut: int | None = None  # of a file: only so many bytes arrive

    def need(self, name: str) -> str:
        """Raises Refusal."""
        if not self.params.get(name):
            raise Refusal(100, None, f"(#100) The parameter {name} is required")
        return self.params[name]

    def is_true(self, name: str, default: bool) -> bool:
        return self.params.get(name, "true" if default else "false").lower() in ("true", "1")


# What an edge or a node does: raises Refusal.
Do = Callable[["Meta", Call, dict[str, Any]], dict[str, Any] | Response[Any]]


@dataclass(frozen=True)
class Edge:
    """``name``: of the call, for notes and faults; may hang on its parameters. ``page``: only
    with a Page's own token."""

    name: str | Callable[[Call], str]
    do: Do
    page: bool = True

    def called(self, call: Call) -> str:
        return self.name if isinstance(self.name, str) else self.name(call)


# (method, kind of the node, name of the edge or "" for the node itself).
Edges = dict[tuple[str, str, str], Edge]


class Part(Protocol):
    """Something of the stand-in that has threads of its own."""

    def begin(self) -> None: ...

    def tidy(self) -> None: ...

    def end(self) -> None: ...


# Names of calls (for faults and notes) → in words. Instagram adds its own.
ENDPOINTS = {
    "oauth.token": "Give a sign-in",
    "debug_token": "Say what a sign-in is worth",
    "me": "Who is it",
    "permissions": "What was allowed",
    "permissions.delete": "Take a sign-in back",
    "accounts": "List the Pages",
    "page": "Look at a Page",
    "videos.start": "Begin a Page video",
    "videos.transfer": "Take a piece of a Page video",
    "videos.finish": "Finish a Page video",
    "videos.cancel": "Give up a Page video",
    "reels.start": "Begin a Reel",
    "reels.bytes": "Take the bytes of a Reel",
    "reels.finish": "Finish a Reel",
    "processing": "Work on a video",
    "video.get": "Look at a video",
    "video.update": "Change a video, make it public",
    "video.delete": "Delete a video",
    "thumbnails": "Take a cover",
    "captions": "Take captions",
    "comments.get": "List comments",
    "comments": "Take a comment",
    "insights": "Count views",
}


class Meta:
    """``app.state.meta`` while the web process runs. See web/practice/stand_ins.py."""

    def __init__(self, settings: Settings, listen: str) -> None:
        self.endpoints: dict[str, str] = dict(ENDPOINTS)
        self.settings = settings
        self.listen = listen
        self.ground = Ground(settings.data / "practice", "meta")
        self.files = settings.data / "practice" / "meta"
        self.files.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.base = f"{settings.base_url}/practice/meta"
        self.piece_bytes = PIECE_BYTES
        # Instagram's part adds itself: see app.py.
        self.instagram: Any = None
        self.parts: list[Part] = []
        self.node_kinds = ["page", "ig_user", "video"]
        self.file_kinds = ["video"]
        for page in people.PAGES:
            self.ground.put("page", page["id"], page)
        for account in people.INSTAGRAM:
            self.ground.put("ig_user", account["id"], account)

    def begin(self) -> None:
        """Tidy up; then remove files that nothing names, as nobody brings any yet."""
        self.tidy()
        kept = {str(thing["id"]) for kind in self.file_kinds for thing in self.ground.all(kind)}
        for path in self.files.iterdir():
            if path.stem not in kept:
                path.unlink(missing_ok=True)
        for part in self.parts:
            part.begin()

    def tidy(self) -> None:
        """Remove what is over: uploads that were given up, codes and tokens."""
        people.tidy(self.ground)
        for video in self.ground.all("video"):
            old = datetime.fromisoformat(video["created_at"]) < now() - UNFINISHED_LIFETIME
            if old and not video["finished_at"]:
                self.ground.remove("video", video["id"])
                self.file(video["id"]).unlink(missing_ok=True)
        for part in self.parts:
            part.tidy()

    def end(self) -> None:
        for part in self.parts:
            part.end()

    def file(self, id: str) -> Path:
        """Of a video or a container: what has arrived so far."""
        if not id.isdecimal():
            raise ValueError("no id of Meta's")
        return self.files / f"{id}.mp4"

    def has_room(self, size_bytes: int) -> bool:
        """The stand-in never takes what the box keeps free for itself."""
        free = shutil.disk_usage(self.files).free
        return free - size_bytes >= self.settings.reserve_bytes()

    def find(self, id: str, caller: people.Caller) -> tuple[str, dict[str, Any]]:
        """A node and its kind. Raises Refusal."""
        if id == "me":
            if caller.page:
                return "page", self.ground.get("page", caller.page) or {}
            return "person", people.person(caller.person)
        for kind in self.node_kinds:
            if (found := self.ground.get(kind, id)) is not None:
                return kind, found
        raise missing(id)

    def take_processing(self) -> tuple[float, str | None]:
        """How many seconds the next video takes, and why it is rejected then (None: it isn't)."""
        slow = self.ground.take_fault("processing", "slow")
        reject = self.ground.take_fault("processing", "reject")
        seconds = as_number(slow.value, 5.0) if slow is not None else 0.0
        if reject is None:
            return seconds, None
        return seconds, reject.value or "The video can't be used (told to reject)."

    # Answers

    def answer(
        self,
        request: AnyRequest,
        endpoint: str,
        do: Callable[[int | None], Any],
        *,
        known: bool = True,
        **noted: Any,
    ) -> Response[Any]:
        """Do it, unless a fault or a refusal comes in between; ``do`` gives what is answered.

        It is told after how many bytes the connection is to be cut (None: it isn't): the fault
        "lose" with a number as its value. ``known``: strangers leave no trace, and use up no
        fault.
        """
        fault = None
        if known:
            self.note(request, endpoint, **noted)
            fault = self.ground.take_fault(endpoint, *BEFORE, *AFTER)
        if fault is not None and fault.kind in BEFORE:
            return misbehave(fault)
        cut = fault.value if fault is not None and fault.kind == "lose" else ""
        try:
            given = do(int(cut) if cut.isdecimal() else None)
        except Refusal as exc:
            return refuse(exc)
        if fault is not None:
            return misbehave(fault)
        return given if isinstance(given, Response) else Response(given, status_code=200)

    def note(self, request: AnyRequest, endpoint: str, **said: Any) -> None:
        headers = {name: value for name, value in request.headers.items() if name != "cookie"}
        if token := headers.get("authorization"):
            headers["authorization"] = f"{token.partition(' ')[0]} …"
        path = request.scope["path"].partition("/practice/meta")[2]
        names = sorted(request.query_params.keys())
        self.ground.note(
            endpoint, method=request.method, path=path, query=names, headers=headers, **said
        )


def meta_of(request: AnyRequest) -> Meta:
    meta: Meta = request.app.state.meta
    return meta


def missing(id: str) -> Refusal:
    return Refusal(
        100,
        33,
        f"Unsupported request. Object with ID '{id[:40]}' does not exist, cannot be loaded due to "
        "missing permissions, or does not support this operation",
    )


def pick(data: Mapping[str, Any], fields: str, always: Sequence[str] = ("id",)) -> dict[str, Any]:
    """What was asked for by ``fields``; in braces or brackets stands what is inside of one."""
    names = {name.strip() for name in re.sub(r"\{[^}]*\}|\.\w+\([^)]*\)", "", fields).split(",")}
    wanted = {*always, *(name for name in names if name)}
    return {name: value for name, value in data.items() if name in wanted and value is not None}


def stamp() -> str:
    return now().isoformat()
