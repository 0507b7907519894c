"""The Folder publisher's names, and folders that don't work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.publish.publishers.folder import clean_name
from tests.tasks.publish.posting import posting, working

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
