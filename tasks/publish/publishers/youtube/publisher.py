"""The publisher for YouTube: a private video first, then one change of its status.

That order is what makes a post safe to repeat: nobody sees an upload, however often its answer is
lost, and a status can be set twice. Who can see the video is changed by reading the whole status
and writing it back with one field changed, for YouTube drops what an update leaves out.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from tasks.publish import rules
from tasks.publish.publisher import (
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
    PostDraft,
    RetryAt,
    Staged,
    Step,
    Target,
    Unsure,
    WaitUntil,
)
from tasks.publish.publishers.youtube import extras
from tasks.publish.publishers.youtube.api import BUCKETS, Api, items_of
from tasks.publish.publishers.youtube.errors import verdict_on
from tasks.publish.publishers.youtube.metadata import (
    OPTIONS,
    address_of,
    check_options,
    choice,
    parse_time,
    rfc3339,
    snippet_for,
    status_for,
)
from tasks.publish.publishers.youtube.upload import (
    Arrived,
    Gone,
    There,
    asked_in_vain,
    look,
    looked_in_vain,
    upload,
)
from tasks.publish.remote import Answer, Lost

if TYPE_CHECKING:
    from appliance.settings import Settings

WATCH = "https://www.youtube.com"
POLL_FIRST_S = 0.25
POLL_SLOWEST_S = 60.0
# A video that YouTube works on for longer goes live as it is: people see it when it is ready.
PATIENCE = timedelta(hours=2)
# A sign-in is good for five minutes at the start of a step; after a longer upload comes a new one.
SIGN_IN_LASTS_S = 240.0
PROCESSING = "YouTube processes the video"
LOCKED = (
    "YouTube keeps the video private, though it should be {wish}: it does so with uploads of "
    "Google projects that haven't passed its audit. Apply for the audit (docs/publishers/"
    "youtube.md says where); press Retry after it, and the video is uploaded anew."
)


class YouTubePublisher:
    capabilities = Capabilities(
        label="YouTube",
        can_stage=True,
        native_scheduling=True,
        takes_any_media=True,
        can_delete=True,
        can_edit=frozenset({"title", "description"}),
        can_comment=True,
        has_numbers=True,
        title=rules.text_limit("youtube", "title"),
        description=rules.text_limit("youtube", "description"),
        max_size_bytes=256_000_000_000,
        max_duration_s=12 * 3600.0,
        options=OPTIONS,
        buckets=BUCKETS,
        # Nobody says how soon is too soon; within a quarter of an hour nothing is won by it.
        holds_from_s=900.0,
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def validate(self, draft: PostDraft, facts: MediaFacts) -> list[Finding]:
        return rules.check("youtube", draft, facts) + check_options(draft)

    def stage(self, target: Target, save: Checkpoint) -> Step:
        if target.publish_at is not None and choice(target, "privacy") != "public":
            return MustEdit(
                "YouTube itself can only make a video public at a time. Choose “Public”, or let "
                "this box post it at its time."
            )
        api, began_s = Api(self._settings, target), time.monotonic()
        if target.checkpoint.get("locked"):
            gone = self.delete(target)
            if not isinstance(gone, NotThere):
                return gone
            target = _with(target, save, {})
        if (kept := target.checkpoint.get("video")) is not None:
            found = self._status(api, kept)
            if isinstance(found, Failed):
                # YouTube gave it up, and somebody pressed Retry after mending why.
                found = self.delete(target)
            if isinstance(found, NotThere):
                target = _with(target, save, {})
            elif not isinstance(found, dict):
                return found
        if target.checkpoint.get("video") is None:
            brought = upload(api, target, save, _ahead(target.publish_at))
            if not isinstance(brought, There):
                return brought
            at = rfc3339(now())
            target = _with(target, save, {"video": brought.video, "uploaded_at": at})
        if time.monotonic() - began_s > SIGN_IN_LASTS_S:
            reason = "The video is on YouTube; the rest follows with a fresh sign-in."
            return RetryAt(now(), reason, counted=False)
        return self._dress(api, target, save)

    def poll(self, target: Target) -> Step:
        return self._look(Api(self._settings, target), target)

    def go_live(self, target: Target, save: Checkpoint) -> Step:
        video = target.checkpoint.get("video")
        if video is None:
            return NotThere()
        api, wish = Api(self._settings, target), choice(target, "privacy")
        publish_at = _ahead(target.publish_at)
        if publish_at is not None and wish != "public":
            why = "YouTube itself can only make a video public at a time, so it waits here."
            return RetryAt(publish_at, why, counted=False)
        status = self._status(api, video)
        if not isinstance(status, dict):
            return status
        if not _is_as_wished(status, wish, publish_at):
            save({**target.checkpoint, "publishing": True})
            body = {"id": video, "status": status_for(status, wish, publish_at)}
            reply = api.write("videos.update", "PUT", "status", body)
            if isinstance(reply, Lost):
                return Unsure(reply.reason, reply.detail)
            if not isinstance(reply, Answer):
                return asked_in_vain(reply)
            status = dict(reply.data.get("status") or {})
            if not _is_as_wished(status, wish, publish_at):
                save({**target.checkpoint, "locked": True})
                return Failed(LOCKED.format(wish=wish), "locked_private", str(reply.data))
        if publish_at is not None:
            return Held(publish_at)
        return self._finish(api, target, save, video)

    def reconcile(self, target: Target) -> Step:
        api = Api(self._settings, target)
        if target.checkpoint.get("video") is not None:
            found = self._look(api, target)
            # The playlist comes after the flip; `go_live` changes nothing else any more.
            return Staged() if isinstance(found, Done) and _wants_playlist(target) else found
        match look(api, target):
            case There() | Arrived() | Gone():
                # Nothing is public, and `stage` takes up what is there.
                return NotThere()
            case other:
                return other

    def edit(self, target: Target) -> Step:
        video, api = _video_of(target), Api(self._settings, target)
        if video is None:
            return NotThere()
        there = self._item(api, video, "snippet")
        if not isinstance(there, dict):
            return there
        texts = target.draft
        snippet = snippet_for(there.get("snippet") or {}, texts.title, texts.description)
        reply = api.write("videos.update", "PUT", "snippet", {"id": video, "snippet": snippet})
        if isinstance(reply, Answer):
            return self._done(target, video)
        return asked_in_vain(reply)  # the same texts twice are the same, so a lost one, too

    def comment(self, target: Target, text: str) -> Step:
        video = _video_of(target)
        if video is None:
            return NotThere()
        return extras.add_comment(Api(self._settings, target), target, video, text)

    def numbers(self, target: Target) -> dict[str, int] | RetryAt | NeedsReconnect | NotThere:
        video = _video_of(target)
        if video is None:
            return NotThere()
        there = self._item(Api(self._settings, target), video, "statistics")
        if isinstance(there, dict):
            return _counts(there.get("statistics") or {})
        if isinstance(there, RetryAt | NeedsReconnect | NotThere):
            return there
        return RetryAt(None, getattr(there, "reason", "YouTube doesn't tell."))

    def delete(self, target: Target) -> Step:
        video, api = _video_of(target), Api(self._settings, target)
        if video is None:
            match look(api, target):
                case There() as there:
                    video = there.video
                case Arrived() | Gone():
                    return NotThere()  # what is only half there is nothing, and YouTube drops it
                case Unsure() as unsure:
                    return Failed(unsure.reason, "not_found", unsure.detail)
                case other:
                    return other
        if target.unseen_only:
            status = self._status(api, video)
            if isinstance(status, RetryAt | NeedsReconnect | NotThere):
                return status
            if isinstance(status, dict) and status.get("privacyStatus") != "private":
                return self._done(target, video)  # "unlisted" isn't public, and shown to somebody
        reply = api.delete_video(video)
        return NotThere() if isinstance(reply, Answer) else asked_in_vain(reply)

    # Steps in common

    def _dress(self, api: Api, target: Target, save: Checkpoint) -> Step:
        """Cover, captions and time of a video that is there; then look how far YouTube is."""
        video = target.checkpoint["video"]
        wanted = {"cover": (target.cover, extras.set_cover)}
        wanted["captions"] = (target.captions, extras.add_captions)
        for name, (file, bring) in wanted.items():
            if file is None or name in target.checkpoint:
                continue
            said = bring(api, target, video)
            if not isinstance(said, str):
                return said
            target = _with(target, save, {**_noted(target, said), name: True})
        if target.publish_at is not None and _wants_playlist(target):
            said = extras.add_to_playlist(api, target, video)
            if not isinstance(said, str):
                return said
            target = _with(target, save, {**_noted(target, said), "playlist": True})
        return self._look(api, target)

    def _look(self, api: Api, target: Target) -> Step:
        """How far is the video of the checkpoint? Creates nothing."""
        video = target.checkpoint.get("video")
        if video is None:
            return NotThere()
        there = self._item(api, video, "status,processingDetails")
        if not isinstance(there, dict):
            return there
        status = there.get("status") or {}
        if (given_up := verdict_on(status, str(there))) is not None:
            return given_up
        wish = choice(target, "privacy")
        if wish != "private" and status.get("privacyStatus") == wish:
            return self._done(target, video)
        if _is_processing(there) and not _took_long(target):
            return WaitUntil(_next_poll(target), PROCESSING)
        held_until = _ahead(parse_time(status.get("publishAt")))
        return Staged() if held_until is None else Held(held_until)

    def _finish(self, api: Api, target: Target, save: Checkpoint, video: str) -> Step:
        """It is as wished; what is left may fail without failing the post."""
        if _wants_playlist(target):
            said = extras.add_to_playlist(api, target, video)
            if not isinstance(said, str):
                said = f"The video isn't in the playlist yet: {getattr(said, 'reason', '')}"
            target = _with(target, save, {**_noted(target, said), "playlist": True})
        return self._done(target, video)

    def _status(self, api: Api, video: str) -> dict[str, Any] | Step:
        """The whole status of a video that YouTube hasn't given up."""
        there = self._item(api, video, "status")
        if not isinstance(there, dict):
            return there
        status = dict(there.get("status") or {})
        return verdict_on(status, str(there)) or status

    def _item(self, api: Api, video: str, part: str) -> dict[str, Any] | Step:
        reply = api.get("videos.list", part=part, id=video)
        if not isinstance(reply, Answer):
            return looked_in_vain(reply)
        items = items_of(reply)
        if not items or (items[0].get("status") or {}).get("uploadStatus") == "deleted":
            return NotThere()
        return items[0]

    def _done(self, target: Target, video: str) -> Done:
        base = f"{self._settings.base_url}/practice/google" if target.practice else WATCH
        notes = target.checkpoint.get("notes") or []
        return Done(video, address_of(base, video, target.media), note=" ".join(notes))


