"""What is made of a video, over HTTP: lists, wishes, files, and the poster."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from appliance.clock import now
from appliance.models import Job, PosterChoice, Rendition, Role, User, Video
from appliance.states import JobState, RenditionState, VideoState
from tasks import profiles
from tests.factories import make_video
from tests.tasks.test_plan import FITS
from tests.web.serving import add_user, browser, form_token, script, send_form
from web.rendition_shapes import load_poster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings
    from storage.layout import Layout
    from tests.web.serving import Served

BOARD = {"columns": 2, "rows": 1, "count": 2, "width": 160, "height": 90, "every_s": 5.0}


@pytest.fixture
def settings(one_server: Served) -> Settings:
    return one_server.settings


@pytest.fixture
def owner(one_server: Served) -> User:
    return add_user()


@pytest.fixture
def video(owner: User, layout: Layout) -> Video:
    video = make_video(
        owner,
        title="Fest",
        state=VideoState.READY,
        facts=FITS.to_dict(),
        duration_s=10.0,
        received_at=now(),
    )
    layout.video(video.public_id).mkdir()
    layout.original(video.public_id).write_bytes(b"original")
    return video


@pytest.fixture
def client(one_server: Served, owner: User) -> Iterator[httpx.Client]:
    with script(one_server.url, owner) as client:
        yield client


def add(video: Video, layout: Layout, profile: str, **columns: Any) -> Rendition:
    layout.rendition(video.public_id, profile).write_bytes(profile.encode())
    values = {"recipe": profiles.current(profile).recipe, "sha256": "00000abc" * 8, **columns}
    return Rendition.create(
        video=video, profile=profile, state=RenditionState.READY, size_bytes=5, **values
    )


def test_the_list_has_all_that_is_made_or_can_be(
    client: httpx.Client, video: Video, layout: Layout
) -> None:
    add(video, layout, "storyboard", facts=BOARD)
    shape = client.get(f"/api/v1/videos/{video.public_id}").json()
    found = client.get(shape["renditions_url"]).json()
    items = {item["profile"]: item for item in found["items"]}
    assert list(items) == list(profiles.PROFILES)
    board, audio = items["storyboard"], items["audio"]
    assert (board["state"], board["stale"], board["facts"]) == ("ready", False, BOARD)
    assert (audio["state"], audio["url"], audio["made_of_all"]) == ("none", None, False)
    assert found["poster"] == {
        "url": None, "choice": "auto", "at_s": None, "version": 0, "job_id": None, "error": None,
    }  # fmt: skip
    for name in ("url", "download_url", "public_url"):
        answer = client.get(board[name])
        assert (answer.status_code, answer.content) == (200, b"storyboard"), name
        assert answer.headers["Content-Type"] == "image/webp"
    with httpx.Client() as nobody:
        assert nobody.get(board["public_url"]).status_code == 200
        assert nobody.get(board["url"], headers={"Accept": "text/plain"}).status_code != 200


def test_a_version_is_for_ever_only_as_long_as_it_is_that_one(
    client: httpx.Client, video: Video, layout: Layout
) -> None:
    add(video, layout, "storyboard", facts=BOARD)
    path = f"/media/{video.public_id}/storyboard.webp"
    assert "immutable" in client.head(f"{path}?v={0xABC}").headers["Cache-Control"]
    assert client.head(f"{path}?v=1").headers["Cache-Control"] == "private, no-cache"
    assert client.get(path, headers={"Range": "bytes=0-4"}).content == b"story"
    assert (
        client.get(f"{path}?download=1")
        .headers["Content-Disposition"]
        .startswith('attachment; filename="Fest.storyboard.webp"')
    )


@pytest.mark.parametrize("name", ["storyboard.webp", "storyboard.vtt", "audio.m4a", "preview.mp4"])
def test_what_is_not_ready_is_not_served(
    name: str, client: httpx.Client, video: Video, layout: Layout
) -> None:
    for profile in ("storyboard", "audio", "preview"):
        row = add(video, layout, profile)
        Rendition.update(state=RenditionState.PROCESSING).where(Rendition.id == row.id).execute()
    assert client.get(f"/media/{video.public_id}/{name}").status_code == 404


def test_the_index_of_the_storyboard(client: httpx.Client, video: Video, layout: Layout) -> None:
    add(video, layout, "storyboard", facts=BOARD)
    path = f"/media/{video.public_id}/storyboard.vtt"
    answer = client.get(path)
    assert answer.headers["Content-Type"] == "text/vtt; charset=utf-8"
    assert answer.text.startswith(
        "WEBVTT\n\n00:00:00.000 --> 00:00:05.000\nstoryboard.webp?v=2748#"
    )
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")


def test_twice_asked_is_one_job_and_now_is_sooner_than_night(
    client: httpx.Client, video: Video
) -> None:
    path = f"/api/v1/videos/{video.public_id}/renditions/audio"
    first = client.post(path, json={"when": "night"})
    assert first.status_code == 202
    assert (first.json()["state"], first.json()["only_at_night"]) == ("pending", True)
    second = client.post(path).json()
    assert second["job_id"] == first.json()["job_id"] and not second["only_at_night"]
    assert Job.select().count() == 1


def test_what_is_current_is_not_made_again(
    client: httpx.Client, video: Video, layout: Layout
) -> None:
    add(video, layout, "audio")
    path = f"/api/v1/videos/{video.public_id}/renditions/audio"
    assert client.post(path).json()["job_id"] is None
    Rendition.update(recipe="0").execute()
    stale = client.post(path).json()
    assert (stale["state"], stale["stale"], bool(stale["job_id"])) == ("ready", True, True)


def test_wishes_that_make_no_sense(client: httpx.Client, video: Video) -> None:
    base = f"/api/v1/videos/{video.public_id}/renditions"
    assert client.post(f"{base}/holiday").status_code == 404
    assert client.post(f"{base}/audio", json={"when": "later"}).status_code == 422
    Video.update(facts={**FITS.to_dict(), "audio": None}).execute()
    silent = client.post(f"{base}/audio")
    assert (silent.status_code, silent.json()["code"]) == (409, "no_sound")
    items = {item["profile"]: item for item in client.get(base).json()["items"]}
    assert items["waveform"]["why_not"] == "This video has no sound."
    assert items["storyboard"]["why_not"] is None


def test_what_was_made_on_demand_is_taken_away(
    client: httpx.Client, video: Video, layout: Layout
) -> None:
    add(video, layout, "audio")
    add(video, layout, "storyboard", facts=BOARD)
    base = f"/api/v1/videos/{video.public_id}/renditions"
    assert client.delete(f"{base}/audio").status_code == 204
    assert not layout.rendition(video.public_id, "audio").exists()
    assert client.delete(f"{base}/audio").status_code == 404
    assert client.delete(f"{base}/storyboard").json()["code"] == "made_of_all"


def test_the_button_of_the_page(one_server: Served, owner: User, video: Video) -> None:
    with browser(one_server.url, owner) as client:
        path = f"/videos/{video.public_id}/renditions/audio"
        assert client.post(path).status_code == 403
        answer = send_form(client, path, when="night")
        assert answer.status_code == 303
        assert answer.headers["Location"] == f"/videos/{video.public_id}"
        assert Job.get(Job.kind == "audio").only_at_night
        assert send_form(client, path, when="never").status_code == 422


# The poster


def webp(side: int = 64) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((side, side), 90).save(out, "WEBP", lossless=True)
    return out.getvalue()


def poster_jobs() -> list[dict[str, Any]]:
    return [job.payload for job in Job.select().where(Job.state == JobState.QUEUED)]


@pytest.mark.parametrize(
    ("body", "payload"), [({"at_s": 2.5}, {"at_s": 2.5}), ({"auto": True}, {"auto": True})]
)
def test_a_moment_or_the_best_is_chosen(
    body: dict[str, Any], payload: dict[str, Any], client: httpx.Client, video: Video
) -> None:
    path = f"/api/v1/videos/{video.public_id}/poster"
    first = client.put(path, json=body)
    assert first.status_code == 202 and first.json()["job_id"]
    assert client.put(path, json=body).json()["job_id"] == first.json()["job_id"]
    assert poster_jobs() == [payload]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"at_s": 2, "auto": True}, 422),
        ({"at_s": 10.5}, 422),
        ({"at_s": -1}, 422),
        ({"at_s": "2"}, 422),
        ({"at": 2}, 422),
        ([], 422),
        ({"at_s": 1, "": "x" * 20_000}, 413),
    ],
)
def test_choices_that_make_no_sense(
    body: Any, status: int, client: httpx.Client, video: Video
) -> None:
    answer = client.put(f"/api/v1/videos/{video.public_id}/poster", json=body)
    assert answer.status_code == status, answer.text
    assert poster_jobs() == []


def test_who_hears_that_the_job_has_ended_sees_what_it_made(video: Video) -> None:
    read_before = Video.get_by_id(video.id)
    Job.create(kind="poster", queue="quick", key="p", video=video, state=JobState.COMPLETED)
    Video.update(poster_choice=PosterChoice.MOMENT, poster_at_s=1.0, poster_version=2).execute()
    shape = load_poster(read_before, "")
    assert (shape.job_id, shape.choice, shape.version) == (None, "moment", 2)


def test_a_picture_waits_beside_the_video(
    client: httpx.Client, video: Video, layout: Layout
) -> None:
    content = webp() + bytes(1_200_000)  # more than one portion
    path = f"/api/v1/videos/{video.public_id}/poster"
    answer = client.put(path, content=content, headers={"Content-Type": "image/webp"})
    assert answer.status_code == 202
    (payload,) = poster_jobs()
    (file,) = layout.video(video.public_id).glob("poster-*")
    assert payload["custom"] in file.name and file.read_bytes() == content


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "no_picture"),
        (b"", 422, "no_picture"),
        (b"\xff\xd8\xff" + bytes(20_000_000), 413, "too_large"),
    ],
    ids=["drawing", "nothing", "too large"],
)
@pytest.mark.parametrize("chunked", [False, True], ids=["whole", "chunked"])
def test_what_can_be_no_poster_leaves_nothing(
    content: bytes, status: int, code: str, chunked: bool, client: httpx.Client, video: Video,
    layout: Layout,
) -> None:  # fmt: skip
    body: Any = (content[at : at + 400_000] for at in range(0, len(content), 400_000))
    answer = client.put(
        f"/api/v1/videos/{video.public_id}/poster",
        content=body if chunked else content,
        headers={"Content-Type": "image/jpeg"},
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert [file.name for file in layout.video(video.public_id).iterdir()] == ["original"]
    assert poster_jobs() == []


def test_only_those_who_may_change_it_choose(
    one_server: Served, owner: User, video: Video, layout: Layout
) -> None:
    path = f"/api/v1/videos/{video.public_id}/poster"
    viewer = add_user("viewer@example.org", Role.VIEWER)
    with script(one_server.url, viewer) as client:
        assert client.put(path, json={"auto": True}).status_code == 403
    with script(one_server.url, owner) as client:
        assert client.put(path.replace(video.public_id, "x" * 26), json={}).status_code in (
            404,
            422,
        )
        headers = {"Content-Type": "image/webp"}
        other = path.replace(video.public_id, "0" * 26)
        assert client.put(other, content=webp(), headers=headers).status_code == 404
    assert [file.name for file in layout.video(video.public_id).iterdir()] == ["original"]


def test_the_form_of_the_page(one_server: Served, owner: User, video: Video) -> None:
    with browser(one_server.url, owner) as client:
        path = f"/videos/{video.public_id}/poster"
        assert client.post(path, data={"at_s": "1"}).status_code == 403
        assert send_form(client, path, at_s="2,5").status_code == 303
        assert poster_jobs() == [{"at_s": 2.5}]
        assert send_form(client, path, auto="1").status_code == 303
        assert poster_jobs() == [{"auto": True}]
        assert send_form(client, path, at_s="soon").status_code == 422
        headers = {"Content-Type": "image/webp", "X-CSRF-Token": form_token(client)}
        assert client.post(path, content=webp(), headers=headers).status_code == 202
