"""A platform of paper: a publisher whose other side is a Python object, for tests of the ledger.

It holds a post as long as it is told to, forgets what is staged after a while, can be edited,
commented on, counted and emptied, and breaks off where a test says so. Its list of what is public
is the truth that the ledger is measured by.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import appliance.clock
from appliance import accounts
from appliance.clock import now
from appliance.db import database
from appliance.models import Account, Job, Post, PostTarget, Rendition, Role, User, Video
from appliance.states import JobState, RenditionState, VideoState
from appliance.vault import open_vault
from tasks import runner, ticker
from tasks.publish import dispatch, registry, task
from tasks.publish.publisher import (
    Bucket,
    Capabilities,
    Checkpoint,
    Done,
    Failed,
    FieldLimit,
    Finding,
    Held,
    MediaFacts,
    NotThere,
    PostDraft,
    RetryAt,
    Staged,
    Step,
    Target,
    Unsure,
    check_draft,
)
from tests.factories import make_user, make_video
from tests.tasks.doing import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from appliance.settings import Settings

LIFE = timedelta(hours=24)


class Died(BaseException):
    """A worker that dies at this very point: nothing catches it."""


@dataclass
class Sheet:
    """One post over there. ``public_at``: None as long as nobody but us sees it."""

    marker: str
    title: str
    expires_at: datetime | None
    holds_until: datetime | None = None
    public_at: datetime | None = None
    comments: list[str] = field(default_factory=list)


class Paper:
    """The other side. ``script``: what goes wrong with the next calls of a step, in order."""

    def __init__(self) -> None:
        self.sheets: dict[str, Sheet] = {}
        self.calls: list[str] = []
        self.script: dict[str, list[Callable[[], Step | None]]] = {}
        self.down = False
        self.keeps = False  # it can't take away what is staged
        self.lock = threading.Lock()

    def look(self) -> None:
        """What it does by itself as time goes by."""
        for sheet in self.sheets.values():
            held = sheet.holds_until
            if held is not None and held <= now() and sheet.public_at is None:
                sheet.public_at = held

    def public(self) -> list[Sheet]:
        self.look()
        return [sheet for sheet in self.sheets.values() if sheet.public_at is not None]

    def asked(self) -> Counter[str]:
        return Counter(self.calls)

    def trip(self, step: str) -> Step | None:
        """What goes wrong now; raises what the script raises."""
        self.look()
        self.calls.append(step)
        if self.down:
            return RetryAt(None, "The platform can't be reached.")
        left = self.script.get(step)
        return left.pop(0)() if left else None


paper = Paper()


class PaperPublisher:
    capabilities = Capabilities(
        label="Paper",
        can_stage=True,
        staged_lifetime_s=LIFE.total_seconds(),
        native_scheduling=True,
        holds_from_s=600.0,
        holds_to_s=29 * 86400.0,
        can_delete=True,
        can_edit=frozenset({"title", "description"}),
        can_comment=True,
        has_numbers=True,
        title=FieldLimit(100, required=True),
        buckets=(Bucket("posts", "Posts in 24 hours", 5, 86400.0, 1),),
    )

    def __init__(self, settings: Settings) -> None:
        pass

    def validate(self, draft: PostDraft, facts: MediaFacts) -> list[Finding]:
        return check_draft(draft, facts, self.capabilities)

    def stage(self, target: Target, save: Checkpoint) -> Step:
        id = target.checkpoint.get("id")
        if id in paper.sheets and not isinstance(found := self._state(id), NotThere):
            return found
        if wrong := paper.trip("stage"):
            return wrong
        id = f"{target.marker}-{len(paper.calls)}"
        save({"id": id})
        paper.sheets[id] = Sheet(target.marker, target.draft.title, now() + LIFE)
        if wrong := paper.trip("staged"):
            return wrong
        return Staged(expires_at=paper.sheets[id].expires_at)

    def poll(self, target: Target) -> Step:
        return paper.trip("poll") or self._state(target.checkpoint.get("id"))

    def go_live(self, target: Target, save: Checkpoint) -> Step:
        id = target.checkpoint.get("id")
        if wrong := paper.trip("go_live"):
            return wrong
        sheet = paper.sheets.get(id or "")
        if sheet is None or isinstance(self._state(id), NotThere):
            return NotThere()
        save({**target.checkpoint, "publishing": True})
        target.spend("posts", 1)
        if target.publish_at is not None:
            sheet.holds_until = target.publish_at
            return paper.trip("held") or Held(target.publish_at)
        if sheet.public_at is None:
            sheet.public_at = now()
        return paper.trip("gone_live") or self._state(id)

    def reconcile(self, target: Target) -> Step:
        return paper.trip("reconcile") or self._state(target.checkpoint.get("id"))

    def edit(self, target: Target) -> Step:
        sheet = paper.sheets[target.remote_id or ""]
        if wrong := paper.trip("edit"):
            return wrong
        sheet.title = target.draft.title
        return Done(target.remote_id or "")

    def comment(self, target: Target, text: str) -> Step:
        sheet = paper.sheets[target.remote_id or ""]
        if text not in sheet.comments:
            sheet.comments.append(text)
        return paper.trip("comment") or Done("1")

    def numbers(self, target: Target) -> dict[str, int]:
        paper.trip("numbers")
        return {"views": 7, "likes": 2}

    def delete(self, target: Target) -> Step:
        id = target.checkpoint.get("id")
        if wrong := paper.trip("delete"):
            return wrong
        if paper.keeps:
            return Failed("It can't be removed.")
        paper.sheets.pop(id or "", None)
        return NotThere()

    def _state(self, id: str | None) -> Step:
        sheet = paper.sheets.get(id or "")
        if sheet is None:
            return NotThere()
        if sheet.public_at is not None:
            return Done(id or "", f"https://paper.example/{id}")
        if sheet.holds_until is not None:
            return Held(sheet.holds_until)
        if sheet.expires_at is not None and sheet.expires_at <= now():
            return NotThere()
        return Staged(expires_at=sheet.expires_at)


class OtherPublisher(PaperPublisher):
    """The same by another name, so that one can wait for the other's link."""


