"""Posts through the real web process, the practice platform and a delivery worker."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from appliance import accounts, jobs, posts
from appliance.clock import now
from appliance.errors import InvalidInput
from appliance.models import Account, Attempt, Job, PublicLink, Rendition, Video
from appliance.settings import Settings
from appliance.states import AccountState, JobState, RenditionState, VideoState
from tasks.publish import dispatch, material, sending, settling
from tests.tasks.publish.posting import Poster, connected, emptied, posting, working
from tests.tasks.test_plan import FITS
from tests.tasks.test_plan import video as changed
from tests.web.serving import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.models import Post


@pytest.fixture(scope="module")
def module_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Poster]:
    data = tmp_path_factory.mktemp("box") / "data"
    with posting(Settings(data=data, lease_s=2, sweep_s=0.5)) as poster:
        yield poster


@pytest.fixture
def idle(module_box: Poster) -> Iterator[Poster]:
    """A box on which nobody works yet."""
    with emptied(module_box) as poster:
        yield poster


@pytest.fixture
def box(idle: Poster) -> Iterator[Poster]:
    with working(idle.settings):
        yield idle


def steps(post: Post) -> list[tuple[str, str | None]]:
    """The record of the only target."""
    with connected():
        (target,) = posts.latest_targets(post)
        return [
            (attempt.step, attempt.outcome)
            for attempt in Attempt.select().where(Attempt.target == target).order_by(Attempt.id)
        ]


def publish_jobs(post: Post) -> list[Job]:
    with connected():
        return list(Job.select().where(Job.post == post).order_by(Job.id))


def test_a_ready_video_is_fetched_in_ranges_and_posted(box: Poster) -> None:
    video = box.video()
    post = box.post(video, title="At the lake", description="Two lines\nof text")
    (target,) = box.wait(post, "completed")
    (received,) = box.received()

    assert (received.title, received.caption) == ("At the lake", "Two lines\nof text")
    assert target.remote_id == received.post_id
    assert target.url == f"{box.url}/practice/v/{received.post_id}"
    original = box.layout.rendition(video.public_id, "social").read_bytes()
    assert box.practice.store.file(received.id).read_bytes() == original
    assert received.heads == 1 and received.ranges >= 3
    assert steps(post) == [("stage", "waiting"), ("poll", "staged"), ("go_live", "published")]
    assert [job.state for job in publish_jobs(post)] == [JobState.COMPLETED]


def test_the_public_link_dies_when_the_platform_has_finished(box: Poster) -> None:
    box.wait(box.post(box.video()), "completed")
    with connected():
        (link,) = PublicLink.select()
    assert link.revoked_at is not None
    assert link.last_used_at is not None


def test_a_post_of_a_video_that_is_not_ready_waits_and_goes_out_by_itself(box: Poster) -> None:
    video = box.video(ready=False)
    post = box.post(video)
    target = box.wait_target(post, "waiting")
    wait_until("it says why", lambda: "to be ready" in box.look(post)[1][0].stage)
    assert box.received() == []
    assert target.state == "waiting"

    with connected():
        rendition = Rendition.get(Rendition.video == video)
        box.make_ready(rendition)
        settling.rendition_settled(rendition)
    box.wait(post, "completed")
    assert len(box.received()) == 1


def test_a_post_that_waits_lifts_the_rendition_before_all_others(idle: Poster) -> None:
    with connected():
        video = idle.video(ready=False)
        idle.post(video)
        assert Rendition.get(Rendition.video == video).wanted == 90


def test_a_rendition_that_fails_fails_the_post_with_its_reason(idle: Poster) -> None:
    video = idle.video(ready=False)
    post = idle.post(video)
    with connected():
        Rendition.update(state=RenditionState.FAILED, error="The file ends too early.").where(
            Rendition.video == video
        ).execute()
        settling.rendition_settled(Rendition.get(Rendition.video == video))
    (target,) = idle.wait(post, "failed")
    assert "The file ends too early." in (target.error or "")


def test_the_folder_takes_the_original_when_no_rendition_can_be_made(box: Poster) -> None:
    video = box.video(ready=False, filename="Raw take.MOV", facts={}, size_bytes=5)
    original = box.layout.original(video.public_id)
    original.parent.mkdir(parents=True)
    original.write_bytes(b"12345")
    with connected():
        Rendition.update(state=RenditionState.FAILED).where(Rendition.video == video).execute()
        Video.update(state=VideoState.READY).where(Video.id == video.id).execute()
    post = box.post(video, "folder")
    box.wait(post, "completed")
    assert (box.settings.data / "published" / "Clip.mov").read_bytes() == b"12345"


def test_one_target_that_fails_does_not_stop_the_other(box: Poster) -> None:
    box.fault(refuse_publish=1)
    post = box.post(box.video(), "practice", "folder")
    by_platform = {t.account.platform: t for t in box.wait(post, "partial")}
    assert by_platform["folder"].state == "published"
    assert by_platform["practice"].state == "failed"
    assert "told to refuse" in (by_platform["practice"].error or "")
    job = next(j for j in publish_jobs(post) if j.target_id == by_platform["practice"].id)
    assert (job.state, job.error) == (JobState.FAILED, by_platform["practice"].error)

    with connected():
        dispatch.retry_failed(post, actor=box.user)
    box.wait(post, "completed")
    assert len(box.received()) == 1
    assert len(list((box.settings.data / "published").glob("*.mp4"))) == 1


@pytest.mark.parametrize(
    "fault", ["lose_publish", "break_after_publish", "break_before_publish", "lose_create"]
)
def test_a_lost_answer_is_looked_up_and_nothing_is_posted_twice(box: Poster, fault: str) -> None:
    box.fault(**{fault: 1})
    post = box.post(box.video())
    (target,) = box.wait(post, "completed")
    (received,) = box.received()
    assert target.remote_id == received.post_id
    assert ("reconcile" in dict(steps(post))) is True
    assert box.practice.store.faults() == {}


@pytest.mark.parametrize(
    ("fault", "value"), [("throttle", 1.0), ("slow", 2.0), ("fail_fetch", 1.0)]
)
def test_what_passes_is_waited_for(box: Poster, fault: str, value: float) -> None:
    box.fault(**{fault: value})
    box.wait(box.post(box.video()), "completed")
    assert len(box.received()) == 1


def test_a_file_that_is_rejected_is_not_sent_again_by_itself(box: Poster) -> None:
    box.fault(reject_file=1)
    post = box.post(box.video())
    (target,) = box.wait(post, "failed")
    assert target.error_code == "media_rejected"
    assert box.received() == []


def test_a_lost_sign_in_parks_posts_and_connecting_sends_them(box: Poster) -> None:
    box.fault(expire_token=1)
    post = box.post(box.video())
    wait_until("the account is marked", lambda: _state(box) is AccountState.RECONNECT)
    target = box.wait_target(post, "waiting")
    assert "connected again" in target.stage
    with connected(), pytest.raises(InvalidInput, match="connected again"):
        accounts_again = accounts.choose(platforms=["practice"])
        posts.create(box.video(), accounts_again, author=box.user)

    box.fault()  # the platform accepts the token again
    box.wait(post, "completed")
    assert len(box.received()) == 1
    assert _state(box) is AccountState.CONNECTED


def _state(box: Poster) -> AccountState:
    with connected():
        return Account.get(Account.platform == "practice").state


@pytest.mark.parametrize("there", [True, False])
def test_what_the_platform_cannot_tell_is_settled_by_a_person(box: Poster, there: bool) -> None:
    box.fault(lose_publish=1, cannot_tell=1)
    post = box.post(box.video())
    (target,) = box.wait(post, "failed")
    assert target.state == "needs_person"
    assert "Look on the platform" in (target.error or "")
    with connected():
        assert Attempt.get(Attempt.needs_person).step == "reconcile"

    box.fault()
    with connected():
        dispatch.settle(posts.latest_targets(post)[0], there=there, actor=box.user)
    (settled,) = box.wait(post, "completed")
    assert settled.generation == (1 if there else 2)
    # What was there before stays there: only a person may remove what may be public.
    with connected():
        assert dispatch.sweep() == 0
    assert len(box.received()) == (1 if there else 2)


def test_a_scheduled_post_goes_out_at_its_time_and_not_before(box: Poster) -> None:
    when = now() + timedelta(seconds=2)
    post = box.post(box.video(), publish_at=when)
    assert box.look(post)[0] == "scheduled"
    (target,) = box.wait(post, "completed")
    (received,) = box.received()
    assert target.published_at is not None and target.published_at >= when
    assert received.created_at >= when.strftime("%Y-%m-%dT%H:%M:%S")


def test_a_scheduled_post_that_is_late_goes_out_as_soon_as_possible(idle: Poster) -> None:
    post = idle.post(idle.video(), publish_at=now() + timedelta(seconds=0.3))
    wait_until("its time has passed", lambda: now() > post.publish_at)  # nobody works
    with working(idle.settings):
        idle.wait(post, "completed")


def test_a_cancelled_post_never_goes_out(idle: Poster) -> None:
    post = idle.post(idle.video(), publish_at=now() + timedelta(hours=1))
    at_once = idle.post(idle.video())
    with connected():
        dispatch.cancel(post, actor=idle.user)
        dispatch.cancel(at_once, actor=idle.user)
    with working(idle.settings):
        after = idle.post(idle.video(), title="Afterwards")
        idle.wait(after, "completed")
    assert [media.title for media in idle.received()] == ["Afterwards"]
    assert idle.look(post)[0] == idle.look(at_once)[0] == "cancelled"


def test_cancel_while_it_is_prepared_tidies_up_on_the_platform(box: Poster) -> None:
    box.fault(slow=30.0)
    post = box.post(box.video())
    box.wait_target(post, "staging")
    wait_until("the platform has it", lambda: box.practice.store.newest())
    with connected():
        dispatch.cancel(post, actor=box.user)
    wait_until("the platform has nothing left", lambda: not box.practice.store.newest())
    box.wait_target(post, "cancelled")
    wait_until(
        "no job is left",
        lambda: {job.state for job in publish_jobs(post)} <= {"completed", "cancelled"},
    )


def test_a_cancel_on_the_jobs_page_calls_the_post_back(idle: Poster) -> None:
    from tasks import pipeline

    post = idle.post(idle.video(), publish_at=now() + timedelta(hours=1))
    with connected():
        pipeline.cancel_job(publish_jobs(post)[0], idle.user)
    assert idle.look(post)[0] == "cancelled"


def test_a_video_deleted_before_its_time_is_not_posted(idle: Poster) -> None:
    video = idle.video()
    post = idle.post(video)
    with connected():
        Video.update(state=VideoState.TRASHED).where(Video.id == video.id).execute()
    with working(idle.settings):
        (target,) = idle.wait(post, "failed")
    assert target.error_code == "no_video"
    assert idle.received() == []


def test_a_text_that_the_platform_refuses_is_refused_at_once(idle: Poster) -> None:
    with pytest.raises(InvalidInput, match="100 are allowed"):
        idle.post(idle.video(), title="x" * 101)
    with connected():
        assert Job.select().where(Job.kind == "publish").count() == 0


def test_the_sweep_finds_a_target_that_nobody_works_on(idle: Poster) -> None:
    post = idle.post(idle.video())
    with connected():
        Job.delete().where(Job.post == post).execute()
    with working(idle.settings):  # its ticker sweeps
        idle.wait(post, "completed")


@pytest.mark.parametrize("state", [RenditionState.FAILED, RenditionState.PENDING])
def test_what_a_post_waited_for_is_made_when_its_account_is_back(
    state: RenditionState, idle: Poster
) -> None:
    """Meanwhile somebody has cancelled the making of a video that was ready: nobody is at it."""
    with connected():
        video = idle.video(facts=replace(FITS, **changed(codec="vp9")).to_dict())
        post = idle.post(video)
        (target,) = posts.latest_targets(post)
        Job.delete().where(Job.post == post).execute()
        Rendition.update(state=state).where(Rendition.video == video).execute()
        posts.note_target(target, sending.WAITS_FOR_ACCOUNT)
        dispatch.account_settled(target.account)
        (target,) = posts.latest_targets(post)
        assert (target.state.value, target.stage) == ("waiting", material.WAITS_FOR_VIDEO)
        (job,) = Job.select().where(Job.video == video)
        assert (job.rendition.profile, job.priority) == ("social", 90)
        assert dispatch.sweep() == 0  # it is under way


def test_a_post_of_an_upload_that_came_to_nothing_fails(idle: Poster) -> None:
    with connected():
        video = idle.video(ready=False)
        post = idle.post(video)
        Video.update(state=VideoState.FAILED, error="The upload expired.", facts=None).where(
            Video.id == video.id
        ).execute()
        Rendition.update(state=RenditionState.FAILED).where(Rendition.video == video).execute()
        dispatch.sweep()
    (target,) = idle.wait(post, "failed")
    assert "The upload expired." in (target.error or "")


def test_a_worker_that_lost_its_claim_changes_nothing(idle: Poster) -> None:
    import threading

    from tasks.context import Context
    from tasks.publish.task import publish

    post = idle.post(idle.video())
    with connected():
        stale = jobs.claim("delivery", "frozen", lease_s=0.0)
        assert stale is not None
        wait_until("its lease runs out", lambda: jobs.expired())
        assert jobs.take_back(stale)
    with pytest.raises(jobs.LeaseLost):
        publish(stale, Context(stale, idle.settings, threading.Event()))
    assert idle.practice.store.newest() == []
    assert idle.wait_target(post, "waiting")


def test_the_folder_gets_a_readable_name_and_its_texts(box: Poster) -> None:
    video = box.video()
    texts = {"title": 'A/B: "test" ☀', "description": "Hello"}
    for _ in range(2):
        box.wait(box.post(video, "folder", **texts, again=True), "completed")
    folder = box.settings.data / "published"
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    assert [name for name in names if name.endswith(".mp4")] == [
        "A B test ☀ (2).mp4",
        "A B test ☀.mp4",
    ]
    assert (folder / "A B test ☀.txt").read_text() == 'A/B: "test" ☀\n\nHello\n'
    facts = json.loads((folder / "A B test ☀ (2).json").read_text())
    assert facts["title"] == 'A/B: "test" ☀'
    assert [path.name for path in folder.glob(".*.part")] == []
