"""Files in their places, whatever a crash cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance import jobs, videos
from appliance.models import Job, User, Video
from appliance.states import VideoState
from storage import media
from tests.factories import make_user, make_video

if TYPE_CHECKING:
    from storage.layout import Layout


@pytest.fixture
def user(db: None) -> User:
    return make_user()


@pytest.fixture
def video(user: User, layout: Layout) -> Video:
    video = make_video(user, state=VideoState.READY)
    layout.video(video.public_id).mkdir()
    layout.original(video.public_id).write_bytes(b"film")
    return video


def test_place_makes_the_folder_and_replaces(layout: Layout) -> None:
    video_id = "0" * 26
    for content in (b"first", b"second"):
        aside = layout.tmp / "aside"
        aside.write_bytes(content)
        aside.chmod(0o604)
        media.place(aside, layout.original(video_id))
        assert layout.original(video_id).read_bytes() == content
        assert not aside.exists()
    # Its group is the proxy's, installed; the folder `data` says who gets here at all.
    assert layout.video(video_id).stat().st_mode & 0o777 == 0o750
    assert layout.original(video_id).stat().st_mode & 0o777 == 0o644


def test_to_the_bin_and_back_may_be_repeated(layout: Layout, video: Video) -> None:
    for _ in range(2):
        media.move_to_trash(layout, video.public_id)
        assert not layout.video(video.public_id).exists()
    for _ in range(2):
        media.move_from_trash(layout, video.public_id)
        assert layout.original(video.public_id).read_bytes() == b"film"


def test_the_rows_say_where_files_belong(layout: Layout, video: Video, user: User) -> None:
    videos.trash(video, actor=user)  # killed before the move
    media.settle_trash(layout)
    assert layout.trashed(video.public_id).exists()
    videos.restore(Video.get(), actor=user)
    media.settle_trash(layout)
    assert layout.original(video.public_id).exists()


def test_nothing_of_a_removed_video_is_left(layout: Layout, video: Video) -> None:
    layout.trashed(video.public_id).mkdir()
    media.remove_video_files(layout, video.public_id)
    assert not layout.video(video.public_id).exists()
    assert not layout.trashed(video.public_id).exists()
    media.remove_video_files(layout, video.public_id)


def test_work_folders_live_as_long_as_their_claim(layout: Layout, video: Video) -> None:
    jobs.create("probe", "probe:x", video=video)
    job = jobs.claim("quick", "me", lease_s=60)
    assert job is not None
    held = layout.job_folder(job.public_id, job.fence)
    older = layout.job_folder(job.public_id, job.fence - 1)
    strange = layout.tmp / "strange"
    for folder in (held, older, strange):
        folder.mkdir()
    assert sorted(media.sweep_tmp(layout)) == sorted([older.name, strange.name])
    assert held.exists()
    Job.update(lease_until=0).execute()
    assert media.sweep_tmp(layout) == [held.name]