def lost() -> Step:
    return Unsure("The connection broke.")


def dies() -> Step:
    raise Died


class WoundClock(datetime):
    """The time of day, plus what a test has skipped; what ``appliance.clock`` reads."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.ahead


class Desk:
    """A ledger with the paper platform, worked at by hand: time stands still unless it is wound."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        # Leases run on the real clock; a machine that is busy must not lose one in here.
        self.settings = settings.model_copy(update={"lease_s": 60.0})
        self.vault = open_vault(settings)
        monkeypatch.setattr(task, "SIT_OUT_S", -1.0)  # waits are wound, not sat out
        WoundClock.ahead = timedelta()
        monkeypatch.setattr(appliance.clock, "datetime", WoundClock)
        for name, made in (("paper", PaperPublisher), ("other", OtherPublisher)):
            monkeypatch.setitem(registry.PUBLISHERS, name, made)
        paper.__init__()  # type: ignore[misc]  # a new sheet for each test
        self.user: User = make_user("poster@example.org", Role.OWNER)
        self.account = self.open_account("paper")

    def open_account(self, platform: str, **columns: Any) -> Account:
        account = Account.create(
            platform=platform, name=platform.title(), remote_id=platform, **columns
        )
        accounts.seal(self.vault, account, {"access_token": "x"})
        return account

    def video(self, *, ready: bool = True) -> Video:
        video = make_video(
            self.user, state=VideoState.READY if ready else VideoState.PROCESSING, facts=None
        )
        Rendition.create(
            video=video,
            profile="social",
            recipe="1",
            state=RenditionState.READY if ready else RenditionState.PENDING,
            sha256="a" * 64,
            size_bytes=1000,
            ready_at=now() if ready else None,
        )
        return video

    def post(self, *chosen: Account, **arguments: Any) -> Post:
        video = arguments.pop("video", None) or self.video()
        return dispatch.create(
            self.settings, video, chosen or [self.account], author=self.user, **arguments
        )

    def skip(self, **time: float) -> None:
        WoundClock.ahead += timedelta(**time)

    def skip_to(self, when: datetime) -> None:
        WoundClock.ahead += when - now()

    def work(self) -> int:
        """Do all that is due now; how many jobs."""
        done: list[int] = []

        def work() -> None:
            with database.connection_context():
                dispatch.sweep()
                ticker.take_back_expired()
            done.append(runner.run_due("delivery", "desk", self.settings, threading.Event()))

        in_thread(work)  # its connection is its own, as in a worker
        return done[0]

    def work_for(self, **time: float) -> None:
        """Go on working as time goes by: from one job that comes due to the next."""
        end = now() + timedelta(**time)
        while now() < end:
            self.work()
            coming = Job.select().where(Job.state == JobState.QUEUED, Job.run_after > now())
            soonest = coming.order_by(Job.run_after).first()
            self.skip_to(min(end, soonest.run_after) if soonest else end)
        self.work()

    def look(self, post: Post) -> PostTarget:
        (target,) = self.targets(post)
        return target

    def targets(self, post: Post) -> list[PostTarget]:
        from appliance import posts

        return posts.latest_targets(Post.get_by_id(post.id))
