"""Scripts of faults, and deaths of the worker before and after each call and each commit.

Whatever happens, the channel never holds a second video of a post, nobody ever sees one that
failed, and every post comes to an end. A seeded sample of the cases runs each time; all of them
with APPLIANCE_TEST_LONG=1.
"""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from appliance import accounts
from appliance.db import database, open_database
from appliance.migrate import migrate
from appliance.models import (
    Account,
    Attempt,
    Method,
    Post,
    PostTarget,
    Rendition,
    Role,
    User,
    Video,
)
from appliance.states import RenditionState, TargetState, VideoState
from appliance.vault import open_vault
from storage.layout import Layout
from tasks.publish import dispatch
from tests.factories import make_user, make_video
from tests.tasks.publish.mortal import Mortal
from tests.tasks.publish.youtube.channel import CHANNEL, CLIENT, STEP, Channel, digest, film
from web.practice.google import grants
from web.practice.ground import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tasks.publish.standin import Stand

SEED = 20261121
LONG = os.environ.get("APPLIANCE_TEST_LONG") == "1"
CASES = 400 if LONG else 12
LAST_POINT = 90  # a plain post has some 60; one with faults has more
PLAYLIST = f"PL{CHANNEL[2:]}"

LOST = ("lose", "lose_before", "break_before", "break_after")
CALM = ("throttle", "expire")
# Endpoint → (kind, value). "blind" on its own: only so can YouTube not be asked.
FAULTS: dict[str, list[tuple[str, str]]] = {
    "videos.insert": [
        *((kind, "") for kind in LOST + CALM),
        ("refuse", "quotaExceeded"),
        ("refuse", "uploadLimitExceeded"),
        ("refuse", "invalidTitle"),
        ("lock_private", ""),
    ],
    "upload.bytes": [
        ("lose", ""),
        ("break_after", ""),
        ("lose_before", "0"),
        ("lose_before", str(STEP + 7)),
        ("break_before", str(STEP)),
        ("refuse", ""),
        ("expire", ""),
    ],
    "upload.status": [
        ("lose", ""),
        ("break_before", ""),
        ("throttle", "30"),
        ("refuse", ""),
        ("blind", ""),
        ("expire", ""),
    ],
    "processing": [("reject", "duplicate"), ("reject", "codec")],
    "videos.list": [*((kind, "") for kind in LOST + CALM), ("blind", "")],
    "videos.update": [
        *((kind, "") for kind in LOST + CALM),
        ("refuse", "quotaExceeded"),
        ("refuse", "forbiddenPrivacySetting"),
    ],
    "channels.list": [("lose", ""), ("expire", "")],
    "playlistItems.list": [("lose", ""), ("break_before", "")],
    "playlistItems.insert": [*((kind, "") for kind in LOST), ("refuse", "playlistNotFound")],
}


@dataclass(frozen=True)
class Case:
    number: int
    faults: tuple[Fault, ...]
    kill_at: tuple[int, ...]
    playlist: bool


def cases() -> list[Case]:
    """The long form begins with the short one."""
    seeded = random.Random(SEED)
    made = []
    for number in range(CASES):
        faults = []
        for _ in range(seeded.choice((0, 1, 1, 2, 3))):
            endpoint = seeded.choice(list(FAULTS))
            kind, value = seeded.choice(FAULTS[endpoint])
            skip, lasts = seeded.choice((0, 0, 0, 1, 2)), seeded.random() < 0.1
            # Pauses and sign-ins that never end are waited for as long: that isn't an end.
            lasts = lasts and (kind in LOST or kind == "blind")
            faults.append(Fault(endpoint, kind, value, skip=skip, lasts=lasts))
        # The early points are those at which something is half done.
        deaths = seeded.choice((0, 1, 1, 1, 2))
        kill_at = tuple(sorted(seeded.randrange(1, LAST_POINT) for _ in range(deaths)))
        made.append(Case(number, tuple(faults), kill_at, playlist=seeded.random() < 0.3))
    return made


