"""Pictures of all pages, to be looked at, and a check of what can be measured on them.

``./dev shots [word]``: pages whose name has the word, else all. The pictures go to ``shots/``.
Each page at 360, 768 and 1280 px, light and dark; ends with an error when one breaks a bar.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from appliance import accounts, alert_channels, backup_runs, kept, sessions
from appliance.clock import now
from appliance.db import database
from appliance.models import Alert, Heartbeat
from appliance.settings import Settings
from appliance.states import AlertState
from appliance.vault import open_vault
from tasks.alerting import sweep
from tasks.checkup.task import NAME as CHECKUP
from tasks.checkup.task import examine_box
from tests import media
from tests.browsing import SIZES, THEMES, Watched, launched, visiting
from tests.seeding import Seeded, seed
from tests.web.serving import prepare, serving
from web.templating import STATIC

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

FOLDER = Path(__file__).parent.parent / "shots"

MOST_PX = 2600
# Answers with these statuses are what the page is about.
EXPECTED = {
    "not-found": "404",
    "post-problems": "422",
    "guest-links-problems": "422",
    "guest-enter-problem": "422",
    "guest-full": "410",
    "guest-ended": "410",
    "guest-nothing": "404",
}

# Budgets in bytes, gzipped. Source: frontend.md §8.
PAGE_JS, UPLOAD_JS, PLAYER_JS, FORM_JS, ALL_CSS = 24_000, 24_000, 6_000, 6_000, 14_000
SCHEDULE_JS = 3_000


def pages(made: Seeded) -> dict[str, tuple[str, Callable[[Page], None] | None]]:
    """Name → address, and what is done there before the picture."""
    found: dict[str, tuple[str, Callable[[Page], None] | None]] = {
        "library": ("/", None),
        "library-list": ("/?view=list", None),
        "library-search": ("/?q=work", None),
        "library-nothing": ("/?q=zebra", None),
        "library-failed": ("/?show=failed", None),
        "library-trashed": (f"/?trashed={made.videos['trashed']}", None),
        "bin": ("/?show=bin", None),
        "bin-empty": ("/bin/empty", None),
        "bin-remove": ("/?show=bin", _ask_to_remove),
        "storage": ("/storage", None),
        "storage-sure": ("/storage", _choose_policy),
        "storage-set-aside": ("/storage/set-aside", None),
        "backups": ("/settings/backups", None),
        "backups-key": ("/settings/backups/key", None),
        "upload": ("/upload", None),
        "upload-refused": ("/upload", _choose_refused),
        "upload-states": ("/upload", _show_states),
        "record": ("/record", None),
        "jobs": ("/jobs", None),
        "open-uploads": ("/uploads", None),
        "open-uploads-cancel": ("/uploads", _ask_to_cancel),
        "jobs-failed": ("/jobs?show=failed", None),
        "jobs-narrowed": ("/jobs?show=waiting&kind=encode&q=zebra&mine=1", None),
        "jobs-cancel": ("/jobs", _ask_to_cancel_all),
        "jobs-cancel-page": ("/jobs/cancel-waiting", None),
        "accounts": ("/settings/accounts", None),
        "accounts-set-up-google": ("/settings/set-up/google", None),
        "accounts-set-up-meta": ("/settings/set-up/meta", None),
        "privacy": ("/privacy", None),
        "data-deletion": ("/data-deletion", None),
        "posts": ("/posts", None),
        "posts-scheduled": ("/posts?show=scheduled", None),
        "schedule": ("/schedule", None),
        "schedule-week": ("/schedule?view=week", None),
        "schedule-list": ("/schedule?view=list", None),
        "schedule-menu": ("/schedule?view=list", _open_plan),
        "schedule-move": ("/schedule?view=list", _move_plan),
        "schedule-new": ("/schedule/new", None),
        "settings-schedule": ("/settings/schedule", None),
        "posts-found": ("/posts?platform=youtube&since=2020-01-01&q=harbour", None),
        "posts-nothing": ("/posts?show=failed&q=zebra", None),
        "post-tried": (f"/posts/{made.posts['everywhere']}", _unfold),
        "post-edit": (f"/posts/{made.posts['everywhere']}", _press("Change text")),
        "post-remove": (f"/posts/{made.posts['everywhere']}", _press("Remove")),
        "practice-youtube": ("/practice/of/youtube", None),
        "practice-facebook": ("/practice/of/facebook", _unfold),
        "ui": ("/_ui", None),
        "menu": ("/", lambda page: page.locator(".topbar details.menu > summary").click()),
        "keys": ("/", lambda page: page.keyboard.press("?")),
        "post-dialog": (f"/videos/{made.videos['ready']}", _open_dialog),
        "post-page": (f"/videos/{made.videos['ready']}/post", None),
        "post-compose": (f"/videos/{made.videos['ready']}", _compose),
        "post-templates": ("/post-templates", None),
        "post-problems": (f"/videos/{made.videos['ready']}", _send_empty),
        "edit": (f"/videos/{made.videos['ready']}", _open_edit),
        "not-found": ("/videos/nothing", None),
        "settings": ("/settings", None),
        "settings-tokens": ("/settings/tokens", None),
        "settings-video": ("/settings/video", None),
        "player-tip": (f"/videos/{made.videos['ready']}", _point_at_timeline),
        "versions-more": (f"/videos/{made.videos['ready']}", _open_versions),
        "versions-make": (f"/videos/{made.videos['private']}", _offer_versions),
        "poster": (f"/videos/{made.videos['ready']}", _choose_poster),
        "poster-page": (f"/videos/{made.videos['ready']}/poster", None),
        "library-chosen": ("/", _choose_some),
        "library-chosen-more": ("/", _act_on_some),
        "library-chosen-list": ("/?view=list", _choose_some),
        "library-stale": ("/?show=stale", None),
        "library-told": (f"/?did=bin&n=2&trashed={made.videos['trashed']}", None),
        "settings-system": ("/settings/system", None),
        "settings-alerts": ("/settings/alerts", None),
        "settings-alerts-change": ("/settings/alerts", _change_channel),
        "people": ("/people", None),
        "library-tag": ("/?tag=party", None),
        "library-link": (f"/?link={made.links['open']}", None),
        "library-link-nothing": (f"/?link={made.links['password']}", None),
        "guest-links": ("/guest-links", None),
        "guest-links-made": (f"/guest-links?made={made.links['open']}", None),
        "guest-links-problems": ("/guest-links", _make_nothing),
        "guest-links-ending": ("/guest-links", _open_ending),
        "guest-link-edit": (f"/guest-links/{made.links['password']}", None),
        "practice": ("/practice", None),
    }
    found |= {f"video-{name}": (f"/videos/{id}", None) for name, id in made.videos.items()}
    found |= {f"job-{name}": (f"/jobs/{id}", None) for name, id in made.jobs.items()}
    found |= {f"post-{name}": (f"/posts/{id}", None) for name, id in made.posts.items()}
    return found


def strangers(made: Seeded) -> dict[str, tuple[str, Callable[[Page], None] | None]]:
    """As ``pages``, for people without an account."""
    found = made.guest_pages
    return {
        "sign-in": ("/sign-in", None),
        "guest-enter": (found["password"], None),
        "guest-enter-problem": (found["password"], _give_no_name),
        "guest-send": (found["open"], _enter),
        "guest-sending": (found["open"], _send),
        "guest-unbroken": (found["unbroken"], _enter),
        "guest-full": (found["full"], None),
        "guest-ended": (found["ended"], None),
        "guest-nothing": (found["ended"][:-3] + "abc", None),
    }


def _unfold(page: Page) -> None:
    for summary in page.locator("main summary").all():
        summary.click()


def _press(words: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.get_by_role("link", name=words).first.click()
        page.locator("#dialog[open] h2").wait_for()

    return act


def _make_nothing(page: Page) -> None:
    page.get_by_label("What guests shall send").fill(" ")
    page.get_by_label("Files at most").fill("many")
    page.get_by_role("button", name="Make the link").click()
    page.locator("main [role=alert]").wait_for()


def _open_ending(page: Page) -> None:
    page.locator("#links summary").first.click()


def _give_no_name(page: Page) -> None:
    page.get_by_label("Your name").fill(" ")
    page.get_by_label("Password of the link").fill("any")
    page.get_by_role("button", name="Continue").click()
    page.locator("[role=alert]").wait_for()


def _enter(page: Page) -> None:
    """Once for all pages of a window."""
    if page.get_by_label("Your name").is_visible():
        page.get_by_label("Your name").fill("Anna")
        page.get_by_role("button", name="Continue").click()
    page.get_by_label("Choose your videos").wait_for()
    page.wait_for_function("() => document.documentElement.dataset.ready !== undefined")


def _send(page: Page) -> None:
    _enter(page)
    page.locator("input[type=file]").set_input_files(
        [
            {"name": "clip.mp4", "mimeType": "video/mp4", "buffer": media.h264_aac().read_bytes()},
            {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no video"},
        ]
    )
    page.locator("#sent:not([hidden])").wait_for()


def _choose_refused(page: Page) -> None:
    page.locator("input[type=file]").set_input_files(
        [
            {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no video"},
            {"name": "empty.mp4", "mimeType": "video/mp4", "buffer": b""},
        ]
    )
    page.locator(".uploads li").nth(1).wait_for()


def _show_states(page: Page) -> None:
    """Sent, being sent, paused, waiting, refused, cancelled; nothing moves meanwhile."""
    clip = media.index_last().read_bytes()
    name = (
        "C0001 talk with the architect of the northern harbour bridge, take 12 (final, really).MP4"
    )
    rows = page.locator("#uploads .uploads > li")

    def choose(*files: tuple[str, bytes]) -> None:
        page.locator("input[type=file]").set_input_files(
            [{"name": name, "mimeType": "video/mp4", "buffer": data} for name, data in files]
        )

    choose((name, clip))
    rows.nth(0).locator("a").wait_for()
    page.route("**/files/*", lambda r: None if r.request.method == "PATCH" else r.continue_())
    noise = [clip + bytes([0, 0, 0, 8 + n]) + b"free" + bytes(n) for n in range(5)]
    choose(
        ("notes of the meeting.mp4", b"no video"),
        ("Holiday by the sea.mp4", noise[0]),
        ("קטע וידאו.mp4", noise[1]),
        ("Interview.mp4", noise[2]),
        ("Harbour.mp4", noise[3]),
        ("Waits.mp4", noise[4]),
    )
    rows.nth(6).wait_for()
    rows.nth(3).get_by_role("button", name="Pause:").click()
    rows.nth(4).get_by_role("button", name="Cancel:").click()
    rows.nth(4).get_by_role("button", name="Undo:").wait_for()


def _ask_to_cancel(page: Page) -> None:
    page.locator("#open-uploads a[data-dialog]").first.click()
    page.locator("#dialog[open]").wait_for()


def _ask_to_cancel_all(page: Page) -> None:
    page.locator("#cancel-waiting").click()
    page.locator("#dialog[open]").wait_for()


def _open_dialog(page: Page) -> None:
    page.locator("#post").click()
    page.locator("#post-form").wait_for()


def _send_empty(page: Page) -> None:
    _open_dialog(page)
    for box in page.locator("#post-accounts input[type=checkbox]:checked").all():
        box.uncheck()
    page.locator("#post-form button.primary").click()
    page.locator("#post-form [role=alert]").wait_for()


def _shown_timeline(page: Page) -> None:
    page.locator("#scrub[data-shows='pictures sound']").wait_for()


def _point_at_timeline(page: Page) -> None:
    _shown_timeline(page)
    page.locator("#scrub input").press("ArrowRight")
    page.locator("#scrub .tip").wait_for()


def _open_versions(page: Page) -> None:
    for name in ("original", "social"):
        page.locator(f"#more-{name} > summary").click()
    page.locator("#helpers > summary").click()
    page.locator("#versions").scroll_into_view_if_needed()


def _offer_versions(page: Page) -> None:
    page.locator("#make > summary").click()
    page.locator("#make").evaluate("(e) => e.scrollIntoView()")


def _choose_poster(page: Page) -> None:
    _point_at_timeline(page)
    page.wait_for_function("() => !document.querySelector('#player video').seeking")
    page.locator("#change-poster").click()
    page.locator("#dialog [data-now] canvas").wait_for()


def _choose_some(page: Page) -> None:
    boxes = page.locator("#videos .pick input")
    boxes.nth(1).check()
    boxes.nth(3).click(modifiers=["Shift"])


def _ask_to_remove(page: Page) -> None:
    page.get_by_role("link", name="Delete now").first.click()
    page.locator("#dialog h2").wait_for()


def _choose_policy(page: Page) -> None:
    page.get_by_label("Days after a video is ready").fill("1")
    page.get_by_label("Remove them").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="Remove originals?").wait_for()


def _change_channel(page: Page) -> None:
    page.get_by_role("link", name="Change").first.click()
    page.get_by_role("heading", name="Change a channel").wait_for()


def _act_on_some(page: Page) -> None:
    _choose_some(page)
    page.locator("#batch summary").click()


def _open_plan(page: Page) -> None:
    page.locator(".plan-menu > summary").last.click()
    page.locator(".plan-menu[open]").scroll_into_view_if_needed()


def _move_plan(page: Page) -> None:
    _open_plan(page)
    page.locator(".plan-menu[open]").get_by_role("link", name="Move to…").click()
    page.locator("#move-form").wait_for()


def _compose(page: Page) -> None:
    """Two platforms, one with something wrong; the fields of one account unfolded."""
    page.locator("#post").click()
    form = page.locator("#post-form")
    for platform in ("youtube", "instagram"):
        form.locator(f"input[data-platform={platform}]").first.check()
    form.get_by_label("Text", exact=True).fill("See {youtube_url} " + "#tag " * 31)
    form.get_by_role("button", name="Keep the first ones").wait_for()
    form.locator(".choice:has(.card) details > summary").last.click()


def _open_edit(page: Page) -> None:
    page.locator(".in-place > summary").click()


def trouble(settings: Settings) -> None:
    """Something wrong, somebody told of it, and findings of a check-up."""
    vault = open_vault(settings)
    with database.connection_context():
        told = now()
        sweep.be_quiet("the second disk is being built in", timedelta(minutes=20))
        for key, title, text, state in (
            ("backup_failed:create", "The last backup failed", "/mnt/b is full.", AlertState.OPEN),
            (
                "post_failed:01m7zzk4s2f9wq0c6yv8h3n5tb",
                "“The architect of the northern harbour bridge (final, really)” was posted in part",
                "The sign-in was not accepted.",
                AlertState.OPEN,
            ),
            ("worker_silent:media", "The media worker is silent", "", AlertState.CLEARED),
        ):
            kind, told_at = key.partition(":")[0], None if "post" in key else told
            Alert.create(key=key, kind=kind, title=title, text=text, state=state, told_at=told_at)
        for name, kinds, error in (
            ("Mail to the team", [], ""),
            (
                "Telephone of who has the night",
                ["disk_low", "backup_failed"],
                "Not taken: 401.",
            ),
        ):
            row = alert_channels.add(
                vault, name=name, address="ntfys://topic", kinds=kinds, actor=None
            )
            alert_channels.note_sent(row.public_id, error=error or None, at=told)
        backup_runs.fail(backup_runs.begin("create"), "/mnt/b is full.")
    findings = [asdict(finding) for finding in examine_box(settings)]
    with database.connection_context():
        kept.write(CHECKUP, {"at": told.isoformat(), "findings": findings})


def main(word: str = "") -> int:
    FOLDER.mkdir(exist_ok=True)
    problems = budget_problems()
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        settings = Settings(
            data=Path(folder) / "data",
            listen="127.0.0.1:0",
            development=True,
            disk_reserve="10 MiB",  # type: ignore[arg-type]  # pydantic reads the unit
        )
        prepare(settings)
        with database.connection_context():
            accounts.ensure_builtin(settings, open_vault(settings))
        made = seed(settings)
        with serving(settings) as url:
            with database.connection_context():
                Heartbeat.delete().where(Heartbeat.process == "worker-delivery").execute()
                token = sessions.start(
                    made.owner, address="127.0.0.1", agent="shots", settings=settings
                )
            trouble(settings)
            for size in SIZES:
                for theme in THEMES:
                    with visiting(browser, url, token, size=size, theme=theme) as context:
                        for name, (path, act) in pages(made).items():
                            if word in name:
                                problems += _take(context.new_page(), name, path, act, size, theme)
                    with visiting(browser, url, size=size, theme=theme) as context:
                        for name, (path, act) in strangers(made).items():
                            if word in name:
                                problems += _take(context.new_page(), name, path, act, size, theme)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(list(FOLDER.glob('*.png')))} pictures are in {FOLDER}.")
    return 1 if problems else 0


def _take(
    page: Page, name: str, path: str, act: Callable[[Page], None] | None, size: str, theme: str
) -> list[str]:
    watched = Watched(page)
    try:
        watched.open(path)
        if act:
            act(page)
        _picture(page, FOLDER / f"{name}-{size}-{theme}.png", whole=act is None)
        expected = EXPECTED.get(name, "none")
        wanted = [p for p in watched.problems() if expected not in p]
        return [f"{name} {size} {theme}: {problem}" for problem in wanted]
    except Exception as exc:  # one page that fails doesn't hide the others
        return [f"{name} {size} {theme}: {exc}"]
    finally:
        page.close()


def _picture(page: Page, path: Path, *, whole: bool) -> None:
    """The window, or the whole page as far as somebody may want to look."""
    if not whole:
        page.screenshot(path=path)
        return
    width, height = page.viewport_size["width"], page.viewport_size["height"]  # type: ignore[index]
    tall = page.evaluate("() => document.documentElement.scrollHeight")
    # A window as tall as the page, so that pictures which load when seen are seen.
    page.set_viewport_size({"width": width, "height": max(height, min(tall, MOST_PX))})
    page.wait_for_function(
        "() => [...document.images].every("
        "(i) => i.complete || i.getBoundingClientRect().top > innerHeight)"
    )
    page.screenshot(path=path)
    page.set_viewport_size({"width": width, "height": height})


def budget_problems() -> list[str]:
    """Bundles that are larger than they may be; shared chunks count for the page."""
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in STATIC.iterdir()}

    def total(*starts: str) -> int:
        return sum(size for name, size in sizes.items() if name.startswith(starts))

    found = {
        "JavaScript of a page": (total("main-", "chunk-") - total_css(sizes), PAGE_JS),
        "JavaScript of uploads": (total("upload-"), UPLOAD_JS),
        "JavaScript of the player": (total("player-"), PLAYER_JS),
        "JavaScript of the post form": (total("composer-"), FORM_JS),
        "JavaScript of the schedule": (total("schedule-"), SCHEDULE_JS),
        "CSS": (total_css(sizes), ALL_CSS),
    }
    return [
        f"{what}: {size} of {most} bytes" for what, (size, most) in found.items() if size > most
    ]


def total_css(sizes: dict[str, int]) -> int:
    return sum(size for name, size in sizes.items() if name.endswith(".css"))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
