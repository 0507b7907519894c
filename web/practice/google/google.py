"""The parts of the stand-in of Google: what it keeps, and how it answers.

Source of shapes and errors: platforms.md §1, which cites developers.google.com/youtube/v3.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from litestar import Request, Response
from litestar.datastructures import State

from appliance.clock import now
from web.auth import PUBLIC
from web.practice.cut_off import CutOff
from web.practice.google import grants
from web.practice.ground import UNFINISHED_LIFETIME, Ground

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.settings import Settings
    from web.practice.ground import Fault

AnyRequest = Request[Any, Any, State]
# Google has its own sign-in: whoever has one of its tokens. Forms of other sites can't send one.
OPT: dict[str, Any] = {**PUBLIC, "exclude_from_csrf": True}

# HTTP statuses of reasons. Source: developers.google.com/youtube/v3/docs/errors, 2026-11.
STATUS_OF = {
    "authError": 401,
    "youtubeSignupRequired": 401,
    "quotaExceeded": 403,
    "uploadLimitExceeded": 400,
    "rateLimitExceeded": 403,
    "userRateLimitExceeded": 403,
    "uploadRateLimitExceeded": 429,
    "insufficientPermissions": 403,
    "forbidden": 403,
    "forbiddenPrivacySetting": 403,
    "commentsDisabled": 403,
    "captionExists": 409,
    "videoNotFound": 404,
    "playlistNotFound": 404,
    "notFound": 404,
    "backendError": 503,
    "internalError": 500,
}
BEFORE = ("throttle", "refuse", "break_before", "lose_before", "expire")
AFTER = ("break_after", "lose")


class Refusal(Exception):
    """Google says no: by a reason of its table, and in words."""

    def __init__(self, reason: str, message: str = "", status: int | None = None) -> None:
        super().__init__(message or reason)
        self.reason = reason
        self.status = status or STATUS_OF.get(reason, 400)


@dataclass(frozen=True)
class Caller:
    """Whose token it is."""

    channel: str
    scopes: frozenset[str]


class Google:
    """``app.state.google`` while the web process runs. See web/practice/stand_ins.py."""

    # Names of calls (for faults and notes) → in words.
    endpoints = {
        "oauth.token": "Give or refresh a sign-in",
        "oauth.revoke": "Take a sign-in back",
        "channels.list": "Whose channel is it",
        "videos.insert": "Begin an upload",
        "upload.bytes": "Take the bytes",
        "upload.status": "How much has arrived",
        "processing": "Work on the video",
        "videos.list": "Look at a video",
        "videos.update": "Change a video, make it public",
        "videos.delete": "Delete a video",
        "thumbnails.set": "Take a cover",
        "captions.list": "List captions",
        "captions.insert": "Take captions",
        "playlists.list": "List playlists",
        "playlistItems.list": "Look into a playlist",
        "playlistItems.insert": "Put a video into a playlist",
        "commentThreads.list": "List comments",
        "commentThreads.insert": "Take a comment",
    }

    def __init__(self, settings: Settings, listen: str) -> None:
        self.settings = settings
        self.ground = Ground(settings.data / "practice", "google")
        self.files = settings.data / "practice" / "google"
        self.files.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.base = f"{settings.base_url}/practice/google"
        for channel in grants.CHANNELS:
            self.ground.put("channel", channel["id"], channel)
            playlist = {"id": f"PL{channel['id'][2:]}", "channel": channel["id"], "title": "News"}
            self.ground.put("playlist", playlist["id"], playlist)

    def begin(self) -> None:
        """Tidy up; then remove files that nothing names, as nobody brings any yet."""
        self.tidy()
        kept = {f"{video['id']}.mp4" for video in self.ground.all("video")}
        kept |= {f"{session['id']}.part" for session in self.ground.all("session")}
        for path in self.files.iterdir():
            if path.name not in kept:
                path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what is over: sessions, codes and tokens."""
        self.ground.remove_past("code", "until")
        self.ground.remove_past("access", "until")
        for session in self.ground.all("session"):
            if self._is_over(session):
                self.ground.remove("session", session["id"])
                self.part(session["id"]).unlink(missing_ok=True)

    def _is_over(self, session: dict[str, Any]) -> bool:
        """Given up, or finished for so long that nobody will ask any more whether it is."""
        oldest = now() - UNFINISHED_LIFETIME
        if session["video"] is None:
            part = self.part(session["id"])
            return not part.exists() or part.stat().st_mtime < oldest.timestamp()
        video = self.ground.get("video", session["video"])
        return video is None or datetime.fromisoformat(video["uploaded_at"]) < oldest

    def end(self) -> None:
        """It has no threads."""

    def file(self, video_id: str) -> Path:
        return self.files / f"{video_id}.mp4"

    def part(self, session_id: str) -> Path:
        return self.files / f"{session_id}.part"

    # Answers

    def answer(
        self,
        request: AnyRequest,
        endpoint: str,
        do: Callable[[Caller], dict[str, Any] | Response[Any] | None],
        **noted: Any,
    ) -> Response[Any]:
        """Do it for whoever calls, unless a fault or a refusal comes in between.

        ``do`` gives what is answered; None is 204. Strangers leave no trace, and use up no fault.
        """
        try:
            found = self.grant(request)
        except Refusal as exc:
            return refuse(exc.reason, str(exc), exc.status)
        self.note(request, endpoint, **noted)
        fault = self.ground.take_fault(endpoint, *BEFORE, *AFTER)
        if fault is not None and fault.kind in BEFORE:
            return misbehave(fault)
        try:
            given = do(self.caller(found, endpoint))
        except Refusal as exc:
            return refuse(exc.reason, str(exc), exc.status)
        if fault is not None:
            return misbehave(fault)
        if isinstance(given, Response):
            return given
        if given is None:
            return Response(None, status_code=204)
        return Response(given, status_code=200)

    def note(self, request: AnyRequest, endpoint: str, **said: Any) -> None:
        headers = {name: value for name, value in request.headers.items() if name != "cookie"}
        if token := headers.get("authorization"):
            headers["authorization"] = f"{token.partition(' ')[0]} …"
        path = request.scope["path"].partition("/practice/google")[2]
        query = request.scope["query_string"].decode("ascii", "replace")
        self.ground.note(
            endpoint, method=request.method, path=path, query=query, headers=headers, **said
        )

    async def body(self, request: AnyRequest) -> bytes:
        """Of a known caller; nobody else's bodies are read. Raises Refusal."""
        await anyio.to_thread.run_sync(self.grant, request)
        return await request.body()

    def grant(self, request: AnyRequest) -> dict[str, Any]:
        """Of the token. Raises Refusal."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind != "Bearer" or not token:
            raise Refusal("authError", "Login Required.")
        found = grants.look_up(self.ground, token)
        if found is None:
            raise Refusal("authError", "Invalid Credentials")
        return found

    def caller(self, found: dict[str, Any], endpoint: str) -> Caller:
        """Raises Refusal."""
        caller = Caller(found["channel"], frozenset(found["scopes"]))
        wanted = grants.SCOPES_OF.get(endpoint, frozenset())
        if wanted and not wanted & caller.scopes:
            raise Refusal("insufficientPermissions", "Insufficient Permission")
        channel = self.ground.get("channel", caller.channel)
        if channel is None or not channel["open"]:
            raise Refusal("youtubeSignupRequired", "The account has no YouTube channel.")
        return caller


def google_of(request: AnyRequest) -> Google:
    google: Google = request.app.state.google
    return google


def new_id(length: int = 11) -> str:
    """As YouTube's ids: letters, digits, - and _."""
    return secrets.token_urlsafe(length)[:length]


