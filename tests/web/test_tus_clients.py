"""Clients that people use. tus-js-client, whose parallelUploads join parts, runs under Node."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from tusclient.client import TusClient

from appliance.models import Video
from tests.web.serving import add_token
from tests.web.tus_client import BODY, original

if TYPE_CHECKING:
    from appliance.models import User
    from storage.layout import Layout
    from tests.web.serving import Served


@pytest.mark.parametrize("checked", [False, True], ids=["plain", "with checksums"])
def test_tuspy_uploads_and_resumes(
    one_server: Served, owner: User, box: Layout, checked: bool
) -> None:
    """It can send sha1 with each piece; it joins no parts and knows no later length."""
    headers = {"Authorization": f"Bearer {add_token(owner)}"}
    client = TusClient(f"{one_server.url}/files", headers=headers)

    def uploader(**more: object) -> object:
        return client.uploader(
            file_stream=io.BytesIO(BODY), chunk_size=70_000, upload_checksum=checked, **more
        )

    first = uploader(metadata={"filename": "clip.mp4", "title": "Ünser Clip"})
    first.upload_chunk()
    assert first.offset == 70_000
    again = uploader(url=first.url)
    assert again.offset == 70_000
    again.upload()
    assert original(box) == BODY
    assert Video.get().title == "Ünser Clip"
