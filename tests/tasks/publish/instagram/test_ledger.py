"""Through the real ledger: rows, jobs and a delivery worker, against the stand-in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance import accounts
from appliance.models import Account, PublicLink
from appliance.states import AccountState
from appliance.vault import open_vault
from tasks.publish import dispatch
from tests.tasks.publish.instagram.studio import ACCOUNT
from tests.tasks.publish.posting import connected, working
from tests.web.serving import wait_until
from web.practice.ground import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tasks.publish.instagram.studio import Studio


@pytest.fixture
def account(studio: Studio) -> Account:
    settings = studio.box.settings
    with connected():
        found: Account | None = Account.get_or_none(Account.platform == "instagram")
        row = found or Account.create(
            platform="instagram", name="practice.page", remote_id=ACCOUNT, practice=True
        )
        accounts.seal(open_vault(settings), row, {"access_token": studio.token})
    return row


@pytest.fixture
def at_work(studio: Studio, account: Account) -> Iterator[Studio]:
    with working(studio.box.settings):
        yield studio


def test_a_reel_goes_out_by_link_and_the_link_dies_with_it(at_work: Studio) -> None:
    box = at_work.box
    video = box.video(duration_s=20.0)
    post = box.post(video, "instagram", title="At the lake", description="With #friends")
    (target,) = box.wait(post, "completed")
    (reel,) = at_work.reels()
    assert reel["caption"] == "With #friends"
    assert reel["sha256"] == at_work.sha256
    assert (target.remote_id, target.url) == (
        reel["media"],
        f"{box.settings.base_url}/practice/meta/reel/{reel['media']}/",
    )
    with connected():
        link = PublicLink.get_by_id(target.public_link_id)
        said = Account.get_by_id(target.account_id).facts["allowances"]["reels"]
    assert link.revoked_at is not None
    assert said["limit"] == 50


def test_a_lost_answer_and_a_fetch_that_fails_make_one_reel(at_work: Studio) -> None:
    box = at_work.box
    at_work.faults(Fault("ig.fetch", "break_before"), Fault("ig.publish", "lose"))
    post = box.post(box.video(duration_s=20.0), "instagram", title="Twice?", description="Once")
    box.wait(post, "completed")
    assert len(at_work.reels("Once")) == 1


def test_a_refused_sign_in_waits_for_a_person(at_work: Studio) -> None:
    box = at_work.box
    at_work.faults(Fault("ig.publish", "expire"))
    post = box.post(box.video(duration_s=20.0), "instagram", title="Later", description="Later")

    def lost() -> Account | None:
        with connected():
            row: Account = Account.get(Account.platform == "instagram")
        return row if row.state is AccountState.RECONNECT else None

    account: Account = wait_until("the account asks for a person", lost)
    assert at_work.reels("Later") == []
    with connected():
        accounts.mark_connected(account)
        dispatch.account_settled(account)
    box.wait(post, "completed")
    assert len(at_work.reels("Later")) == 1
