"""A disk without a byte left: people come in, see what there is, and are told what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from appliance.clock import now
from appliance.db import database
from appliance.models import Role, Session, Video
from storage import ballast
from storage.layout import Layout
from storage.media import free_bytes
from tests.storing import add_ready_video
from tests.tasks.test_full_disk import fill, needs_root
from tests.web.serving import PASSWORD, add_user, browser, script, send_form, served
from tests.web.test_upload_crashes import small_disk

if TYPE_CHECKING:
    from appliance.settings import Settings


@pytest.mark.needs_root
@needs_root
def test_people_come_in_look_around_and_delete_without_a_byte_left(settings: Settings) -> None:
    with small_disk(settings.data, "48m"):
        roomy = settings.model_copy(update={"disk_reserve": 0})
        with served(roomy) as web:
            layout = Layout(settings.data)
            owner = add_user("owner@example.org", Role.OWNER)
            client, visitor = script(web.url, owner), browser(web.url, owner)
            with client, visitor:
                # And again, once there was room to lay the ballast in.
                for time in ("first", "second"):
                    with database.connection_context():
                        video = add_ready_video(layout, original=bytes(500_000))
                        assert ballast.take_on(roomy, layout)
                        # So this visit would be written down.
                        Session.update(last_seen_at=now() - timedelta(hours=1)).execute()
                        database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                    fill(settings.data / "filler")
                    assert free_bytes(settings.data) == 0
                    with browser(web.url) as guest:
                        assert guest.get("/health/live").status_code == 200
                        assert visitor.get("/").status_code == 200
                        listed = client.get("/api/v1/videos").json()["items"]
                        assert [each["video_id"] for each in listed] == [video.public_id], time
                        assert client.get("/api/v1/storage").json()["free_bytes"] == 0
                        assert layout.door.exists()  # looking takes none of it
                        form = {"email": "owner@example.org", "password": PASSWORD}
                        came_in = send_form(guest, "/sign-in", **form)
                        assert came_in.status_code == 303, came_in.text
                        assert guest.get("/").status_code == 200
                        # Whatever else writes takes what the sign-in has left over.
                        fill(settings.data / "more")
                        assert free_bytes(settings.data) == 0
                        assert not layout.door.exists()
                        assert layout.ballast.exists()
                        gone = client.delete(f"/api/v1/videos/{video.public_id}")
                        assert gone.status_code in (200, 204), gone.text
                        assert not layout.ballast.exists()
                    for name in ("filler", "more") if time == "first" else ():
                        (settings.data / name).unlink()
            with database.connection_context():
                assert Video.select().count() == 2  # in the bin

            # The doctor looks from the shell.
            done = subprocess.run(
                [sys.executable, "-m", "appliance.cli", "doctor", "--json"],
                env={
                    **os.environ,
                    "APPLIANCE_DATA": str(settings.data),
                    "APPLIANCE_DISK_RESERVE": "5 MiB",
                },
                capture_output=True, text=True,
            )  # fmt: skip
            found = {each["check"]: each for each in json.loads(done.stdout)["findings"]}
            assert found["Space"]["verdict"] == "bad"
            assert "Delete videos" in found["Space"]["mend"]
        database.close()