def refuse(reason: str, message: str = "", status: int | None = None) -> Response[Any]:
    """The shape of all errors of Google's APIs."""
    status = status or STATUS_OF.get(reason, 400)
    message = message or reason
    one = {"domain": "youtube", "reason": reason, "message": message}
    error = {"code": status, "message": message, "errors": [one]}
    return Response({"error": error}, status_code=status)


def refused(_: AnyRequest, exc: Refusal) -> Response[Any]:
    """For those that are raised outside of `Google.answer`."""
    return refuse(exc.reason, str(exc), exc.status)


def misbehave(fault: Fault) -> Response[Any]:
    """The answer of a call that goes wrong; whether something was done is the caller's affair."""
    match fault.kind:
        case "throttle":
            answer = refuse("rateLimitExceeded", "Too many calls.", 429)
            if fault.value:
                answer.headers["Retry-After"] = fault.value
            return answer
        case "refuse":
            return refuse(fault.value or "forbidden", f"{fault.value} (told to refuse)")
        case "expire":
            return refuse("authError", "Invalid Credentials")
        case "break_before" | "break_after" | "blind":
            return refuse("backendError", "Backend Error")
    return CutOff()


def body_of(raw: bytes, request: AnyRequest) -> dict[str, Any]:
    """Raises Refusal for all but a JSON object that says that it is one."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise Refusal("parseError", "The content type must be application/json.")
    try:
        body = json.loads(raw)
    except ValueError:
        raise Refusal("parseError", "Parse Error") from None
    if not isinstance(body, dict):
        raise Refusal("parseError", "Parse Error")
    return body


def stamp() -> str:
    return now().strftime("%Y-%m-%dT%H:%M:%SZ")
