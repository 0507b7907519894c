"""The stand-in says no where Instagram does: tests against it would prove little otherwise."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.tasks.publish.instagram.studio import ACCOUNT, Reel
from web.practice.fetcher import Refusal
from web.practice.ground import Fault
from web.practice.meta import people
from web.practice.meta.instagram_fetch import cover_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tasks.publish.instagram.studio import Studio


@contextmanager
def calling(studio: Studio, token: str | None = None) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token or studio.token}"}
    base = f"{studio.box.url}/practice/meta/v25.0"
    with httpx.Client(base_url=base, headers=headers, timeout=20) as client:
        yield client


def error(answer: httpx.Response) -> tuple[int, int | None]:
    assert answer.status_code in (400, 401), answer.text
    found = answer.json()["error"]
    assert found["type"] == "OAuthException"
    return found["code"], found.get("error_subcode")


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"media_type": "VIDEO"}, (100, 2207023)),
        ({"upload_type": ""}, (100, None)),
        ({"video_url": "https://video.example/a.mp4"}, (100, None)),  # both ways at once
        ({"caption": "a" * 2201}, (36004, 2207010)),
        ({"caption": "#a " * 31}, (100, 2207040)),
        ({"caption": "@a " * 21}, (100, 2207040)),
        ({"share_to_feed": "yes"}, (100, None)),
        ({"thumb_offset": "1.5"}, (100, None)),
        ({"collaborators": "ada"}, (100, None)),
        ({"collaborators": '["a", "b", "c", "d"]'}, (100, None)),
    ],
)
def test_what_does_not_fit_the_documentation_is_refused(
    studio: Studio, form: dict[str, str], said: tuple[int, int | None]
) -> None:
    whole = {"media_type": "REELS", "upload_type": "resumable", "caption": "At the lake"}
    with calling(studio) as client:
        assert error(client.post(f"/{ACCOUNT}/media", data={**whole, **form})) == said
        # Parameters are a form: JSON is no form.
        assert error(client.post(f"/{ACCOUNT}/media", json=whole)) == (100, 2207023)
    assert studio.containers.all() == []


def test_only_the_token_of_the_linked_page_is_taken(studio: Studio) -> None:
    person = people.Caller(people.PEOPLE[0]["id"], scopes=("instagram_basic",), long=True)
    ground = studio.meta.ground
    other = people.page_token(ground, people.PAGES[1]["id"], person)
    for token, said in ((other, 10), ("unknown", 190)):
        with calling(studio, token) as client:
            assert error(client.get(f"/{ACCOUNT}/media"))[0] == said
    with calling(studio) as client:
        assert client.get(f"/{ACCOUNT}/media").json() == {"data": []}
        assert error(client.get("/12345", params={"fields": "status_code"})) == (100, 33)


def test_a_container_is_published_when_it_is_ready_and_once(studio: Studio) -> None:
    studio.faults(Fault("ig.fetch", "slow", "60"))
    reel = Reel(studio)
    reel.stage()
    studio.fetched()
    form = {"creation_id": reel.saved["container"]}
    with calling(studio) as client:
        assert error(client.post(f"/{ACCOUNT}/media_publish", data=form)) == (9007, 2207027)
        studio.clock.skip(seconds=61)
        public = client.post(f"/{ACCOUNT}/media_publish", data=form).json()["id"]
        assert error(client.post(f"/{ACCOUNT}/media_publish", data=form)) == (24, 2207006)
        (listed,) = client.get(f"/{ACCOUNT}/media", params={"fields": "id,caption"}).json()["data"]
        assert listed == {"id": public, "caption": "At the lake"}
        use = client.get(f"/{ACCOUNT}/content_publishing_limit").json()["data"]
        assert use == [{"quota_usage": 1}]
    assert len(studio.reels()) == 1


def test_a_container_expires_after_a_day(studio: Studio) -> None:
    reel = Reel(studio).staged()
    studio.clock.skip(hours=24.1)
    with calling(studio) as client:
        asked = client.get(f"/{reel.saved['container']}", params={"fields": "status_code"})
        assert asked.json()["status_code"] == "EXPIRED"
        form = {"creation_id": reel.saved["container"]}
        assert error(client.post(f"/{ACCOUNT}/media_publish", data=form)) == (24, 2207006)


def send(studio: Studio, container: str, **headers: str) -> dict[str, Any]:
    url = f"{studio.box.url}/practice/meta/ig-api-upload/v25.0/{container}"
    known = {"authorization": f"OAuth {studio.token}", "offset": "0", "file_size": "10"}
    answer = httpx.post(url, headers={**known, **headers}, content=b"0123456789", timeout=20)
    assert answer.status_code in (200, 400), answer.text
    said: dict[str, Any] = answer.json()
    return said


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"authorization": "Bearer {token}"}, "NotAuthorizedError"),
        ({"offset": "x"}, "ParameterValidationError"),
        ({"offset": "5"}, "OffsetInvalidError"),
        ({"file_size": "11"}, "PartialRequestError"),
        ({"file_size": "300000001"}, "ProcessingFailedError"),
    ],
)
def test_the_upload_host_has_errors_of_its_own_shape(
    studio: Studio, headers: dict[str, str], kind: str
) -> None:
    container = studio.containers.create(ACCOUNT, {"caption": ""}, slow_s=0)["id"]
    headers = {name: text.format(token=studio.token) for name, text in headers.items()}
    assert send(studio, container, **headers)["debug_info"]["type"] == kind


def test_bytes_that_are_no_video_end_in_an_error_with_its_number(studio: Studio) -> None:
    container = studio.containers.create(ACCOUNT, {"caption": ""}, slow_s=0)["id"]
    assert send(studio, container)["success"] is True
    with calling(studio) as client:
        said = client.get(f"/{container}", params={"fields": "status_code,status"}).json()
    assert said["status_code"] == "ERROR"
    assert "2207026" in said["status"]


def test_a_cover_is_looked_at_before_it_is_read() -> None:
    def pieces() -> Iterator[bytes]:
        for number in range(20):
            read.append(number)
            yield bytes(1_000_000)

    read: list[int] = []
    jpeg = {"content-type": "image/jpeg"}
    for status, headers in (
        (404, jpeg),
        (200, {"content-type": "text/html"}),
        (200, {**jpeg, "content-length": "8000001"}),
    ):
        with pytest.raises(Refusal):
            cover_digest(httpx.Response(status, headers=headers, content=pieces()))
    assert read == []
    with pytest.raises(Refusal, match="too large"):
        cover_digest(httpx.Response(200, headers=jpeg, content=pieces()))
    assert len(read) == 9
    small = httpx.Response(200, headers=jpeg, content=iter([b"a", b"b"]))
    assert cover_digest(small) == hashlib.sha256(b"ab").hexdigest()
