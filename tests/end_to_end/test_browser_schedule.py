"""The schedule in a real Chromium: posts are moved by keys, by the menu and by drag, and back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from appliance import approval, drafts, posts, sessions, slots, users
from appliance.clock import now
from appliance.models import Post
from appliance.settings import Settings
from tests.browsing import Watched, launched, visiting
from tests.tasks.publish.posting import Poster, connected, emptied, posting
from tests.web.serving import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
def module_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Poster]:
    settings = Settings(data=tmp_path_factory.mktemp("box") / "data", team_time_zone="Asia/Tokyo")
    with posting(settings) as poster:
        yield poster


@pytest.fixture
def box(module_box: Poster) -> Iterator[Poster]:
    with emptied(module_box) as poster:
        with connected():
            poster.user = users.edit_profile(poster.user, time_zone="Europe/Berlin")
        yield poster


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


def token_of(box: Poster) -> str:
    with connected():
        return sessions.start(box.user, address="127.0.0.1", agent="tests", settings=box.settings)


@pytest.fixture
def context(box: Poster, browser: Browser) -> Iterator[BrowserContext]:
    with visiting(browser, box.url, token_of(box)) as context:
        yield context


@pytest.fixture
def watched(context: BrowserContext) -> Iterator[Watched]:
    watched = Watched(context.new_page())
    yield watched
    assert watched.problems(axe=False) == []


def on_wednesday(hour: int = 18) -> datetime:
    """Of the week after next: there is room on both sides."""
    today = now().astimezone(BERLIN)
    day = (today + timedelta(days=16 - today.weekday())).date()
    return datetime(day.year, day.month, day.day, hour, tzinfo=BERLIN)


def opened(watched: Watched, when: datetime, view: str = "week") -> Page:
    page = watched.open(f"/schedule?view={view}&on={when.date()}")
    page.wait_for_function("() => document.documentElement.dataset.live === 'on'")
    return page


def planned(box: Poster, when: datetime, title: str = "Summer") -> Post:
    return box.post(box.video(title=title), publish_at=when, title=title)


def wait_at(post: Post, when: datetime) -> None:
    def is_there() -> bool:
        with connected():
            return Post.get_by_id(post.id).publish_at == when

    wait_until(f"the post is at {when}", is_there)


def has_focus(page: Page, post: Post) -> bool:
    return page.evaluate("() => document.activeElement.id") == f"plan-link-{post.public_id}"


def day_of(page: Page, post: Post) -> str:
    day = page.locator(f"#plan-{post.public_id}").locator("xpath=ancestor::*[@data-day]")
    return str(day.get_attribute("data-day"))


def wait_day(page: Page, post: Post, when: datetime) -> None:
    wait_until(f"it is shown on {when.date()}", lambda: day_of(page, post) == f"{when.date()}")


def test_posts_are_moved_by_keys_and_brought_back(box: Poster, watched: Watched) -> None:
    when = on_wednesday()
    first, second = planned(box, when, "First"), planned(box, when + timedelta(hours=2), "Second")
    page = opened(watched, when)
    page.locator("body").press("ArrowRight")
    assert has_focus(page, first)
    page.keyboard.press("ArrowDown")
    assert has_focus(page, second)

    page.keyboard.press("Shift+ArrowRight")
    moved = when + timedelta(days=1, hours=2)
    wait_at(second, moved)
    wait_day(page, second, moved)
    wait_until("the focus goes with it", lambda: has_focus(page, second))
    expect(page.locator("#toasts")).to_contain_text("“Second” is on")
    expect(page.locator("#status")).to_contain_text("“Second” is on")
    page.keyboard.press("Shift+ArrowDown")
    wait_at(second, moved + timedelta(hours=1))
    expect(page.locator(f"#plan-{second.public_id} .plan-time")).to_contain_text("21:00")

    page.get_by_role("button", name="Undo").last.press("Enter")
    wait_at(second, moved)
    page.get_by_role("button", name="Undo").first.press("Enter")
    wait_at(second, when + timedelta(hours=2))
    wait_day(page, second, when)


def test_the_menu_moves_by_keys_too(box: Poster, watched: Watched) -> None:
    when = on_wednesday()
    post = planned(box, when)
    page = opened(watched, when)
    page.locator("body").press("ArrowRight")
    page.keyboard.press("m")
    expect(page.get_by_role("link", name="Move to…")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="A day later")).to_be_focused()
    page.keyboard.press("Enter")
    wait_at(post, when + timedelta(days=1))
    wait_day(page, post, when + timedelta(days=1))
    wait_until("the focus goes with it", lambda: has_focus(page, post))

    page.keyboard.press("m")
    page.keyboard.press("Enter")
    field = page.get_by_label("Date and time")
    later = when + timedelta(days=3)
    field.fill(f"{later:%Y-%m-%dT%H:%M}")
    tokyo = later.astimezone(ZoneInfo("Asia/Tokyo"))
    expect(page.locator("#when-echo")).to_contain_text(f"{tokyo:%H:%M} (Asia/Tokyo)")
    assert watched.problems() == []
    field.press("Enter")
    expect(page.locator("#dialog")).to_be_hidden()
    wait_at(post, later)
    page.locator("#toasts").get_by_role("button", name="Undo").last.click()
    wait_at(post, when + timedelta(days=1))


def test_a_time_that_has_passed_is_refused_in_the_dialog(box: Poster, watched: Watched) -> None:
    when = on_wednesday()
    post = planned(box, when)
    page = opened(watched, when)
    page.locator(f"#plan-{post.public_id} summary").click()
    page.get_by_role("link", name="Move to…").click()
    page.get_by_label("Date and time").fill("2020-01-01T12:00")
    page.get_by_role("button", name="Move post").click()
    expect(page.locator("#dialog [role=alert]")).to_contain_text("This time has passed")
    assert [p for p in watched.problems() if "422" not in p] == []
    watched.errors.clear()  # the answer of which the test is about
    wait_at(post, when)


def test_posts_are_dragged_to_days_and_to_free_slots(box: Poster, watched: Watched) -> None:
    when = on_wednesday()
    with connected():
        slots.add(4, "09:00", "Europe/Berlin", actor=None)
    post = planned(box, when)
    page = opened(watched, when)
    plan = page.locator(f"#plan-{post.public_id}")
    monday = when - timedelta(days=2)
    plan.drag_to(page.locator(f"#day-{monday.date()}"))
    wait_at(post, monday)
    wait_day(page, post, monday)
    friday = (when + timedelta(days=2)).replace(hour=9)
    plan.drag_to(page.locator(f"#day-{friday.date()} [data-spot]"))
    wait_at(post, friday)
    expect(page.locator(f"#day-{friday.date()} [data-spot]")).to_have_count(0)  # it is taken


@pytest.mark.parametrize(("theme", "size"), [("light", "phone"), ("dark", "desk")])
def test_every_view_is_clean(box: Poster, browser: Browser, theme: str, size: str) -> None:
    when = on_wednesday()
    with connected():
        slots.add(4, "09:00", "Europe/Berlin", actor=None)
    for minutes in (0, 5):
        planned(box, when + timedelta(minutes=minutes), f"Part {minutes}")
    late = planned(box, when + timedelta(days=1), "Missed")
    with connected():
        missed = now() - timedelta(hours=5)
        Post.update(publish_at=missed, late_since=missed).where(Post.id == late.id).execute()
        video = box.video(title="Film")
        asked = posts.create(video, box.accounts(), author=box.user, draft=True)
        drafts.change(asked, actor=box.user, publish_at=when)
        approval.ask(asked, actor=box.user)
        posts.create(video, [], author=box.user, draft=True)
    paths = [f"/schedule?view={view}&on={when.date()}" for view in ("month", "week", "list")]
    paths += ["/settings/schedule", "/schedule/new", f"/schedule/{asked.public_id}/refuse"]
    paths += [f"/posts/{late.public_id}", f"/posts/{asked.public_id}"]
    with visiting(browser, box.url, token_of(box), size=size, theme=theme) as context:
        watched = Watched(context.new_page())
        for path in paths:
            watched.open(path)
            assert watched.problems() == [], path
