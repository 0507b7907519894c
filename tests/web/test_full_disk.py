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
from storage.backups import running
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


# What is opened to see what takes room, and to free some; and what it says of the disk.
PAGES = {
    "/": "The box is full",
    "/?show=bin": "The box is full",
    "/storage": "The box is full",
    "/storage?whole=yes": "The box is full",
    "/storage/_policies": "",
    "/storage/_biggest": "",
    "/storage/set-aside": "",
    "/settings/system": "The disk has 0 MB left",
    "/settings/backups": "",
    "/settings/backups/old-data": "",
    "/settings": "",
    "/settings/alerts": "",
    "/settings/accounts": "",
    "/bin/empty": "",
    "/uploads": "",
    "/jobs": "",
    "/posts": "",
    "/schedule": "",
    "/people": "",
}


@pytest.mark.needs_root
@needs_root
def test_each_page_that_frees_room_answers_without_a_byte_left(settings: Settings) -> None:
    with small_disk(settings.data, "32m"):
        roomy = settings.model_copy(update={"disk_reserve": 1_000_000})
        layout, filler = Layout(settings.data), settings.data / "filler"
        with served(roomy) as web:
            owner = add_user("owner@example.org", Role.OWNER)
            with database.connection_context():
                thrown = [add_ready_video(layout, original=bytes(500_000)) for _ in range(2)]
                shown = add_ready_video(layout, original=bytes(500_000))
            backup = running.run_create(roomy).name

            def fill_again() -> None:
                """Somebody else takes what was freed; what is given up for deleting is back."""
                if filler.exists():
                    filler.unlink()
                with database.connection_context():
                    assert ballast.take_on(roomy, layout)
                    database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                fill(filler)
                assert free_bytes(settings.data) == 0

            with browser(web.url, owner) as visitor:
                fill_again()
                for page, words in {**PAGES, f"/videos/{shown.public_id}": ""}.items():
                    answer = visitor.get(page)
                    assert (answer.status_code, words in answer.text) == (200, True), page
                assert visitor.get("/settings/system/diagnostics").status_code == 200
                assert layout.ballast.exists() and layout.door.exists()  # looking takes none of it
                # Each as the first that needs what is kept for it.
                for path, fields in (
                    (f"/videos/{thrown[0].public_id}/delete", {}),
                    (f"/videos/{thrown[1].public_id}/delete", {}),
                    (f"/bin/{thrown[0].public_id}/remove", {}),
                    ("/bin/empty", {}),
                    ("/storage/policy", {"kind": "delete", "after_days": "9", "sure": "yes"}),
                    ("/storage/sweep", {}),
                    ("/storage/set-aside", {}),
                    (f"/settings/backups/{backup}/remove", {}),
                    ("/settings/backups/old-data", {}),
                    ("/sign-out", {}),
                ):
                    fill_again()
                    answer = send_form(visitor, path, **fields)
                    assert answer.status_code == 303, (path, answer.text[:300])
            # What only takes room is refused in words, whoever finds out that there is none.
            layout.ballast.unlink(missing_ok=True)
            layout.door.unlink(missing_ok=True)
            fill(settings.data / "more")
            with browser(web.url) as visitor:
                form = {"email": "owner@example.org", "password": PASSWORD}
                answer = send_form(visitor, "/sign-in", **form)
                assert answer.status_code == 507 and "The disk is full" in answer.text
            with database.connection_context():
                assert [video.public_id for video in Video.select()] == [shown.public_id]
        database.close()
