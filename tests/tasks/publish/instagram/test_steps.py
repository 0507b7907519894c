"""The steps of a Reel's way out, one situation each, against the stand-in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tasks.publish.publisher import (
    Done,
    Failed,
    MustEdit,
    NeedsReconnect,
    NotThere,
    RetryAt,
    Staged,
    Unsure,
    WaitUntil,
)
from tasks.publish.publishers.instagram import talk
from tasks.publish.publishers.instagram.answers import looked_in_vain
from tasks.publish.publishers.instagram.errors import INSTAGRAM_ERRORS, row_for, subcode_in
from tasks.publish.publishers.instagram.pace import REAL
from tasks.publish.remote import Refused
from tests.tasks.publish.instagram.studio import ACCOUNT, Reel
from web.practice.ground import Fault
from web.practice.meta.instagram_store import CONTAINER, MOST_POSTS

if TYPE_CHECKING:
    from tests.tasks.publish.instagram.studio import Studio


@pytest.fixture
def reel(studio: Studio) -> Reel:
    return Reel(studio)


@pytest.fixture
def real_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses of the platform itself."""
    monkeypatch.setattr(talk, "PRACTICE", REAL)


# Handing over


def test_a_container_is_kept_for_a_day_and_counted_on_for_less(reel: Reel) -> None:
    assert isinstance(reel.stage(), WaitUntil)
    step = reel.poll()
    assert isinstance(step, Staged) and step.expires_at is not None
    left = step.expires_at - reel.studio.clock.now()
    assert timedelta(hours=23) < left < timedelta(hours=24)


def test_a_link_that_cannot_be_fetched_is_followed_by_the_bytes(reel: Reel) -> None:
    reel.studio.faults(Fault("ig.fetch", "break_before"))
    assert isinstance(reel.stage(), WaitUntil)
    assert isinstance(reel.poll(), NotThere)
    reel.staged()
    forms = [call["form"] for call in reel.studio.calls("ig.create")]
    assert ["video_url" in form for form in forms] == [True, False]
    assert isinstance(reel.go_live(), Done)


def test_a_cover_that_cannot_be_fetched_is_left_out_in_the_end(studio: Studio) -> None:
    cover = f"{studio.box.url}/no-such-cover.jpg"
    reel = Reel(studio, cover_url=cover)
    assert isinstance(reel.stage(), WaitUntil)
    assert isinstance(reel.poll(), NotThere)
    assert isinstance(reel.stage(), WaitUntil)  # by bytes
    assert isinstance(reel.poll(), NotThere)
    assert isinstance(reel.stage(), WaitUntil)
    assert isinstance(reel.poll(), Staged)
    forms = [call["form"] for call in studio.calls("ig.create")]
    assert [form.get("cover_url") for form in forms] == [cover, cover, None]


def test_a_container_that_expired_is_made_anew(reel: Reel) -> None:
    reel.staged()
    first = reel.saved["container"]
    reel.studio.clock.skip(hours=25)
    assert isinstance(reel.go_live(), NotThere)
    reel.staged()
    assert reel.saved["container"] != first
    assert isinstance(reel.go_live(), Done)


def test_another_caption_needs_another_container(reel: Reel) -> None:
    reel.staged()
    first = reel.saved["container"]
    reel.columns["caption"] = "At the other lake"
    assert isinstance(reel.go_live(), NotThere)  # nothing is asked of Instagram
    assert reel.studio.calls("ig.publish") == []
    reel.staged()
    assert reel.saved["container"] != first
    assert isinstance(reel.go_live(), Done)
    assert [one["caption"] for one in reel.studio.reels()] == ["At the other lake"]


def test_staging_again_takes_up_what_is_there(reel: Reel) -> None:
    reel.staged()
    assert isinstance(reel.stage(), Staged)
    assert len(reel.studio.calls("ig.create")) == 1


def test_a_container_that_takes_for_ever_is_given_up_for_another(reel: Reel) -> None:
    studio = reel.studio
    studio.faults(*[Fault("ig.fetch", "slow", "80000")] * 3)
    made = set()
    for _ in range(3):
        assert isinstance(reel.stage(), WaitUntil)
        assert isinstance(reel.poll(), WaitUntil)
        made.add(reel.saved["container"])
        studio.clock.skip(hours=1.1)
        end = reel.poll()
    assert len(made) == 3
    assert isinstance(end, Failed) and "3 times" in end.reason
    reel.staged()  # a person has pressed Retry: counting starts anew


