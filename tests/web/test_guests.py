"""Guest links: what editors do with them, and what people without an account can do by them."""

from __future__ import annotations

import os
import re
import socket
import threading
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from appliance import guest_links, users
from appliance.access import Scope
from appliance.clock import now
from appliance.guest_links import SENTENCES, UNKNOWN, LinkState
from appliance.models import (
    AuditEntry,
    GuestLink,
    Job,
    Role,
    Source,
    Throttle,
    Upload,
    Video,
    Visibility,
)
from appliance.states import UploadState, VideoState
from tests.web.serving import (
    Served,
    add_user,
    browser,
    form_token,
    script,
    send_form,
    wait_until,
)
from web import guest_session
from web.request_log import loggable_path
from web.routes.public import Guesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.models import User
    from storage.layout import Layout

TUS = {"Tus-Resumable": "1.0.0"}
BODY = os.urandom(200_000)
WANTED = {"filename": "Clip.mp4", "file_size": len(BODY), "content_type": "video/mp4"}
PASSWORD = "open sesame"


@pytest.fixture
def url(one_server: Served) -> str:
    return one_server.url


@pytest.fixture
def editor(url: str) -> User:
    return add_user("grace@example.org", Role.EDITOR)


@pytest.fixture
def client(url: str, editor: User) -> Iterator[httpx.Client]:
    with script(url, editor) as client:
        yield client


@pytest.fixture
def come(url: str) -> Iterator[Callable[..., Guest]]:
    """``come(link, "Anna", password=…)``: a guest of that link."""
    with ExitStack() as stack:

        def come(link: dict[str, Any], name: str = "Anna", **fields: str) -> Guest:
            http = stack.enter_context(browser(url))
            return Guest(http, link, name=name, **fields)

        yield come


@pytest.fixture
def page(url: str, editor: User) -> Iterator[httpx.Client]:
    with browser(url, editor) as client:
        yield client


def make(client: httpx.Client, **terms: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/guest-links", json={"title": "Send us your clip", **terms})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def path_of(link: dict[str, Any]) -> str:
    return urlsplit(link["url"]).path


class Guest:
    """A browser that has opened a link, and given a name (and a password)."""

    def __init__(self, http: httpx.Client, link: dict[str, Any], **fields: str) -> None:
        self.path = path_of(link)
        self.http = http
        answer = send_form(self.http, self.path, **fields)
        assert answer.status_code == 303, answer.text

    def look(self) -> httpx.Response:
        return self.http.get(self.path)

    def ask(self, **wanted: Any) -> httpx.Response:
        return self.http.post(
            f"{self.path}/uploads",
            json={**WANTED, **wanted},
            headers={"X-CSRF-Token": form_token(self.http), "Accept": "application/json"},
        )

    def send(self, body: bytes = BODY, **wanted: Any) -> dict[str, Any]:
        answer = self.ask(file_size=len(body), **wanted)
        assert answer.status_code == 201, answer.text
        grant = dict(answer.json())
        done = patch(self.http, grant["upload_url"], 0, body)
        assert done.status_code == 204, done.text
        return grant

    def form(self, name: str, body: bytes) -> httpx.Response:
        found = re.search(r'action="(/send/[^"]+/file/[^"]+)"', self.look().text)
        assert found
        return self.http.post(found[1], files={"file": (name, body, "video/mp4")})


def patch(client: httpx.Client, address: str, offset: int, body: bytes) -> httpx.Response:
    headers = {
        **TUS,
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
    }
    return client.patch(address, content=body, headers=headers)


@contextmanager
def sending(line: socket.socket) -> Iterator[None]:
    """Bytes come meanwhile, at the pace of a slow phone."""
    ended = threading.Event()

    def keep_sending() -> None:
        while not ended.wait(0.01):
            try:
                line.sendall(b"x" * 2000)
            except OSError:
                return

    sender = threading.Thread(target=keep_sending)
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()


# What editors and scripts do


def test_link_is_made_listed_changed_and_ended_by_script(client: httpx.Client, url: str) -> None:
    ends = (now() + timedelta(days=7)).isoformat()
    link = make(
        client,
        note="Any length.",
        tag="#Party",
        visibility="private",
        password=PASSWORD,
        max_files=5,
        max_file_bytes=10**9,
        expires_at=ends,
    )
    assert link["state"] == "open"
    assert (link["tag"], link["visibility"], link["has_password"]) == ("party", "private", True)
    assert (link["max_files"], link["files_used"]) == (5, 0)
    assert link["url"].startswith(f"{url}/send/")
    assert PASSWORD not in str(link)
    here = f"/api/v1/guest-links/{link['link_id']}"
    assert client.get(here).json() == link
    assert client.get("/api/v1/guest-links").json() == {"items": [link], "next_cursor": None}

    changed = client.patch(here, json={"title": "Other", "max_files": None, "password": None})
    assert changed.status_code == 200, changed.text
    assert changed.json() == {**link, "title": "Other", "max_files": None, "has_password": False}

    assert client.delete(here).status_code == 204
    assert client.delete(here).status_code == 204
    ended = client.get(here).json()
    assert ended["state"] == "revoked"
    assert client.patch(here, json={"title": "Again"}).status_code == 410
    actions = [entry.action for entry in AuditEntry.select().order_by(AuditEntry.id)]
    assert [a for a in actions if a.startswith("guest_link")] == [
        "guest_link.created",
        "guest_link.changed",
        "guest_link.revoked",
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "x", "max_files": 0}, "max_files"),
        ({"title": "x", "password": "short"}, "password"),
        ({"title": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"title": "x", "expires_at": "2120-01-01T00:00:00"}, "expires_at"),
        ({"title": "x", "unknown": 1}, "unknown"),
    ],
)
def test_what_can_not_be_is_told_by_field(
    client: httpx.Client, body: dict[str, Any], field: str
) -> None:
    answer = client.post("/api/v1/guest-links", json=body)
    assert answer.status_code == 422
    assert answer.json()["field"] == field


