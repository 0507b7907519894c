"""What is accepted isn't public at once: how long Facebook's old word is not believed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from appliance.clock import now
from tasks.publish.publisher import Done, Held, NotThere, Staged, WaitUntil
from tasks.publish.publishers.facebook import publisher
from tasks.publish.publishers.facebook.judge import SETTLES_WITHIN, judge, since_when
from tasks.publish.publishers.facebook.status import Look, Seen, read
from web.practice.ground import Fault

if TYPE_CHECKING:
    from tests.tasks.publish.facebook.conftest import OnPage

LONG_AGO = SETTLES_WITHIN + timedelta(seconds=1)


def checkpoint(ago: timedelta | None, **more: Any) -> dict[str, Any]:
    kept = {"kind": "video", "video_id": "1", "began": now().isoformat(), **more}
    return kept if ago is None else {**kept, "finishing": (now() - ago).isoformat()}


def ruling(seen: Seen, kept: dict[str, Any], **more: Any) -> object:
    return judge(Look(seen), kept, 10, None, "", **more)


@pytest.mark.parametrize(
    ("seen", "more"),
    [
        (Seen.SCHEDULED, {"held": None}),
        (Seen.READY, {"unpublished": True}),
        (Seen.READY, {}),
        (Seen.UPLOADED, {"finished": True}),
    ],
)
def test_what_was_just_said_is_given_time_to_take_effect(seen: Seen, more: dict[str, Any]) -> None:
    assert isinstance(ruling(seen, checkpoint(timedelta(seconds=5), **more)), WaitUntil)
    assert isinstance(ruling(seen, checkpoint(LONG_AGO, **more)), Staged)


def test_what_nobody_said_is_not_waited_for() -> None:
    # "finish" was said and never answered: it may be said again.
    assert isinstance(ruling(Seen.UPLOADED, checkpoint(timedelta(seconds=5))), Staged)
    assert isinstance(ruling(Seen.UPLOADED, checkpoint(None)), Staged)
    assert isinstance(ruling(Seen.READY, checkpoint(None, unpublished=True)), Staged)
    assert isinstance(ruling(Seen.SCHEDULED, checkpoint(None)), Held)
    later = (now() + timedelta(hours=1)).isoformat()
    assert isinstance(ruling(Seen.SCHEDULED, checkpoint(timedelta(), held=later)), Held)


def test_what_was_refused_takes_no_effect() -> None:
    said = checkpoint(timedelta(seconds=5), unpublished=True)
    assert isinstance(ruling(Seen.SCHEDULED, said, refused=True), Staged)
    assert isinstance(ruling(Seen.READY, said, refused=True), Staged)


def test_the_time_counts_from_the_first_call_of_the_same_wish() -> None:
    at = now() + timedelta(hours=1)
    kept = checkpoint(timedelta(minutes=5), held=None)
    found = since_when(kept, None)
    assert found is not None and found.isoformat() == kept["finishing"]
    assert since_when(kept, at) is None  # another wish
    assert since_when({**kept, "held": at.isoformat()}, None) is None
    assert since_when({**kept, "held": at.isoformat()}, at) == found
    assert since_when(checkpoint(LONG_AGO), None) is None
    assert since_when(checkpoint(None), None) is None


@pytest.mark.parametrize("kind", ["reel", "video"])
def test_a_scheduled_post_that_goes_out_late_is_waited_for(
    page: OnPage, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    page.as_kind(kind)
    page.stage()
    page.change(publish_at=now() + timedelta(hours=1))
    assert isinstance(page.go_live(), Held)
    page.change(publish_at=None)
    with monkeypatch.context() as patch:
        patch.setattr(publisher, "read", lambda data: Look(Seen.SCHEDULED))
        assert isinstance(page.go_live(), WaitUntil)
        since = page.target.checkpoint["finishing"]
        assert isinstance(page.poll(), WaitUntil)
        assert isinstance(page.go_live(), WaitUntil)  # said again, by whoever knows no better
        assert page.target.checkpoint["finishing"] == since
    assert isinstance(page.poll(), Done)
    assert page.calls("video.delete") == []
    assert len(page.published()) == 1


def test_after_a_lost_answer_a_refusal_takes_back_nothing_that_may_still_come(
    page: OnPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.stage()
    page.change(publish_at=now() + timedelta(hours=1))
    page.go_live()
    page.change(publish_at=None)
    monkeypatch.setattr(publisher, "read", lambda data: Look(Seen.SCHEDULED))
    page.faults(Fault("video.update", "lose"), Fault("video.update", "refuse", "100"))
    page.go_live()
    assert isinstance(page.go_live(), WaitUntil)
    assert page.calls("video.delete") == []
    monkeypatch.setattr(publisher, "read", read)
    assert isinstance(page.poll(), Done)


def test_a_refusal_with_no_call_before_it_takes_it_back_at_once(page: OnPage) -> None:
    page.stage()
    page.change(publish_at=now() + timedelta(hours=1))
    page.go_live()
    page.change(publish_at=None)
    page.faults(Fault("video.update", "refuse", "100"))
    step = page.go_live()
    assert isinstance(step, NotThere)
    assert len(page.calls("video.delete")) == 1