class Box:
    """A box with one ready video, whose account is on the stand-in."""

    def __init__(self, stand: Stand, channel: Channel) -> None:
        self.settings, self.channel = stand.settings, channel
        self.user: User = make_user(role=Role.OWNER)
        self.video: Video = make_video(self.user, state=VideoState.READY, title="Clip")
        place = Layout(self.settings.data).rendition(self.video.public_id, "social")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(film(), place)
        Rendition.create(
            video=self.video, profile="social", recipe="1", state=RenditionState.READY,
            size_bytes=place.stat().st_size, method=Method.REMUX, sha256=digest(),
        )  # fmt: skip
        self.account: Account = Account.create(
            platform="youtube", name="Practice channel", remote_id=CHANNEL, practice=True
        )
        credentials = {"access_token": channel.token}
        accounts.seal(open_vault(self.settings), self.account, credentials)

    def post(self, title: str, **options: Any) -> Post:
        overrides = {"youtube": {"options": options}} if options else None
        with database.connection_context():
            return dispatch.create(
                self.settings,
                self.video,
                [self.account],
                author=self.user,
                title=title,
                overrides=overrides,
                again=True,
            )

    def there(self, title: str) -> list[dict[str, Any]]:
        return [v for v in self.channel.videos if v["snippet"]["title"] == title]


@pytest.fixture(scope="module")
def box(stand: Stand) -> Iterator[Box]:
    Layout(stand.settings.data).make_folders()
    open_database(stand.settings.database_path)
    migrate(stand.settings)
    with database.connection_context():
        made = Box(stand, Channel(stand))
    yield made


@pytest.fixture
def mortal(box: Box, monkeypatch: pytest.MonkeyPatch) -> Mortal:
    box.channel.emptied()
    return Mortal(box.settings, monkeypatch)


def check(box: Box, target: PostTarget, title: str, case: object) -> None:
    there = box.there(title)
    assert len(there) <= 1, case
    assert all(video["sha256"] == digest() for video in there), case
    public = [v for v in there if v["status"]["privacyStatus"] == "public" and not v["locked"]]
    if target.state is TargetState.PUBLISHED:
        (video,) = public
        assert target.remote_id == video["id"], case
        assert target.url == (f"{box.settings.base_url}/practice/google/watch?v={video['id']}"), (
            case
        )
    else:
        assert target.state in (TargetState.FAILED, TargetState.NEEDS_PERSON), case
        assert target.error, case


def run(box: Box, mortal: Mortal, case: Case) -> PostTarget:
    title = f"case {case.number}"
    box.channel.ground.set_faults(case.faults)
    post = box.post(title, **({"playlist": PLAYLIST} if case.playlist else {}))
    target = mortal.run(post, kill_at=case.kill_at)
    box.channel.ground.set_faults([])
    check(box, target, title, case)
    items = [i["video"] for i in box.channel.ground.all("item")]
    assert len(items) == len(set(items)), case
    if target.state is TargetState.NEEDS_PERSON:
        # Only where YouTube can't be asked, or says what nobody can read.
        assert any(fault.lasts or fault.kind == "blind" for fault in case.faults), case
    if not case.faults:
        assert target.state is TargetState.PUBLISHED, case
    return target


def test_a_post_goes_out_once_wherever_the_worker_dies(box: Box, mortal: Mortal) -> None:
    untouched = run(box, mortal, Case(-1, (), (), playlist=True))
    assert untouched.state is TargetState.PUBLISHED
    points = mortal.seen
    assert 30 < points < LAST_POINT
    chosen = range(1, points + 1) if LONG else random.Random(SEED).sample(range(1, points + 1), 5)
    for kill_at in chosen:
        run(box, mortal, Case(1000 + kill_at, (), (kill_at,), playlist=True))
        assert len(box.there(f"case {1000 + kill_at}")) == 1


@pytest.mark.timeout(1800 if LONG else 120)
def test_a_post_goes_out_at_most_once_whatever_happens(box: Box, mortal: Mortal) -> None:
    ends = [run(box, mortal, case).state for case in cases()]
    assert ends.count(TargetState.PUBLISHED) > len(ends) / 2
    if LONG:
        assert {TargetState.PUBLISHED, TargetState.FAILED} <= set(ends)


def test_an_access_token_that_died_early_is_made_anew(box: Box, mortal: Mortal) -> None:
    tokens = grants.grant(box.channel.ground)
    vault = open_vault(box.settings)
    with database.connection_context():
        before = accounts.credentials(vault, box.account)
        died_early = {
            "access_token": "ya29.dead",
            "access_token_until": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
            "refresh_token": tokens["refresh_token"],
            **CLIENT,
        }
        accounts.seal(vault, box.account, died_early)
    post = box.post("after the token died")
    try:
        target = mortal.run(post)
    finally:
        with database.connection_context():
            accounts.seal(vault, Account.get_by_id(box.account.id), before)
    check(box, target, "after the token died", None)
    assert target.state is TargetState.PUBLISHED
    assert len(box.channel.ground.calls("oauth.token")) == 1
    with database.connection_context():
        outcomes = {attempt.outcome for attempt in Attempt.select().where(Attempt.target == target)}
    assert "reconnect" not in outcomes
