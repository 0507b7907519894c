"""tus 1.0.0, "Termination"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.models import Event, Video
from tests.web.serving import wait_until
from tests.web.tus_client import (
    BODY,
    delete,
    head,
    made,
    original,
    patch,
    raw_patch,
    upload_file,
)

if TYPE_CHECKING:
    import httpx

    from storage.layout import Layout
    from tests.web.serving import Served


def test_an_unfinished_upload_goes_with_its_bytes_and_its_video(
    sender: httpx.Client, box: Layout
) -> None:
    """SHOULD free associated resources and MUST respond with 204."""
    location = made(sender)
    patch(sender, location, 0, BODY[:1000])
    answer = delete(sender, location)
    assert (answer.status_code, answer.content) == (204, b"")
    assert list(box.uploads.iterdir()) == []
    assert Video.select().count() == 0
    assert Event.select().where(Event.type == "video.deleted").count() == 1


def test_afterwards_it_is_gone(sender: httpx.Client) -> None:
    """For all future requests the Server SHOULD respond with 404 or 410."""
    location = made(sender)
    delete(sender, location)
    answers = [head(sender, location), patch(sender, location, 0, b"x"), delete(sender, location)]
    assert [a.status_code for a in answers] == [410, 410, 410]
    assert answers[1].text.endswith(".")


def test_of_a_complete_upload_only_the_address_goes(sender: httpx.Client, box: Layout) -> None:
    location = made(sender, 3)
    patch(sender, location, 0, b"abc")
    assert delete(sender, location).status_code == 204
    assert [head(sender, location).status_code, delete(sender, location).status_code] == [404, 404]
    assert original(box) == b"abc"


def test_it_works_while_bytes_arrive(sender: httpx.Client, one_server: Served, box: Layout) -> None:
    location = made(sender)
    with raw_patch(one_server.url, location, 0, len(BODY), BODY[:1000]):
        wait_until("some are written", lambda: upload_file(box).stat().st_size == 1000)
        assert delete(sender, location).status_code == 204
        assert list(box.uploads.iterdir()) == []
