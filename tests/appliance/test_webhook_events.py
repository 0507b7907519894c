"""Events for programs elsewhere are what really happens, and docs/events.md tells all of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance import posts
from appliance.models import Account, Event, Post, PostTarget
from appliance.states import PostState, TargetState
from appliance.webhook_events import EVENTS, body_of
from tests.factories import make_user, make_video

if TYPE_CHECKING:
    from peewee import SqliteDatabase

PAGE = Path(__file__).parents[2] / "docs" / "events.md"


def test_the_page_tells_all_events() -> None:
    lines = re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert dict(lines) == {name: words for name, (words, _) in EVENTS.items()}


@pytest.mark.parametrize("state", TargetState)
def test_every_state_of_an_account_has_its_event(db: SqliteDatabase, state: TargetState) -> None:
    assert f"target.{state}" in EVENTS


@pytest.mark.parametrize("state", [s for s in PostState if s is not PostState.DRAFT])
def test_every_state_of_a_post_has_its_event(db: SqliteDatabase, state: PostState) -> None:
    assert f"post.{state}" in EVENTS


def test_bodies_have_the_fields_and_nothing_else(db: SqliteDatabase) -> None:
    account = Account.create(platform="youtube", name="Channel", remote_id="UC1")
    post = Post.create(video=make_video(make_user()), state=PostState.PROCESSING)
    target = PostTarget.create(post=post, account=account, state=TargetState.PUBLISHING)
    posts.move_target(target, TargetState.PUBLISHED, url="https://youtube.com/shorts/x")
    bodies = {event.type: body_of(event) for event in Event.select()}
    published = bodies["target.published"]
    assert published is not None and set(published) == {"type", "timestamp", "data"}
    assert published["data"]["url"] == "https://youtube.com/shorts/x"
    assert published["data"]["target_error"] is None
    assert published["timestamp"].endswith("Z")
    for name, body in bodies.items():
        assert body is not None and tuple(body["data"]) == EVENTS[name][1]
    # Fields that are promised are there when it happens, not only null.
    (row,) = Event.select().where(Event.type == "target.published")
    assert set(EVENTS["target.published"][1]) <= set(row.data)
    assert body_of(Event(type="job.progress", data={})) is None
