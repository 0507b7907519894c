"""Encode a video while it is still being uploaded, so that it is ready soon after its last byte.

Nothing depends on it: what ends it leaves the finished file to the usual encode, and what it made
is used only when the look into the finished file finds the very file that its beginning promised.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from appliance.clock import now
from appliance.db import database
from appliance.errors import JobFailed
from appliance.models import Job, Upload
from appliance.states import UploadState
from tasks import pipeline, profiles
from tasks.context import PutBack
from tasks.in_flight.decide import MOST_TRIES, Prospect, wait_s
from tasks.in_flight.flight import Discarded, Flight, Flown, GivesWay, has_ended, outlook
from tasks.making import Made, Making, make
from tasks.transcode.task import verify

if TYPE_CHECKING:
    from tasks.context import Context, Outcome, Write

log = logging.getLogger(__name__)

_WAITING = "Waiting for more of the file"


def encode_ahead(job: Job, context: Context) -> Outcome:
    """The social rendition of a growing file; the job of an upload that has come to nothing ends
    without a word."""
    found = Prospect.from_dict(job.payload)
    with database.connection_context():
        row = Upload.get_or_none(Upload.public_id == found.upload_id)
        profile = profiles.current(profiles.SOCIAL.name)
    as_usual = _as_usual(job)
    if row is None or has_ended(row) or row.rewound != found.rewound:
        return as_usual
    if row.state is not UploadState.RECEIVING or profile.recipe != found.recipe:
        return as_usual  # all of it is here: nothing is won any more
    if seconds := wait_s(outlook(row, found, context.layout)):
        return _later(seconds)
    try:
        flown = Flight(found, profile, context).fly()
    except GivesWay as exc:
        log.info("in flight %s gives way: %s", job.public_id, exc)
        return _give_way(found, context)
    except Discarded as exc:
        log.info("in flight %s: what was made is thrown away. %s", job.public_id, exc)
        return as_usual
    except JobFailed as exc:
        log.warning("in flight %s: what was made is thrown away. %s %s", job.public_id, exc,
                    exc.detail)  # fmt: skip
        return as_usual

    def land(making: Making, context: Context) -> Made | Write:
        if making.profile.recipe != found.recipe:
            log.info("in flight %s: the settings were changed under way", job.public_id)
            return as_usual
        return _land(making, context, flown, as_usual)

    return make(job, context, land)


def _as_usual(job: Job) -> Write:
    return lambda: pipeline.encode_as_usual(job)


def _later(seconds: float) -> PutBack:
    return PutBack(now() + timedelta(seconds=seconds), stage=_WAITING)


def _give_way(found: Prospect, context: Context) -> Outcome:
    job = context.job
    again = replace(found, tries=found.tries + 1)
    if again.tries >= MOST_TRIES:
        return _as_usual(job)

    def remember() -> None:
        Job.update(payload=again.to_dict()).where(Job.id == job.id).execute()

    context.record(remember)
    return _later(10.0)


def _land(making: Making, context: Context, flown: Flown, as_usual: Write) -> Made | Write:
    """The whole file is what was promised; is the result, too?"""
    result, fault = verify(flown.file, flown.facts, flown.chosen, making.profile, context)
    if fault:
        log.warning("in flight %s gave a file that %s", making.job.public_id, fault)
        return as_usual
    about: dict[str, Any] = {
        "probe": result.to_dict(),
        "reasons": list(flown.chosen.reasons),
        "ahead": True,
        "after_s": round(flown.after_s, 2),
    }
    if flown.encoder:
        about |= {"encoder": flown.encoder, "passes": 1}
    return Made(flown.file, flown.chosen.method, about, seconds=flown.seconds)
