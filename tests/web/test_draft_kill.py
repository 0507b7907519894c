"""A client of the IETF draft, while the box is killed and started again at another place."""

from __future__ import annotations

import hashlib
import random
import threading
from typing import TYPE_CHECKING

from appliance.db import database
from appliance.models import Video
from appliance.states import VideoState
from storage.layout import Layout
from tests.cutting import bad_network
from tests.draft_client import DraftClient
from tests.web.draft_wire import probes
from tests.web.serving import add_token, add_user, prepare, serving_process, wait_until

if TYPE_CHECKING:
    from appliance.settings import Settings


def test_our_client_while_the_box_dies(settings: Settings) -> None:
    data = random.Random(8).randbytes(12_000_000)
    prepare(settings)
    headers = {"Authorization": f"Bearer {add_token(add_user())}"}
    with bad_network("http://127.0.0.1:1") as network:
        client = DraftClient(f"{network.url}/files", data, headers=headers, part_bytes=400_000)
        sending = threading.Thread(target=client.send, name="client of the draft")
        for stop_at in (5_000_000, None):
            with serving_process(settings) as (url, process):
                network.lead_to(url)
                if not sending.is_alive():
                    sending.start()
                if stop_at is None:
                    sending.join(timeout=30)
                else:
                    wait_until("enough was sent", lambda: client.offset >= stop_at)  # noqa: B023  # called at once
                    process.kill()
        assert not sending.is_alive()
    assert client.answer[0] == 201
    assert client.cuts >= 1
    with database.connection_context():
        assert probes() == 1
        video = Video.get(state=VideoState.RECEIVED)
        stored = Layout(settings.data).original(video.public_id).read_bytes()
    assert hashlib.sha256(stored).digest() == hashlib.sha256(data).digest()
