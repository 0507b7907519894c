"""What guests are sending by a link, when that link ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.guest_links import CUT_OFF
from appliance.models import Upload
from appliance.states import UploadState
from storage.uploads import stop

if TYPE_CHECKING:
    from appliance.models import GuestLink
    from appliance.settings import Settings


def end_uploads(settings: Settings, link: GuestLink) -> int:
    """End all that is open by a revoked link, also while bytes arrive; how many.

    What has arrived whole stays. Revoke first: then no new one comes in between.
    """
    receiving = Upload.select().where(
        Upload.guest_link_id == link.id, Upload.state == UploadState.RECEIVING
    )
    return sum(stop(settings, row, UploadState.TERMINATED, CUT_OFF) for row in list(receiving))
