"""States: the tables, the move that only one can win, and what a post is."""

from __future__ import annotations

import threading
from itertools import product
from typing import TYPE_CHECKING

import pytest

from appliance.db import database
from appliance.errors import InvalidTransition
from appliance.models import Video
from appliance.states import (
    JOB_ENDED,
    MOVES,
    POST_ENDED,
    TARGET_ENDED,
    AlertState,
    ApprovalState,
    ConnectionState,
    JobState,
    PostState,
    RenditionState,
    RunState,
    TargetState,
    UploadState,
    VideoState,
    check_move,
    move,
    post_state,
)
from tests.factories import make_video

if TYPE_CHECKING:
    from enum import StrEnum

FIRST = {
    UploadState: UploadState.RECEIVING,
    VideoState: VideoState.UPLOADING,
    RenditionState: RenditionState.PENDING,
    JobState: JobState.QUEUED,
    TargetState: TargetState.WAITING,
    ConnectionState: ConnectionState.WAITING,
    ApprovalState: ApprovalState.NOT_NEEDED,
    RunState: RunState.RUNNING,
    AlertState: AlertState.OPEN,
}


@pytest.mark.parametrize("kind", MOVES, ids=lambda kind: kind.__name__)
def test_every_state_can_be_reached_and_none_stays_where_it_is(kind: type[StrEnum]) -> None:
    reached, looked_at = {FIRST[kind]}, set()
    while reached - looked_at:
        state = (reached - looked_at).pop()
        looked_at.add(state)
        assert state not in MOVES[kind].get(state, ())
        reached |= MOVES[kind].get(state, frozenset())
    assert reached == set(kind)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (UploadState.COMPLETE, UploadState.RECEIVING),
        (UploadState.TERMINATED, UploadState.FINISHING),
        (VideoState.UPLOADING, VideoState.READY),
        (RenditionState.PENDING, RenditionState.READY),
        (JobState.QUEUED, JobState.COMPLETED),
        (JobState.COMPLETED, JobState.QUEUED),
        (TargetState.PUBLISHED, TargetState.WAITING),  # or it would be posted twice
        (TargetState.PUBLISHED, TargetState.PUBLISHING),
        (TargetState.FAILED, TargetState.PUBLISHING),
        (TargetState.NEEDS_PERSON, TargetState.PUBLISHING),  # only a person may say so
        (TargetState.CANCELLED, TargetState.PUBLISHING),
    ],
)
def test_moves_that_would_do_harm_are_not_in_the_tables(old: StrEnum, new: StrEnum) -> None:
    with pytest.raises(InvalidTransition):
        check_move(old, new)


def test_a_job_that_ended_only_starts_again_when_somebody_asks() -> None:
    for state in JOB_ENDED:
        assert MOVES[JobState].get(state, frozenset()) <= {JobState.QUEUED}


@pytest.mark.usefixtures("db")
def test_a_move_writes_state_and_columns_together() -> None:
    video = make_video(state=VideoState.RECEIVED)
    assert move(Video, video.id, VideoState.RECEIVED, VideoState.FAILED, error="broken")
    stored = Video.get_by_id(video.id)
    assert (stored.state, stored.error) == (VideoState.FAILED, "broken")


@pytest.mark.usefixtures("db")
def test_a_move_from_a_state_that_has_passed_changes_nothing() -> None:
    video = make_video(state=VideoState.READY)
    assert not move(Video, video.id, VideoState.RECEIVED, VideoState.FAILED, error="broken")
    stored = Video.get_by_id(video.id)
    assert (stored.state, stored.error) == (VideoState.READY, None)


@pytest.mark.usefixtures("db")
def test_a_move_needs_its_further_conditions() -> None:
    video = make_video(state=VideoState.RECEIVED, size_bytes=1)
    assert not move(Video, video.id, VideoState.RECEIVED, VideoState.FAILED, Video.size_bytes == 2)
    assert move(Video, video.id, VideoState.RECEIVED, VideoState.FAILED, Video.size_bytes == 1)


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("time", range(5))
def test_of_many_who_move_at_the_same_moment_one_wins(time: int) -> None:
    threads = 8
    video = make_video(state=VideoState.RECEIVED)
    start = threading.Barrier(threads)
    won: list[bool] = []

    def contend() -> None:
        with database.connection_context():
            start.wait()
            won.append(move(Video, video.id, VideoState.RECEIVED, VideoState.PROCESSING))

    contenders = [threading.Thread(target=contend) for _ in range(threads)]
    for contender in contenders:
        contender.start()
    for contender in contenders:
        contender.join()
    assert sorted(won) == [False] * (threads - 1) + [True]


W, S, D = TargetState.WAITING, TargetState.STAGING, TargetState.STAGED
G, P, F = TargetState.PUBLISHING, TargetState.PUBLISHED, TargetState.FAILED
U, N, C = TargetState.UNSURE, TargetState.NEEDS_PERSON, TargetState.CANCELLED


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([], PostState.CANCELLED),
        ([C, C], PostState.CANCELLED),
        ([W, W], PostState.PENDING),
        ([W, C], PostState.PENDING),
        ([W, S], PostState.PROCESSING),
        ([D], PostState.PROCESSING),
        ([G], PostState.PROCESSING),
        ([U, P], PostState.PROCESSING),  # the answer is still being looked for
        ([W, P], PostState.PROCESSING),
        ([W, F], PostState.PROCESSING),
        ([P, P], PostState.COMPLETED),
        ([P, C], PostState.COMPLETED),
        ([P, F], PostState.PARTIAL),
        ([P, N], PostState.PARTIAL),
        ([P, F, C], PostState.PARTIAL),
        ([F, F], PostState.FAILED),
        ([F, C], PostState.FAILED),
        ([N], PostState.FAILED),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else str(value),
)
def test_a_post_is_what_its_targets_are(targets: list[TargetState], expected: PostState) -> None:
    assert post_state(targets) is expected
    assert post_state(targets[::-1]) is expected


def test_a_post_whose_time_is_to_come_is_scheduled() -> None:
    assert post_state([W, W], scheduled=True) is PostState.SCHEDULED
    assert post_state([W, C], scheduled=True) is PostState.SCHEDULED
    assert post_state([C], scheduled=True) is PostState.CANCELLED
    assert post_state([S, W], scheduled=True) is PostState.SCHEDULED  # staged ahead of its time


@pytest.mark.parametrize("targets", list(product(TargetState, repeat=2)))
def test_a_post_has_ended_just_when_all_its_targets_have(
    targets: tuple[TargetState, TargetState],
) -> None:
    ended = all(target in TARGET_ENDED for target in targets)
    assert (post_state(list(targets)) in POST_ENDED) is ended
