"""A post that is planned before its video will be ready: said, and taken."""

from __future__ import annotations

from datetime import timedelta
from html import unescape
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from appliance import jobs
from appliance.clock import now
from appliance.db import database
from appliance.models import Account, Job, JobSample, Rendition, Role
from appliance.states import VideoState
from tests.factories import make_video
from tests.web.serving import add_user, browser, form_token, prepare, script, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from appliance.models import Video
    from appliance.settings import Settings

WON_T = "This video won't be ready by "


@pytest.fixture
def box(settings: Settings) -> Iterator[tuple[str, Any]]:
    prepare(settings)
    with serving(settings) as url:
        yield url, add_user("editor@example.org", Role.EDITOR)


def slow_video() -> Video:
    """Its encode will take an hour, as far as this box knows."""
    with database.connection_context():
        for _ in range(8):
            JobSample.create(kind="encode", profile="social", work=10.0, seconds=3600.0)
        video = make_video(state=VideoState.PROCESSING)
        rendition = Rendition.create(video=video, profile="social", recipe="1")
        jobs.create("encode", "encode:1", video=video, rendition=rendition, work=10.0)
        Account.get_or_create(
            platform="practice", remote_id="practice", defaults={"name": "Practice"}
        )
    return video


def schedule(client: httpx.Client, video: Video, minutes: float) -> Any:
    body = {
        "video_id": video.public_id,
        "platforms": ["practice"],
        "publish_at": (now() + timedelta(minutes=minutes)).isoformat(),
        "again": True,
    }
    answer = client.post("/api/v1/posts", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()


def test_api_warns_and_takes_the_post(box: tuple[str, Any]) -> None:
    url, user = box
    video = slow_video()
    with script(url, user) as client:
        early, late = schedule(client, video, 10), schedule(client, video, 120)
        assert early["warning"].startswith(WON_T)
        assert early["warning"].endswith("It goes out as soon as it is ready.")
        assert now().isoformat() < early["ready_from"] < early["ready_by"]
        assert (late["warning"], late["ready_by"]) == (None, None)
        shapes = client.get("/api/v1/posts").json()["items"]
        assert [shape["warning"] is None for shape in shapes] == [True, False]
        with database.connection_context():
            Job.update(progress=0.0).execute()
            JobSample.delete().execute()  # nobody can tell any more
        assert client.get(early["status_url"]).json()["warning"] is None


def test_form_and_page_warn(box: tuple[str, Any]) -> None:
    url, user = box
    video = slow_video()
    with database.connection_context():
        account = Account.get(Account.platform == "practice")
    with browser(url, user) as client:
        here = f"/videos/{video.public_id}/post"
        # "Now", as it stands: no time was promised.
        assert WON_T not in unescape(client.get(here).text)
        at = (now() + timedelta(minutes=10)).astimezone(ZoneInfo(user.time_zone))
        fields = {
            "_csrf_token": form_token(client),
            "accounts": account.public_id,
            "title": "Soon",
            "when": "later",
            "publish_at": f"{at:%Y-%m-%dT%H:%M}",
        }
        checked = unescape(client.post(f"{here}/check", data=fields).text)
        assert WON_T in checked and f"{at:%H:%M}; about " in checked
        at_once = client.post(f"{here}/check", data={**fields, "when": "now"}).text
        assert WON_T not in unescape(at_once)
        assert client.post(here, data=fields).is_redirect
        with script(url, user) as api:
            (made,) = api.get("/api/v1/posts").json()["items"]
        assert WON_T in unescape(client.get(f"/posts/{made['post_id']}").text)
