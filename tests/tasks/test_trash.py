"""Into the bin and out of it, with the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.errors import Conflict, Forbidden
from appliance.models import Role, Video
from appliance.states import VideoState
from storage.media import settle_trash
from tasks import trash
from tests.factories import make_user, make_video

if TYPE_CHECKING:
    from storage.layout import Layout


def with_original(layout: Layout, **columns: object) -> Video:
    video = make_video(make_user(), **columns)
    layout.video(video.public_id).mkdir()
    layout.original(video.public_id).write_bytes(b"original")
    return video


def test_undo_brings_back_state_and_files(db: None, layout: Layout) -> None:
    video = with_original(layout, state=VideoState.READY)
    trash.throw_away(video, video.owner, layout)
    assert not layout.video(video.public_id).exists()
    trash.take_out(Video.get_by_id(video.id), video.owner, layout)
    assert Video.get_by_id(video.id).state is VideoState.READY
    assert layout.original(video.public_id).read_bytes() == b"original"


def test_what_a_late_job_made_is_kept_with_the_rest(db: None, layout: Layout) -> None:
    video = with_original(layout, state=VideoState.PROCESSING)
    trash.throw_away(video, video.owner, layout)
    layout.video(video.public_id).mkdir()
    layout.rendition(video.public_id, "social").write_bytes(b"rendition")
    trash.take_out(Video.get_by_id(video.id), video.owner, layout)
    assert layout.original(video.public_id).read_bytes() == b"original"
    assert layout.rendition(video.public_id, "social").read_bytes() == b"rendition"
    assert not layout.trashed(video.public_id).exists()


def test_sweep_takes_what_a_late_job_made_into_the_bin(db: None, layout: Layout) -> None:
    video = with_original(layout, state=VideoState.PROCESSING)
    trash.throw_away(video, video.owner, layout)
    layout.video(video.public_id).mkdir()
    layout.rendition(video.public_id, "social").write_bytes(b"rendition")
    settle_trash(layout)
    assert not layout.video(video.public_id).exists()
    names = sorted(path.name for path in layout.trashed(video.public_id).iterdir())
    assert names == ["original", "social.mp4"]


def test_only_owner_and_admins_delete(db: None, layout: Layout) -> None:
    video = with_original(layout)
    other = make_user("other@example.org")
    with pytest.raises(Forbidden):
        trash.throw_away(video, other, layout)
    trash.throw_away(video, make_user("admin@example.org", Role.ADMIN), layout)


def test_video_that_never_arrived_has_nothing_to_restore(db: None, layout: Layout) -> None:
    video = make_video(make_user(), state=VideoState.UPLOADING)
    trash.throw_away(video, video.owner, layout)
    with pytest.raises(Conflict):
        trash.take_out(Video.get_by_id(video.id), video.owner, layout)
