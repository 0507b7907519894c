"""Tags: how they are written, kept and found."""

from __future__ import annotations

import pytest

from appliance import tags, videos
from appliance.errors import InvalidInput
from appliance.models import Video
from tests.factories import make_user, make_video


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Party", ["party"]),
        (" #Summer   2026 ,party,, PARTY", ["party", "summer 2026"]),
        ("Übung\u202e, 東京", ["übung", "東京"]),
        (" , #, ", []),
    ],
)
def test_written_words_become_tags(written: str, kept: list[str]) -> None:
    assert tags.read_list(written) == kept


@pytest.mark.parametrize("written", ["x" * 41, ",".join(f"t{n}" for n in range(21))])
def test_too_long_and_too_many_are_refused_with_a_sentence(written: str) -> None:
    with pytest.raises(InvalidInput, match=r"at most|has at most") as caught:
        tags.read_list(written)
    assert caught.value.field == "tags"


def test_videos_are_found_by_tag_however_it_is_written(db: None) -> None:
    user = make_user()
    one, two = make_video(user), make_video(user)
    videos.edit(one, actor=user, tag_names=["Party", "sea"])
    videos.edit(two, actor=user, tag_names=["sea"])
    assert list(tags.narrow(Video.select(), "PARTY")) == [one]
    assert set(tags.narrow(Video.select(), "sea")) == {one, two}
    assert list(tags.narrow(Video.select(), "part")) == []
    assert len(tags.narrow(Video.select(), "")) == 2
    assert tags.of([one, two]) == {one.id: ["party", "sea"], two.id: ["sea"]}


def test_editing_replaces_tags_and_leaves_them_when_not_named(db: None) -> None:
    user = make_user()
    video = make_video(user)
    videos.edit(video, actor=user, tag_names=["a", "b"])
    videos.edit(video, actor=user, title="Other")
    assert tags.of([video])[video.id] == ["a", "b"]
    videos.edit(video, actor=user, tag_names=[])
    assert tags.of([video]) == {}


def test_tags_go_with_their_video(db: None) -> None:
    user = make_user()
    video = make_video(user)
    videos.edit(video, actor=user, tag_names=["a"])
    video.delete_instance()
    assert tags.of([video]) == {}
