"""Composing a post in a real Chromium: rules while somebody types, one-press fixes, templates."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, NamedTuple

import pytest
from PIL import Image
from playwright.sync_api import expect

from appliance import accounts, post_templates, sessions
from appliance.db import database, open_database
from appliance.models import Account, Job, Post, PostTarget, Rendition
from appliance.settings import Settings
from appliance.states import JobState, PostState, TargetState
from appliance.vault import open_vault
from tests.browsing import Watched, launched, visiting
from tests.seeding import Seeded, seed
from tests.tasks.doing import run_one
from tests.web.serving import prepare, serving, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page, Route

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


class Seen(NamedTuple):
    url: str
    token: str
    made: Seeded
    browser: Browser
    settings: Settings

    @property
    def video(self) -> str:
        return self.made.videos["ready"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    settings = Settings(
        data=tmp_path_factory.mktemp("compose") / "data",
        listen="127.0.0.1:0",
        development=True,
        disk_reserve="10 MiB",  # type: ignore[arg-type]  # pydantic reads the unit
    )
    prepare(settings)
    with database.connection_context():
        accounts.ensure_builtin(settings, open_vault(settings))
    made = seed(settings, further=0)
    with database.connection_context():
        for platform in ("youtube", "instagram"):
            Account.delete().where(
                Account.platform == platform,
                Account.id.not_in(PostTarget.select(PostTarget.account)),
            ).execute()
            Account.create(platform=platform, name=f"New {platform}", remote_id="n", practice=True)
        Rendition.delete().where(Rendition.profile == "vertical").execute()
        post_templates.save(
            None,
            actor=None,
            name="Weekly",
            title="Week: {title}",
            description="All of it: {youtube_url}",
            options={"first_comment": "Questions?"},
        )
    with serving(settings) as url, launched() as browser:
        with database.connection_context():
            token = sessions.start(
                made.owner, address="127.0.0.1", agent="tests", settings=settings
            )
        yield Seen(url, token, made, browser, settings)
    open_database(settings.database_path)


@pytest.fixture(autouse=True)
def called_back(seen: Seen) -> None:
    """Nothing of the test before is on its way any more."""
    with database.connection_context():
        PostTarget.update(state=TargetState.CANCELLED).execute()


def choose(form: Locator, name: str) -> Locator:
    """Tick an account; its part of the form."""
    account = form.locator(".choice", has=form.page.get_by_text(name, exact=True))
    account.locator("input[name=accounts]").check()
    expect(account.locator(".card")).to_be_attached()
    return account


def newest() -> Post:
    return Post.select().order_by(Post.id.desc()).get()


def overrides_of(post: Post) -> dict[str, dict[str, object]]:
    targets = PostTarget.select().join(Account).where(PostTarget.post == post)
    return {target.account.platform: target.overrides for target in targets}


def open_dialog(page: Page) -> Locator:
    page.locator("#post").click()
    form = page.locator("#post-form")
    expect(form).to_be_visible()
    return form


def test_rules_are_told_while_somebody_types_and_mended_by_a_press(seen: Seen) -> None:
    with visiting(seen.browser, seen.url, seen.token) as context:
        watched = Watched(context.new_page())
        page = watched.open(f"/videos/{seen.video}")
        form = open_dialog(page)
        youtube, instagram = choose(form, "New youtube"), choose(form, "New instagram")
        expect(form.locator("#post-title-count")).to_have_text("YouTube 15 of 100")

        # Said at once, by the browser itself: the box isn't asked meanwhile.
        page.route("**/post/check", lambda route: None)
        text = form.get_by_label("Text", exact=True)
        text.fill(" ".join(f"#tag{number}" for number in range(31)))
        expect(instagram.locator(".finding").first).to_contain_text("31 hashtags; 30 are allowed")
        expect(form.locator("#post-description-count")).to_contain_text("YouTube 206 of 5000")
        form.get_by_label("Title", exact=True).fill("x" * 101)
        expect(youtube.locator(".finding")).to_contain_text("101 characters; 100 are allowed")
        form.get_by_label("Title", exact=True).fill("Mine")
        expect(youtube.locator(".finding")).to_have_count(0)
        page.unroute("**/post/check")
        text.dispatch_event("change")

        fix = instagram.get_by_role("button", name="Keep the first ones")
        fix.click()
        own = instagram.get_by_label("Text for New instagram")
        expect(own).to_have_value(" ".join(f"#tag{number}" for number in range(30)))
        expect(text).to_have_value(" ".join(f"#tag{number}" for number in range(31)))
        expect(instagram.locator("[data-tone=bad]")).to_have_count(0)

        # The film lies; another version of it goes out after a press, which is said.
        instagram.get_by_role("button", name="Make it upright").click()
        expect(instagram.locator(".card")).to_contain_text("has to be made first")
        expect(instagram.get_by_label("Version")).to_have_value("vertical")
        expect(instagram.locator(".frame")).to_have_count(3)

        # A link to the same post elsewhere goes where the text is typed.
        # What the box says of the text before it comes late, and takes nothing away.
        held: list[Route] = []
        page.route("**/post/check", lambda route: held.append(route))
        own.fill("Watch")
        form.get_by_role("button", name="{youtube_url}").click()
        expect(own).to_have_value("Watch {youtube_url}")
        form.get_by_label("Title", exact=True).focus()
        wait_until("the box is asked", lambda: bool(held))
        page.evaluate(
            """() => {
              window.__swapped = new Promise((done) =>
                addEventListener("htmx:after:swap", () => done(true), { once: true }));
            }"""
        )
        for route in held:
            route.continue_()
        assert page.evaluate("() => window.__swapped")
        page.unroute("**/post/check")
        expect(own).to_have_value("Watch {youtube_url}")
        youtube.get_by_text("Text, options and cover").click()
        youtube.get_by_label("Who can see it").select_option("private")
        expect(form.locator("[aria-busy]")).to_have_count(0)
        assert watched.problems() == []

        form.get_by_role("button", name="Post", exact=True).last.click()
        expect(page.locator("#dialog")).to_be_hidden()
        expect(page.locator("#toasts")).to_contain_text("Posting to 2 accounts")
    with database.connection_context():
        kept = overrides_of(newest())
    assert kept["instagram"] == {
        "description": "Watch {youtube_url}",
        "options": {"version": "vertical"},
    }
    assert kept["youtube"] == {"options": {"privacy": "private"}}


def test_what_was_typed_is_there_again_and_a_refusal_keeps_it(seen: Seen) -> None:
    with visiting(seen.browser, seen.url, seen.token) as context:
        watched = Watched(context.new_page())
        page = watched.open(f"/videos/{seen.video}")
        form = open_dialog(page)
        form.get_by_label("Title", exact=True).fill("Half a thought")
        page.keyboard.press("Escape")
        expect(page.locator("#dialog")).to_be_hidden()
        form = open_dialog(page)
        expect(form.get_by_label("Title", exact=True)).to_have_value("Half a thought")

        # Its own link can't be in its text: refused before anything is made.
        choose(form, "New youtube")
        form.get_by_label("Text", exact=True).fill("{youtube_url}")
        with database.connection_context():
            before = Post.select().count()
        form.get_by_role("button", name="Post", exact=True).last.click()
        expect(form.get_by_role("alert").first).to_contain_text("its own text can't have it")
        expect(form.get_by_label("Title", exact=True)).to_have_value("Half a thought")
        with database.connection_context():
            assert Post.select().count() == before
        form.get_by_role("button", name="Take the link out here").click()
        form.get_by_role("button", name="Keep as draft").click()
        expect(page.locator("#toasts")).to_contain_text("Kept as a draft")
        watched.errors = [e for e in watched.errors if "422" not in e]
        assert watched.problems(axe=False) == []
    with database.connection_context():
        assert (newest().state, newest().title) == (PostState.DRAFT, "Half a thought")


def make_cover(seen: Seen) -> str:
    """What the worker does with the cover that was just asked for; its id."""

    def asked() -> Job | None:
        with database.connection_context():
            return Job.get_or_none(Job.kind == "cover", Job.state == JobState.QUEUED)

    job = wait_until("the cover is asked for", asked)
    with database.connection_context():
        Job.update(priority=1000).where(Job.id == job.id).execute()
        done = run_one(seen.settings, job.queue)
    assert (done.id, done.state) == (job.id, JobState.COMPLETED), done.error
    return str(job.payload["cover"])


def test_a_cover_is_a_moment_or_a_file_and_goes_with_its_account(seen: Seen) -> None:
    with visiting(seen.browser, seen.url, seen.token) as context:
        watched = Watched(context.new_page())
        page = watched.open(f"/videos/{seen.video}")
        form = open_dialog(page)
        choose(form, "New youtube")
        account = choose(form, "New instagram")
        account.get_by_text("Text, options and cover").click()
        picture = account.locator(".frame image").last
        expect(picture).to_have_attribute("href", re.compile(r"/poster\.webp"))

        # A moment that the film doesn't have is told beside the field.
        account.get_by_label("Moment of the video for the cover").fill("5000")
        account.get_by_role("button", name="Use this moment").click()
        expect(account.get_by_role("alert")).to_contain_text("Choose a moment within it")
        account.get_by_label("Moment of the video for the cover").fill("0,5")
        account.get_by_role("button", name="Use this moment").click()
        moment = make_cover(seen)
        expect(picture).to_have_attribute("href", re.compile(f"/cover-{moment}\\.jpg"))
        expect(account.get_by_text("A cover of its own is chosen.")).to_be_visible()
        expect(account.get_by_role("alert")).to_have_count(0)

        png = io.BytesIO()
        Image.new("RGB", (160, 90), "purple").save(png, "PNG")
        file = {"name": "Cover.png", "mimeType": "image/png", "buffer": png.getvalue()}
        account.get_by_label("Picture for the cover").set_input_files(file)  # type: ignore[arg-type]  # a FilePayload
        cover = make_cover(seen)
        expect(picture).to_have_attribute("href", re.compile(f"/cover-{cover}\\.jpg"))
        drawn = page.evaluate(
            """async (address) => {
              const picture = new Image();
              picture.src = address;
              await picture.decode();
              return [picture.naturalWidth, picture.naturalHeight];
            }""",
            picture.get_attribute("href"),
        )
        assert drawn == [160, 90]
        expect(form.locator("[aria-busy]")).to_have_count(0)
        watched.errors = [e for e in watched.errors if "422" not in e]
        assert watched.problems() == []

        form.get_by_role("button", name="Post", exact=True).last.click()
        expect(page.locator("#dialog")).to_be_hidden()
    with database.connection_context():
        kept = overrides_of(newest())
    assert kept == {"instagram": {"options": {"cover": cover}}, "youtube": {}}


def test_the_same_again_is_told_and_goes_when_it_is_meant(seen: Seen) -> None:
    with visiting(seen.browser, seen.url, seen.token) as context:
        watched = Watched(context.new_page())
        page = watched.open(f"/videos/{seen.video}")
        form = open_dialog(page)
        choose(form, "Practice channel")
        form.get_by_role("button", name="Post", exact=True).last.click()
        expect(page.locator("#dialog")).to_be_hidden()

        form = open_dialog(page)
        account = choose(form, "Practice channel")
        expect(account.locator(".card")).to_contain_text("on its way to “Practice channel” already")
        form.get_by_role("button", name="Post", exact=True).last.click()
        notice = form.get_by_role("alert").first
        expect(notice).to_contain_text("Nothing was sent: this would be a second post")
        expect(notice).to_be_focused()
        assert notice.get_by_role("link").get_attribute("target") == "_blank"
        with database.connection_context():
            before = Post.select().count()
        watched.errors = [e for e in watched.errors if "409" not in e]
        assert watched.problems() == []
        notice.get_by_role("button", name="Post it again all the same").click()
        expect(page.locator("#dialog")).to_be_hidden()
        expect(page.locator("#toasts")).to_contain_text("Posting to Practice channel")
    with database.connection_context():
        assert Post.select().count() == before + 1


def test_without_script_a_template_and_a_fix_are_forms(seen: Seen) -> None:
    with visiting(seen.browser, seen.url, seen.token, script=False) as context:
        page = context.new_page()
        page.goto(f"/videos/{seen.video}/post")
        form = page.locator("#post-form")
        form.locator(".choice", has=page.get_by_text("New youtube", exact=True)).locator(
            "input[name=accounts]"
        ).check()
        form.locator(".choice", has=page.get_by_text("New instagram", exact=True)).locator(
            "input[name=accounts]"
        ).check()
        form.get_by_label("Template").select_option(label="Weekly")
        form.get_by_role("button", name="Use").click()
        form = page.locator("#post-form")
        expect(form.get_by_label("Title", exact=True)).to_have_value("Week: Harbour at dawn")
        expect(form.get_by_label("First comment", exact=True)).to_have_value("Questions?")
        youtube = form.locator(".choice", has=page.get_by_text("New youtube", exact=True))
        youtube.get_by_role("button", name="Take the link out here").click()
        form = page.locator("#post-form")
        form.get_by_role("button", name="Post", exact=True).last.click()
        expect(page.locator("h1")).to_have_text("Harbour at dawn")
    with database.connection_context():
        post, kept = newest(), overrides_of(newest())
    assert post.description == "All of it: {youtube_url}"
    assert kept["youtube"]["description"] == "All of it:"
    assert kept["instagram"] == {"options": {"first_comment": "Questions?"}}
