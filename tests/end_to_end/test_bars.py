"""The bars that every page keeps: accessibility, policy, sizes, small screens, large text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from appliance import accounts, sessions
from appliance.db import database, open_database
from appliance.settings import Settings
from appliance.vault import open_vault
from tests import shots
from tests.browsing import Watched, launched, visiting
from tests.seeding import Seeded, seed
from tests.web.serving import prepare, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

# Each template once, and the states that differ most; ./dev shots looks at all of them.
NAMES = [
    "library",
    "library-list",
    "library-nothing",
    "library-trashed",
    "bin",
    "backups",
    "backups-key",
    "upload-refused",
    "upload-states",
    "record",
    "jobs",
    "job-failed",
    "posts",
    "job-unbroken",
    "post-needs_person",
    "post-unbroken",
    "post-tried",
    "post-edit",
    "posts-found",
    "practice-youtube",
    "post-dialog",
    "post-problems",
    "post-compose",
    "post-templates",
    "post-page",
    "video-ready",
    "video-processing",
    "video-failed",
    "video-rtl",
    "video-unbroken",
    "edit",
    "menu",
    "keys",
    "not-found",
    "settings",
    "settings-video",
    "player-tip",
    "versions-more",
    "versions-make",
    "poster",
    "poster-page",
    "library-chosen-more",
    "library-chosen-list",
    "library-stale",
    "people",
    "library-tag",
    "video-guest_unbroken",
    "guest-links",
    "guest-links-problems",
    "guest-link-edit",
    "ui",
]


class Seen(NamedTuple):
    url: str
    token: str
    made: Seeded
    browser: Browser


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    settings = Settings(
        data=tmp_path_factory.mktemp("bars") / "data",
        listen="127.0.0.1:0",
        development=True,
        disk_reserve="10 MiB",  # type: ignore[arg-type]  # pydantic reads the unit
    )
    prepare(settings)
    with database.connection_context():
        accounts.ensure_builtin(settings, open_vault(settings))
    made = seed(settings)
    with serving(settings) as url, launched() as browser:
        with database.connection_context():
            token = sessions.start(
                made.owner, address="127.0.0.1", agent="tests", settings=settings
            )
        yield Seen(url, token, made, browser)
    open_database(settings.database_path)


@pytest.mark.parametrize("name", NAMES)
def test_page_keeps_to_the_bars(seen: Seen, name: str) -> None:
    path, act = shots.pages(seen.made)[name]
    for size, theme in (("phone", "dark"), ("desk", "light")):
        with visiting(seen.browser, seen.url, seen.token, size=size, theme=theme) as context:
            watched = Watched(context.new_page())
            page = watched.open(path)
            if act:
                act(page)
            expected = shots.EXPECTED.get(name, "none")
            problems = [p for p in watched.problems() if expected not in p]
            assert problems == [], (size, theme)


@pytest.mark.parametrize("name", ["guest-enter-problem", "guest-unbroken", "guest-nothing"])
def test_page_for_strangers_keeps_to_the_bars(seen: Seen, name: str) -> None:
    path, act = shots.strangers(seen.made)[name]
    for size, theme in (("phone", "dark"), ("desk", "light")):
        with visiting(seen.browser, seen.url, size=size, theme=theme) as context:
            watched = Watched(context.new_page())
            page = watched.open(path)
            if act:
                act(page)
            expected = shots.EXPECTED.get(name, "none")
            problems = [p for p in watched.problems() if expected not in p]
            assert problems == [], (size, theme)


@pytest.mark.parametrize(
    "name",
    [
        "library",
        "library-list",
        "bin",
        "jobs",
        "job-unbroken",
        "posts",
        "post-unbroken",
        "video-ready",
        "video-unbroken",
        "guest-links",
        "settings-video",
        "poster-page",
        "ui",
    ],
)
def test_narrow_screens_and_text_of_twice_the_size_need_no_sideways_scroll(
    seen: Seen, name: str
) -> None:
    path, _act = shots.pages(seen.made)[name]
    with visiting(seen.browser, seen.url, seen.token) as context:
        watched = Watched(context.new_page())
        watched.page.set_viewport_size({"width": 320, "height": 640})
        watched.open(path)
        assert watched.problems(axe=False) == []
        watched.page.set_viewport_size({"width": 1280, "height": 800})
        cdp = context.new_cdp_session(watched.page)
        cdp.send("Page.setFontSizes", {"fontSizes": {"standard": 32, "fixed": 26}})
        watched.page.reload()
        rem = watched.page.evaluate("() => getComputedStyle(document.documentElement).fontSize")
        assert rem == "32px"
        assert watched.problems(axe=False) == []


def test_progress_is_right_below_the_player_on_phones(seen: Seen) -> None:
    with visiting(seen.browser, seen.url, seen.token, size="phone") as context:
        page = Watched(context.new_page()).open(f"/videos/{seen.made.videos['processing']}")
        ids = ["player", "phases", "versions", "activity"]
        tops = [
            page.locator(f"#{id}").evaluate("(e) => e.getBoundingClientRect().top") for id in ids
        ]
        assert tops == sorted(tops)
        gap = page.evaluate(
            """() => document.getElementById("phases").getBoundingClientRect().top
              - document.getElementById("player").getBoundingClientRect().bottom"""
        )
        assert 0 < gap <= 32


def test_sign_in_keeps_to_the_bars(seen: Seen) -> None:
    for theme in ("light", "dark"):
        with visiting(seen.browser, seen.url, size="phone", theme=theme) as context:
            watched = Watched(context.new_page())
            watched.open("/sign-in")
            assert watched.problems() == []


def test_nothing_on_the_library_moves_while_it_loads(seen: Seen) -> None:
    with visiting(seen.browser, seen.url, seen.token) as context:
        context.add_init_script(
            """window.__shifts = 0;
            new PerformanceObserver((list) => {
              for (const entry of list.getEntries()) window.__shifts += entry.value;
            }).observe({ type: "layout-shift", buffered: true });"""
        )
        watched = Watched(context.new_page())
        page = watched.open("/")
        page.wait_for_function("() => [...document.images].some((image) => image.complete)")
        page.locator("html[data-live=on]").wait_for()
        assert page.evaluate("() => window.__shifts") <= 0.02


def test_bundles_keep_to_their_budgets() -> None:
    assert shots.budget_problems() == []
