"""Files over HTTP: ranges, versions, harmless headers."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from appliance.access import Scope
from appliance.clock import now
from appliance.models import PublicLink, Rendition, Role, User, Video, Visibility
from appliance.states import RenditionState, VideoState
from appliance.vault import open_vault
from storage.public_links import PublicLinks
from tests.factories import make_video
from tests.web.serving import add_user, browser, script, wait_until
from web.routes.public import Guesses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings
    from storage.layout import Layout
    from tests.web.serving import Served

BODY = os.urandom(2_500_000)  # more than two chunks


@pytest.fixture
def settings(one_server: Served) -> Settings:
    return one_server.settings


@pytest.fixture
def url(one_server: Served) -> str:
    return one_server.url


@pytest.fixture
def owner(url: str) -> User:
    return add_user()


@pytest.fixture
def video(owner: User, layout: Layout) -> Video:
    video = make_video(owner, filename='Fé"st.mp4', title="Fest", state=VideoState.READY)
    layout.video(video.public_id).mkdir()
    layout.original(video.public_id).write_bytes(b"<script>alert(1)</script>")
    layout.rendition(video.public_id, "social").write_bytes(BODY)
    Rendition.create(video=video, profile="social", recipe="1", state=RenditionState.READY)
    return video


@pytest.fixture
def public(url: str, video: Video, settings: Settings) -> str:
    """The path of a link to the rendition."""
    links = PublicLinks(settings, open_vault(settings))
    return urlsplit(links.signed_url(video, Rendition.get())).path


@pytest.fixture
def client(one_server: Served) -> Iterator[httpx.Client]:
    one_server.app.state["guesses"] = Guesses()
    with httpx.Client(base_url=one_server.url) as client:
        yield client


def test_the_whole_file(client: httpx.Client, public: str) -> None:
    answer = client.get(public)
    assert answer.status_code == 200
    assert answer.content == BODY
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Length"] == str(len(BODY))


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-299", 100, 300),
        ("bytes=1000000-2400000", 1_000_000, 2_400_001),
        ("bytes=2499999-", 2_499_999, 2_500_000),
        ("bytes=-7", 2_499_993, 2_500_000),
        ("bytes=5-99999999999", 5, 2_500_000),
    ],
)
def test_ranges(client: httpx.Client, public: str, wanted: str, start: int, stop: int) -> None:
    answer = client.get(public, headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.content == BODY[start:stop]
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(BODY)}"


def test_a_range_outside_is_refused(client: httpx.Client, public: str) -> None:
    answer = client.get(public, headers={"Range": f"bytes={len(BODY)}-"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(BODY)}"
    assert answer.content == b""


def test_several_ranges_get_the_whole_file(client: httpx.Client, public: str) -> None:
    answer = client.get(public, headers={"Range": "bytes=0-1,5-6"})
    assert (answer.status_code, answer.content) == (200, BODY)


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=5-9"}, {"Range": "bytes=9999999-"}])
def test_head_says_what_get_says(
    client: httpx.Client, public: str, headers: dict[str, str]
) -> None:
    volatile = {"date", "x-request-id", "content-security-policy"}
    head, get = client.head(public, headers=headers), client.get(public, headers=headers)
    assert head.status_code == get.status_code
    assert {k: v for k, v in head.headers.items() if k not in volatile} == {
        k: v for k, v in get.headers.items() if k not in volatile
    }
    assert head.content == b""


def test_if_range_and_if_none_match(
    client: httpx.Client, public: str, layout: Layout, video: Video
) -> None:
    etag = client.head(public).headers["ETag"]
    part = {"Range": "bytes=0-9"}
    assert client.get(public, headers={**part, "If-Range": etag}).status_code == 206
    assert client.get(public, headers={"If-None-Match": etag}).status_code == 304
    layout.rendition(video.public_id, "social").write_bytes(BODY[::-1])
    assert client.get(public, headers={**part, "If-Range": etag}).content == BODY[::-1]
    assert client.get(public, headers={"If-None-Match": etag}).status_code == 200
    assert client.get(public, headers={"If-Match": etag}).status_code == 412


def test_what_a_file_says_is_never_run(client: httpx.Client, url: str, video: Video) -> None:
    with browser(url, User.get()) as signed_in:
        answer = signed_in.get(f"/media/{video.public_id}/original")
    assert answer.content == b"<script>alert(1)</script>"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Content-Disposition"] == (
        "inline; filename=\"F__st.mp4\"; filename*=UTF-8''F%C3%A9%22st.mp4"
    )


def test_download_saves_under_the_title(url: str, owner: User, video: Video) -> None:
    with script(url, owner, [Scope.READ]) as client:
        answer = client.get(f"/media/{video.public_id}/social.mp4?download=1")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="Fest.mp4"')


def test_media_needs_somebody_who_may_see_it(url: str, owner: User, video: Video) -> None:
    path = f"/media/{video.public_id}/social.mp4"
    with httpx.Client(base_url=url, headers={"Accept": "application/json"}) as nobody:
        assert nobody.get(path).status_code == 401
    viewer = add_user("viewer@example.org", Role.VIEWER)
    with script(url, viewer) as client:
        assert client.get(path).status_code == 200
        Video.update(visibility=Visibility.PRIVATE).execute()
        assert client.get(path).status_code == 404


@pytest.mark.parametrize("name", ["social", "..%2f..%2fappliance.db", "original.bak", "%00"])
def test_there_are_only_known_files(url: str, owner: User, video: Video, name: str) -> None:
    with script(url, owner) as client:
        assert client.get(f"/media/{video.public_id}/{name}").status_code == 404


def test_a_file_that_is_gone_is_not_found(
    url: str, client: httpx.Client, public: str, layout: Layout, video: Video
) -> None:
    layout.rendition(video.public_id, "social").unlink()
    assert client.get(public).status_code == 404


def test_dead_links_look_alike(client: httpx.Client, public: str) -> None:
    unknown = client.get(f"/public/{'A' * 32}/x.mp4", headers={"Accept": "application/json"})
    Video.update(link_generation=99).execute()
    revoked = client.get(public, headers={"Accept": "application/json"})
    assert unknown.status_code == revoked.status_code == 404
    assert unknown.json()["detail"] == revoked.json()["detail"]


@pytest.mark.parametrize("end", ["revoked", "trashed", "expired", "not ready"])
def test_a_link_that_was_used_just_now_dies_at_once(
    client: httpx.Client, public: str, video: Video, settings: Settings, end: str
) -> None:
    """It is remembered as good, but only as long as nobody writes anything."""
    link, url = PublicLinks(settings, open_vault(settings)).issue(
        video, Rendition.get(), purpose="post", by=None, lifetime_s=3600
    )
    path = urlsplit(url).path
    for _ in range(3):
        assert client.get(path).content == BODY
    if end == "revoked":
        PublicLinks(settings, open_vault(settings)).revoke(link)
    elif end == "trashed":
        Video.update(state=VideoState.TRASHED).where(Video.id == video.id).execute()
    elif end == "not ready":
        Rendition.update(state=RenditionState.PENDING).execute()
    else:
        PublicLink.update(expires_at=now()).execute()
    for _ in range(2):
        assert client.get(path).status_code == 404


def test_a_link_that_runs_out_unnoticed_is_dead(
    client: httpx.Client, video: Video, settings: Settings
) -> None:
    """Nothing is written when its time is over."""
    links = PublicLinks(settings, open_vault(settings))
    expires = (now() + timedelta(seconds=2)).replace(microsecond=0)
    path = urlsplit(links.signed_url(video, Rendition.get(), expires=expires)).path
    assert client.get(path).status_code == 200
    wait_until("it has run out", lambda: client.get(path).status_code == 404, seconds=5)


def test_guessing_is_slowed_down(client: httpx.Client, public: str) -> None:
    # Other tests of this server have guessed wrong a few times already.
    statuses = [client.get(f"/public/{'A' * 32}/x.mp4").status_code for _ in range(101)]
    assert statuses[:50] == [404] * 50
    assert statuses[-1] == 429


def test_robots_may_fetch_public_files_only(client: httpx.Client) -> None:
    assert client.get("/robots.txt").text == "User-agent: *\nAllow: /public/\nDisallow: /\n"


def test_a_reader_that_goes_away_ends_the_reading(
    client: httpx.Client, url: str, public: str, layout: Layout, video: Video
) -> None:
    path = layout.rendition(video.public_id, "social")
    with path.open("r+b") as file:
        file.truncate(1 << 42)  # sparse: four terabytes that nobody has to write
    parts = urlsplit(url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0))) as connection:
        connection.sendall(f"GET {public} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")

    def is_open() -> bool:
        found = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
        return path in {Path(os.readlink(link)) for link in found if link.is_symlink()}

    wait_until("the file is closed", lambda: not is_open())
