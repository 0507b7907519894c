"""Uploads and warnings within a disk budget, and what the settings of a box fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance import jobs
from appliance.db import database
from appliance.models import Job, Role, Setting, User, Video
from storage import usage
from storage.layout import Layout
from tasks import tidy
from tests.storing import add_ready_video
from tests.web.granting import granted
from tests.web.serving import add_user, browser, prepare, script, send_form, serving
from tests.web.test_storage import page
from tests.web.tus_client import create, location_of, made, patch, post

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings


@pytest.fixture
def tight(settings: Settings) -> Iterator[tuple[str, User, Settings]]:
    """A box whose videos may take 1 MB, and has 200 kB of them."""
    small = settings.model_copy(update={"disk_budget": 1_000_000})
    prepare(small)
    with serving(small) as url:
        owner = add_user()
        with database.connection_context():
            add_ready_video(
                Layout(small.data), owner, original=bytes(150_000), social=bytes(50_000)
            )
            yield url, owner, small
    database.close()


def test_uploads_are_refused_early_and_with_numbers(tight: tuple[str, User, Settings]) -> None:
    url, owner, _ = tight
    with script(url, owner) as client:
        refused = create(client, 900_000)
        assert refused.status_code == 507
        assert (
            "it has 900 kB, and 800 kB of the 1.0 MB that all videos may take are free"
            in refused.text
        )
        first = made(client, 500_000)
        assert create(client, 300_001).status_code == 507  # the rest of the first is promised
        grant = client.post(
            "/api/v1/uploads",
            json={"filename": "a.mp4", "file_size": 400_000, "content_type": "video/mp4"},
        )
        assert (grant.status_code, grant.json()["code"]) == (507, "storage_full")
        assert patch(client, first, 0, bytes(500_000)).status_code == 204
        assert create(client, 300_001).status_code == 507
        assert create(client, 300_000).status_code == 201


def test_work_in_line_is_counted_before_it_is_done(tight: tuple[str, User, Settings]) -> None:
    url, owner, _ = tight
    jobs.create("encode", "encode:x", video=Video.get(), room_bytes=600_000)
    with script(url, owner) as client:
        assert create(client, 300_000).status_code == 507
        Job.update(state="cancelled").execute()
        assert create(client, 300_000).status_code == 201


def test_a_put_of_a_grant_and_unknown_lengths_stay_within_the_budget(
    tight: tuple[str, User, Settings],
) -> None:
    url, owner, _ = tight
    with script(url, owner) as client:
        grant = granted(client)  # 200 kB
        location = location_of(post(client, Upload_Defer_Length="1"))
        assert patch(client, location, 0, bytes(500_000)).status_code == 204
        refused = patch(client, location, 500_000, bytes(100_001))
        assert (refused.status_code, refused.headers["Upload-Offset"]) == (507, "500000")
        too_long = patch(client, location, 500_000, b"", Upload_Length="600001")
        assert too_long.status_code == 507
        assert client.put(grant["upload_url"], content=bytes(200_000)).is_success
        assert patch(client, location, 500_000, bytes(100_000), Upload_Length="600000").is_success


def test_deleting_for_good_makes_room(tight: tuple[str, User, Settings]) -> None:
    url, owner, settings = tight
    with script(url, owner) as client:
        video_id = Video.get().public_id
        assert client.delete(f"/api/v1/videos/{video_id}").is_success
        assert create(client, 900_000).status_code == 507  # the bin takes room, too
        assert client.delete(f"/api/v1/bin/{video_id}").is_success
        assert create(client, 900_000).status_code == 201
    tidy.note_how_full(settings, Layout(settings.data))
    assert not usage.warned(settings).nearly_full


def test_admins_are_warned_when_the_room_ends(tight: tuple[str, User, Settings]) -> None:
    url, owner, settings = tight
    layout = Layout(settings.data)
    Video.update(size_bytes=850_000).execute()
    tidy.note_how_full(settings, layout)
    editor = add_user("ed@example.org", Role.EDITOR)
    with browser(url, owner) as client:
        assert "The box is nearly full" in page(client, "/")
        assert "100 kB are left for new uploads" in page(client)
        Video.update(size_bytes=960_000).execute()
        assert "The box is full" in page(client)
    with browser(url, editor) as client:
        assert "nearly full" not in page(client, "/")
    assert Setting.select().where(Setting.name == "storage_warned").count() == 1


def test_a_policy_that_the_settings_fix_is_said_and_stays(settings: Settings) -> None:
    fixed = settings.model_copy(update={"keep_originals": "smaller:7"})
    prepare(fixed)
    with serving(fixed) as url:
        owner = add_user()
        with browser(url, owner) as client:
            assert "APPLIANCE_KEEP_ORIGINALS" in page(client)
            answer = send_form(client, "/storage/policy", kind="keep", after_days="7")
            assert answer.status_code == 409
        with script(url, owner) as client:
            found = client.get("/api/v1/storage").json()
            assert (found["policy"]["kind"], found["policy_fixed"]) == ("smaller", True)
    database.close()