def test_a_file_that_instagram_cannot_read_is_not_sent_again(reel: Reel) -> None:
    reel.studio.faults(Fault("ig.fetch", "reject"))
    reel.stage()
    step = reel.poll()
    assert isinstance(step, Failed) and step.code == "media_rejected"
    assert "2207026" in step.detail


def test_pauses_between_looks_grow(reel: Reel, real_pace: None) -> None:
    reel.studio.faults(Fault("ig.fetch", "slow", "3000"))
    assert isinstance(reel.stage(), WaitUntil)
    pauses = []
    for _ in range(24):
        step = reel.poll()
        assert isinstance(step, WaitUntil)
        pauses.append(round((step.when - reel.studio.clock.now()).total_seconds(), 1))
        reel.studio.clock.skip_to(step.when)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (2.0, 60.0)


def test_without_an_address_and_a_file_nothing_is_called(studio: Studio) -> None:
    step = Reel(studio, by_bytes=True, file=None).stage()
    assert isinstance(step, Failed) and step.code == "no_public_address"
    assert studio.calls("ig.create") == []


# The allowance


def test_what_instagram_counts_is_told(reel: Reel) -> None:
    reel.staged()
    assert isinstance(reel.go_live(), Done)
    assert reel.studio.told == [("reels", 0, MOST_POSTS)]
    assert reel.studio.spent == [("containers", 1), ("reels", 1)]


def test_a_used_up_day_is_waited_for_without_handing_over(reel: Reel) -> None:
    studio = reel.studio
    at = studio.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    full = {
        "account": ACCOUNT,
        "created_at": at,
        "published_at": at,
        "caption": "",
        "video_url": "",
    }
    for number in range(MOST_POSTS):
        thing = {**full, "id": str(number), "media": f"9{number}", "status_code": "PUBLISHED"}
        studio.meta.ground.put(CONTAINER, str(number), thing)
    step = reel.stage()
    assert isinstance(step, RetryAt) and not step.counted
    assert str(MOST_POSTS) in step.reason
    assert studio.calls("ig.create") == []
    assert studio.told == [("reels", MOST_POSTS, MOST_POSTS)]
    studio.clock.skip(hours=24)
    reel.staged()


# After a lost answer


def test_a_lost_answer_is_settled_by_the_container_and_the_list(reel: Reel) -> None:
    step = reel.lost().reconcile()
    (public,) = reel.studio.reels()
    assert isinstance(step, Done)
    assert step.remote_id == public["media"]
    assert step.url and step.url.endswith(f"/reel/{public['media']}/")


def test_of_two_reels_with_the_same_caption_none_is_guessed(reel: Reel) -> None:
    other = Reel(reel.studio).staged()
    reel.lost()
    assert isinstance(other.go_live(), Done)
    step = reel.reconcile()
    assert step == Done(f"container:{reel.saved['container']}", None)


def test_what_looks_unpublished_is_not_called_again_at_once(reel: Reel, real_pace: None) -> None:
    studio = reel.staged().studio
    studio.faults(Fault("ig.publish", "late", "20"))
    assert isinstance(reel.go_live(), Unsure)
    step = reel.reconcile()
    assert isinstance(step, WaitUntil)
    studio.clock.skip_to(step.when)
    assert isinstance(reel.poll(), Done)
    assert len(studio.reels()) == 1


def test_what_was_never_published_can_be_after_a_while(reel: Reel, real_pace: None) -> None:
    studio = reel.staged().studio
    studio.faults(Fault("ig.publish", "lose_before"))
    assert isinstance(reel.go_live(), Unsure)
    step = reel.reconcile()
    assert isinstance(step, WaitUntil)
    assert 25 < (step.when - studio.clock.now()).total_seconds() <= 30
    studio.clock.skip_to(step.when)
    assert isinstance(reel.poll(), Staged)
    assert isinstance(reel.go_live(), Done)
    assert len(studio.reels()) == 1


