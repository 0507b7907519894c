"""A post to a YouTube channel in practice mode: the whole box, a real worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance import accounts
from appliance.db import database
from appliance.models import Account, PostTarget
from appliance.vault import open_vault
from tasks.publish import wishes
from tests import media
from tests.tasks.publish.posting import Poster, posting, working
from tests.tasks.publish.youtube.channel import CHANNEL
from tests.web.serving import browser, wait_until
from web.practice.google import grants
from web.practice.ground import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings


@pytest.fixture
def box(settings: Settings) -> Iterator[Poster]:
    with posting(settings) as poster:
        with database.connection_context():
            account = Account.create(
                platform="youtube", name="Channel", remote_id=CHANNEL, practice=True
            )
            tokens = grants.grant(poster.running.app.state.google.ground)
            kept = {"access_token": tokens["access_token"]}
            accounts.seal(open_vault(poster.settings), account, kept)
        yield poster


def test_a_post_goes_out_is_changed_and_removed(box: Poster) -> None:
    google = box.running.app.state.google
    google.ground.set_faults([Fault("upload.bytes", "lose")])
    overrides = {"youtube": {"options": {"tags": "sea", "first_comment": "First!"}}}
    post = box.post(box.video(title="Summer"), "youtube", overrides=overrides)
    with working(box.settings):
        (target,) = box.wait(post)
        assert (target.state.value, target.error) == ("published", None)
        (video,) = google.ground.all("video")
        assert target.remote_id == video["id"]
        assert video["status"]["privacyStatus"] == "public"
        assert video["size_bytes"] == media.h264_aac().stat().st_size
        wait_until("the first comment is there", lambda: google.ground.all("comment"))

        with browser(box.url, box.user) as person:
            assert target.url is not None
            page = person.get(target.url.removeprefix(box.settings.base_url), follow_redirects=True)
            assert page.status_code == 200
            assert "Summer" in page.text

        with database.connection_context():
            found = PostTarget.get_by_id(target.id)
            wishes.edit_published(
                box.settings, found, title="Autumn", description="Later", actor=box.user
            )
        wait_until("the title is another", lambda: _title(box) == "Autumn")
        assert google.ground.all("video")[0]["snippet"]["tags"] == ["sea"]

        with database.connection_context():
            found = PostTarget.get_by_id(target.id)
            wishes.remove_published(box.settings, found, actor=box.user)
        wait_until("the video is gone", lambda: not google.ground.all("video"))


def _title(box: Poster) -> str:
    (video,) = box.running.app.state.google.ground.all("video")
    return str(video["snippet"]["title"])
