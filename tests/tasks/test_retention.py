"""Originals go by the policy, and only those that nothing needs; no crash makes a row lie."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from appliance import accounts, jobs, posts, retention
from appliance.clock import now
from appliance.db import database
from appliance.errors import Conflict, Forbidden, InvalidInput
from appliance.models import (
    Account,
    AuditEntry,
    Damage,
    Event,
    Job,
    Method,
    PublicLink,
    Rendition,
    Role,
    Video,
)
from appliance.retention import Originals, Policy
from appliance.states import JobState, PostState, RenditionState, VideoState
from appliance.vault import open_vault
from storage import inspection
from tasks import making, renditions, restarts
from tasks import retention as removal
from tasks.context import Context
from tasks.probe.facts import Probe
from tasks.standing_in import losses
from tests.factories import make_tables, make_user
from tests.storage.test_upload_kills import MOST, killed_at
from tests.storing import FACTS, ORIGINAL, SOCIAL, add_ready_video, add_rendition
from tests.tasks.doing import again, run_one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.settings import Settings
    from storage.layout import Layout

DELETE = Policy(Originals.DELETE, 30)
SMALLER = Policy(Originals.SMALLER, 30)


def chosen(policy: Policy) -> list[str]:
    return [video.public_id for video in removal.removable(policy, now())]


def apply(settings: Settings, policy: Policy) -> None:
    retention.choose(settings, make_user(f"{policy.kind}@example.org", Role.ADMIN), policy)
    jobs.create("retain", "retain")
    assert run_one(settings, "delivery").state is JobState.COMPLETED


# What the words mean


@pytest.mark.parametrize(
    ("policy", "columns", "goes"),
    [
        pytest.param(Policy(), {}, False, id="keep"),
        pytest.param(DELETE, {}, True, id="delete"),
        pytest.param(DELETE, {"days": 29}, False, id="delete-too-young"),
        pytest.param(DELETE, {"stands_in": False}, True, id="delete-though-it-shows-less"),
        pytest.param(DELETE, {"method": Method.LEAVE}, False, id="delete-nothing-won"),
        pytest.param(SMALLER, {}, True, id="smaller"),
        pytest.param(SMALLER, {"stands_in": False}, False, id="smaller-shows-less"),
        pytest.param(SMALLER, {"stands_in": None}, False, id="smaller-never-compared"),
        pytest.param(DELETE, {"keep_original": True}, False, id="pinned"),
        pytest.param(DELETE, {"state": VideoState.FAILED}, False, id="failed"),
        pytest.param(DELETE, {"state": VideoState.PROCESSING}, False, id="not-ready"),
        pytest.param(DELETE, {"state": VideoState.TRASHED}, False, id="in-the-bin"),
        pytest.param(DELETE, {"original_removed_at": now()}, False, id="gone-already"),
    ],
)
def test_what_a_policy_removes(
    db: None, layout: Layout, policy: Policy, columns: dict[str, Any], goes: bool
) -> None:
    video = add_ready_video(layout, **columns)
    assert chosen(policy) == ([video.public_id] if goes else [])
    freed = removal.would_free(policy)
    assert (freed.count, freed.size_bytes) == ((1, len(ORIGINAL)) if goes else (0, 0))


@pytest.mark.parametrize(
    ("size", "changes", "stands_in"),
    [
        pytest.param(959, {}, True, id="smaller"),
        pytest.param(960, {}, False, id="as-large"),
        pytest.param(1, {"fps": 24.0}, False, id="fewer-pictures"),
        pytest.param(1, {"fps": 24.98}, True, id="nearly-all-pictures"),
        pytest.param(1, {"shown_width": 158}, False, id="narrower"),
        pytest.param(1, {"duration_s": 1.0}, False, id="shorter"),
    ],
)
def test_what_could_be_the_only_copy(
    db: None, layout: Layout, size: int, changes: dict[str, Any], stands_in: bool
) -> None:
    video = add_ready_video(layout)
    made = {**FACTS, "video": {**FACTS["video"], "codec": "h264"}}
    for name, value in changes.items():
        (made if name in made else made["video"])[name] = value
    file = layout.tmp / "made"
    file.write_bytes(bytes(size))
    assert making._stands_in(video, making.Made(file, facts={"probe": made})) is stands_in


@pytest.mark.parametrize(
    ("original", "made", "lost"),
    [
        ({"pix_fmt": "yuv420p10le"}, {}, ["all of its colours"]),
        ({"pix_fmt": "yuv422p"}, {}, ["all of its colours"]),
        ({"pix_fmt": "yuv420p10le"}, {"pix_fmt": "yuv420p10le"}, []),
        ({"transfer": "pq"}, {}, ["its range of brightness"]),
        ({"interlaced": True}, {}, ["both fields of each picture"]),
        ({"shown_height": 240}, {}, ["its full size"]),
    ],
)
def test_what_is_lost(original: dict[str, Any], made: dict[str, Any], lost: list[str]) -> None:
    before = Probe.from_dict({**FACTS, "video": {**FACTS["video"], **original}})
    after = Probe.from_dict({**FACTS, "video": {**FACTS["video"], **made}})
    assert losses(before, after) == lost


def test_sound_tracks_and_chapters_are_not_lost() -> None:
    sound = {"index": 1, "codec": "aac", "profile": "LC", "rate_hz": 48000, "channels": 6,
             "bit_rate": None, "first_s": 0.0}  # fmt: skip
    tracks = [{"index": 0, "type": "video"}, {"index": 1, "type": "audio"},
              {"index": 2, "type": "subtitle"}, {"index": 3, "type": "data"}]  # fmt: skip
    before = Probe.from_dict(
        {**FACTS, "audio": sound, "all_tracks": tracks, "chapters": [{"start_s": 0.0}]}
    )
    stereo = Probe.from_dict({**FACTS, "audio": {**sound, "channels": 2}, "all_tracks": tracks[:2]})
    assert losses(before, stereo) == [
        "all channels of its sound", "its further tracks", "its chapters",
    ]  # fmt: skip
    assert losses(before, Probe.from_dict({**FACTS, "all_tracks": tracks[:3]}))[0] == "its sound"


def wants_a_poster(video: Video) -> None:
    jobs.create("poster", "poster:x", video=video)


def has_a_job_under_way(video: Video) -> None:
    jobs.create("encode", "encode:x", video=video)
    assert jobs.claim("media", "me", lease_s=60) is not None


def has_a_link_to_its_original(video: Video) -> None:
    PublicLink.create(
        token_hash="x", video=video, purpose="share", expires_at=now() + timedelta(hours=1)
    )


def has_a_failed_version(video: Video) -> None:
    Rendition.create(video=video, profile="preview", state=RenditionState.FAILED)


def has_a_version_to_come(video: Video) -> None:
    Rendition.create(video=video, profile="preview")


def has_a_stale_version(video: Video) -> None:
    Rendition.update(recipe="0").where(Rendition.video == video).execute()


def was_made_anew_yesterday(video: Video) -> None:
    yesterday = now() - timedelta(days=1)
    Rendition.update(ready_at=yesterday).where(Rendition.video == video).execute()


def is_damaged(video: Video) -> None:
    Damage.create(video=video, name="social", problem="size")


@pytest.mark.parametrize(
    "befalls",
    [
        wants_a_poster,
        has_a_job_under_way,
        has_a_link_to_its_original,
        has_a_failed_version,
        has_a_version_to_come,
        has_a_stale_version,
        was_made_anew_yesterday,
        is_damaged,
    ],
)
def test_whatever_may_need_the_original_spares_it(
    db: None, layout: Layout, befalls: Callable[[Video], None]
) -> None:
    befalls(add_ready_video(layout))
    assert chosen(DELETE) == []


@pytest.mark.parametrize("state", list(PostState))
def test_posts_that_are_not_at_their_end_spare_it(
    db: None, layout: Layout, settings: Settings, state: PostState
) -> None:
    accounts.ensure_builtin(settings, open_vault(settings))
    video = add_ready_video(layout, make_user())
    post = posts.create(video, [Account.get()], author=video.owner, draft=True)
    type(post).update(state=state).execute()
    ended = state in (
        PostState.COMPLETED, PostState.PARTIAL, PostState.FAILED, PostState.CANCELLED
    )  # fmt: skip
    assert bool(chosen(DELETE)) == ended


def test_what_spares_a_video_has_an_end(db: None, layout: Layout) -> None:
    video = add_ready_video(layout)
    wants_a_poster(video)
    has_a_link_to_its_original(video)
    Job.update(state=JobState.FAILED).execute()
    PublicLink.update(revoked_at=now()).execute()
    assert chosen(DELETE) == [video.public_id]


def test_the_numbers_say_who_is_spared(db: None, layout: Layout) -> None:
    add_ready_video(layout)
    add_ready_video(layout, keep_original=True)
    add_ready_video(layout, days=3)
    assert removal.would_free(DELETE) == removal.Freed(1, len(ORIGINAL), spared=1)


# Who says so


def test_a_policy_is_kept_and_told(db: None, settings: Settings) -> None:
    assert retention.policy_of(settings) == retention.Chosen(Policy(), fixed=False)
    admin = make_user("admin@example.org", Role.ADMIN)
    retention.choose(settings, admin, SMALLER)
    assert retention.policy_of(settings).policy == SMALLER
    retention.choose(settings, admin, DELETE)
    assert retention.policy_of(settings).policy == DELETE
    entry = AuditEntry.select().order_by(AuditEntry.id.desc()).get()
    assert (entry.action, entry.detail["kind"]) == ("storage.policy", "delete")


def test_the_settings_of_the_box_are_stronger(db: None, settings: Settings) -> None:
    admin = make_user("admin@example.org", Role.ADMIN)
    retention.choose(settings, admin, DELETE)
    fixed = settings.model_copy(update={"keep_originals": "smaller:7"})
    assert retention.policy_of(fixed) == retention.Chosen(Policy(Originals.SMALLER, 7), fixed=True)
    with pytest.raises(Conflict, match="APPLIANCE_KEEP_ORIGINALS"):
        retention.choose(fixed, admin, Policy())


def test_only_admins_choose(db: None, settings: Settings) -> None:
    with pytest.raises(Forbidden):
        retention.choose(settings, make_user(), DELETE)


@pytest.mark.parametrize(
    ("kind", "days"), [("burn", 3), ("delete", 0), ("delete", 10_000), ("delete", True)]
)
def test_what_is_no_policy_is_refused(kind: str, days: Any) -> None:
    with pytest.raises(InvalidInput):
        retention.make(kind, days)


# Removing


def test_the_job_removes_what_the_page_said(db: None, layout: Layout, settings: Settings) -> None:
    goes, stays = add_ready_video(layout), add_ready_video(layout, keep_original=True)
    apply(settings, DELETE)
    assert again(goes).original_removed_at is not None
    assert not layout.original(goes.public_id).exists()
    assert layout.rendition(goes.public_id, "social").read_bytes() == SOCIAL
    assert again(stays).original_removed_at is None
    assert layout.original(stays.public_id).read_bytes() == ORIGINAL
    told = Event.get(Event.type == "video.original_removed")
    assert (told.video_id, told.data["size_bytes"]) == (goes.id, len(ORIGINAL))
    assert AuditEntry.select().where(AuditEntry.action == "video.original_removed").exists()


def test_a_version_that_rotted_does_not_cost_the_original(
    db: None, layout: Layout, settings: Settings
) -> None:
    video = add_ready_video(layout)
    path = layout.rendition(video.public_id, "social")
    path.write_bytes(SOCIAL[:-1] + b"X")
    apply(settings, DELETE)
    assert again(video).original_removed_at is None
    assert layout.original(video.public_id).read_bytes() == ORIGINAL
    damage = Damage.get()
    assert (damage.name, damage.problem) == ("social", "content")


def test_what_was_begun_meanwhile_keeps_the_original(
    db: None, layout: Layout, settings: Settings
) -> None:
    """Between the reading of the version and the row, which may be minutes."""
    video = add_ready_video(layout)
    jobs.create("retain", "retain")
    job = jobs.claim("delivery", "me", lease_s=60)
    assert job is not None

    class Meanwhile(Context):
        def check(self) -> None:
            wants_a_poster(video)

    assert (
        removal._remove_one(video.id, DELETE, Meanwhile(job, settings, threading.Event())) is None
    )
    assert layout.original(video.public_id).exists()
    assert again(video).original_removed_at is None


def test_nothing_can_be_made_of_what_is_gone(db: None, layout: Layout, settings: Settings) -> None:
    video = add_ready_video(layout)
    apply(settings, DELETE)
    rendition = Rendition.get()
    for attempt in (
        lambda: renditions.remake(rendition, 50),  # type: ignore[arg-type]  # any priority
        lambda: renditions.want_rendition(video, "preview"),
        lambda: restarts.retry_video(video, None),
    ):
        with pytest.raises(Conflict) as caught:
            attempt()
        assert caught.value.code == "original_removed"
    assert Rendition.get_by_id(rendition.id).state is RenditionState.READY
    assert again(video).state is VideoState.READY
    assert renditions.want_rendition(again(video)).state is RenditionState.READY


# Crashes


@pytest.fixture
def box(settings: Settings, layout: Layout) -> Iterator[Settings]:
    """Not on the fixture ``db``: its connection is closed and opened again around each fork."""
    make_tables(settings)
    database.connect()
    yield settings
    database.close()


def test_killed_anywhere_while_removing(box: Settings, layout: Layout) -> None:
    """The row says "removed", or the original is whole; the next run finishes what was begun."""
    states = set()
    for number in range(1, MOST):
        video = add_ready_video(layout)
        jobs.create("retain", f"retain:{number}")
        job = jobs.claim("delivery", "me", lease_s=600)
        assert job is not None
        context = Context(job, box, threading.Event())
        killed = killed_at(number, lambda v=video, c=context: removal._remove_one(v.id, DELETE, c))  # type: ignore[misc]
        here, said = layout.original(video.public_id).exists(), again(video).original_removed_at
        assert here or said  # never a row without its file
        states.add((here, bool(said)))
        removal.finish_removals(layout)
        assert layout.original(video.public_id).exists() is (
            again(video).original_removed_at is None
        )
        portion = inspection.look_through(layout, 0, 1000)
        assert (portion.wrong, portion.strays) == ([], [])
        if not killed:
            break
        Video.delete().execute()
        Job.delete().execute()
    else:
        raise AssertionError("it never came to its end")
    assert states == {(True, False), (True, True), (False, True)}


def test_a_twin_that_has_changed_on_the_disk_is_not_used(
    db: None, settings: Settings, layout: Layout
) -> None:
    """It may be the damaged file itself: twins are one file by two names."""
    first, second = add_ready_video(layout), add_ready_video(layout)
    Rendition.update(facts={}).execute()
    jobs.create("remux", "remux")
    job = jobs.claim("quick", "test", lease_s=60)
    assert job is not None
    context = Context(job, settings, threading.Event())
    twin = renditions.find_twin(second, removal.profiles.current("social"))
    assert twin is not None
    file = layout.rendition(first.public_id, "social")
    file.write_bytes(SOCIAL[:-1] + b"X")
    assert making._reuse(second, twin, context) is None
    file.write_bytes(SOCIAL)
    assert making._reuse(second, twin, context) is not None


def test_a_twin_outlives_the_original_of_the_other(db: None, layout: Layout) -> None:
    """Of the same bytes another video still has the version: it can be made from there."""
    gone = add_ready_video(layout, original_removed_at=now())
    Rendition.update(state=RenditionState.FAILED).where(Rendition.video == gone).execute()
    add_ready_video(layout)
    assert renditions.find_twin(gone, removal.profiles.current("social")) is not None
    add_rendition(layout, gone, "preview", b"preview")
    assert again(gone).original_removed_at is not None
