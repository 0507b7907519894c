"""The practice platform (web/practice): the steps of Instagram's API, without leaving the box.

A *container* is made from the address of the video and fetched by the platform afterwards; a
second call makes it public. Source of the shape: platforms.md §3 (Instagram).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from appliance.db import database
from tasks.publish.own_socket import listening_address, own_socket_client
from tasks.publish.publisher import (
    Capabilities,
    Checkpoint,
    Done,
    Failed,
    Finding,
    MediaFacts,
    NotThere,
    PostDraft,
    RetryAt,
    Staged,
    Step,
    Target,
    Unsure,
    WaitUntil,
    check_draft,
)
from tasks.publish.remote import Answer, Lost, Refused, call
from tasks.publish.rules import text_limit

if TYPE_CHECKING:
    from appliance.settings import Settings

API = "/practice/api/v1"
CONTAINER_LIFETIME = timedelta(hours=24)
POLL_FIRST_S = 0.25
POLL_SLOWEST_S = 30.0

# Error subcodes. Source: platforms.md §3, table of errors.
DOWNLOAD_FAILED = {2207003, 2207052}
GONE = {2207006, 2207008, 2207020}
NOT_READY = 2207027
ALREADY_PUBLISHED = 2207900  # ours: Instagram doesn't document what it says


class PracticePublisher:
    capabilities = Capabilities(
        label="Practice",
        needs_public_url=True,
        can_stage=True,
        staged_lifetime_s=CONTAINER_LIFETIME.total_seconds(),
        can_delete=True,
        title=text_limit("practice", "title"),
        description=text_limit("practice", "description"),
        max_size_bytes=4_000_000_000,
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def validate(self, draft: PostDraft, facts: MediaFacts) -> list[Finding]:
        return check_draft(draft, facts, self.capabilities)

    def stage(self, target: Target, save: Checkpoint) -> Step:
        container = target.checkpoint.get("container")
        if container is not None:
            found = self._look(target, container)
            if not isinstance(found, Failed | NotThere):
                return found
        save({"creating": True})
        answer = self._call(
            target,
            "POST",
            "/media",
            json={
                "video_url": target.media_url,
                "title": target.draft.title,
                "caption": target.draft.description,
            },
        )
        if isinstance(answer, Answer):
            began = now()
            save({"container": str(answer.data["id"]), "created_at": began.isoformat()})
            return WaitUntil(began + timedelta(seconds=POLL_FIRST_S), _FETCHING)
        return self._refusal(answer)

    def poll(self, target: Target) -> Step:
        container = target.checkpoint.get("container")
        return NotThere() if container is None else self._look(target, container)

    def go_live(self, target: Target, save: Checkpoint) -> Step:
        container = target.checkpoint.get("container")
        if container is None:
            return NotThere()
        save({**target.checkpoint, "publishing": True})
        answer = self._call(target, "POST", "/media_publish", json={"creation_id": container})
        if isinstance(answer, Answer):
            return _done(answer.data)
        if isinstance(answer, Refused):
            if answer.subcode == ALREADY_PUBLISHED:
                return self._look(target, container)
            if answer.subcode in GONE:
                return NotThere()
            if answer.subcode == NOT_READY:
                return RetryAt(now() + timedelta(seconds=1), answer.message)
        return self._refusal(answer)

    def reconcile(self, target: Target) -> Step:
        # Without its id nobody can publish a container, so what it was made for isn't public.
        container = target.checkpoint.get("container")
        return NotThere() if container is None else self._look(target, container)

    def edit(self, target: Target) -> Step:
        return Failed("The practice platform keeps texts as they were posted.", code="not_offered")

    def comment(self, target: Target, text: str) -> Step:
        return Failed("The practice platform has no comments.", code="not_offered")

    def numbers(self, target: Target) -> dict[str, int] | NotThere:
        return {}

    def delete(self, target: Target) -> Step:
        container = target.checkpoint.get("container")
        if container is None:
            return NotThere()
        answer = self._call(target, "DELETE", f"/media/{container}")
        if isinstance(answer, Answer) or (isinstance(answer, Refused) and answer.status == 404):
            return NotThere()
        if isinstance(answer, Lost):
            return RetryAt(None, answer.reason, answer.detail)
        return self._refusal(answer)

    def _look(self, target: Target, container: str) -> Step:
        """What the platform knows about a container; creates nothing."""
        answer = self._call(
            target, "GET", f"/media/{container}", params={"fields": "status_code,status,permalink"}
        )
        if isinstance(answer, Refused) and (answer.status == 404 or answer.subcode in GONE):
            return NotThere()
        if isinstance(answer, Lost):
            return RetryAt(None, answer.reason, answer.detail)
        if not isinstance(answer, Answer):
            return self._refusal(answer)
        match answer.data.get("status_code"):
            case "PUBLISHED":
                return _done({**answer.data, "id": answer.data.get("post_id")})
            case "FINISHED":
                return Staged(expires_at=_created_at(target) + CONTAINER_LIFETIME)
            case "IN_PROGRESS":
                return WaitUntil(_next_poll(target), _FETCHING)
            case "EXPIRED":
                return NotThere()
            case "ERROR":
                if answer.data.get("error_subcode") in DOWNLOAD_FAILED:
                    return NotThere()  # with a new link and a new container, a few times
                return Failed(
                    str(answer.data.get("status")), code="media_rejected", detail=str(answer.data)
                )
        return Unsure("The platform can't tell whether the video is public.", str(answer.data))

    def _refusal(self, answer: Any) -> Step:
        if isinstance(answer, Lost):
            return Unsure(answer.reason, answer.detail)
        if isinstance(answer, Refused):
            return Failed(answer.message, detail=answer.detail)
        step: Step = answer
        return step

    def _call(self, target: Target, method: str, path: str, **request: Any) -> Any:
        with database.connection_context():
            address = listening_address(self._settings)
        # A client for each call: a kept-alive connection that the other side closes just now
        # would look like a lost answer.
        with own_socket_client(self._settings, address) as client:
            token = target.credentials.get("token", "")
            headers = {"Authorization": f"Bearer {token}"}
            return call(client, method, API + path, now=now(), headers=headers, **request)


_FETCHING = "The platform fetches and checks the video"


def _done(data: dict[str, Any]) -> Done:
    return Done(str(data["id"]), data.get("permalink"))


def _created_at(target: Target) -> datetime:
    text = target.checkpoint.get("created_at")
    return datetime.fromisoformat(text) if text else now()


def _next_poll(target: Target) -> datetime:
    """Often at first, then ever more seldom: a quarter of the time that it has taken so far."""
    waited_s = (now() - _created_at(target)).total_seconds()
    return now() + timedelta(seconds=min(max(waited_s / 4, POLL_FIRST_S), POLL_SLOWEST_S))