def test_container_and_list_that_disagree_are_for_a_person(reel: Reel, real_pace: None) -> None:
    studio = reel.staged().studio
    studio.faults(Fault("ig.publish", "lose_before"))
    assert isinstance(reel.go_live(), Unsure)
    studio.faults()
    assert isinstance(Reel(studio).staged().go_live(), Done)  # the same caption by another way
    studio.clock.skip(seconds=40)
    assert isinstance(reel.poll(), WaitUntil)
    studio.clock.skip(minutes=3)
    assert isinstance(reel.poll(), Unsure)


@pytest.mark.parametrize("error", ["368", "77/99", "10000", "25/2207050"])
def test_a_look_that_is_refused_says_nothing_about_the_reel(reel: Reel, error: str) -> None:
    studio = reel.lost().studio
    kept = dict(reel.saved)
    studio.faults(*[Fault("ig.container", "refuse", error) for _ in range(4)])
    for look in (reel.reconcile, reel.poll, reel.stage):
        step = look()
        assert isinstance(step, RetryAt) and step.counted
    assert isinstance(studio.publisher.delete(reel.target), RetryAt)
    assert reel.saved == kept
    assert len(studio.calls("ig.create")) == 1
    assert isinstance(reel.reconcile(), Done)
    assert len(studio.reels()) == 1


def test_a_list_that_may_not_be_read_says_nothing_either(reel: Reel) -> None:
    studio = reel.lost().studio
    studio.faults(
        Fault("ig.container", "refuse", "100/33", lasts=True),
        *[Fault("ig.list", "refuse", "368") for _ in range(3)],
    )
    for _ in range(3):
        assert isinstance(reel.reconcile(), RetryAt)
    assert isinstance(reel.reconcile(), Done)


@pytest.mark.parametrize("error", ["4", "368", "190/463"])
def test_what_was_not_found_and_may_not_be_asked_about_is_not_published_again(
    reel: Reel, error: str
) -> None:
    studio = reel.staged().studio
    studio.faults(
        Fault("ig.publish", "refuse", "24/2207008"), Fault("ig.container", "refuse", error)
    )
    assert isinstance(reel.go_live(), Unsure)


@pytest.mark.parametrize("status", [403, 404, 418])
def test_the_page_of_a_proxy_is_no_word_of_instagram(status: int) -> None:
    refused = Refused(status, "The proxy says no.", None, None, f"HTTP {status}", {}, {})
    step = looked_in_vain(refused)
    assert isinstance(step, RetryAt) and step.counted


def test_a_container_that_is_not_found_may_be_public_all_the_same(reel: Reel) -> None:
    reel.lost()
    reel.studio.faults(Fault("ig.container", "refuse", "100/33"))
    assert isinstance(reel.reconcile(), Done)


def test_a_container_that_is_not_found_and_in_no_list_is_made_anew(reel: Reel) -> None:
    studio = reel.staged().studio
    studio.faults(
        Fault("ig.publish", "lose_before"), Fault("ig.container", "refuse", "100/33", lasts=True)
    )
    assert isinstance(reel.go_live(), Unsure)
    assert isinstance(reel.reconcile(), WaitUntil)
    studio.clock.skip(minutes=3)
    assert isinstance(reel.reconcile(), NotThere)


def test_what_instagram_cannot_tell_is_for_a_person(reel: Reel) -> None:
    reel.lost()
    reel.studio.faults(Fault("ig.container", "blind", lasts=True))
    assert isinstance(reel.reconcile(), Unsure)


def test_a_container_whose_id_was_lost_cannot_be_public(reel: Reel) -> None:
    reel.studio.faults(Fault("ig.create", "lose"))
    assert isinstance(reel.stage(), Unsure)
    assert isinstance(reel.reconcile(), NotThere)


def test_a_link_that_comes_late_is_waited_for_a_moment(reel: Reel) -> None:
    studio = reel.staged().studio
    studio.faults(Fault("ig.media", "refuse", "100/33", lasts=True))
    assert isinstance(reel.go_live(), WaitUntil)
    studio.clock.skip(seconds=5)
    assert reel.poll() == Done(reel.saved["media"], None)
    studio.faults()
    step = reel.poll()
    assert isinstance(step, Done) and step.url


# Refusals


