"""Many re-makes and the night: over the API, by the forms, from the shell, on the System page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from appliance import jobs, night
from appliance.clock import boot_id, now
from appliance.db import database
from appliance.models import Heartbeat, Job, Rendition, Role, User, Video
from appliance.states import JobState, RenditionState, VideoState
from tests.factories import make_video
from tests.tasks.test_capacity import film
from tests.tasks.test_scheduling import a_window_that_is_closed
from tests.web.serving import add_user, browser, prepare, script, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from appliance.settings import Settings


class Box:
    def __init__(self, url: str) -> None:
        self.url = url
        self.owner = add_user()
        self.editor = add_user("editor@example.org", Role.EDITOR)

    def ask(self, method: str, path: str, user: User | None = None, **more: Any) -> httpx.Response:
        with script(self.url, user or self.owner) as client:
            return client.request(method, path, **more)

    def stale(self, owner: User) -> Video:
        """Ready, and made by older settings."""
        with database.connection_context():
            facts = film(1920, 1080, pix_fmt="yuv444p").to_dict()
            video = make_video(owner, state=VideoState.READY, facts=facts, received_at=now())
            ready = RenditionState.READY
            Rendition.create(video=video, profile="social", recipe="old", state=ready)
            return video

    def line(self) -> list[tuple[int | None, bool]]:
        """Video and night of what waits."""
        with database.connection_context():
            rows = Job.select().where(Job.state == JobState.QUEUED).order_by(Job.id)
            return [(job.video_id, job.only_at_night) for job in rows]


@pytest.fixture
def box(settings: Settings) -> Iterator[Box]:
    prepare(settings)
    with serving(settings) as url:
        yield Box(url)


REMAKE = "/api/v1/renditions/remake"


def test_stale_ones_are_put_in_line_and_taken_out_again(box: Box) -> None:
    mine, theirs = box.stale(box.editor), box.stale(box.owner)
    answer = box.ask("POST", REMAKE, box.editor, json={"stale": True, "when": "night"})
    assert (answer.status_code, answer.json()) == (202, {"count": 1})
    assert box.line() == [(mine.id, True)]
    one = {"video_ids": [theirs.public_id], "profile": "social"}
    assert box.ask("POST", REMAKE, json=one).json() == {"count": 1}
    assert box.line() == [(mine.id, True), (theirs.id, False)]
    shown = box.ask("GET", "/api/v1/jobs?state=queued").json()["items"]
    assert [item["only_at_night"] for item in shown] == [False, True]
    assert box.ask("DELETE", REMAKE, box.editor).json() == {"count": 1}
    assert box.line() == [(theirs.id, False)]


REFUSED: tuple[dict[str, Any], ...] = (
    {},
    {"stale": True, "video_ids": []},
    {"stale": True, "profile": "x"},
    {"stale": True, "when": "later"},
)


def test_wishes_that_say_too_little_or_too_much_are_refused(box: Box) -> None:
    for body in REFUSED:
        answer = box.ask("POST", REMAKE, json=body)
        assert answer.status_code in (400, 422), body
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_night_is_shown_and_wished_for(box: Box) -> None:
    found = box.ask("GET", "/api/v1/night", box.editor).json()
    assert (found["only"], found["hours"], found["time_zone"]) == (False, "22:00-06:00", "UTC")
    assert found["start"] < found["end"]
    assert box.ask("PUT", "/api/v1/night", box.editor, json={"only": True}).status_code == 403
    assert box.ask("PUT", "/api/v1/night", json={"only": True}).json()["only"] is True
    with database.connection_context():
        assert night.is_only()


def test_the_shell_does_it_too(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from appliance.cli import cli
    from tests.web.serving import add_token

    video = box.stale(box.owner)
    monkeypatch.setenv("APPLIANCE_URL", box.url)
    monkeypatch.setenv("APPLIANCE_TOKEN", add_token(box.owner))

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    assert json.loads(run("videos", "remake", "--stale", "--at-night", "--json")) == {"count": 1}
    assert box.line() == [(video.id, True)]
    assert run("videos", "remake", video.public_id) == "1 put in line. See `appliance jobs list`.\n"
    assert box.line() == [(video.id, False)]
    assert run("videos", "remake", "--cancel") == "1 taken out of the line.\n"
    assert run("videos", "remake", "--stale", "--profile", "preview").startswith("There is nothing")
    assert "22:00-06:00 (UTC)" in run("night")
    assert json.loads(run("night", "on", "--json"))["only"] is True
    assert CliRunner().invoke(cli, ["videos", "remake", "--stale", "--cancel"]).exit_code == 2


def test_the_system_page_says_what_encodes_have_and_take(box: Box) -> None:
    with browser(box.url, box.owner) as client:
        assert "Encoding" not in client.get("/settings/system").text
        with database.connection_context():
            Heartbeat.create(
                process="worker-media",
                pid=1,
                boot_id=boot_id(),
                beat_boottime_s=0.0,
                info={"cores": 8.0, "memory_mib": 4096},
            )
            jobs.create("encode", "encode:1", cores=4, memory_mib=512)
            assert jobs.claim("media", "me", lease_s=60) is not None
            jobs.create("encode", "encode:2", cores=4, only_at_night=True)
        page = client.get("/settings/system").text
    assert "4 of 8 in use" in page
    assert "537 MB of 4.29 GB in use" in page
    assert "1, 1 of them for the night (22:00)" in page


def test_pages_say_until_when_it_waits(settings: Settings) -> None:
    closed = settings.model_copy(update={"night_hours": a_window_that_is_closed()})
    prepare(closed)
    with serving(closed) as url:
        box = Box(url)
        video = box.stale(box.owner)
        box.ask("POST", REMAKE, json={"stale": True, "when": "night"})
        told = f"Waits for the night ({closed.night_hours[:5]})"
        with database.connection_context():
            job = Job.get(Job.video == video)
        with browser(box.url, box.owner) as client:
            for page in ("/jobs", f"/jobs/{job.public_id}", f"/videos/{video.public_id}"):
                text = client.get(page).text
                assert told in text, (page, [line for line in text.splitlines() if "night" in line])
