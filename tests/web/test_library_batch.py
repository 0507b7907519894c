"""What is done with several videos of the library at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance import tags
from appliance.models import Job, Rendition, Role, Video
from appliance.states import JobState, RenditionState, VideoState
from tests.factories import make_video
from tests.tasks.test_plan import FITS
from tests.web.serving import Served, add_user, browser, send_form

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from appliance.models import User


@pytest.fixture
def client(one_server: Served, owner: User) -> Iterator[httpx.Client]:
    with browser(one_server.url, owner) as client:
        yield client


def act(client: httpx.Client, action: str, *videos: Video, **fields: Any) -> str:
    """Press a button of the bar; the list that is shown then."""
    ids = [video.public_id for video in videos]
    answer = send_form(client, "/library/batch", ids=ids, action=action, back="/?q=cl", **fields)
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"].startswith("/?q=cl&did=")
    return client.get(answer.headers["location"]).text


def test_deleting_and_undoing_it(client: httpx.Client) -> None:
    videos = [make_video(state=VideoState.READY, title=f"Clip {n}") for n in range(3)]
    page = act(client, "bin", *videos[:2])
    assert "2 videos are in the bin." in page
    assert [Video.get_by_id(v.id).state for v in videos] == ["trashed", "trashed", "ready"]
    for video in videos[:2]:  # the form of Undo has them
        assert f'name="ids" value="{video.public_id}"' in page
    assert "2 videos are back." in act(client, "restore", *videos[:2])
    assert {Video.get_by_id(v.id).state for v in videos} == {VideoState.READY}


def test_one_that_can_not_be_done_stops_no_other(one_server: Served, owner: User) -> None:
    editor = add_user("editor@example.org", Role.EDITOR)
    mine, other = make_video(editor, state=VideoState.READY), make_video(owner)
    with browser(one_server.url, editor) as client:
        page = act(client, "bin", other, mine)
    assert "1 video is in the bin." in page
    assert "1 was left out: Only its owner and admins delete a video." in page
    assert Video.get_by_id(mine.id).state is VideoState.TRASHED
    assert Video.get_by_id(other.id).state is VideoState.RECEIVED


def test_tags_are_added_to_those_that_are_there(client: httpx.Client) -> None:
    one, two = make_video(), make_video()
    tags.put(one, ["party"])
    assert "2 videos have the tag now." in act(client, "tag", one, two, tag="Summer")
    assert tags.of([one, two]) == {one.id: ["party", "summer"], two.id: ["summer"]}
    assert "2 were left out: There was nothing to do" in act(client, "tag", one, two, tag="summer")


def looked_at(**columns: Any) -> Video:

    return make_video(state=VideoState.READY, facts=FITS.to_dict(), duration_s=2.0, **columns)


@pytest.mark.parametrize(("action", "at_night"), [("make", False), ("make-night", True)])
def test_making_ready(client: httpx.Client, action: str, *, at_night: bool) -> None:
    wanted, there = looked_at(), looked_at()
    Rendition.create(video=there, profile="social", recipe="1", state=RenditionState.READY)
    page = act(client, action, wanted, there)
    assert ("made ready tonight." if at_night else "is being made ready.") in page
    assert "1 was left out: There was nothing to do for them." in page
    (job,) = Job.select().where(Job.kind.in_(["remux", "encode"]))
    assert (job.video, job.state, job.only_at_night) == (wanted, JobState.QUEUED, at_night)


def test_stale_versions_are_found_and_made_anew(client: httpx.Client) -> None:
    stale, current = looked_at(title="Old clip"), looked_at(title="New clip")
    for video, recipe in ((stale, "0"), (current, "1")):
        Rendition.create(video=video, profile="social", recipe=recipe, state=RenditionState.READY)
    page = client.get("/?show=stale").text
    assert "Old clip" in page and "New clip" not in page
    assert "1 video is made anew tonight." in act(client, "remake-night", stale, current)
    (job,) = Job.select().where(Job.rendition.is_null(False))
    assert job.video == stale and job.only_at_night and job.payload["remake"]
    assert Rendition.get(Rendition.video == stale).state is RenditionState.READY


@pytest.mark.parametrize("back", ["https://example.org/", "//example.org", "/videos/x", ""])
def test_it_leads_back_to_the_library_and_nowhere_else(client: httpx.Client, back: str) -> None:
    answer = send_form(client, "/library/batch", ids=[], action="bin", back=back)
    assert answer.headers["location"] == "/?did=bin"
    assert "Nothing was chosen." in client.get(answer.headers["location"]).text


def test_viewers_choose_nothing(one_server: Served) -> None:
    make_video(state=VideoState.READY)
    with browser(one_server.url, add_user("viewer@example.org", Role.VIEWER)) as client:
        page = client.get("/").text
        assert 'name="ids"' not in page and "/library/batch" not in page