def _with(target: Target, save: Checkpoint, state: dict[str, Any]) -> Target:
    """Commit ``state``; the target with it."""
    save(state)
    return replace(target, checkpoint=state)


def _noted(target: Target, said: str) -> dict[str, Any]:
    """The checkpoint, with one more sentence for the person."""
    notes = [*(target.checkpoint.get("notes") or []), *([said] if said else [])]
    return {**target.checkpoint, "notes": notes} if notes else dict(target.checkpoint)


def _video_of(target: Target) -> str | None:
    return target.remote_id or target.checkpoint.get("video")


def _wants_playlist(target: Target) -> bool:
    return bool(choice(target, "playlist")) and "playlist" not in target.checkpoint


def _ahead(when: datetime | None) -> datetime | None:
    """``when`` if it is still to come: YouTube takes a past time for "at once"."""
    return when if when is not None and when > now() else None


def _is_as_wished(status: dict[str, Any], wish: str, publish_at: datetime | None) -> bool:
    at = parse_time(status.get("publishAt"))
    if publish_at is None:
        return at is None and status.get("privacyStatus") == wish
    return at is not None and abs(at - publish_at) < timedelta(seconds=1)


def _is_processing(item: dict[str, Any]) -> bool:
    said = (item.get("processingDetails") or {}).get("processingStatus")
    uploaded = (item.get("status") or {}).get("uploadStatus")
    return said == "processing" or (said is None and uploaded == "uploaded")


def _uploaded_at(target: Target) -> datetime:
    return parse_time(target.checkpoint.get("uploaded_at")) or now()


def _took_long(target: Target) -> bool:
    return now() - _uploaded_at(target) > PATIENCE


def _next_poll(target: Target) -> datetime:
    """Often at first, then ever more seldom: a quarter of the time that it has taken so far."""
    waited_s = (now() - _uploaded_at(target)).total_seconds()
    return now() + timedelta(seconds=min(max(waited_s / 4, POLL_FIRST_S), POLL_SLOWEST_S))


def _counts(statistics: dict[str, Any]) -> dict[str, int]:
    names = {"views": "viewCount", "likes": "likeCount", "comments": "commentCount"}
    return {
        name: int(statistics[field])
        for name, field in names.items()
        if str(statistics.get(field, "")).isdecimal()
    }