def test_links_of_others_are_not_found(client: httpx.Client, url: str) -> None:
    link = make(client)
    here = f"/api/v1/guest-links/{link['link_id']}"
    with script(url, add_user("other@example.org", Role.EDITOR)) as other:
        assert other.get("/api/v1/guest-links").json()["items"] == []
        assert other.get(here).status_code == 404
        assert other.patch(here, json={"title": "Mine"}).status_code == 404
        assert other.delete(here).status_code == 404
    with browser(url, users.by_email("other@example.org")) as other:
        assert link["url"] not in other.get("/guest-links").text
        assert other.get(f"/guest-links/{link['link_id']}").status_code == 404
        assert send_form(other, f"/guest-links/{link['link_id']}/revoke").status_code == 404
    with script(url, add_user("admin@example.org", Role.ADMIN)) as admin:
        assert admin.get(here).json()["created_by"]["name"] == "grace"
    with script(url, add_user("viewer@example.org", Role.VIEWER)) as viewer:
        assert viewer.get("/api/v1/guest-links").status_code == 403
    with script(url, users.by_email("grace@example.org"), [Scope.READ]) as reader:
        # Its address would let whoever may only read send videos, too.
        assert reader.get(here).status_code == 403


def test_link_is_made_changed_and_ended_without_script(page: httpx.Client) -> None:
    fields = {"title": "Party <clips>", "ends": "7", "max_files": "3", "max_gb": "1,5"}
    answer = send_form(page, "/guest-links", **fields, password=PASSWORD, tag="party")
    assert answer.status_code == 303, answer.text
    shown = page.get(answer.headers["location"]).text
    assert "Party &lt;clips&gt;" in shown
    link = GuestLink.get()
    assert (link.max_files, link.max_file_bytes) == (3, 1_500_000_000)
    address = re.search(r'id="fresh-link"[^>]*>([^<]+)<', shown)
    assert address
    assert page.get(urlsplit(address[1]).path).status_code == 200

    here = f"/guest-links/{link.public_id}"
    form = page.get(here).text
    assert 'value="1.5"' in form
    assert PASSWORD not in form
    ends = link.expires_at
    kept = {**fields, "max_gb": "", "ends": "keep", "tag": "", "visibility": "private"}
    assert send_form(page, here, **kept).headers["location"] == "/guest-links?done=changed"
    link = GuestLink.get()
    assert (link.expires_at, link.max_file_bytes, link.tag) == (ends, None, "")
    assert link.visibility is Visibility.PRIVATE
    assert link.password_hash is not None
    send_form(page, here, **kept, no_password="on")
    assert GuestLink.get().password_hash is None

    assert send_form(page, f"{here}/revoke").headers["location"] == "/guest-links?done=revoked"
    assert "1 ended link" in page.get("/guest-links").text
    assert send_form(page, here, **kept).status_code == 410


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"title": ""}, "title"),
        ({"max_files": "many"}, "max_files"),
        ({"max_files": "0"}, "max_files"),
        ({"max_gb": "nan"}, "max_gb"),
        ({"ends": "8"}, "ends"),
        ({"password": "short"}, "password"),
        ({"tag": "x" * 41}, "tag"),
        ({"visibility": "world"}, "visibility"),
    ],
)
def test_bad_form_keeps_what_was_typed(
    page: httpx.Client, fields: dict[str, str], field: str
) -> None:
    said = {"title": "Typed", "ends": "7", "note": "A note that was long to write", **fields}
    answer = send_form(page, "/guest-links", **said)
    assert answer.status_code == 422
    assert f'id="{field}-problem"' in answer.text
    assert "A note that was long to write" in answer.text
    assert GuestLink.select().count() == 0


