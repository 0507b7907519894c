"""Final uploads are joined by the web process, also those that an earlier one left."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from appliance.models import Source, Video
from appliance.states import VideoState
from storage.uploads import NewUpload, Store, joining
from tests.factories import make_user
from tests.web.serving import serving, wait_until
from tests.web.tus_client import BODY, original

if TYPE_CHECKING:
    import pytest

    from appliance.settings import Settings
    from storage.layout import Layout


def test_a_new_process_goes_on_with_what_is_half_joined(
    settings: Settings, layout: Layout, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.uploads.joining.PIECE_BYTES", 4096)
    monkeypatch.setattr("storage.uploads.recovery._JOIN_S", -1.0)  # the sweep does one piece
    store, owner = Store(settings, layout), make_user()
    parts = []
    for _ in range(3):
        new = NewUpload(length=20_000, filename="", source=Source.API, concat="partial")
        made_part = store.create(owner, new)
        held = store.open(made_part.upload_id, made_part.token)
        os.pwrite(held.handle or 0, BODY[:20_000], 0)
        held.offset = 20_000
        store.settle(held)
        held.close()
        parts.append((made_part.upload_id, made_part.token))
    new = NewUpload(length=None, filename="a.mp4", source=Source.API)
    joining.begin(store, owner, new, parts, "final;…")
    with serving(settings):
        wait_until("it is joined", lambda: Video.get().state is VideoState.RECEIVED)
    assert original(layout) == BODY[:20_000] * 3
