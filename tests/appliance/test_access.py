"""Who sees and may change what: one table, held to the functions that decide it."""

from __future__ import annotations

from typing import Any

import pytest

from appliance import access, events, jobs
from appliance.clock import now
from appliance.errors import Forbidden, NotFound
from appliance.models import Event, Post, Role, Source, Upload, User, Video, Visibility
from appliance.states import VideoState
from tests.factories import make_user, make_video

pytestmark = pytest.mark.usefixtures("db")

ROLES = (Role.VIEWER, Role.EDITOR, Role.ADMIN, Role.OWNER)


class World:
    """One user of each role; videos of the team, of each of them in private, and of nobody."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {
            role.value: make_user(f"{role.value}@example.org", role) for role in ROLES
        }
        self.videos: dict[str, Video] = {
            "team": make_video(make_user("somebody@example.org"), title="team"),
            "orphan": make_video(None, title="orphan", visibility=Visibility.PRIVATE),
        }
        for name, user in self.users.items():
            self.videos[name] = make_video(user, title=name, visibility=Visibility.PRIVATE)


@pytest.fixture
def world() -> World:
    return World()


SEEN = {
    "viewer": {"team", "viewer"},
    "editor": {"team", "editor"},
    "admin": {"team", "orphan", "viewer", "editor", "admin", "owner"},
    "owner": {"team", "orphan", "viewer", "editor", "admin", "owner"},
}


@pytest.mark.parametrize("role", SEEN)
def test_videos_that_each_role_sees(world: World, role: str) -> None:
    user = world.users[role]
    assert {video.title for video in access.visible_videos(user)} == SEEN[role]
    for name, video in world.videos.items():
        if name in SEEN[role]:
            assert access.get_video(user, video.public_id).id == video.id
        else:
            with pytest.raises(NotFound):
                access.get_video(user, video.public_id)


@pytest.mark.parametrize("role", SEEN)
def test_what_belongs_to_a_video_is_seen_with_it(world: World, role: str) -> None:
    user = world.users[role]
    for video in world.videos.values():
        Post.create(video=video, title=video.title)
        jobs.create("probe", f"probe:{video.title}", video=video)
    assert {post.title for post in access.visible_posts(user)} == SEEN[role]
    assert {job.video.title for job in access.visible_jobs(user)} == SEEN[role]
    for post in Post.select():
        if post.title in SEEN[role]:
            assert access.get_post(user, post.public_id).id == post.id
        else:
            with pytest.raises(NotFound):
                access.get_post(user, post.public_id)


@pytest.mark.parametrize("role", SEEN)
def test_events_follow_the_same_rule_in_both_forms(world: World, role: str) -> None:
    user = world.users[role]
    for video in world.videos.values():
        events.record("video.ready", f"video:{video.public_id}", video=video, name=video.title)
    events.record("job.queued", "job:x", admins_only=True, name="box")
    expected = SEEN[role] | ({"box"} if role in ("admin", "owner") else set())
    assert {event.data["name"] for event in access.visible_events(user)} == expected
    one_by_one = {
        event.data["name"]
        for event in Event.select()
        if access.may_see_event(user.role, user.id, event)
    }
    assert one_by_one == expected


@pytest.mark.parametrize("role", SEEN)
def test_jobs_without_a_video_are_the_admins(world: World, role: str) -> None:
    job = jobs.create("publish", "publish:today")
    user = world.users[role]
    if role in ("admin", "owner"):
        assert access.get_job(user, job.public_id).id == job.id
    else:
        with pytest.raises(NotFound):
            access.get_job(user, job.public_id)


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        ("viewer", {"viewer"}),
        ("editor", {"editor"}),
        ("admin", {"viewer", "editor", "admin", "owner"}),
        ("owner", {"viewer", "editor", "admin", "owner"}),
    ],
)
def test_uploads_are_their_owners_and_the_admins(world: World, role: str, seen: set[str]) -> None:
    for name, user in world.users.items():
        Upload.create(
            owner=user, token_hash=name, source=Source.BROWSER, filename=name, expires_at=now()
        )
    assert {upload.filename for upload in access.visible_uploads(world.users[role])} == seen
    for upload in Upload.select():
        if upload.filename not in seen:
            with pytest.raises(NotFound):
                access.get_upload(world.users[role], upload.public_id)


@pytest.mark.parametrize(
    ("role", "may_change", "may_delete_own", "may_delete_others"),
    [
        ("viewer", False, False, False),
        ("editor", True, True, False),
        ("admin", True, True, True),
        ("owner", True, True, True),
    ],
)
def test_changing_and_deleting(
    world: World, role: str, may_change: bool, may_delete_own: bool, may_delete_others: bool
) -> None:
    user, team = world.users[role], world.videos["team"]
    assert access.may_change(user, team) is may_change
    assert access.may_delete(user, world.videos[role]) is may_delete_own
    assert access.may_delete(user, team) is may_delete_others


def test_the_bin_is_apart_and_follows_the_same_rule(world: World) -> None:
    editor = world.users["editor"]
    for name in ("team", "editor", "viewer"):
        Video.update(state=VideoState.TRASHED).where(Video.title == name).execute()
    assert {video.title for video in access.visible_videos(editor)} == set()
    assert {v.title for v in access.visible_videos(editor, trashed=True)} == {"team", "editor"}
    with pytest.raises(NotFound):
        access.get_video(editor, world.videos["team"].public_id)
    assert access.get_video(editor, world.videos["team"].public_id, trashed=True)


@pytest.mark.parametrize("has", ROLES)
@pytest.mark.parametrize("asked", ROLES)
def test_roles_are_ordered(has: Role, asked: Role) -> None:
    user: Any = User(role=has)
    allowed = ROLES.index(has) >= ROLES.index(asked)
    assert access.at_least(user, asked) is allowed
    if not allowed:
        with pytest.raises(Forbidden, match=asked.value):
            access.require(user, asked)


def test_unknown_and_hidden_look_alike(world: World) -> None:
    editor = world.users["editor"]
    with pytest.raises(NotFound) as hidden:
        access.get_video(editor, world.videos["viewer"].public_id)
    with pytest.raises(NotFound) as unknown:
        access.get_video(editor, "0" * 26)
    assert (str(hidden.value), hidden.value.code) == (str(unknown.value), unknown.value.code)
