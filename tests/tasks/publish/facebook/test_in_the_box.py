"""From the post to the page where it can be seen, over the own socket of the real web process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance import accounts
from appliance.db import database
from appliance.models import Account, Rendition
from appliance.vault import open_vault
from tests.tasks.publish.facebook.conftest import PAGE
from tests.tasks.publish.posting import posting, working
from tests.web.serving import browser
from web.practice.meta import people, videos

if TYPE_CHECKING:
    from appliance.settings import Settings


@pytest.mark.timeout(120)
def test_a_post_in_practice_mode_is_seen_on_the_stand_in(settings: Settings) -> None:
    with posting(settings) as box:
        meta = box.running.app.state.meta
        caller = people.Caller(people.PEOPLE[0]["id"], scopes=("pages_show_list",), long=True)
        token = people.page_token(meta.ground, PAGE, caller)
        with database.connection_context():
            account = Account.create(
                platform="facebook", name="Practice Page", remote_id=PAGE, practice=True
            )
            accounts.seal(open_vault(box.settings), account, {"access_token": token})
        video = box.video()
        with database.connection_context():
            sent = Rendition.get(Rendition.video == video, Rendition.profile == "social")
        with working(box.settings):
            post = box.post(video, "facebook", title="In the box", description="Seen by all")
            (target,) = box.wait(post)
        assert (target.state.value, target.error) == ("published", None)
        (public,) = videos.published(meta)
        assert (public["id"], public["title"]) == (target.remote_id, "In the box")
        assert public["size"] == sent.size_bytes
        assert target.url and target.url.startswith(f"{box.settings.base_url}/practice/meta/")
        path = target.url.removeprefix(box.settings.base_url)
        with browser(box.url, box.user) as client:
            page = client.get(path, follow_redirects=True)
            assert page.status_code == 200 and "In the box" in page.text
