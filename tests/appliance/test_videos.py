"""Videos as rows: how they come, change, go to the bin and back, and are found."""

from __future__ import annotations

import pytest

from appliance import events, videos
from appliance.errors import InvalidInput, InvalidTransition
from appliance.models import AuditEntry, Event, Source, Video, Visibility
from appliance.states import VideoState
from tests.factories import make_user, make_video

pytestmark = pytest.mark.usefixtures("db")


def types() -> list[str]:
    return [event.type for event in Event.select().order_by(Event.id)]


def found(words: str) -> set[str]:
    return {video.title for video in videos.search(Video.select(), words)}


def test_a_new_video_has_a_clean_name_and_a_title_and_is_told_of() -> None:
    owner = make_user()
    video = videos.create(
        owner=owner,
        filename="../../Mein_Urlaub\u202e.mp4",
        source=Source.BROWSER,
        visibility=Visibility.TEAM,
        size_bytes=12,
    )
    assert (video.filename, video.title) == ("Mein_Urlaub.mp4", "Mein Urlaub")
    assert video.state is VideoState.UPLOADING
    (event,) = Event.select()
    assert (event.type, event.actor_id, event.video_id) == ("video.created", owner.id, video.id)


def test_a_title_that_was_given_wins_unless_nothing_is_left_of_it() -> None:
    def create(title: str) -> str:
        video = videos.create(
            owner=None,
            filename="a.mp4",
            source=Source.API,
            visibility=Visibility.TEAM,
            title=title,
        )
        return str(video.title)

    assert create("  Our\ttrip ") == "Our trip"
    assert create("\u200b\u202e") == "a"


def test_editing_changes_what_was_said_and_leaves_the_rest() -> None:
    actor = make_user()
    video = make_video(actor, description="before")
    edited = videos.edit(video, actor=actor, title=" New ")
    assert (edited.title, edited.description) == ("New", "before")
    edited = videos.edit(video, actor=actor, description="a\r\nb", visibility=Visibility.PRIVATE)
    assert (edited.title, edited.description) == ("New", "a\nb")
    assert edited.visibility is Visibility.PRIVATE
    before = Event.select().count()
    videos.edit(video, actor=actor)
    assert Event.select().count() == before


def test_an_empty_title_is_refused_and_nothing_changes() -> None:
    video = make_video()
    with pytest.raises(InvalidInput) as caught:
        videos.edit(video, actor=make_user(), title=" \n ", description="changed")
    assert caught.value.field == "title"
    assert Video.get_by_id(video.id).description == ""


def test_events_of_a_private_video_go_to_its_owner_alone() -> None:
    owner = make_user()
    videos.tell(make_video(owner, visibility=Visibility.PRIVATE), "video.x")
    videos.tell(make_video(None, visibility=Visibility.PRIVATE), "video.x")
    videos.tell(make_video(owner), "video.x")
    told = [(e.only_user_id, e.admins_only) for e in Event.select().order_by(Event.id)]
    assert told == [(owner.id, False), (None, True), (None, False)]


def test_work_that_began_before_a_video_became_private_tells_nobody_else() -> None:
    owner = make_user()
    in_hand = make_video(owner)  # by the upload, or the encode
    videos.edit(Video.get_by_id(in_hand.id), actor=owner, visibility=Visibility.PRIVATE)
    events.record("upload.progress", "video:x", video=in_hand)
    told = Event.select().order_by(Event.id.desc()).first()
    assert (told.type, told.only_user_id) == ("upload.progress", owner.id)


def test_links_that_were_shown_to_the_team_die_when_a_video_becomes_private() -> None:
    owner = make_user()
    video = make_video(owner)
    private = videos.edit(video, actor=owner, visibility=Visibility.PRIVATE)
    assert private.link_generation == video.link_generation + 1
    same = videos.edit(private, actor=owner, visibility=Visibility.PRIVATE)
    assert same.link_generation == private.link_generation


@pytest.mark.parametrize("state", [VideoState.RECEIVED, VideoState.READY, VideoState.FAILED])
def test_out_of_the_bin_a_video_is_what_it_was(state: VideoState) -> None:
    actor = make_user()
    video = make_video(actor, state=state)
    videos.trash(video, actor=actor)
    binned = Video.get_by_id(video.id)
    assert binned.state is VideoState.TRASHED
    assert binned.deleted_at is not None
    assert binned.link_generation == 2  # its links are dead, and stay so
    videos.restore(binned, actor=actor)
    back = Video.get_by_id(video.id)
    assert (back.state, back.deleted_at, back.state_before_trash) == (state, None, None)
    assert back.link_generation == 2
    assert types() == ["video.trashed", "video.restored"]
    assert [entry.action for entry in AuditEntry.select()][0] == "video.trash"


def test_a_video_whose_upload_was_never_finished_stays_in_the_bin() -> None:
    actor = make_user()
    video = make_video(actor, state=VideoState.UPLOADING)
    videos.trash(video, actor=actor)
    with pytest.raises(InvalidTransition, match="upload the file again"):
        videos.restore(Video.get_by_id(video.id), actor=actor)
    assert Video.get_by_id(video.id).state is VideoState.TRASHED


def test_the_bin_takes_a_video_once() -> None:
    actor = make_user()
    video = make_video(actor, state=VideoState.READY)
    stale = Video.get_by_id(video.id)
    videos.trash(video, actor=actor)
    with pytest.raises(InvalidTransition):
        videos.trash(stale, actor=actor)
    assert Video.get_by_id(video.id).link_generation == 2


def test_a_state_changes_once_and_is_told_once() -> None:
    video, stale = make_video(), None
    stale = Video.get_by_id(video.id)
    assert videos.change_state(video, VideoState.PROCESSING)
    assert not videos.change_state(stale, VideoState.PROCESSING)
    assert types() == ["video.processing"]
    assert video.state is VideoState.PROCESSING


@pytest.mark.parametrize(
    ("words", "titles"),
    [
        ("urlaub", {"Mein Urlaub"}),
        ("URL", {"Mein Urlaub"}),
        ("mein url", {"Mein Urlaub"}),
        ("url mein", {"Mein Urlaub"}),
        ("cafe", {"Café"}),
        ("bodensee", {"Mein Urlaub"}),  # of the description
        ("holiday", {"Café"}),  # of the file name
        ("laub", set()),
        ("mein cafe", set()),
        ('"', {"Mein Urlaub", "Café"}),
        ("", {"Mein Urlaub", "Café"}),
        ('mein" OR "cafe', set()),
        ("title:mein", set()),
        ("mein NOT urlaub", set()),
        ("(mein*", {"Mein Urlaub"}),
        ("-mein", {"Mein Urlaub"}),
        ("NEAR(mein urlaub)", set()),
        ("'; DROP TABLE video; --", set()),
    ],
)
def test_search_takes_words_from_their_beginning_and_no_operators(
    words: str, titles: set[str]
) -> None:
    make_video(title="Mein Urlaub", description="Am Bodensee")
    make_video(title="Café", filename="holiday.mp4")
    assert found(words) == titles


def test_search_knows_what_changed_and_what_is_gone() -> None:
    video = make_video(title="Before")
    videos.edit(video, actor=make_user(), title="After")
    assert found("before") == set()
    assert found("after") == {"After"}
    Video.get_by_id(video.id).delete_instance()
    assert found("after") == set()
