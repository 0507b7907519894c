"""Posts that need another file than the social rendition: one made for the place, or the original.

Through the real web process, the practice platform and a delivery worker.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from appliance import posts
from appliance.db import transaction
from appliance.models import Attempt, Job, Rendition, Video
from appliance.settings import Settings
from appliance.states import RenditionState, VideoState
from tasks.acceptance import DELIVERIES, PRACTICE, Delivery
from tasks.publish import settling
from tests import media
from tests.tasks.publish.posting import Poster, connected, emptied, posting, working
from tests.tasks.test_plan import FITS
from tests.tasks.test_plan import video as changed
from tests.web.serving import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.models import Post

# Larger than the place takes, once it was made for all.
LARGE = replace(FITS, size_bytes=500_000_000, duration_s=600.0)


@pytest.fixture(scope="module")
def module_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Poster]:
    data = tmp_path_factory.mktemp("box") / "data"
    with posting(Settings(data=data, lease_s=2, sweep_s=0.5)) as poster:
        yield poster


@pytest.fixture
def box(module_box: Poster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Poster]:
    """Its practice platform is as narrow as Instagram."""
    place = replace(PRACTICE, max_bytes=300_000_000, max_duration_s=900.0)
    monkeypatch.setitem(DELIVERIES, "practice", Delivery(place, ("social", "instagram")))
    with emptied(module_box) as poster, working(poster.settings):
        yield poster


def put(box: Poster, video: Video, profile: str, file: Path, **columns: Any) -> Rendition:
    place = box.layout.rendition(video.public_id, profile)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, place)
    values = {"state": RenditionState.READY, "size_bytes": place.stat().st_size, **columns}
    Rendition.update(**values).where(
        Rendition.video == video, Rendition.profile == profile
    ).execute()
    return Rendition.get(Rendition.video == video, Rendition.profile == profile)


def unready(box: Poster, **columns: Any) -> Video:
    """Its social rendition isn't made yet; no sweep of the worker takes it for forgotten."""
    with connected():
        video = box.video(**columns)
        Rendition.update(state=RenditionState.PENDING).where(Rendition.video == video).execute()
    return video


def put_original(box: Poster, video: Video) -> bytes:
    original = box.layout.original(video.public_id)
    original.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(media.h264_aac(1), original)
    return original.read_bytes()


def fail(video: Video, profile: str) -> None:
    wanted = (Rendition.video == video) & (Rendition.profile == profile)
    with transaction():  # as the job does
        Rendition.update(state=RenditionState.FAILED, error="The encoder broke.").where(
            wanted
        ).execute()
        settling.rendition_settled(Rendition.get(wanted))


def details(post: Post) -> list[str | None]:
    with connected():
        (target,) = posts.latest_targets(post)
        return [
            a.detail
            for a in Attempt.select().where(Attempt.target == target, Attempt.step == "stage")
        ]


def test_a_variant_is_made_when_a_post_needs_it_and_then_goes_out(box: Poster) -> None:
    video = box.video(facts=LARGE.to_dict())
    with connected():
        put(box, video, "social", media.h264_aac(), facts={"probe": LARGE.to_dict()})
        put_original(box, video)
    post = box.post(video)
    target = box.wait_target(post, "waiting")
    assert target.stage == "Waiting for “Instagram, under 300 MB” to be ready"
    with connected():
        variant = Rendition.get(Rendition.video == video, Rendition.profile == "instagram")
        assert variant.wanted == 90
        (job,) = Job.select().where(Job.rendition == variant)
        assert (job.kind, job.priority) == ("encode", 90)
    assert box.received() == []

    with connected():
        settling.rendition_settled(put(box, video, "instagram", media.h264_aac(1)))
    box.wait(post, "completed")
    (received,) = box.received()
    assert box.practice.store.file(received.id).read_bytes() == media.h264_aac(1).read_bytes()
    with connected():
        (target,) = posts.latest_targets(post)
        assert target.rendition.profile == "instagram"
        assert target.stage == "“Instagram, under 300 MB” went out"
    (said,) = {detail for detail in details(post) if detail}
    assert "500 MB are too many" in said


def test_the_social_rendition_is_looked_at_when_it_is_there(box: Poster) -> None:
    """How large an encode becomes isn't known before: the post waits for it, then for another."""
    video = unready(box, facts=replace(LARGE, **changed(codec="vp9")).to_dict())
    with connected():
        put_original(box, video)
    post = box.post(video)
    assert "to be ready" in box.wait_target(post, "waiting").stage
    with connected():
        assert not Rendition.select().where(Rendition.profile == "instagram").exists()
        social = put(box, video, "social", media.h264_aac(), facts={"probe": LARGE.to_dict()})
        settling.rendition_settled(social)
    wait_until("it waits for the variant", lambda: "300 MB" in box.look(post)[1][0].stage)


def test_what_no_rendition_can_be_made_to_fit_fails_at_once(box: Poster) -> None:
    video = box.video(facts=replace(LARGE, duration_s=1200.0).to_dict())
    (target,) = box.wait(box.post(video), "failed")
    assert "20 min are too long" in (target.error or "")


def test_the_original_goes_out_where_the_place_accepts_it(box: Poster) -> None:
    video = unready(box, facts=FITS.to_dict(), size_bytes=5)
    with connected():
        original = put_original(box, video)
        post = box.post(video)
        Video.update(state=VideoState.FAILED).where(Video.id == video.id).execute()
        fail(video, "social")
        (target,) = posts.latest_targets(post)
        assert target.stage == "Waiting for “Instagram, under 300 MB” to be ready"
        fail(video, "instagram")  # which was begun instead
    (target,) = box.wait(post, "completed")
    assert "original went out" in target.stage
    (received,) = box.received()
    assert box.practice.store.file(received.id).read_bytes() == original
    (said,) = {detail for detail in details(post) if detail}
    assert said == "No rendition could be made (The encoder broke.); the original goes out."


def test_an_original_that_the_place_refuses_does_not_go_out(box: Poster) -> None:
    refused = replace(FITS, **changed(codec="vp9"))
    video = unready(box, facts=refused.to_dict())
    with connected():
        put_original(box, video)
        post = box.post(video)
        Video.update(state=VideoState.FAILED).where(Video.id == video.id).execute()
        fail(video, "social")
        (target,) = posts.latest_targets(post)
        assert target.stage == "Waiting for “Instagram, under 300 MB” to be ready"
        fail(video, "instagram")  # which was begun instead
    (target,) = box.wait(post, "failed")
    assert "The encoder broke." in (target.error or "")
    assert box.received() == []


def test_a_stale_rendition_goes_out(box: Poster) -> None:
    video = box.video(facts=FITS.to_dict())
    with connected():
        Rendition.update(recipe="of long ago").where(Rendition.video == video).execute()
    (target,) = box.wait(box.post(video), "completed")
    assert len(box.received()) == 1
    assert target.stage == ""  # the usual one