# What guests do


def test_guest_sends_a_video_and_sees_that_it_arrived(
    client: httpx.Client,
    page: httpx.Client,
    one_server: Served,
    editor: User,
    come: Callable[..., Guest],
) -> None:
    link = make(client, tag="party", visibility="private", note="Just\nsend it")
    guest = come(link, name="Anna <3")
    opened = guest.look().text
    assert "Just\nsend it" in opened
    assert "Anna &lt;3" in opened
    assert "You sent" not in opened or "hidden" in opened
    grant = guest.send()
    assert guest.http.get(grant["status_url"]).json() == {"state": "arrived", "error": None}
    assert "You sent 1 file" in guest.look().text

    video = Video.get()
    assert (video.owner_id, video.source, video.guest_name) == (editor.id, Source.GUEST, "Anna <3")
    assert (video.visibility, video.state) == (Visibility.PRIVATE, VideoState.RECEIVED)
    assert Job.select().where(Job.video == video).count() == 1
    layout: Layout = one_server.app.state.layout
    assert layout.original(video.public_id).read_bytes() == BODY

    shape = client.get(f"/api/v1/videos/{video.public_id}").json()
    assert shape["guest_name"] == "Anna <3"
    assert shape["guest_link_id"] == link["link_id"]
    assert shape["tags"] == ["party"]
    shown = page.get(f"/videos/{video.public_id}").text
    assert "Anna &lt;3, by the link" in shown
    assert re.search(r"Upload began\s*<[^>]+>Anna &lt;3<", shown)
    assert f'href="/?link={link["link_id"]}"' in shown
    for query in (f"link={link['link_id']}", "tag=Party"):
        assert f"video-{video.public_id}" in page.get(f"/?{query}").text
    assert f"video-{video.public_id}" not in page.get("/?tag=other").text
    assert "From Anna &lt;3" in page.get("/").text
    listed = client.get("/api/v1/guest-links").json()["items"][0]
    assert listed["files_used"] == 1
    assert listed["last_used_at"] is not None


def test_upload_goes_on_where_it_was_cut_and_outlives_the_guests_cookie(
    client: httpx.Client, url: str, come: Callable[..., Guest]
) -> None:
    guest = come(make(client))
    grant = guest.ask().json()
    patch(guest.http, grant["upload_url"], 0, BODY[:70_000])
    with httpx.Client(base_url=url) as again:
        head = again.head(grant["upload_url"], headers=TUS)
        assert head.headers["Upload-Offset"] == "70000"
        assert patch(again, grant["upload_url"], 70_000, BODY[70_000:]).status_code == 204
    assert "You sent 1 file" in guest.look().text


