"""The page of a video in a real Chromium: its player, its versions, its poster; and the library's
choice of several. The files are made by the real jobs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest
from PIL import Image
from playwright.sync_api import expect

from appliance import sessions, videos
from appliance.db import database, open_database
from appliance.models import Event, Job, Rendition, Role, User, Video
from appliance.settings import Settings
from appliance.states import RenditionState, VideoState
from storage.layout import Layout
from tests import media
from tests.browsing import Watched, launched, visiting
from tests.end_to_end.box import wait_for
from tests.factories import make_user, make_video
from tests.tasks.doing import bring_in, run_all
from tests.web.serving import prepare, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SECONDS = 8.0


class Seen(NamedTuple):
    settings: Settings
    url: str
    token: str
    browser: Browser
    owner: User
    video: Video


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """A box with one video, of which all was made that is made of every video."""
    settings = Settings(
        data=tmp_path_factory.mktemp("player") / "data",
        listen="127.0.0.1:0",
        development=True,
        disk_reserve="10 MiB",  # type: ignore[arg-type]  # pydantic reads the unit
    )
    prepare(settings)
    with database.connection_context():
        owner = make_user("owner@example.org", Role.OWNER, name="Ada")
        video = bring_in(settings, media.h264_aac(SECONDS), title="Harbour", owner=owner)
        run_all(settings, later=True)
        video = Video.get_by_id(video.id)
        states = {row.profile: (row.state, row.error) for row in video.renditions}
        assert {state for state, _error in states.values()} == {RenditionState.READY}, states
        token = sessions.start(owner, address="127.0.0.1", agent="tests", settings=settings)
    with serving(settings) as url, launched() as browser:
        yield Seen(settings, url, token, browser, owner, video)
    open_database(settings.database_path)


@pytest.fixture
def db(seen: Seen) -> Iterator[None]:
    with database.connection_context():
        yield


@pytest.fixture
def watched(seen: Seen) -> Iterator[Watched]:
    with visiting(seen.browser, seen.url, seen.token) as context:
        watched = Watched(context.new_page())
        yield watched
        assert watched.problems() == []


@pytest.fixture
def page(seen: Seen, watched: Watched) -> Page:
    """The page of the video, its player ready and its timeline drawn."""
    page = watched.open(f"/videos/{seen.video.public_id}")
    page.locator("#scrub[data-shows='pictures sound']").wait_for()
    page.locator("html[data-live=on]").wait_for()
    return page


def player(page: Page) -> Locator:
    return page.locator("#player video")


def at(page: Page) -> float:
    return float(player(page).evaluate("(v) => v.currentTime"))


def arrives_at(page: Page, seconds: float) -> None:
    wait_for(f"the player is at {seconds}", lambda: abs(at(page) - seconds) < 0.2, seconds=10)


def test_timeline_by_keys(page: Page) -> None:
    line = page.get_by_role("slider", name="Timeline")
    line.focus()
    page.keyboard.press("ArrowRight")
    arrives_at(page, 5)
    expect(line).to_have_attribute("aria-valuetext", "0:05 of 0:08")
    expect(page.locator("#scrub .tip")).to_have_text("0:05")
    page.keyboard.press("ArrowLeft")
    arrives_at(page, 0)
    page.keyboard.press("End")
    arrives_at(page, SECONDS)
    page.keyboard.press("Home")
    arrives_at(page, 0)
    page.keyboard.press(".")  # one picture on
    arrives_at(page, 1 / 30)
    page.keyboard.press("k")
    expect(player(page)).to_have_js_property("paused", value=False)
    page.keyboard.press(" ")
    expect(player(page)).to_have_js_property("paused", value=True)
    page.keyboard.press("Tab")
    expect(page.locator("#scrub .tip")).to_be_hidden()


def test_timeline_by_pointer_shows_the_picture_and_goes_there(page: Page) -> None:
    box = page.locator("#scrub").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2

    def point(part: float) -> None:
        page.mouse.move(box["x"] + part * box["width"], middle)

    point(0.25)
    tip = page.locator("#scrub .tip")
    expect(tip).to_have_text("0:02")
    # The tile that is shown is a picture, not an empty canvas.
    colours = tip.locator("canvas").evaluate(
        "(c) => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    )
    assert colours > 10
    assert at(page) == 0  # looking is not going
    page.mouse.down()
    arrives_at(page, SECONDS / 4)
    point(0.75)
    arrives_at(page, SECONDS * 0.75)
    page.mouse.up()
    page.mouse.move(box["x"], box["y"] - 100)
    expect(tip).to_be_hidden()
    arrives_at(page, SECONDS * 0.75)


def test_without_script_the_browser_plays_what_the_address_says(seen: Seen) -> None:
    with visiting(seen.browser, seen.url, seen.token, script=False) as context:
        page = context.new_page()
        page.goto(f"/videos/{seen.video.public_id}")
        assert "/social.mp4" in (player(page).get_attribute("src") or "")
        expect(page.locator("#scrub")).to_be_hidden()
        page.get_by_label("Plays").select_option("preview")
        page.get_by_role("button", name="Play this").click()
        assert "/preview.mp4" in (player(page).get_attribute("src") or "")


@pytest.mark.usefixtures("db")
def test_better_version_takes_over_at_the_same_moment(seen: Seen, watched: Watched) -> None:
    social = Rendition.get(Rendition.video == seen.video, Rendition.profile == "social")
    facts = seen.video.facts
    try:
        # As while it is made: the preview is there, and browsers can't play the original.
        Rendition.update(state=RenditionState.PROCESSING).where(Rendition.id == social.id).execute()
        Video.update(facts={**(facts or {}), "format": "avi"}).where(
            Video.id == seen.video.id
        ).execute()
        page = watched.open(f"/videos/{seen.video.public_id}")
        page.locator("html[data-live=on]").wait_for()
        expect(player(page)).to_have_js_property("readyState", 4)
        assert "/preview.mp4" in (player(page).get_attribute("src") or "")
        page.keyboard.press("k")
        wait_for("it plays", lambda: at(page) > 0.3, seconds=10)
        before = at(page)
        Rendition.update(state=RenditionState.READY).where(Rendition.id == social.id).execute()
        videos.tell(seen.video, "rendition.ready", profile="social")
        expect(player(page)).to_have_attribute("src", re.compile("social.mp4"))
        wait_for("it plays on", lambda: at(page) > before, seconds=10)
        expect(player(page)).to_have_js_property("paused", value=False)
        expect(page.locator("#player .still")).to_have_count(0)
        # What somebody chose stays, also after a reload.
        page.get_by_label("Plays").select_option("preview")
        expect(player(page)).to_have_attribute("src", re.compile("preview.mp4"))
        assert at(page) > before
        page.reload()
        expect(player(page)).to_have_attribute("src", re.compile("preview.mp4"))
    finally:
        Rendition.update(state=RenditionState.READY).where(Rendition.id == social.id).execute()
        Video.update(facts=facts).where(Video.id == seen.video.id).execute()


def poster(page: Page) -> str:
    return player(page).get_attribute("poster") or ""


@pytest.mark.usefixtures("db")
def test_another_poster(seen: Seen, page: Page, tmp_path: Path) -> None:
    first = poster(page)
    page.get_by_role("slider", name="Timeline").press("ArrowRight")
    arrives_at(page, 5)
    page.get_by_role("link", name="Change the poster").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Use 0:05, where the player is").click()
    expect(page.locator("#player")).to_contain_text("The new poster comes in a moment")
    run_all(seen.settings)
    wait_for("the poster is another", lambda: poster(page) not in ("", first), seconds=10)
    video = Video.get_by_id(seen.video.id)
    assert (video.poster_choice, round(video.poster_at_s)) == ("moment", 5)
    expect(page.locator("#activity")).to_contain_text("New poster")
    expect(page.locator("#activity")).to_contain_text("Another poster chosen Ada")

    # A picture of one's own; what is none is refused in words.
    notes, picture = tmp_path / "notes.txt", tmp_path / "own.png"
    notes.write_text("no picture")
    Image.new("RGB", (320, 180), (200, 30, 30)).save(picture)
    page.get_by_role("link", name="Change the poster").click()
    own = dialog.get_by_label("A picture of your own")
    own.set_input_files(str(notes))
    expect(dialog.get_by_role("alert")).to_contain_text("no JPEG, PNG or WebP picture")
    own.set_input_files(str(picture))
    expect(dialog.get_by_role("alert")).to_be_hidden()
    expect(dialog.get_by_alt_text("The picture that you chose")).to_be_visible()
    second = poster(page)
    dialog.locator("[data-own] button").click()
    expect(dialog).to_be_hidden()
    run_all(seen.settings)
    wait_for("the poster is that", lambda: poster(page) != second, seconds=10)
    assert Video.get_by_id(seen.video.id).poster_choice == "custom"
    with Image.open(Layout(seen.settings.data).poster(seen.video.public_id)) as image:
        red, green, _blue = image.convert("RGB").getpixel((image.width // 2, image.height // 2))  # type: ignore[misc]  # three bands
    assert red > 150 > 80 > green


@pytest.mark.usefixtures("db")
def test_making_a_version_making_it_anew_and_deleting_it(seen: Seen, page: Page) -> None:
    page.get_by_text("Make another").click()
    page.get_by_role("button", name=re.compile("^Sound alone")).click()
    row = page.locator("#version-audio")
    expect(row).to_contain_text("Waiting")
    run_all(seen.settings)
    expect(row.get_by_role("link", name="Download Sound alone")).to_be_visible()
    expect(row).to_contain_text(re.compile(r"(Copied|Encoded|encoded).* in [\d.]+ s"))
    Rendition.update(recipe="0").where(
        Rendition.video == seen.video, Rendition.profile == "audio"
    ).execute()
    page.reload()
    expect(row).to_contain_text("Older settings")
    row.locator("summary", has_text="Re-make").click()
    row.get_by_role("button", name="At night").click()
    expect(row).to_contain_text("Waits for the night")
    row.get_by_role("button", name="Make it now").click()
    expect(row).not_to_contain_text("Waits for the night")
    run_all(seen.settings)
    expect(page.locator("#activity")).to_contain_text("Sound alone made anew")
    expect(page.locator("#activity")).to_contain_text("Sound alone asked for Ada")
    row.get_by_label("Delete Sound alone").click()
    row.get_by_role("button", name="Delete the version").click()
    expect(row).to_have_count(0)
    assert not Layout(seen.settings.data).rendition(seen.video.public_id, "audio").exists()


@pytest.mark.usefixtures("db")
def test_more_of_what_happened_is_shown_without_leaving_the_player(seen: Seen, page: Page) -> None:
    for number in range(15):
        videos.edit(seen.video, actor=seen.owner, title=f"Harbour {number}")
    page.reload()
    lines = page.locator("#activity li")
    expect(lines).to_have_count(12)
    page.get_by_role("slider", name="Timeline").press("ArrowRight")
    arrives_at(page, 5)
    page.locator("#activity").get_by_role("link", name="Show more").click()
    wait_for("more lines", lambda: lines.count() > 15, seconds=10)
    many = lines.count()
    arrives_at(page, 5)
    videos.edit(
        seen.video, actor=seen.owner, title="Harbour"
    )  # and they stay when it renews itself
    expect(lines).to_have_count(many + 1)
    assert Event.select().where(Event.video == seen.video).count() >= many


@pytest.mark.usefixtures("db")
def test_choosing_several_videos(seen: Seen, watched: Watched) -> None:
    clips = [make_video(seen.owner, state=VideoState.READY, title=f"Clip {n}") for n in range(5)]
    page = watched.open("/?q=clip")
    page.locator("html[data-live=on]").wait_for()
    boxes = page.locator("#videos .pick input")
    bar = page.locator("#batch")
    expect(bar).to_be_hidden()
    page.get_by_label("Choose “Clip 4”").check()
    expect(bar).to_contain_text("1 video chosen")
    page.get_by_label("Choose “Clip 2”").click(modifiers=["Shift"])
    expect(bar).to_contain_text("3 videos chosen")
    expect(page.locator("#status")).to_contain_text("3 videos chosen")
    # A card that renews itself stays chosen.
    videos.edit(clips[3], actor=seen.owner, title="Clip three")
    expect(page.get_by_label("Choose “Clip three”")).to_be_checked()
    page.keyboard.press("Escape")
    expect(bar).to_be_hidden()
    page.get_by_role("link", name="Clip 1", exact=True).focus()
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    expect(bar).to_contain_text("2 videos chosen")
    bar.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_contain_text(["2 videos are in the bin."])
    expect(boxes).to_have_count(3)
    page.get_by_role("button", name="Undo").click()
    expect(boxes).to_have_count(5)
    boxes.first.check()
    bar.get_by_role("button", name="All here").click()
    expect(bar).to_contain_text("5 videos chosen")
    bar.locator("summary").click()
    bar.get_by_label("Tag to add").fill("summer")
    bar.get_by_label("Tag to add").press("Enter")
    expect(page.locator("#videos .tag")).to_have_count(5)
    assert not Job.select().where(Job.video.in_(clips)).exists()
