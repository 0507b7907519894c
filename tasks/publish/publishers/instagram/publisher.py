"""The steps of a Reel's way out.

What keeps it from going out twice: only a container that we know can be published, and only one is
published for a target; after a lost answer the container is asked, not called again. When one looks
unpublished although the call went out, a while has to pass first, and the account's own list must
not hold a Reel with that caption.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from appliance.clock import now
from tasks.publish.graph import Graph
from tasks.publish.publisher import (
    Bucket,
    Capabilities,
    Checkpoint,
    Done,
    Failed,
    Finding,
    MediaFacts,
    NeedsReconnect,
    NotThere,
    PostDraft,
    RetryAt,
    Staged,
    Step,
    Target,
    Unsure,
)
from tasks.publish.publishers.instagram import after_post, metadata
from tasks.publish.publishers.instagram.answers import step_for
from tasks.publish.publishers.instagram.containers import (
    CONTAINERS,
    REELS,
    after_trouble,
    anew,
    make,
    send,
)
from tasks.publish.publishers.instagram.held import Held
from tasks.publish.publishers.instagram.look import Status, ask_status
from tasks.publish.publishers.instagram.meaning import (
    is_overdue,
    lacks_bytes,
    linked,
    meaning_of,
)
from tasks.publish.publishers.instagram.pace import CONTAINER_LIFETIME
from tasks.publish.publishers.instagram.talk import Talk
from tasks.publish.remote import Answer
from tasks.publish.remotes import Service
from tasks.publish.rules import text_limit

if TYPE_CHECKING:
    from appliance.settings import Settings


class InstagramPublisher:
    capabilities = Capabilities(
        label="Instagram",
        needs_public_url=True,
        can_stage=True,
        staged_lifetime_s=CONTAINER_LIFETIME.total_seconds(),
        can_comment=True,
        has_numbers=True,
        description=text_limit("instagram", "description"),
        max_size_bytes=300_000_000,
        max_duration_s=900.0,
        options=metadata.OPTIONS,
        buckets=(
            # The pages say 100, 50 and 25: what Instagram itself tells counts.
            Bucket(REELS, "Posts in 24 hours", limit=50, window_s=86400.0, post=1, asked=True),
            Bucket(CONTAINERS, "Hand-overs in 24 hours", limit=400, window_s=86400.0, post=1),
        ),
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def validate(self, draft: PostDraft, facts: MediaFacts) -> list[Finding]:
        return metadata.findings(draft, facts)

    def stage(self, target: Target, save: Checkpoint) -> Step:
        talk, held = self._talk(target), Held.of(target.checkpoint)
        if held.media is not None:
            return linked(talk, held, held.media)
        if held.container is None:
            return make(talk, replace(held, made=0), save)
        status = ask_status(talk.graph, held.container)
        if not isinstance(status, Status | NotThere):
            return status
        fits = held.fingerprint == metadata.fingerprint(target.draft)
        if isinstance(status, Status):
            if fits and lacks_bytes(held, status):
                return send(talk, held, save, resumed=True)
            if status.code == "ERROR" or is_overdue(talk, held, status):
                return make(talk, after_trouble(held, status), save)
        if held.publishing_at is None and (isinstance(status, NotThere) or not fits):
            return make(talk, anew(held), save)
        step = meaning_of(talk, held, status)
        if isinstance(step, NotThere) or (isinstance(step, Staged) and not fits):
            return make(talk, anew(held), save)
        return step

    def poll(self, target: Target) -> Step:
        talk, held = self._talk(target), Held.of(target.checkpoint)
        if held.media is not None:
            return linked(talk, held, held.media)
        if held.container is None:
            return NotThere()
        status = ask_status(talk.graph, held.container)
        if isinstance(status, Status | NotThere):
            return meaning_of(talk, held, status)
        return status

    def go_live(self, target: Target, save: Checkpoint) -> Step:
        talk, held = self._talk(target), Held.of(target.checkpoint)
        if held.media is not None:
            return linked(talk, held, held.media)
        if held.container is None:
            return NotThere()
        if held.fingerprint != metadata.fingerprint(target.draft):
            return NotThere()  # it holds another text than the post by now
        container = held.container
        held = replace(held, publishing_at=now())
        save(held.checkpoint())
        reply = talk.graph.post(f"/{target.remote_account}/media_publish", creation_id=container)
        if isinstance(reply, Answer):
            media = str(reply.data.get("id") or "")
            if not media:
                return Unsure("Instagram said yes, but named no post.", str(reply.data))
            target.spend(REELS, 1)
            held = replace(held, media=media)
            save(held.checkpoint())
            return linked(talk, held, media)
        step = step_for(reply, creating=True)
        if isinstance(step, NotThere):
            # By the call's own words there is no such container. One that was just published
            # may be called so, too: it is asked before anything new is made.
            looked = self.poll(replace(target, checkpoint=held.checkpoint()))
            if isinstance(looked, RetryAt | NeedsReconnect):
                return Unsure(looked.reason, looked.detail)
            return looked
        return step

    def reconcile(self, target: Target) -> Step:
        # Without its id nobody can publish a container, so what it was made for isn't public.
        return self.poll(target)

    def edit(self, target: Target) -> Step:
        return Failed(
            "Instagram lets nobody change a caption from outside. Change it in the Instagram app.",
            code="not_offered",
        )

    def comment(self, target: Target, text: str) -> Step:
        return after_post.comment(self._talk(target).graph, target, text)

    def numbers(self, target: Target) -> dict[str, int] | RetryAt | NeedsReconnect | NotThere:
        return after_post.numbers(self._talk(target).graph, target)

    def delete(self, target: Target) -> Step:
        held = Held.of(target.checkpoint)
        if target.remote_id is not None or held.media is not None:
            return Failed(
                "Instagram lets nobody delete a Reel from outside. Delete it in the Instagram app.",
                code="not_offered",
            )
        if held.publishing_at is not None:
            # The call may have gone out, and only looked undone: is it public after all?
            step = self.poll(target)
            if isinstance(step, Done | RetryAt | NeedsReconnect):
                return step
        # A container can't be removed; nobody sees it, and within a day it is gone by itself.
        return NotThere()

    def _talk(self, target: Target) -> Talk:
        token = str(target.credentials.get("access_token", ""))
        service = Service.INSTAGRAM_GRAPH
        return Talk(target, Graph(self._settings, token, practice=target.practice, service=service))