@pytest.mark.parametrize(
    ("error", "step"),
    [
        ("190/463", NeedsReconnect),
        ("10", NeedsReconnect),
        ("4", RetryAt),
        ("4/2207051", Failed),
        ("9/2207042", RetryAt),
        ("9007/2207027", RetryAt),
        ("25/2207050", Failed),
        ("36004/2207010", MustEdit),
        ("352/2207026", Failed),
        ("-1/2207001", Unsure),
        ("2", Unsure),
        ("24/2207008", WaitUntil),  # it is there: asked again in a moment
    ],
)
def test_a_refusal_to_publish_means_what_the_table_says(reel: Reel, error: str, step: type) -> None:
    reel.staged()
    reel.studio.faults(Fault("ig.publish", "refuse", error))
    found = reel.go_live()
    assert isinstance(found, step), found
    assert reel.studio.reels() == []
    if isinstance(found, Failed | MustEdit | RetryAt | NeedsReconnect):
        assert found.reason.endswith((".", "…"))
        assert "HTTP 400" in found.detail  # the raw answer


def test_a_used_up_day_at_the_press_is_no_failed_try(reel: Reel) -> None:
    reel.staged()
    reel.studio.faults(Fault("ig.publish", "refuse", "9/2207042"))
    step = reel.go_live()
    assert isinstance(step, RetryAt) and not step.counted and step.when is not None


def test_each_row_of_the_table_is_dated_and_sourced() -> None:
    subcodes = [row.subcode for row in INSTAGRAM_ERRORS]
    assert len(subcodes) == len(set(subcodes))
    assert all(row.as_of and row.source and row.sentence.endswith(".") for row in INSTAGRAM_ERRORS)


@pytest.mark.parametrize("said", ["2207026", "Error: Media upload has failed, error code 2207026"])
def test_the_subcode_of_a_status_is_found(said: str) -> None:
    assert subcode_in(said) == 2207026
    row = row_for(subcode_in(said))
    assert row is not None and row.word == "media_rejected"


# After the post


def test_a_comment_is_put_once(reel: Reel) -> None:
    reel.staged()
    done = reel.go_live()
    assert isinstance(done, Done)
    target = replace(reel.target, remote_id=done.remote_id)
    publisher = reel.studio.publisher
    reel.studio.faults(Fault("ig.comment", "lose"))
    assert isinstance(publisher.comment(target, "First!"), RetryAt)
    assert isinstance(publisher.comment(target, "First!"), Done)
    assert len(reel.studio.calls("ig.comment")) == 1
    shown = publisher.numbers(target)
    assert isinstance(shown, dict)
    assert shown["comments"] == 1
    assert set(shown) == {"views", "likes", "comments"}


def test_numbers_come_without_views_where_the_app_may_not_read_them(reel: Reel) -> None:
    done = reel.staged().go_live()
    assert isinstance(done, Done)
    reel.studio.faults(Fault("ig.insights", "refuse", "10"))
    shown = reel.studio.publisher.numbers(replace(reel.target, remote_id=done.remote_id))
    assert isinstance(shown, dict) and set(shown) == {"likes", "comments"}


def test_nothing_is_asked_about_a_reel_whose_id_is_not_known(reel: Reel) -> None:
    target = replace(reel.target, remote_id="container:17")
    assert isinstance(reel.studio.publisher.comment(target, "First!"), RetryAt)
    assert isinstance(reel.studio.publisher.numbers(target), RetryAt)
    assert reel.studio.meta.ground.calls() == []


def test_what_instagram_does_not_offer_is_said(reel: Reel) -> None:
    done = reel.staged().go_live()
    assert isinstance(done, Done)
    target = replace(reel.target, remote_id=done.remote_id)
    for step in (reel.studio.publisher.edit(target), reel.studio.publisher.delete(target)):
        assert isinstance(step, Failed) and step.code == "not_offered"
        assert "Instagram app" in step.reason


def test_what_is_staged_needs_no_tidying_up(reel: Reel) -> None:
    reel.staged()
    assert isinstance(reel.studio.publisher.delete(reel.target), NotThere)


def test_tidying_up_finds_what_went_out_after_all(reel: Reel) -> None:
    reel.lost()
    assert isinstance(reel.studio.publisher.delete(reel.target), Done)
