"""The upload addresses, against the real app under uvicorn."""

from __future__ import annotations

import http.client
import io
import os
import re
import socket
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from tusclient.client import TusClient

from appliance.access import Scope
from appliance.clock import now
from appliance.models import Event, Job, Role, Upload, Video
from appliance.states import UploadState, VideoState
from tests.web.serving import add_token, add_user, browser, script, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.models import User
    from appliance.settings import Settings
    from storage.layout import Layout
    from tests.web.serving import Served

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}
BODY = os.urandom(300_000)


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
def client(url: str, owner: User) -> Iterator[httpx.Client]:
    with script(url, owner) as client:
        yield client


def create(client: httpx.Client, length: int, **headers: str) -> httpx.Response:
    return client.post("/files", headers={**TUS, "Upload-Length": str(length), **headers})


def made(client: httpx.Client, length: int = len(BODY), metadata: str = "") -> str:
    answer = create(client, length, **({"Upload-Metadata": metadata} if metadata else {}))
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


def patch(client: httpx.Client, location: str, offset: int, body: Any) -> httpx.Response:
    headers = {**TUS, **BYTES, "Upload-Offset": str(offset)}
    return client.patch(location, headers=headers, content=body)


def head(client: httpx.Client, location: str) -> httpx.Response:
    return client.head(location, headers=TUS)


def offset_of(client: httpx.Client, location: str) -> int:
    answer = head(client, location)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


def original(layout: Layout) -> bytes:
    (video,) = Video.select()
    return layout.original(video.public_id).read_bytes()


def test_a_file_in_two_pieces_becomes_a_video(client: httpx.Client, layout: Layout) -> None:
    location = made(client, metadata=f"filename {b64encode(b'Mein Urlaub.mp4').decode()}")
    first = patch(client, location, 0, BODY[:100_000])
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "100000")
    assert "Upload-Expires" in first.headers
    last = patch(client, location, 100_000, BODY[100_000:])
    assert (last.status_code, last.headers["Upload-Offset"]) == (204, str(len(BODY)))
    assert "Upload-Expires" not in last.headers

    (video,) = Video.select()
    assert last.headers["Appliance-Video-Id"] == video.public_id
    assert (video.title, video.state) == ("Mein Urlaub", VideoState.RECEIVED)
    assert video.size_bytes == len(BODY)
    assert original(layout) == BODY
    assert [job.kind for job in Job.select()] == ["probe"]
    assert list(layout.uploads.iterdir()) == []


def test_location_is_relative_and_a_capability(client: httpx.Client) -> None:
    assert re.fullmatch(r"/files/[0-9a-z]{26}\.[A-Za-z0-9_-]{32}", made(client))


def test_the_token_itself_is_nowhere_in_the_database(client: httpx.Client, layout: Layout) -> None:
    token = made(client).rpartition(".")[2]
    for path in layout.data.glob("appliance.db*"):
        assert token.encode() not in path.read_bytes()


def test_the_capability_alone_is_enough_to_go_on(client: httpx.Client, url: str) -> None:
    location = made(client)
    with httpx.Client(base_url=url) as stranger:
        assert patch(stranger, location, 0, BODY[:10]).status_code == 204
        assert offset_of(stranger, location) == 10
        assert stranger.delete(location, headers=TUS).status_code == 204


def test_a_token_that_ended_does_not_stop_an_upload(client: httpx.Client) -> None:
    location = made(client)
    client.headers["Authorization"] = "Bearer long-gone"
    assert patch(client, location, 0, BODY[:10]).status_code == 204
    assert create(client, 5).status_code == 401


def test_creating_needs_somebody_who_may(url: str, owner: User) -> None:
    with httpx.Client(base_url=url) as nobody:
        assert create(nobody, 5).status_code == 401
    viewer = add_user("viewer@example.org", Role.VIEWER)
    with script(url, viewer) as client:
        assert create(client, 5).status_code == 403
    with script(url, owner, [Scope.READ]) as client:
        assert create(client, 5).status_code == 403
    with browser(url, owner) as client:
        assert create(client, 5).status_code == 201


def test_unknown_id_and_wrong_token_look_alike(client: httpx.Client) -> None:
    location = made(client)
    upload_id, _, token = location.removeprefix("/files/").partition(".")
    swapped = token[1:] + token[0]
    wrong = [f"/files/{upload_id}.{swapped}", f"/files/{'0' * 26}.{token}"]
    wrong += ["/files/nonsense", f"/files/{upload_id}", "/files/..%2Fappliance.db"]
    answers = [patch(client, path, 0, b"x") for path in wrong]
    assert {(a.status_code, a.text) for a in answers} == {(404, "There is no such upload.")}


