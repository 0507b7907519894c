"""A channel on the stand-in of YouTube, and targets for it: the publisher without a ledger."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.oauth_clients import PRACTICE_ID, PRACTICE_SECRET
from tasks.publish.publisher import MediaFacts, PostDraft, Step, Target, WaitUntil
from tasks.publish.publishers.youtube.publisher import YouTubePublisher
from tests import media
from web.practice.google import grants
from web.practice.ground import Fault

if TYPE_CHECKING:
    from tests.tasks.publish.standin import Stand

CHANNEL = grants.CHANNELS[0]["id"]
# The only program that the stand-in gives tokens to.
CLIENT = {"client_id": PRACTICE_ID["google"], "client_secret": PRACTICE_SECRET}
STEP = 262_144


@cache
def film() -> Path:
    """An mp4 of a bit more than two pieces of 256 KiB."""
    clip = media.h264_aac(1).read_bytes()
    fill = 2 * STEP + 1000
    # A "free" box is skipped by whoever reads the file. Source: ISO 14496-12 §8.1.2.
    box = fill.to_bytes(4, "big") + b"free" + bytes(i * 7 % 251 for i in range(fill - 8))
    return media.written("longer.mp4", clip + box)


@cache
def digest() -> str:
    return hashlib.sha256(film().read_bytes()).hexdigest()


class Channel:
    """What tests press and look at. ``saved``: all checkpoints, in order."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.google = stand.google
        self.ground = stand.google.ground
        self.publisher = YouTubePublisher(stand.settings)
        self.saved: list[dict[str, Any]] = []
        self.spent: dict[str, int] = {}
        self.token = grants.grant(self.ground)["access_token"]
        self.emptied()

    def emptied(self) -> None:
        self.ground.set_faults([])
        with self.ground.connection() as db:
            db.execute("DELETE FROM call")
            db.execute("DELETE FROM thing WHERE kind NOT IN ('channel', 'playlist', 'grant',"
                       " 'access')")  # fmt: skip

    def target(self, **changes: Any) -> Target:
        target = Target(
            marker="marker",
            draft=PostDraft("Summer", "What we did"),
            media=MediaFacts(
                film().stat().st_size, sha256=digest(), duration_s=1.0, width=160, height=120
            ),
            file=film(),
            media_url=None,
            remote_account=CHANNEL,
            credentials={"access_token": self.token},
            options={},
            checkpoint={},
            spend=self.spend,
        )
        options = changes.pop("chosen", None)
        if options is not None:
            target = replace(target, draft=replace(target.draft, options=options))
        return replace(target, **changes)

    def spend(self, bucket: str, units: int) -> None:
        self.spent[bucket] = self.spent.get(bucket, 0) + units

    def save(self, checkpoint: dict[str, Any]) -> None:
        self.saved.append(dict(checkpoint))

    def go_on(self, target: Target) -> Target:
        """With the newest checkpoint."""
        return replace(target, checkpoint=self.saved[-1]) if self.saved else target

    def stage(self, target: Target) -> Step:
        """Until it isn't "wait" any more; the stand-in is done at once unless it was told."""
        step = self.publisher.stage(target, self.save)
        return self.publisher.poll(self.go_on(target)) if isinstance(step, WaitUntil) else step

    def go_live(self, target: Target) -> Step:
        return self.publisher.go_live(self.go_on(target), self.save)

    def fault(self, endpoint: str, kind: str, value: str = "", **more: Any) -> None:
        self.ground.set_faults([*self.ground.faults(), Fault(endpoint, kind, value, **more)])

    @property
    def videos(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ground.all("video")
        return found

    def endpoints(self) -> list[str]:
        return [call["endpoint"] for call in self.ground.calls()]

    def call(self, endpoint: str, number: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.ground.calls(endpoint)[number]
        return found
