"""Senders who lose the right to send while their bytes arrive hear of it, whatever they speak."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from appliance.clock import now
from appliance.models import Upload, User, Video
from appliance.vault import open_vault
from storage import uploads
from storage.uploads.ending import NO_USER
from tests.web.draft_wire import raw
from tests.web.granting import BODY, granted
from tests.web.serving import served, wait_until
from tests.web.tus_client import upload_file
from web.upload_form import upload_form_action

if TYPE_CHECKING:
    import socket

    import httpx

    from appliance.settings import Settings
    from storage.layout import Layout
    from tests.web.serving import Served


@pytest.mark.parametrize("silent", [True, False])
def test_a_deactivated_user_sends_no_more(
    one_server: Served, sender: httpx.Client, owner: User, box: Layout, silent: bool
) -> None:
    target = urlsplit(granted(sender)["upload_url"]).path
    lines = [f"Content-Length: {len(BODY)}"]
    with raw(one_server.url, "PUT", target, lines, BODY[:60_000]) as line:
        wait_until("bytes come", lambda: upload_file(box).stat().st_size == 60_000)
        User.update(deactivated_at=now()).where(User.id == owner.id).execute()
        if not silent:
            line.sendall(BODY[60_000:])  # all of it is here before anybody has looked
        answer = line.recv(4000).decode()
    assert answer.startswith("HTTP/1.1 410"), answer
    assert NO_USER in answer
    assert Video.select().count() == 0
    assert list(box.uploads.iterdir()) == []


def form(url: str, owner: User, settings: Settings) -> socket.socket:
    """The form without script, whose sender falls silent after some bytes of the file."""
    lines = ["Content-Length: 10000000", "Content-Type: multipart/form-data; boundary=b"]
    part = b"--b\r\nContent-Disposition: form-data; name=file; filename=a.mp4\r\n\r\n"
    action = upload_form_action(open_vault(settings), owner)
    return raw(url, "POST", action, lines, part + BODY[:60_000])


@pytest.mark.parametrize("reason", ["cancelled", "deactivated"])
def test_a_form_hears_soon_that_it_was_ended(
    one_server: Served, owner: User, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.upload_body._LINGER_S", 0.2)
    with form(one_server.url, owner, one_server.settings) as line:
        wait_until("it is taken in", lambda: one_server.app.state.slots.sending())
        if reason == "cancelled":
            uploads.cancel(one_server.settings, Upload.get().public_id, None)
        else:
            User.update(deactivated_at=now()).where(User.id == owner.id).execute()
        assert line.recv(4000).startswith(b"HTTP/1.1 4")
    assert Video.select().count() == 0


def test_a_form_is_counted_like_other_bodies_and_not_waited_for_longer(
    one_server: Served, owner: User, box: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.upload_desk.STALE_S", 60.0)
    monkeypatch.setattr("web.upload_body._LINGER_S", 0.2)
    limits = {"max_bodies_per_person": 1, "upload_silence_s": 2.0}
    with served(one_server.settings.model_copy(update=limits)) as other:
        with form(other.url, owner, one_server.settings) as first:
            wait_until("it is taken in", lambda: other.app.state.slots.sending())
            with form(other.url, owner, one_server.settings) as second:
                assert second.recv(4000).startswith(b"HTTP/1.1 503")
            assert first.recv(4000).startswith(b"HTTP/1.1 4")  # silent for too long
        wait_until("nothing is left of it", lambda: not list(box.uploads.iterdir()))