def test_every_answer_says_the_version(client: httpx.Client) -> None:
    location = made(client)
    answers = [
        create(client, 5),
        create(client, 5, **{"Tus-Resumable": "0.2.2"}),
        client.get(location),
        client.get("/files"),
        client.options("/files"),
        client.delete("/files/nonsense", headers=TUS),
        head(client, location),
        patch(client, location, 7, b"x"),
        create(client, 10**14),
    ]
    assert [a.status_code for a in answers] == [201, 412, 405, 405, 204, 404, 200, 409, 413]
    assert {a.headers.get("Tus-Resumable") for a in answers} == {"1.0.0"}
    assert answers[1].headers["Tus-Version"] == "1.0.0"


def test_options_says_what_is_offered(client: httpx.Client, settings: Settings) -> None:
    answer = client.options("/files")
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Max-Size"] == str(int(settings.max_upload_bytes))
    assert set(answer.headers["Tus-Extension"].split(",")) == {
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "checksum",
        "concatenation",
        "expiration",
        "termination",
    }


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Tus-Resumable": "1.0.1"}, 412),
        ({"Tus-Resumable": ""}, 412),
        ({"Content-Type": "application/octet-stream"}, 415),
        ({"Upload-Offset": "5"}, 409),
        ({"Upload-Offset": "-1"}, 400),
        ({"Upload-Offset": "+0"}, 400),
        ({"Upload-Offset": "0_0"}, 400),
        ({"Upload-Offset": ""}, 400),
        ({"Upload-Offset": "9" * 30}, 413),
        ({"Upload-Checksum": "sha1 abc"}, 400),
    ],
    ids=str,
)
def test_a_bad_patch_is_refused_before_its_body(
    client: httpx.Client, layout: Layout, change: dict[str, str], status: int
) -> None:
    location = made(client)
    headers = {**TUS, **BYTES, "Upload-Offset": "0", **change}
    answer = client.patch(location, headers=headers, content=b"x" * 1000)
    assert answer.status_code == status
    assert answer.text.endswith(".")
    (file,) = layout.uploads.iterdir()
    assert file.stat().st_size == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upload-Length": "x"}, 400),
        ({"Upload-Length": "-5"}, 400),
        ({"Upload-Length": "٣"}, 400),
        ({"Upload-Length": "99999999999999"}, 413),
        ({"Upload-Length": "5", "Upload-Metadata": "filename %%%"}, 400),
        ({"Upload-Length": "5", "Upload-Metadata": "filename YQ==,filename YQ=="}, 400),
        ({"Upload-Length": "5", "Upload-Metadata": ",,"}, 400),
        ({"Upload-Length": "5", "Upload-Metadata": f"a {'YWFh' * 3000}"}, 400),
    ],
    ids=str,
)
def test_a_bad_creation_makes_nothing(
    client: httpx.Client, layout: Layout, headers: dict[str, str], status: int
) -> None:
    sent = [(k, v.encode()) for k, v in {**TUS, **headers}.items()]
    answer = client.post("/files", headers=sent)
    assert answer.status_code == status
    assert list(layout.uploads.iterdir()) == []
    assert Upload.select().count() == Video.select().count() == 0


def test_metadata_comes_back_byte_for_byte(client: httpx.Client) -> None:
    raw = "filename dGVzdC5tcDQ=,is_confidential,empty ,filetype dmlkZW8vbXA0"
    assert head(client, made(client, metadata=raw)).headers["Upload-Metadata"] == raw


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..\\..\\boot.ini",
        "nul\0byte.mp4",
        "x" * 5000,
        "\u202egpj.mp4",
        '"><script>alert(1)</script>.mp4',
        "-rf.mp4",
        "line\nbreak.mp4",
    ],
    ids=lambda name: name[:12].encode("unicode_escape").decode(),
)
def test_names_are_only_text(client: httpx.Client, layout: Layout, name: str) -> None:
    location = made(client, 3, f"filename {b64encode(name.encode()).decode()}")
    assert patch(client, location, 0, b"abc").status_code == 204
    (video,) = Video.select()
    for forbidden in ("/", "\\", "\0", "\n", "\u202e"):
        assert forbidden not in video.filename
    assert 0 < len(video.filename.encode()) <= 255
    files = {path.name for path in layout.media.rglob("*") if path.is_file()}
    assert files == {"original"}