def test_two_guests_see_each_their_own(client: httpx.Client, come: Callable[..., Guest]) -> None:
    link = make(client)
    anna, ben = come(link, "Anna"), come(link, "Ben")
    grant = anna.send()
    ben.send(filename="Of Ben.mp4")
    ben.send(filename="Again Ben.mp4")
    assert "You sent 1 file" in anna.look().text
    assert "You sent 2 files" in ben.look().text
    assert "Of Ben.mp4" not in anna.look().text
    assert ben.http.get(grant["status_url"]).status_code == 404
    assert {video.guest_name for video in Video.select()} == {"Anna", "Ben"}


def test_form_without_script_is_streamed_and_limited(
    client: httpx.Client, come: Callable[..., Guest]
) -> None:
    link = make(client, max_file_bytes=100_000, max_files=1, tag="party")
    guest = come(link)
    large = guest.form("large.mp4", b"x" * 100_001)
    assert large.status_code == 413
    assert "larger than the 100 kB" in large.text
    assert Video.select().count() == 0
    assert guest.form("clip.mp4", b"x" * 100_000).status_code == 303
    video = Video.get()
    assert (video.guest_name, video.source, video.size_bytes) == ("Anna", Source.GUEST, 100_000)
    shown = guest.look().text
    assert "You sent 1 file" in shown
    assert "This link has all the files" in shown
    assert "/file/" not in shown


def test_form_of_another_guest_or_site_is_refused(
    client: httpx.Client, url: str, come: Callable[..., Guest]
) -> None:
    link = make(client)
    anna, ben = come(link), come(link)
    key = re.search(r"/file/([^\"]+)", anna.look().text)
    assert key
    target = f"{anna.path}/file/{key[1]}"
    files = {"file": ("a.mp4", b"x", "video/mp4")}
    assert ben.http.post(target, files=files).status_code == 403
    with browser(url) as stranger:
        assert stranger.post(target, files=files).status_code == 403
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert anna.http.post(target, files=files, headers=cross).status_code == 403
    assert Video.select().count() == 0


def test_page_of_a_guest_needs_its_token_and_its_own_site(
    client: httpx.Client, come: Callable[..., Guest]
) -> None:
    guest = come(make(client))
    target = f"{guest.path}/uploads"
    assert guest.http.post(target, json=WANTED).status_code == 403
    wrong = {"X-CSRF-Token": "guessed"}
    assert guest.http.post(target, json=WANTED, headers=wrong).status_code == 403
    right = {"X-CSRF-Token": form_token(guest.http), "Sec-Fetch-Site": "cross-site"}
    assert guest.http.post(target, json=WANTED, headers=right).status_code == 403
    assert Upload.select().count() == 0


def test_guest_reaches_nothing_else(client: httpx.Client, come: Callable[..., Guest]) -> None:
    guest = come(make(client))
    grant = guest.send()
    video = grant["video_id"]
    for path in ("/", f"/videos/{video}", "/guest-links", "/upload", "/settings"):
        assert guest.http.get(path).headers["location"].startswith("/sign-in"), path
    for path in (f"/api/v1/videos/{video}", "/api/v1/guest-links", "/api/v1/events"):
        assert guest.http.get(path).status_code == 401, path
    assert guest.http.get(grant["upload_url"]).status_code == 405
    # The cookie goes to the pages of this link alone.
    (cookie,) = [c for c in guest.http.cookies.jar if c.name == "guest"]
    assert (cookie.path, cookie.has_nonstandard_attr("HttpOnly")) == (guest.path, True)


