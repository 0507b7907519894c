"""What the tests of Instagram stand on: a running box with its stand-in, and a clock to wind on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import appliance.clock
from appliance.clock import now
from tasks.publish.publisher import (
    Done,
    MediaFacts,
    PostDraft,
    Staged,
    Target,
    Unsure,
    WaitUntil,
)
from tasks.publish.publishers.instagram.publisher import InstagramPublisher
from tests import media
from tests.tasks.publish.paper import WoundClock
from tests.tasks.publish.posting import link_to
from tests.web.serving import wait_until
from web.practice.ground import Fault
from web.practice.meta import people

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import pytest

    from tasks.publish.publisher import Step
    from tests.tasks.publish.posting import Poster
    from web.practice.meta.instagram_store import Containers
    from web.practice.meta.meta import Meta

ACCOUNT = people.INSTAGRAM[0]["id"]
PAGE = people.PAGES[0]["id"]
SCOPES = ("instagram_basic", "instagram_content_publish", "pages_read_engagement")


def page_token(meta: Meta) -> str:
    """Of the Page that the account is linked to; without an end."""
    caller = people.Caller(people.PEOPLE[0]["id"], scopes=SCOPES, long=True)
    return people.page_token(meta.ground, PAGE, caller)


class Clock:
    """The time of day, here and on the stand-in, plus what was skipped."""

    def now(self) -> datetime:
        return now()

    def skip(self, **time: float) -> None:
        WoundClock.ahead += timedelta(**time)

    def skip_to(self, when: datetime) -> None:
        WoundClock.ahead += max(timedelta(), when - now())

    def rule(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From zero on, until the end of the test."""
        WoundClock.ahead = timedelta()
        monkeypatch.setattr(appliance.clock, "datetime", WoundClock)


@dataclass
class Studio:
    """``file`` goes out; ``url`` leads to it."""

    box: Poster
    file: Path
    url: str
    clock: Clock
    spent: list[tuple[str, int]] = field(default_factory=list)
    told: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def meta(self) -> Meta:
        meta: Meta = self.box.running.app.state.meta
        return meta

    @property
    def containers(self) -> Containers:
        containers: Containers = self.meta.instagram.containers
        return containers

    @property
    def publisher(self) -> InstagramPublisher:
        return InstagramPublisher(self.box.settings)

    @property
    def token(self) -> str:
        return page_token(self.meta)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    def target(self, caption: str = "At the lake", **columns: Any) -> Target:
        """``options``: of the draft. ``by_bytes``: without an address to fetch from."""
        by_bytes = columns.pop("by_bytes", False)
        draft = PostDraft("A title", caption, columns.pop("options", {}))
        facts = MediaFacts(self.file.stat().st_size, sha256=self.sha256, duration_s=20.0)
        known: dict[str, Any] = {
            "marker": "target",
            "draft": draft,
            "media": facts,
            "file": self.file,
            "media_url": None if by_bytes else self.url,
            "remote_account": ACCOUNT,
            "credentials": {"access_token": self.token},
            "options": {},
            "checkpoint": {},
            "practice": True,
            "spend": lambda bucket, units: self.spent.append((bucket, units)),
            "told": lambda bucket, used, limit: self.told.append((bucket, used, limit)),
        }
        return Target(**{**known, **columns})

    def faults(self, *faults: Fault) -> None:
        self.meta.ground.set_faults(faults)

    def reels(self, caption: str | None = None) -> list[dict[str, Any]]:
        """What is public on the stand-in."""
        found = self.containers.published()
        return [reel for reel in found if caption in (None, reel["caption"])]

    def fetched(self) -> None:
        """Wait until nothing is being fetched any more."""
        wait_until("the fetcher has come", lambda: not self.containers.unfetched())

    def calls(self, endpoint: str) -> list[dict[str, Any]]:
        return self.meta.ground.calls(endpoint)

    def empty(self) -> None:
        self.faults()
        self.spent.clear()
        self.told.clear()
        for container in self.containers.all():
            self.containers.remove(container["id"])
        with self.meta.ground.connection() as db:
            db.execute("DELETE FROM call")


def furnish(box: Poster) -> Studio:
    url = link_to(box, lifetime_s=40 * 86400)
    return Studio(box, media.h264_aac(), url, Clock())


class Reel:
    """One target, its steps pressed by hand."""

    def __init__(self, studio: Studio, **target: Any) -> None:
        self.studio = studio
        self.columns = target
        self.saved: dict[str, Any] = {}

    @property
    def target(self) -> Target:
        return self.studio.target(checkpoint=dict(self.saved), **self.columns)

    def save(self, checkpoint: dict[str, Any]) -> None:
        self.saved = dict(checkpoint)

    def stage(self) -> Step:
        return self.studio.publisher.stage(self.target, self.save)

    def poll(self) -> Step:
        self.studio.fetched()
        return self.studio.publisher.poll(self.target)

    def go_live(self) -> Step:
        return self.studio.publisher.go_live(self.target, self.save)

    def reconcile(self) -> Step:
        return self.studio.publisher.reconcile(self.target)

    def staged(self) -> Reel:
        assert isinstance(self.stage(), WaitUntil)
        assert isinstance(self.poll(), Staged)
        return self

    def out(self) -> Done:
        done = self.staged().go_live()
        assert isinstance(done, Done), done
        return done

    def lost(self) -> Reel:
        """Staged, and published by a call whose answer never came."""
        self.staged()
        self.studio.faults(Fault("ig.publish", "lose"))
        assert isinstance(self.go_live(), Unsure)
        return self
