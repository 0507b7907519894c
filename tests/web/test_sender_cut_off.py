"""Senders who lose the right to send while their bytes arrive hear of it, whatever they speak."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from appliance.clock import now
from appliance.models import User, Video
from storage.uploads.ending import NO_USER
from tests.web.draft_wire import raw
from tests.web.granting import BODY, granted
from tests.web.serving import wait_until
from tests.web.tus_client import upload_file

if TYPE_CHECKING:
    import httpx

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