@pytest.mark.parametrize(
    ("wanted", "status", "words"),
    [
        ({"filename": " "}, 422, "needs a name"),
        ({"file_size": 0}, 422, "empty"),
        ({"content_type": "text/html"}, 422, "Only videos"),
        ({"file_size": 2_000_001}, 413, "this link takes up to 2.0 MB each"),
        ({"title": "Mine"}, 422, "title"),
        ({"sha256": "nonsense"}, 422, "SHA-256"),
    ],
)
def test_file_that_can_not_come_is_told_before_a_byte_is_sent(
    client: httpx.Client,
    wanted: dict[str, Any],
    status: int,
    words: str,
    come: Callable[..., Guest],
) -> None:
    guest = come(make(client, max_file_bytes=2_000_000))
    answer = guest.ask(**wanted)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert Upload.select().count() == 0


# Names and passwords


def test_password_is_asked_and_the_note_waits_for_it(client: httpx.Client, url: str) -> None:
    link = make(client, password=PASSWORD, note="The door code is 1234")
    path = path_of(link)
    with browser(url) as http:
        asked = http.get(path).text
        assert "Password of the link" in asked
        assert "1234" not in asked and "grace" not in asked
        wrong = send_form(http, path, name="Anna", password="guess")
        assert wrong.status_code == 422
        assert 'id="password-problem"' in wrong.text
        assert 'value="Anna"' in wrong.text
        assert "guess" not in wrong.text
        assert "1234" not in http.get(path).text
        assert send_form(http, path, name=" ", password=PASSWORD).status_code == 422
        assert send_form(http, path, name="Anna", password=PASSWORD).status_code == 303
        assert "1234" in http.get(path).text


def test_guessing_has_to_wait_and_says_how_long(client: httpx.Client, url: str) -> None:
    path = path_of(make(client, password=PASSWORD))
    with browser(url) as http:
        for _ in range(5):
            assert send_form(http, path, name="Eve", password="guess").status_code == 422
        answer = send_form(http, path, name="Eve", password=PASSWORD)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 0
        assert "Wait 1 minute" in answer.text
        Throttle.delete().execute()
        assert send_form(http, path, name="Eve", password=PASSWORD).status_code == 303


def test_other_password_or_a_long_time_asks_again_and_keeps_the_name(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, come: Callable[..., Guest]
) -> None:
    link = make(client, password=PASSWORD)
    guest = come(link, password=PASSWORD)
    guest.send()
    here = f"/api/v1/guest-links/{link['link_id']}"
    client.patch(here, json={"password": "another one"})
    assert 'value="Anna"' in guest.look().text
    assert "Password of the link" in guest.look().text
    refused = guest.ask()
    assert (refused.status_code, refused.json()["code"]) == (403, "guest_session")
    answer = send_form(guest.http, guest.path, name="Anna", password="another one")
    assert answer.status_code == 303
    assert "You sent 1 file" in guest.look().text
    monkeypatch.setattr(guest_session, "ENTERED_FOR", timedelta(seconds=-1))
    send_form(guest.http, guest.path, name="Anna B.", password="another one")
    assert 'value="Anna B."' in guest.look().text


def test_somebody_else_on_the_same_device_begins_anew(
    client: httpx.Client, come: Callable[..., Guest]
) -> None:
    guest = come(make(client))
    guest.send()
    assert send_form(guest.http, f"{guest.path}/leave").status_code == 303
    assert "Your name" in guest.look().text
    assert 'value="Anna"' not in guest.look().text
    send_form(guest.http, guest.path, name="Ben")
    assert "You sent 1 file" not in guest.look().text


def test_cookie_of_another_link_or_a_forged_one_is_nothing(
    client: httpx.Client, url: str, come: Callable[..., Guest]
) -> None:
    one, two = make(client), make(client)
    guest = come(one)
    value = guest.http.cookies["guest"]
    forged = value[:-1] + ("A" if value[-1] != "A" else "B")
    for path, cookie in ((path_of(two), value), (path_of(one), forged), (path_of(one), "x")):
        with browser(url) as http:
            http.cookies.set("guest", cookie)
            assert "Your name" in http.get(path).text


# The end of a link


