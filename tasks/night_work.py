"""What the admins want done at night only: the wish, and the jobs that it changes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peewee import fn

from appliance import events, jobs, night
from appliance.db import transaction
from appliance.models import Job, Priority, Rendition
from appliance.states import JobState
from tasks import renditions
from tasks.profiles import PREVIEW

if TYPE_CHECKING:
    from appliance.models import User


def save(only: bool, actor: User | None) -> int:
    """Background encodes wait for the night, or don't; how many that wait in line changed.

    Those that somebody put off for the night by hand stay put off, and what runs is finished.
    """
    with transaction():
        if night.is_only() == only:
            return 0
        night.keep_only(only)
        events.audit(actor, "night.change", "setting:night", only=only)
        nobody_waits = Rendition.select(Rendition.id).where(
            Rendition.wanted < int(Priority.NORMAL), Rendition.profile != PREVIEW.name
        )
        changed: int = (
            Job.update(only_at_night=only)
            .where(
                Job.state == JobState.QUEUED,
                Job.kind.in_(renditions.ENCODES),
                Job.priority < int(Priority.HIGH),
                Job.rendition.in_(nobody_waits),
                fn.json_extract(Job.payload, "$.remake").is_null(),
                Job.only_at_night != only,
            )
            .execute()
        )
    if not only:
        jobs.ring_due(night=False)
    return changed