def test_an_empty_file_is_complete_at_once(client: httpx.Client, layout: Layout) -> None:
    answer = create(client, 0)
    assert answer.status_code == 201
    assert answer.headers["Upload-Offset"] == "0"
    assert original(layout) == b""
    assert Job.select().count() == 1


def test_the_first_bytes_may_come_with_the_creation(client: httpx.Client, layout: Layout) -> None:
    headers = {**TUS, **BYTES, "Upload-Length": str(len(BODY))}
    answer = client.post("/files", headers=headers, content=BODY[:1000])
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "1000")
    assert patch(client, answer.headers["Location"], 1000, BODY[1000:]).status_code == 204
    assert original(layout) == BODY


def test_a_repeated_last_patch_and_head_agree_that_it_is_complete(client: httpx.Client) -> None:
    location = made(client, 3)
    patch(client, location, 0, b"abc")
    again = patch(client, location, 3, b"")
    assert (again.status_code, again.headers["Upload-Offset"]) == (204, "3")
    assert offset_of(client, location) == 3
    assert Job.select().count() == 1


def test_a_body_that_is_too_long_is_refused_unread(client: httpx.Client) -> None:
    location = made(client, 10)
    answer = patch(client, location, 0, b"x" * 11)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (413, "0")
    assert offset_of(client, location) == 0


def test_a_long_body_that_is_refused_still_gets_its_answer(client: httpx.Client) -> None:
    location = made(client, 20_000_000)
    answer = patch(client, location, 5, bytes(20_000_000))
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "0")


def test_surplus_bytes_of_a_chunked_body_are_not_written(
    client: httpx.Client, layout: Layout
) -> None:
    location = made(client, 10)
    answer = patch(client, location, 0, iter([b"01234", b"56789and more"]))
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (413, "10")
    (file,) = layout.uploads.iterdir()
    assert file.read_bytes() == b"0123456789"


def test_a_chunked_body_of_the_right_length_completes(client: httpx.Client, layout: Layout) -> None:
    location = made(client, 10)
    assert patch(client, location, 0, iter([b"01234", b"56789"])).status_code == 204
    assert original(layout) == b"0123456789"