@pytest.mark.parametrize(
    ("state", "status"),
    [(LinkState.REVOKED, 410), (LinkState.EXPIRED, 410), (LinkState.FULL, 410), (None, 404)],
)
def test_closed_links_are_told_kindly_and_tell_nothing(
    client: httpx.Client, url: str, state: LinkState | None, status: int, come: Callable[..., Guest]
) -> None:
    link = make(client, title="Secret wedding", note="Do not tell", max_files=1)
    path = path_of(link)
    early = come(link)
    if state is LinkState.REVOKED:
        client.delete(f"/api/v1/guest-links/{link['link_id']}")
    elif state is LinkState.EXPIRED:
        GuestLink.update(expires_at=now() - timedelta(seconds=1)).execute()
    elif state is LinkState.FULL:
        come(link, "Ben").send()
    else:
        path = path[:-1] + ("a" if path[-1] != "a" else "b")
    sentence = UNKNOWN if state is None else SENTENCES[state]
    with browser(url) as stranger:
        answer = stranger.get(path)
        assert answer.status_code == status
        assert sentence in answer.text
        for secret in ("Secret wedding", "Do not tell", "grace", "Sign in", "library"):
            assert secret not in answer.text
        sent = send_form(stranger, path, name="Eve")
        assert sent.status_code == (404 if state is None else 303)
        assert "guest" not in stranger.cookies
    if state is not None:
        refused = early.ask()
        assert refused.status_code == 410
        assert refused.json()["detail"] == sentence
        assert refused.json()["code"] == f"link_{state}"


def test_guest_who_has_sent_still_sees_that_after_the_end(
    client: httpx.Client, come: Callable[..., Guest]
) -> None:
    link = make(client)
    guest = come(link)
    guest.send()
    guest.send()
    client.delete(f"/api/v1/guest-links/{link['link_id']}")
    answer = guest.look()
    assert answer.status_code == 410
    assert "The 2 files that you sent have arrived." in answer.text


def test_full_link_lets_its_guests_finish(client: httpx.Client, come: Callable[..., Guest]) -> None:
    guest = come(make(client, max_files=1))
    grant = guest.ask().json()
    shown = guest.look()
    assert shown.status_code == 200
    assert "This link has all the files" in shown.text
    assert "data-grant-url" in shown.text  # what is on its way goes on
    assert 'type="file"' not in shown.text
    assert patch(guest.http, grant["upload_url"], 0, BODY).status_code == 204
    assert "You sent 1 file" in guest.look().text


def test_link_of_somebody_who_left_is_ended(
    client: httpx.Client, editor: User, come: Callable[..., Guest]
) -> None:
    link = make(client)
    guest = come(link)
    grant = guest.ask().json()
    add_user()
    users.deactivate(editor, actor=None)
    assert guest.look().status_code == 410
    assert guest.ask().status_code == 410
    assert patch(guest.http, grant["upload_url"], 0, BODY).status_code == 410


def test_ending_a_link_ends_what_is_sent_by_it_while_it_is_sent(
    client: httpx.Client, url: str, one_server: Served, come: Callable[..., Guest]
) -> None:
    link = make(client)
    guest = come(link)
    arrived = guest.send()
    idle = guest.ask().json()
    patch(guest.http, idle["upload_url"], 0, BODY[:1000])
    large = guest.ask(file_size=10_000_000).json()
    host = urlsplit(url)
    with socket.create_connection((host.hostname or "", host.port or 0), timeout=20) as line:
        line.sendall(
            f"PATCH {large['upload_url']} HTTP/1.1\r\nHost: {host.netloc}\r\n"
            "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Length: 10000000\r\n"
            "Content-Type: application/offset+octet-stream\r\n\r\n".encode()
        )
        layout: Layout = one_server.app.state.layout
        upload = Upload.get(Upload.state == UploadState.RECEIVING, Upload.length == 10_000_000)
        file = layout.upload(upload.public_id)
        with sending(line):
            wait_until("bytes arrive", lambda: file.stat().st_size > 0)
            assert client.delete(f"/api/v1/guest-links/{link['link_id']}").status_code == 204
            told = line.recv(4000).decode()
    assert told.startswith("HTTP/1.1 410"), told
    assert guest_links.CUT_OFF in told
    head = guest.http.head(idle["upload_url"], headers=TUS)
    assert head.status_code == 410
    assert patch(guest.http, idle["upload_url"], 1000, BODY[1000:]).status_code == 410
    # What had arrived stays; of the rest there is no trace.
    assert [video.public_id for video in Video.select()] == [arrived["video_id"]]
    assert list(layout.uploads.iterdir()) == []


