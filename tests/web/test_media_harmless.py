"""Whatever the bytes and the names are, nothing that is served runs or is shown as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.models import Rendition
from appliance.states import RenditionState, VideoState
from storage.media_types import OTHER_FILES, RENDITION_FILES
from tests.factories import make_video
from tests.web.serving import add_user, browser

if TYPE_CHECKING:
    from appliance.models import User, Video
    from appliance.settings import Settings
    from storage.layout import Layout
    from tests.web.serving import Served

POLYGLOT = b"<!doctype html><svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/><script>"
# A page, a line of its own in the headers, an end of the quotes, text that runs backwards.
TITLE = 'x"><script>alert(1)</script>\r\nSet-Cookie: a=b\u202e\u2066ünï%00/../../y'


@pytest.fixture
def settings(one_server: Served) -> Settings:
    return one_server.settings


@pytest.fixture
def owner(one_server: Served) -> User:
    return add_user()


@pytest.fixture
def video(owner: User, layout: Layout) -> Video:
    """All of its files are pages with scripts."""
    video = make_video(
        owner, filename=TITLE, title=TITLE, state=VideoState.READY, duration_s=1.0, poster_version=1
    )
    layout.video(video.public_id).mkdir()
    for name in ("original", *OTHER_FILES, *(file.name for file in RENDITION_FILES.values())):
        (layout.video(video.public_id) / name).write_bytes(POLYGLOT)
    for profile in RENDITION_FILES:
        Rendition.create(video=video, profile=profile, recipe="1", state=RenditionState.READY)
    return video


TYPES = {
    "original": "application/octet-stream",  # nobody has looked into it
    "poster.webp": "image/webp",
    **{file.name: file.media_type for file in RENDITION_FILES.values()},
}


@pytest.mark.parametrize("how", ["", "?download=1", "?v=1"])
def test_files_are_what_the_table_says(
    one_server: Served, owner: User, video: Video, how: str
) -> None:
    with browser(one_server.url, owner) as client:
        for name, media_type in TYPES.items():
            answer = client.get(f"/media/{video.public_id}/{name}{how}")
            assert (answer.status_code, answer.content) == (200, POLYGLOT), name
            headers = answer.headers
            assert headers["Content-Type"] == media_type, name
            assert headers["X-Content-Type-Options"] == "nosniff", name
            assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'", name
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin", name
            assert "Set-Cookie" not in headers, name
            saved_as = headers["Content-Disposition"]
            kind = "attachment" if "download" in how else "inline"
            assert saved_as.startswith(f'{kind}; filename="'), name
            quoted, _, encoded = saved_as.removeprefix(f'{kind}; filename="').partition('"; ')
            assert quoted.isascii() and quoted.isprintable() and '"' not in quoted, name
            assert encoded.isascii() and "<" not in encoded and "/" not in encoded, name


def test_no_type_of_ours_is_a_page() -> None:
    """Types that browsers show as documents, with or without the headers above."""
    for media_type in TYPES.values():
        major, _, minor = media_type.partition("/")
        assert major in ("video", "audio", "image", "application")
        assert minor not in ("html", "xhtml+xml", "xml", "svg+xml", "pdf", "javascript")


def test_the_moments_of_a_storyboard_hold_no_text_of_others(
    one_server: Served, owner: User, video: Video
) -> None:
    board = {"columns": 1, "rows": 1, "count": 1, "width": 160, "height": 90, "every_s": 5.0}
    Rendition.update(facts=board).where(Rendition.profile == "storyboard").execute()
    with browser(one_server.url, owner) as client:
        answer = client.get(f"/media/{video.public_id}/storyboard.vtt")
    assert answer.headers["Content-Type"].startswith("text/vtt")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "script" not in answer.text