def test_method_override(client: httpx.Client) -> None:
    location = made(client, 5)
    headers = {**TUS, **BYTES, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert client.post(location, headers=headers, content=b"abc").status_code == 204
    assert offset_of(client, location) == 3


def test_head_is_never_stored(client: httpx.Client) -> None:
    answer = head(client, made(client))
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Upload-Length"] == str(len(BODY))


def test_termination_removes_file_and_video(client: httpx.Client, layout: Layout) -> None:
    location = made(client)
    patch(client, location, 0, BODY[:1000])
    assert client.delete(location, headers=TUS).status_code == 204
    assert list(layout.uploads.iterdir()) == []
    assert Video.select().count() == 0
    assert head(client, location).status_code == 410
    assert Event.select().where(Event.type == "video.deleted").count() == 1


def test_terminating_a_complete_upload_keeps_the_video(
    client: httpx.Client, layout: Layout
) -> None:
    location = made(client, 3)
    patch(client, location, 0, b"abc")
    assert client.delete(location, headers=TUS).status_code == 204
    assert head(client, location).status_code == 404
    assert original(layout) == b"abc"


def test_an_expired_upload_is_gone(client: httpx.Client, layout: Layout) -> None:
    location = made(client)
    Upload.update(expires_at=now()).execute()
    assert head(client, location).status_code == 410
    assert list(layout.uploads.iterdir()) == []


def test_too_many_open_uploads(client: httpx.Client, settings: Settings) -> None:
    location = [made(client) for _ in range(settings.max_open_uploads)][0]
    answer = create(client, 5)
    assert answer.status_code == 429
    assert "unfinished uploads" in answer.text
    client.delete(location, headers=TUS)
    assert create(client, 5).status_code == 201


def raw_patch(url: str, location: str, offset: int, length: int, body: bytes) -> socket.socket:
    """Start a PATCH of ``length`` bytes, send only ``body``, and keep the connection."""
    parts = urlsplit(url)
    connection = socket.create_connection((str(parts.hostname), int(parts.port or 0)))
    connection.sendall(
        (
            f"PATCH {location} HTTP/1.1\r\nHost: {parts.netloc}\r\nTus-Resumable: 1.0.0\r\n"
            f"Content-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\n"
            f"Content-Length: {length}\r\n\r\n"
        ).encode()
        + body
    )
    return connection


def upload_file(layout: Layout) -> Any:
    (file,) = layout.uploads.iterdir()
    return file


def test_what_arrived_before_a_cut_is_kept(client: httpx.Client, url: str, layout: Layout) -> None:
    location = made(client)
    with raw_patch(url, location, 0, len(BODY), BODY[:123_456]):
        wait_until("all are written", lambda: upload_file(layout).stat().st_size == 123_456)
    assert offset_of(client, location) == 123_456
    assert patch(client, location, 123_456, BODY[123_456:]).status_code == 204
    assert original(layout) == BODY


def test_a_duplicate_does_not_end_the_good_one(
    client: httpx.Client, url: str, layout: Layout
) -> None:
    location = made(client)
    with raw_patch(url, location, 0, len(BODY), BODY[:1000]) as first:
        wait_until("the first writes", lambda: upload_file(layout).stat().st_size == 1000)
        second = patch(client, location, 0, BODY)
        assert second.status_code == 409
        assert "Upload-Offset" not in second.headers  # it is growing: there is none to tell
        first.sendall(BODY[1000:])
        answer = http.client.HTTPResponse(first, method="PATCH")
        answer.begin()
        assert answer.status == 204
    assert original(layout) == BODY


def test_who_comes_back_gets_the_upload_from_the_old_request(
    client: httpx.Client, url: str, layout: Layout
) -> None:
    location = made(client)
    with raw_patch(url, location, 0, len(BODY), BODY[:1000]) as first:
        wait_until("the first writes", lambda: upload_file(layout).stat().st_size == 1000)
        assert offset_of(client, location) == 1000
        answer = http.client.HTTPResponse(first, method="PATCH")
        answer.begin()
        assert answer.status == 409
        assert answer.headers["Upload-Offset"] == "1000"
        assert answer.headers["Connection"] == "close"
        assert patch(client, location, 1000, BODY[1000:]).status_code == 204
    assert original(layout) == BODY


def test_strangers_do_not_learn_that_an_upload_is_busy(
    client: httpx.Client, url: str, layout: Layout
) -> None:
    location = made(client)
    with raw_patch(url, location, 0, len(BODY), BODY[:1000]):
        wait_until("the first writes", lambda: upload_file(layout).stat().st_size == 1000)
        assert head(client, location[:-32] + "A" * 32).status_code == 404


def test_a_silent_sender_is_let_go(
    client: httpx.Client, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "web.upload_body.Body.limit", lambda body, _: setattr(body, "silence_s", 0.2)
    )
    location = made(client)
    with raw_patch(url, location, 0, len(BODY), BODY[:1000]) as connection:
        answer = http.client.HTTPResponse(connection, method="PATCH")
        answer.begin()
        assert answer.status == 408
        assert answer.headers["Upload-Offset"] == "1000"
    assert offset_of(client, location) == 1000


def test_progress_is_told_but_not_for_every_piece(client: httpx.Client) -> None:
    location = made(client)
    for offset in range(0, 50_000, 1000):
        patch(client, location, offset, BODY[offset : offset + 1000])
    events = list(Event.select().where(Event.type == "upload.progress").order_by(Event.id))
    assert 1 <= len(events) < 25
    first = events[0].data
    assert first["length"] == len(BODY)
    assert first["progress"] == round(first["offset"] / len(BODY), 4)


def test_deleting_the_video_ends_its_upload(client: httpx.Client) -> None:
    location = made(client)
    Video.delete().execute()
    assert patch(client, location, 0, b"x").status_code == 410
    assert Upload.get().state is UploadState.TERMINATED


def test_tuspy_uploads_and_resumes(url: str, owner: User, layout: Layout) -> None:
    client = TusClient(f"{url}/files", headers={"Authorization": f"Bearer {add_token(owner)}"})
    uploader = client.uploader(
        file_stream=io.BytesIO(BODY), chunk_size=70_000, metadata={"filename": "clip.mp4"}
    )
    uploader.upload_chunk()
    assert uploader.offset == 70_000
    again = client.uploader(file_stream=io.BytesIO(BODY), chunk_size=70_000, url=uploader.url)
    assert again.offset == 70_000
    again.upload()
    assert original(layout) == BODY