def test_ending_a_link_ends_the_form_that_is_sent_by_it(
    client: httpx.Client,
    url: str,
    come: Callable[..., Guest],
    one_server: Served,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("storage.uploads.receiving.CHECKPOINT_S", 0.2)
    monkeypatch.setattr("web.upload_body._LINGER_S", 0.5)
    link = make(client)
    guest = come(link)
    found = re.search(r'action="(/send/[^"]+/file/[^"]+)"', guest.look().text)
    assert found
    host = urlsplit(url)
    with socket.create_connection((host.hostname or "", host.port or 0), timeout=20) as line:
        line.sendall(
            f"POST {found[1]} HTTP/1.1\r\nHost: {host.netloc}\r\nContent-Length: 10000000\r\n"
            f"Cookie: guest={guest.http.cookies['guest']}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: "
            'form-data; name="file"; filename="a.mp4"\r\n\r\n'.encode()
        )
        with sending(line):
            wait_until("the form arrives", lambda: Video.select().count() == 1)
            assert client.delete(f"/api/v1/guest-links/{link['link_id']}").status_code == 204
            wait_until("nothing is left of it", lambda: Video.select().count() == 0)
            told = line.recv(4000).decode()
    assert told.startswith("HTTP/1.1 4"), told
    assert Upload.get().error == guest_links.CUT_OFF


def test_upload_of_an_ended_link_ends_even_if_nobody_ended_it(
    client: httpx.Client, come: Callable[..., Guest]
) -> None:
    """The box was killed between the two."""
    guest = come(make(client))
    grant = guest.ask().json()
    GuestLink.update(revoked_at=now()).execute()
    answer = patch(guest.http, grant["upload_url"], 0, BODY)
    assert answer.status_code == 410
    assert guest_links.CUT_OFF in answer.text


# Limits


def test_last_place_goes_to_one_of_many_who_ask_at_once(
    client: httpx.Client, come: Callable[..., Guest]
) -> None:
    link = make(client, max_files=3)
    guests = [come(link, f"Guest {n}") for n in range(8)]
    for guest in guests:
        form_token(guest.http)
    start = threading.Barrier(len(guests))
    statuses: list[int] = []

    def ask(guest: Guest) -> None:
        start.wait()
        statuses.append(guest.ask().status_code)

    threads = [threading.Thread(target=ask, args=(guest,)) for guest in guests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] * 3 + [410] * 5
    assert Upload.select().count() == 3


def test_cancelled_file_makes_room_for_another(
    client: httpx.Client, come: Callable[..., Guest]
) -> None:
    guest = come(make(client, max_files=1))
    grant = guest.ask().json()
    assert guest.ask().status_code == 410
    assert guest.http.delete(grant["upload_url"], headers=TUS).status_code == 204
    guest.send()


def test_files_of_one_address_are_limited_by_the_hour(
    client: httpx.Client, one_server: Served, come: Callable[..., Guest]
) -> None:
    guest = come(make(client))
    most = one_server.settings.guest_files_per_hour
    guest.ask()
    Throttle.update(failures=most).where(Throttle.key.startswith("guest-grants:")).execute()
    answer = guest.ask()
    assert answer.status_code == 429
    assert "within an hour" in answer.json()["detail"]
    assert int(answer.headers["Retry-After"]) > 3000
    assert "within an hour" in guest.form("a.mp4", b"x").text
    assert Upload.select().count() == 1


def test_full_box_tells_guests_nothing_of_the_box(
    client: httpx.Client, come: Callable[..., Guest], monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = come(make(client))
    monkeypatch.setattr("storage.budget.free_bytes", lambda path: 10_500_000)
    answer = guest.ask(file_size=1_000_000)
    assert answer.status_code == 507
    assert answer.json()["detail"].startswith("There is no room for this file")
    refused = guest.form("clip.mp4", os.urandom(600_000))
    assert refused.status_code == 507
    assert "There is no room for this file" in refused.text


def test_guests_count_for_their_hosts_quota_and_hear_nothing_of_it(
    client: httpx.Client, come: Callable[..., Guest], editor: User
) -> None:
    users.set_quota(editor, len(BODY) + 1, actor=None)
    guest = come(make(client))
    guest.send()
    answer = guest.ask(file_size=2)
    assert answer.status_code == 413
    assert answer.json()["detail"].startswith("There is no room for this file")
    assert client.post("/api/v1/uploads", json=WANTED).json()["code"] == "quota_exceeded"


def test_guests_do_not_use_up_their_hosts_places(
    client: httpx.Client, one_server: Served, come: Callable[..., Guest]
) -> None:
    guest = come(make(client))
    most = one_server.settings.max_open_uploads
    first = guest.ask()
    row = Upload.get()
    for _ in range(most - 1):
        copy = {k: v for k, v in row.__data__.items() if k not in ("id", "public_id", "video")}
        Upload.create(**copy)
    assert first.status_code == 201
    assert "on their way by this link" in guest.ask().json()["detail"]
    assert client.post("/api/v1/uploads", json=WANTED).status_code == 201


# Secrecy


def test_guest_pages_leave_no_trace(client: httpx.Client, come: Callable[..., Guest]) -> None:
    guest = come(make(client))
    for answer in (guest.look(), guest.ask(), guest.http.get(f"{guest.path}/_sent")):
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
        assert answer.headers["Cache-Control"] == "no-store"
    assert '<meta name="robots" content="noindex' in guest.look().text
    assert loggable_path(f"{guest.path}/uploads") == "/send/…/uploads"


def test_who_is_signed_in_sees_what_guests_see(
    client: httpx.Client, page: httpx.Client, url: str
) -> None:
    """The link's maker tries it out: no rail, no name of theirs, no shortcut by their session."""
    shown = page.get(path_of(make(client)))
    assert shown.status_code == 200
    assert 'class="rail"' not in shown.text
    assert "Your name" in shown.text


def test_searching_for_links_is_slowed_down(one_server: Served) -> None:
    one_server.app.state.guesses = Guesses()
    with browser(one_server.url) as http:
        seen = {http.get(f"/send/{n:032d}").status_code for n in range(120)}
    one_server.app.state.guesses = Guesses()  # the other tests come from the same address
    assert seen == {404, 429}


# Tags


def test_tags_are_edited_with_and_without_script(
    client: httpx.Client, page: httpx.Client, come: Callable[..., Guest]
) -> None:
    come(make(client, tag="party")).send()
    video = Video.get().public_id
    form = page.get(f"/videos/{video}").text
    assert 'name="tags" type="text" value="party"' in form
    answer = send_form(page, f"/videos/{video}/edit", title="T", tags="Sea, #summer 2026")
    assert answer.status_code == 303
    assert client.get(f"/api/v1/videos/{video}").json()["tags"] == ["sea", "summer 2026"]
    bad = send_form(page, f"/videos/{video}/edit", title="T", tags="x" * 41)
    assert bad.status_code == 422
    assert 'id="tags-problem"' in bad.text
    patched = client.patch(f"/api/v1/videos/{video}", json={"tags": ["Boat"]})
    assert patched.json()["tags"] == ["boat"]
    assert client.patch(f"/api/v1/videos/{video}", json={"title": "U"}).json()["tags"] == ["boat"]
    found = client.get("/api/v1/videos", params={"tag": "BOAT"}).json()["items"]
    assert [item["video_id"] for item in found] == [video]
    assert client.get("/api/v1/videos", params={"tag": "party"}).json()["items"] == []
