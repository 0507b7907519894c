"""The Folder publisher's names, and folders that don't work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.publish.publishers.folder import clean_name
from tests.tasks.publish.posting import posting, working
from tests.web.serving import wait_until

if TYPE_CHECKING:
    from appliance.settings import Settings


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Summer", "Summer"),
        ("../../etc/passwd", "etc passwd"),
        ("..", "Video"),
        ("", "Video"),
        (".hidden", "hidden"),
        ("CON", "Video CON"),
        ("nul.mp4", "Video nul.mp4"),
        ("a\\b:c*d", "a b c d"),
        ("line\nbreak\x00", "line break"),
        ("right\u202eleft", "rightleft"),
        ("trailing. .", "trailing"),
    ],
)
def test_clean_name(title: str, name: str) -> None:
    assert clean_name(title) == name


def test_a_long_name_is_cut_between_characters() -> None:
    assert len(clean_name("ü" * 500).encode()) <= 120


def test_a_folder_that_cannot_be_written_says_so(settings: Settings) -> None:
    blocked = settings.data / "file"
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("in the way")
    with posting(settings.model_copy(update={"folder": blocked / "below"})) as poster:
        post = poster.post(poster.video(), "folder")
        with working(poster.settings):
            (target,) = poster.wait(post, "failed")
    assert "APPLIANCE_FOLDER" in (target.error or "")


def test_a_full_disk_is_waited_for_and_said(settings: Settings) -> None:
    full = settings.model_copy(update={"disk_reserve": 10**18})
    with posting(full) as poster:
        to_folder = poster.post(poster.video(), "folder")
        to_practice = poster.post(poster.video(), "practice")
        with working(poster.settings):
            (refused,) = poster.wait(to_practice, "failed")
            wait_until("it says why", lambda: "no room left" in poster.look(to_folder)[1][0].stage)
    assert "no room left" in (refused.error or "")
    assert poster.look(to_folder)[1][0].state == "waiting"
