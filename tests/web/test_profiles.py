"""Profiles on their page and in the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance import night
from appliance.models import Job, Rendition, Role, Setting
from appliance.states import RenditionState, VideoState
from tasks import profile_choices, profiles
from tests.factories import make_video
from tests.tasks.test_plan import FITS
from tests.web.serving import Served, add_user, browser, send_form

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from appliance.models import User


@pytest.fixture(autouse=True)
def own_values(one_server: Served) -> Iterator[None]:
    yield
    Setting.delete().where(Setting.name.in_([profiles.CHOICES, night.NAME])).execute()


@pytest.fixture
def admin(one_server: Served, owner: User) -> Iterator[httpx.Client]:
    with browser(one_server.url, owner) as client:
        yield client


def social(sender: httpx.Client) -> Any:
    items = sender.get("/api/v1/profiles").json()["items"]
    return next(item for item in items if item["name"] == "social")


def make_social() -> None:
    Rendition.create(
        video=make_video(state=VideoState.READY),
        profile="social",
        recipe=profiles.current("social").recipe,
        state=RenditionState.READY,
    )


def test_page_changes_a_profile_and_goes_back(admin: httpx.Client) -> None:
    make_social()
    page = admin.get("/settings/video").text
    assert "made by other settings" not in page
    fields = {"crf": "18", "long_side": "1920", "preset": "veryfast", "audio_bps": "128000"}
    answer = send_form(admin, "/settings/video/profiles/social", **fields)
    assert answer.status_code == 303
    assert profile_choices.chosen() == {"social": {"crf": 18}}
    page = admin.get(answer.headers["location"]).text
    assert "1 version was made by other settings" in page
    assert '<option value="18" selected>Best: ' in page
    answer = send_form(admin, "/settings/video/profiles/social", reset="yes", **fields)
    assert answer.status_code == 303
    assert profile_choices.chosen() == {}


def test_page_shows_what_was_wrong_beside_what_was_sent(admin: httpx.Client) -> None:
    answer = send_form(admin, "/settings/video/profiles/preview", crf="90", preset="fast")
    assert answer.status_code == 422
    assert "Quality is a number from 16 (best) to 32 (smallest)." in answer.text
    assert 'href="#preview-crf"' in answer.text
    assert '<option value="fast" selected>' in answer.text
    assert profile_choices.chosen() == {}


def test_api_shows_and_changes_profiles(sender: httpx.Client) -> None:
    make_social()
    assert social(sender)["values"]["crf"] == 21
    assert social(sender)["chosen"] == {}
    answer = sender.patch("/api/v1/profiles", json={"social": {"crf": 18, "preset": "fast"}})
    assert answer.status_code == 200
    assert social(sender)["chosen"] == {"crf": 18, "preset": "fast"}
    assert social(sender)["stale_renditions"] == 1
    sender.patch("/api/v1/profiles", json={"social": {"crf": None}})
    assert social(sender)["chosen"] == {"preset": "fast"}
    sender.patch("/api/v1/profiles", json={"social": None})
    assert social(sender)["stale_renditions"] == 0
    refused = sender.patch("/api/v1/profiles", json={"social": {"long_side": 7}})
    assert refused.status_code == 422
    assert refused.json()["field"] == "social.long_side"


def test_only_admins_change_profiles(one_server: Served) -> None:
    with browser(one_server.url, add_user("editor@example.org", Role.EDITOR)) as client:
        assert client.get("/settings/video").status_code == 403
        assert "/settings/video" not in client.get("/settings").text
        answer = send_form(client, "/settings/video/profiles/social", crf="18")
        assert answer.status_code == 403
    assert profile_choices.chosen() == {}


def test_all_that_is_older_is_made_anew_by_one_press(admin: httpx.Client) -> None:
    video = make_video(state=VideoState.READY, facts=FITS.to_dict(), duration_s=2.0)
    old = Rendition.create(
        video=video, profile="social", recipe="0", state=RenditionState.READY, sha256="0" * 64
    )
    answer = send_form(admin, "/settings/video/remake", when="night")
    assert answer.status_code == 303
    (job,) = Job.select()
    assert job.rendition == old and job.only_at_night
    assert "They are made anew tonight" in admin.get(answer.headers["location"]).text


def test_encoding_only_at_night(admin: httpx.Client) -> None:
    answer = send_form(admin, "/settings/video/night", only="yes")
    assert answer.status_code == 303 and night.is_only()
    assert "checked" in admin.get(answer.headers["location"]).text
    send_form(admin, "/settings/video/night")
    assert not night.is_only()
