"""Facebook Pages. Source of all calls: platforms.md §2; docs/publishers/facebook.md for people.

One video id is given at the start of an upload and stays: whatever answer is lost later, that id
can be asked about, and "finish" said twice about it makes no second post. So the checkpoint keeps
the id, and a new upload begins only when Facebook says that the old one is of no use.

Staging is "uploaded, not finished"; going live is "finish". Where somebody allowed to stage long
before (``Target.ahead``), a Page video is finished unpublished instead, which has the slow
processing over before anybody presses Post; going live is then an update of that video.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from tasks.publish import rules
from tasks.publish.graph import Graph, Reply, step_of
from tasks.publish.publisher import (
    Bucket,
    Capabilities,
    Checkpoint,
    Done,
    Failed,
    Finding,
    Held,
    MediaFacts,
    MustEdit,
    NeedsReconnect,
    NotThere,
    Option,
    PostDraft,
    RetryAt,
    Staged,
    Step,
    Target,
    WaitUntil,
)
from tasks.publish.publishers.facebook import dress
from tasks.publish.publishers.facebook.judge import (
    APPEARS_WITHIN,
    POLL_FIRST_S,
    UPLOAD_LIFETIME,
    Missing,
    about_of,
    begun,
    judge,
    since_when,
    video_id_of,
    waited,
    works_on,
)
from tasks.publish.publishers.facebook.kind import AUTO, Kind, choose_kind
from tasks.publish.publishers.facebook.status import FIELDS, read
from tasks.publish.publishers.facebook.upload import looked_in_vain, offsets, send_pieces, send_reel
from tasks.publish.remote import Answer
from tasks.publish.remotes import Service, address_of

if TYPE_CHECKING:
    from appliance.settings import Settings

REELS_A_DAY = 30
DAY_S = 86_400.0
# Facebook wants more than ten minutes and, for Reels, less than 29 days. The bytes go up before.
HOLDS_FROM = timedelta(minutes=10)
HOLDS_TO = timedelta(days=29)


class FacebookPublisher:
    capabilities = Capabilities(
        label="Facebook",
        can_stage=True,
        staged_lifetime_s=UPLOAD_LIFETIME.total_seconds(),
        native_scheduling=True,
        can_delete=True,
        can_edit=frozenset({"title", "description"}),
        can_comment=True,
        has_numbers=True,
        title=rules.text_limit("facebook", "title"),
        description=rules.text_limit("facebook", "description"),
        max_size_bytes=10_000_000_000,
        max_duration_s=4 * 3600.0,
        options=(
            Option(
                "kind",
                "On the Page as",
                AUTO,
                choices=(
                    (AUTO, "Reel if it fits, else a video"),
                    (Kind.VIDEO.value, "Video"),
                    (Kind.REEL.value, "Reel"),
                ),
                hint="A Reel is upright (9:16) and lasts 3 to 90 seconds. A video may have any "
                "shape. Choose “Reel” for another video, and an upright cut of it is made.",
            ),
        ),
        buckets=(
            Bucket(
                "reels",
                "Reels on this Page in 24 hours",
                REELS_A_DAY,
                DAY_S,
                post=1,
                concerns=lambda draft, facts: choose_kind(facts, draft.options).kind is Kind.REEL,
            ),
        ),
        holds_from_s=HOLDS_FROM.total_seconds() + 300,
        holds_to_s=HOLDS_TO.total_seconds() - 300,
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def validate(self, draft: PostDraft, facts: MediaFacts) -> list[Finding]:
        chosen = choose_kind(facts, draft.options)
        found = rules.check("facebook", draft, facts)
        if chosen.faults:
            why = "; ".join(chosen.faults)
            return [*found, Finding("media", f"This can't be a Reel: {why}. Choose “Video”.")]
        return [*found, Finding("kind", chosen.why, must=False)]

    # The steps of the protocol

    def stage(self, target: Target, save: Checkpoint) -> Step:
        if target.file is None:
            return Failed("The file of the video is gone.", code="no_file")
        kind = choose_kind(target.media, target.draft.options).kind
        kept = dict(target.checkpoint)
        if kept.get("video_id") and about_of(target, kind) == kept.get("about"):
            step = self._look(target, kept)
            if isinstance(step, Missing):
                return self._upload(target, kept, step.offset, save)
            if not isinstance(step, NotThere | Failed):
                return step
        elif any(kept.get(word) for word in ("unpublished", "finishing", "finished")):
            # Another file, and Facebook might still make the old one public by itself.
            step = self.delete(target)
            if not isinstance(step, NotThere):
                return step
        started = self._start(target, kind, save)
        if not isinstance(started, dict):
            return started
        return self._upload(target, started, 0, save)

    def poll(self, target: Target) -> Step:
        if not target.checkpoint.get("video_id"):
            return NotThere()
        step = self._look(target, target.checkpoint)
        return NotThere() if isinstance(step, Missing) else step

    # Creates nothing, either: the id was there before the lost answer, or nothing is visible.
    reconcile = poll

    def go_live(self, target: Target, save: Checkpoint) -> Step:
        kept = dict(target.checkpoint)
        if not kept.get("video_id"):
            return NotThere()
        at = now()
        held = target.publish_at if target.publish_at and target.publish_at > at else None
        if held is not None and held - at <= HOLDS_FROM:
            why = "Facebook keeps a post only for more than ten minutes, so it waits here."
            return RetryAt(held, why, counted=False)
        first = since_when(kept, held)
        since = first or at
        kept = {**kept, "finishing": since.isoformat(), "held": held.isoformat() if held else None}
        save(kept)
        if kept["kind"] == Kind.REEL and not kept.get("finished"):
            target.spend("reels", 1)
        reply = self._finish(target, kept, held)
        if not isinstance(reply, Answer):
            return self._after_refusal(target, kept, reply, save, alone=first is None)
        # From here on it is an update of that video, whatever the next wish is.
        there = {"held_there": held is not None}
        save(kept := {**kept, "finished": True, **there})
        dress.put_on(self._graph(target), target, kept)
        return self._after_finish(target, kept)

    def edit(self, target: Target) -> Step:
        video_id = video_id_of(target)
        if video_id is None:
            return NotThere()
        draft = target.draft
        reply = self._graph(target).post(
            f"/{video_id}", name=draft.title, description=draft.description
        )
        return Done(video_id) if isinstance(reply, Answer) else step_of(reply, creating=False)

    def comment(self, target: Target, text: str) -> Step:
        video_id = video_id_of(target)
        if video_id is None:
            return NotThere()
        return dress.comment(self._graph(target), video_id, target.remote_account, text)

    def numbers(self, target: Target) -> dict[str, int] | RetryAt | NeedsReconnect | NotThere:
        video_id = video_id_of(target)
        if video_id is None:
            return NotThere()
        return dress.numbers(self._graph(target), video_id)

    def delete(self, target: Target) -> Step:
        video_id = video_id_of(target)
        if video_id is None:
            return NotThere()
        reply = self._graph(target).delete(f"/{video_id}")
        return NotThere() if isinstance(reply, Answer) else step_of(reply, creating=False)

    # Uploading

    def _start(self, target: Target, kind: Kind, save: Checkpoint) -> dict[str, Any] | Step:
        """A new upload; the checkpoint that names it. Nothing is visible of one that gets lost."""
        graph, page = self._graph(target), target.remote_account
        first = {"kind": kind.value, "about": about_of(target, kind), "began": now().isoformat()}
        save(first)
        if kind is Kind.REEL:
            reply = graph.post(f"/{page}/video_reels", upload_phase="start")
        else:
            size = str(target.media.size_bytes)
            reply = graph.post(f"/{page}/videos", upload_phase="start", file_size=size)
        if not isinstance(reply, Answer):
            return step_of(reply, creating=False)
        started: dict[str, Any] = {**first, "video_id": str(reply.data.get("video_id") or "")}
        if kind is Kind.VIDEO:
            pair = offsets(reply.data) or (0, 0)
            session = str(reply.data.get("upload_session_id") or "")
            started |= {"session": session, "start": pair[0], "end": pair[1]}
        if not started["video_id"] or started.get("session") == "":
            return RetryAt(None, "Facebook's answer names no upload.", str(reply.data)[:2000])
        save(started)
        return started

    def _upload(self, target: Target, kept: dict[str, Any], offset: int, save: Checkpoint) -> Step:
        assert target.file is not None
        graph = self._graph(target)
        try:
            if kept["kind"] == Kind.REEL:
                step = send_reel(graph, kept["video_id"], target.file, offset)
            else:

                def keep(at: dict[str, Any]) -> None:
                    nonlocal kept
                    kept = at
                    save(at)

                step = send_pieces(graph, target.remote_account, target.file, kept, keep)
        except OSError as exc:
            return RetryAt(None, "The file of the video can't be read.", repr(exc))
        if isinstance(step, NotThere):
            save({})
            return RetryAt(None, "Facebook could not use what was uploaded.")
        if step is not None:
            return step
        save(kept := {**kept, "uploaded": True})
        if kept["kind"] == Kind.VIDEO and target.ahead and target.publish_at is None:
            return self._finish_unpublished(target, kept, save)
        return Staged(begun(kept) + UPLOAD_LIFETIME)

    def _finish_unpublished(self, target: Target, kept: dict[str, Any], save: Checkpoint) -> Step:
        """Seen by nobody; its processing is over when somebody presses Post."""
        save(kept := {**kept, "unpublished": True})
        reply = self._graph(target).post(
            f"/{target.remote_account}/videos",
            files=dress.thumb(target),
            upload_phase="finish",
            upload_session_id=kept["session"],
            title=target.draft.title,
            description=target.draft.description,
            published="false",
        )
        if not isinstance(reply, Answer):
            return self._after_refusal(target, kept, reply, save)
        save(kept := {**kept, "finished": True})
        return self._after_finish(target, kept)

    # Going live

    def _finish(self, target: Target, kept: dict[str, Any], held: datetime | None) -> Reply:
        """The one call. About a video that was finished before, it is an update of that."""
        graph, page, draft = self._graph(target), target.remote_account, target.draft
        when = {"scheduled_publish_time": str(math.ceil(held.timestamp()))} if held else {}
        if kept.get("finished") or kept.get("unpublished"):
            return graph.post(
                f"/{kept['video_id']}",
                name=draft.title,
                description=draft.description,
                published="false" if held else "true",
                **when,
            )
        if kept["kind"] == Kind.REEL:
            return graph.post(
                f"/{page}/video_reels",
                upload_phase="finish",
                video_id=kept["video_id"],
                video_state="SCHEDULED" if held else "PUBLISHED",
                title=draft.title,
                description=draft.description,
                **when,
            )
        if held:
            when["unpublished_content_type"] = "SCHEDULED"
        return graph.post(
            f"/{page}/videos",
            files=dress.thumb(target),
            upload_phase="finish",
            upload_session_id=kept["session"],
            title=draft.title,
            description=draft.description,
            published="false" if held else "true",
            **when,
        )

    def _after_finish(self, target: Target, kept: dict[str, Any]) -> Step:
        """Accepted isn't public. When it can't be asked now, it will be."""
        step = self._look(target, kept)
        if isinstance(step, RetryAt | Missing | NotThere):
            return WaitUntil(now() + timedelta(seconds=POLL_FIRST_S), works_on(kept))
        return step

    def _after_refusal(
        self,
        target: Target,
        kept: dict[str, Any],
        reply: Reply,
        save: Checkpoint,
        *,
        alone: bool = True,
    ) -> Step:
        """A refusal may mean that it was done before, or that the upload is of no use any more.
        ``alone``: no call before it may still take effect."""
        step = step_of(reply, creating=True)
        if not isinstance(step, Failed | MustEdit | NotThere):
            return step
        look = self._look(target, kept, refused=alone)
        if isinstance(look, Done | Held | WaitUntil | RetryAt | NeedsReconnect):
            return look
        if isinstance(look, Failed):  # with the reason for the rejection, or it was removed
            return look
        if kept.get("held_there") and isinstance(look, Staged):
            return self._take_back(target, save)
        if isinstance(step, NotThere) or isinstance(look, NotThere):
            save({})
            return NotThere()
        return step

    def _take_back(self, target: Target, save: Checkpoint) -> Step:
        """What Facebook keeps for later, and doesn't let go of sooner: removed, and sent anew.
        That a scheduled Reel can be changed isn't written anywhere."""
        step = self.delete(target)
        if isinstance(step, NotThere):
            save({})
        return step

    # Looking

    def _look(
        self, target: Target, kept: dict[str, Any], *, refused: bool = False
    ) -> Step | Missing:
        """What Facebook knows about the video of this checkpoint; creates nothing."""
        reply = self._graph(target).get(f"/{kept['video_id']}", fields=FIELDS)
        if isinstance(reply, Answer):
            look = read(reply.data)
            address = self._address(target, look.path)
            detail = str(reply.data)[:2000]
            size_bytes = target.media.size_bytes
            return judge(look, kept, size_bytes, address, detail, refused=refused)
        step = looked_in_vain(reply)
        if isinstance(step, NotThere) and waited(kept) < APPEARS_WITHIN:
            return RetryAt(None, "Facebook doesn't know the video yet.")
        if isinstance(step, NotThere) and kept.get("finished"):
            # Never sent again by itself: somebody, or Facebook, had a reason.
            return Failed("The video was removed on Facebook before it was public.", "removed")
        return step

    def _address(self, target: Target, path: str | None) -> str | None:
        if path is None or not path.startswith("/"):
            return path
        return address_of(self._settings, Service.FACEBOOK_DIALOG, practice=target.practice) + path

    def _graph(self, target: Target) -> Graph:
        token = str(target.credentials.get("access_token", ""))
        return Graph(self._settings, token, practice=target.practice)
