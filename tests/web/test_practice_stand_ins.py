"""What people see of the stand-ins of real platforms, and how they break them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.db import database
from appliance.models import Account, Post, PostTarget, Role, Visibility
from appliance.settings import Settings
from appliance.states import AccountState, PostState, TargetState
from tests import media
from tests.factories import make_video
from tests.tasks.publish.posting import Poster, emptied, posting
from tests.web.serving import add_user, browser, script, send_form
from web.practice.ground import Fault, Ground
from web.practice.presets import KINDS, PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def module_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Poster]:
    with posting(Settings(data=tmp_path_factory.mktemp("box") / "data")) as poster:
        yield poster


@pytest.fixture
def box(module_box: Poster) -> Iterator[Poster]:
    with emptied(module_box) as poster, database.connection_context():
        for platform in PLATFORMS:
            ground(poster, platform).set_faults([])
        yield poster


def ground(box: Poster, platform: str) -> Ground:
    found: Ground = box.running.app.state[PLATFORMS[platform].stand_in].ground
    return found


def posted_to_youtube(box: Poster, **columns: Any) -> Post:
    """A post of a private video, as it is after the publisher's work."""
    google = box.running.app.state.google
    clip = media.h264_aac()
    google.file("abc_-123").write_bytes(clip.read_bytes())
    video = {
        "id": "abc_-123",
        "channel": google.ground.all("channel")[0]["id"],
        "snippet": {"title": "Ours <b>alone</b>", "description": "At five"},
        "status": {"privacyStatus": "public"},
        "size_bytes": clip.stat().st_size,
        "sha256": "0" * 64,
        "uploaded_at": "2026-11-21T10:00:00Z",
        "busy_until": "2026-11-21T10:00:00+00:00",
        "rejected": None,
        "locked": False,
        **columns,
    }
    google.ground.put("video", "abc_-123", video)
    account = Account.create(platform="youtube", name="Channel", remote_id="UC1", practice=True)
    post = Post.create(
        video=make_video(box.user, visibility=Visibility.PRIVATE), state=PostState.COMPLETED
    )
    PostTarget.create(
        post=post,
        account=account,
        state=TargetState.PUBLISHED,
        remote_id="abc_-123",
        url="https://www.youtube.com/watch?v=abc_-123",
    )
    return post


def test_a_video_is_seen_by_those_who_may_see_its_post(box: Poster) -> None:
    post = posted_to_youtube(box)
    here = "/practice/of/youtube/abc_-123"
    with browser(box.url, box.user) as owner:
        overview = owner.get("/practice/of/youtube").text
        assert "Ours &lt;b&gt;alone&lt;/b&gt;" in overview
        assert f'href="{here}"' in overview
        assert ">Public<" in overview
        assert f'src="{here}/video.mp4"' in owner.get(here).text
        part = owner.get(f"{here}/video.mp4", headers={"Range": "bytes=0-9"})
        assert (part.status_code, part.headers["content-type"]) == (206, "video/mp4")
        # The link of the post leads here, not to somebody else's video at the real platform.
        assert f'href="{here}"' in owner.get(f"/posts/{post.public_id}").text
    with script(box.url, box.user) as client:
        result = client.get(f"/api/v1/posts/{post.public_id}").json()["results"][0]
        assert result["url"] == f"{box.settings.base_url}{here}"
    with browser(box.url, add_user("editor@example.org", Role.EDITOR)) as other:
        assert "Ours" not in other.get("/practice/of/youtube").text
        assert other.get(here).status_code == 404
        assert other.get(f"{here}/video.mp4").status_code == 404
        assert send_form(other, f"{here}/remove").status_code == 404
    with browser(box.url, box.user) as owner:
        assert send_form(owner, f"{here}/remove").status_code == 303
        assert owner.get(here).status_code == 404
        assert owner.get("/practice/of/nowhere").status_code == 404


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({"status": {"privacyStatus": "private"}}, "Private"),
        ({"locked": True}, "Locked as private"),
        ({"rejected": "codec"}, "Rejected"),
        ({"busy_until": "2090-01-01T00:00:00+00:00"}, "Processing"),
        (
            {"status": {"privacyStatus": "private", "publishAt": "2090-01-01T00:00:00Z"}},
            "Held until its time",
        ),
    ],
)
def test_the_state_of_a_video_is_told(box: Poster, columns: dict[str, Any], word: str) -> None:
    posted_to_youtube(box, **columns)
    with browser(box.url, box.user) as owner:
        assert f"{word}</span>" in owner.get("/practice/of/youtube").text


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_preset_is_a_fault_that_the_stand_in_knows(box: Poster, platform: str) -> None:
    stand_in = box.running.app.state[PLATFORMS[platform].stand_in]
    for preset in PLATFORMS[platform].presets.values():
        assert preset.fault.kind in KINDS
        assert preset.fault.endpoint == "*" or preset.fault.endpoint in stand_in.endpoints
        assert PLATFORMS[platform].owns(preset.fault.endpoint)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_faults_are_set_and_cleared_by_a_press(box: Poster, platform: str) -> None:
    url = f"/practice/of/{platform}/faults"
    presets = PLATFORMS[platform].presets
    with browser(box.url, box.user) as owner:
        for name in ("throttle", "lose"):
            assert send_form(owner, url, preset=name).status_code == 303
        assert ground(box, platform).faults() == [presets["throttle"].fault, presets["lose"].fault]
        assert "5)" in owner.get(f"/practice/of/{platform}").text
        send_form(owner, url, clear="0")
        assert ground(box, platform).faults() == [presets["lose"].fault]
        send_form(owner, url, endpoint="*", kind="slow", value="7", skip="2", lasts="on")
        assert ground(box, platform).faults()[1] == Fault("*", "slow", "7", 2, lasts=True)
        send_form(owner, url, clear="all")
        assert ground(box, platform).faults() == []
        for wrong in (
            {"preset": "x"},
            {"endpoint": "*", "kind": "explode"},
            {"endpoint": "no.such", "kind": "slow"},
        ):
            assert send_form(owner, url, **wrong).status_code == 422
        assert ground(box, platform).faults() == []
    with browser(box.url, add_user("editor@example.org", Role.EDITOR)) as editor:
        assert send_form(editor, url, preset="throttle").status_code == 403


def test_taking_the_sign_in_again_sends_what_waited_for_it(box: Poster) -> None:
    account = Account.create(
        platform="youtube", name="Channel", remote_id="UC1", practice=True,
        state=AccountState.RECONNECT,
    )  # fmt: skip
    with browser(box.url, box.user) as owner:
        send_form(owner, "/practice/of/youtube/faults", preset="expire")
        assert Account.get_by_id(account.id).state is AccountState.RECONNECT
        send_form(owner, "/practice/of/youtube/faults", clear="all")
    assert Account.get_by_id(account.id).state is AccountState.CONNECTED
