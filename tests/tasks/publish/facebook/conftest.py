"""A Page of the stand-in, and a publisher that posts to it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from appliance.settings import Settings
from tasks.publish.publisher import MediaFacts, PostDraft, Target
from tasks.publish.publishers.facebook.publisher import FacebookPublisher
from tests import media
from tests.tasks.publish.standin import standing
from web.practice.meta import people, videos

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.publish.publisher import Step
    from tests.tasks.publish.standin import Stand
    from web.practice.ground import Fault

PAGE = people.PAGES[0]["id"]


class OnPage:
    """One target on the way to the Page, its checkpoint kept as the ledger would."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.meta = stand.meta
        self.publisher = FacebookPublisher(stand.settings)
        self.saved: list[dict[str, Any]] = []
        caller = people.Caller(people.PEOPLE[0]["id"], scopes=("pages_show_list",), long=True)
        self.token = people.page_token(self.meta.ground, PAGE, caller)
        file = media.h264_aac()
        data = file.read_bytes()
        self.size = len(data)
        self.spent: list[tuple[str, int]] = []
        self.target = Target(
            marker="marker-1",
            draft=PostDraft("Title é", "Description\n#tag", {"kind": "reel"}),
            media=MediaFacts(self.size, sha256=hashlib.sha256(data).hexdigest(), duration_s=5.0),
            file=file,
            media_url=None,
            remote_account=PAGE,
            credentials={"access_token": self.token},
            options={},
            checkpoint={},
            spend=lambda bucket, units: self.spent.append((bucket, units)),
        )

    def change(self, **values: Any) -> None:
        self.target = replace(self.target, **values)

    def as_kind(self, kind: str) -> None:
        self.change(draft=replace(self.target.draft, options={"kind": kind}))

    def save(self, checkpoint: dict[str, Any]) -> None:
        self.saved.append(checkpoint)
        self.change(checkpoint=dict(checkpoint))

    def stage(self) -> Step:
        return self.publisher.stage(self.target, self.save)

    def go_live(self) -> Step:
        return self.publisher.go_live(self.target, self.save)

    def poll(self) -> Step:
        return self.publisher.poll(self.target)

    def faults(self, *faults: Fault) -> None:
        self.meta.ground.set_faults(faults)

    def calls(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.meta.ground.calls(endpoint)
        return found

    @property
    def video_id(self) -> str:
        return str(self.target.checkpoint["video_id"])

    def there(self) -> dict[str, Any]:
        """The video as the stand-in has it."""
        found: dict[str, Any] = self.meta.ground.get("video", self.video_id)
        return found

    def published(self) -> list[dict[str, Any]]:
        return videos.published(self.meta)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    settings = Settings(data=tmp_path_factory.mktemp("stand-in"))
    with standing(settings) as stand:
        yield stand


@pytest.fixture
def page(running: Stand) -> OnPage:
    """The running stand-in, emptied."""
    with running.meta.ground.connection() as db:
        db.execute("DELETE FROM thing WHERE kind IN ('video', 'token', 'page_token', 'code')")
        db.execute("DELETE FROM call")
        db.execute("DELETE FROM fault")
    running.meta.piece_bytes = 40_000
    return OnPage(running)
