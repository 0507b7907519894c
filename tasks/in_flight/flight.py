"""Run ffmpeg on a file that still grows: its bytes go into standard input as they come."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from appliance.clock import now
from appliance.db import database
from appliance.models import Job, Priority, Upload, Video
from appliance.states import JobState, UploadState, VideoState
from storage.uploads import GrowingFile, UploadAborted, feed
from tasks.in_flight import run
from tasks.in_flight.decide import Flow, Outlook, Prospect, gives_way, what_differs
from tasks.probe.facts import Probe
from tasks.renditions import AHEAD
from tasks.transcode.encoders import choose
from tasks.transcode.plan import plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from storage.layout import Layout
    from tasks.context import Context
    from tasks.profiles import Profile
    from tasks.transcode.plan import Plan

log = logging.getLogger(__name__)

COMING = "Encoding while it uploads"
_REST = "Encoding the rest"
_CHECKING = "Waiting for the check of the file"
# How often the row of the upload and what waits in the ledger are looked at.
_LOOK_EVERY_S = 1.0
# Over how long the pace and the waiting of the encoder are taken.
_WINDOW_S = 6.0
SHARE = 0.9


class GivesWay(Exception):
    """It ends for now; it may begin anew when the upload is further."""


class Discarded(Exception):
    """Nothing can come of it any more; the finished file is encoded as usual."""


@dataclass(frozen=True)
class Flown:
    """``after_s``: how much of ``seconds`` came after the last byte of the upload."""

    file: Path
    chosen: Plan
    facts: Probe
    seconds: float
    after_s: float
    encoder: str


class _Watched(GrowingFile):
    """Knows how long its reader had to wait."""

    waited_s = 0.0
    waits_since_s: float | None = None

    def read(self, most: int = 1 << 20) -> bytes:
        began_s = self.waits_since_s = time.monotonic()
        try:
            return super().read(most)
        finally:
            self.waits_since_s = None
            self.waited_s += time.monotonic() - began_s


@dataclass(frozen=True)
class _Sample:
    at_s: float
    settled: int
    waited_s: float


class Flight:
    """One encode of one growing file. ``fly`` once."""

    def __init__(self, found: Prospect, profile: Profile, context: Context) -> None:
        self.found, self.profile, self.context = found, profile, context
        self.chosen = plan(found.probe, profile)
        self._reader: _Watched | None = None
        self._samples: deque[_Sample] = deque()
        self._looked_s = 0.0
        self._all_here_s: float | None = None

    def fly(self) -> Flown:
        """Raises GivesWay, Discarded, and what ``context.check`` raises."""
        assert self.profile.targets is not None
        with database.connection_context():
            encoder = choose(self.context.settings)
        # ffmpeg says nothing while it waits for bytes.
        self.context.report(COMING, 0.0)
        began_s = time.monotonic()
        try:
            file = run.make(
                self.found.probe,
                self.chosen,
                self.profile.targets,
                self.context,
                encoder=encoder,
                feed=self._feed,
                check=self._check,
                on_line=self._follow,
            )
        except UploadAborted as exc:
            raise Discarded(exc.reason) from exc
        ended_s = time.monotonic()
        # The demuxer may have seen the last picture before the last byte was there.
        facts = self._wait_for_the_check()
        return Flown(
            file,
            self.chosen,
            facts,
            seconds=ended_s - began_s,
            after_s=max(0.0, ended_s - (self._all_here_s or ended_s)),
            encoder=encoder.label if self.chosen.picture is not None else "",
        )

    def _follow(self, line: str) -> None:
        name, _, value = line.partition("=")
        if name == "out_time_us" and value.lstrip("-").isdecimal():
            self.context.saw(name, value)
            done = max(0.0, int(value) / 1e6 / self.found.probe.duration_s)
            stage = COMING if self._all_here_s is None else _REST
            self.context.report(stage, SHARE * min(1.0, done))

    def _feed(self, pipe: IO[bytes], alive: Callable[[], None]) -> None:
        reader = _Watched(self.context.layout, self.found.upload_id, check=alive)
        with reader:
            self._reader = reader
            feed(reader, pipe)

    def _check(self) -> None:
        """Called a few times a second while ffmpeg runs. Raises what ends it."""
        self.context.check()
        reader, now_s = self._reader, time.monotonic()
        if reader is None or now_s - self._looked_s < _LOOK_EVERY_S:
            return
        self._looked_s = now_s
        if reader.complete:
            self._note_arrival()
            self._refuse_other_file()
            return
        hungry_s = now_s - (reader.waits_since_s or now_s)
        if hungry_s > 0:
            self.context.moved()  # whoever waits for bytes doesn't hang
        waited_s = reader.waited_s + hungry_s
        self._samples.append(_Sample(now_s, reader.settled, waited_s))
        while now_s - self._samples[0].at_s > _WINDOW_S:
            self._samples.popleft()
        first, last = self._samples[0], self._samples[-1]
        window_s = max(last.at_s - first.at_s, _LOOK_EVERY_S)
        flow = Flow(
            hungry_s=hungry_s,
            idle=(last.waited_s - first.waited_s) / window_s,
            rest_s=rest_s(last.settled - first.settled, window_s, last.settled, reader.length),
            others_wait=others_wait(),
            all_here=reader.length is not None and reader.settled >= reader.length,
        )
        if reason := gives_way(flow):
            raise GivesWay(reason)

    def _note_arrival(self) -> None:
        if self._all_here_s is None:
            self._all_here_s = time.monotonic()

    def _refuse_other_file(self) -> None:
        """The finished file may have been looked at by now. Raises Discarded if it is another."""
        if (facts := self._facts_of_the_whole()) is not None:
            self._compare(facts)

    def _compare(self, facts: Probe) -> None:
        chosen = plan(facts, self.profile)
        if differs := what_differs(self.chosen, chosen, self.found.probe, facts):
            raise Discarded(f"Looked at as a whole, {differs}.")

    def _wait_for_the_check(self) -> Probe:
        while True:
            self.context.check()
            facts = self._facts_of_the_whole()
            if facts is not None:
                self._note_arrival()
                self._compare(facts)
                return facts
            self.context.moved()  # others are at work
            self.context.report(_CHECKING, SHARE)
            self.context.wait(0.1)

    def _facts_of_the_whole(self) -> Probe | None:
        """None: not known yet. Raises Discarded when they will never be."""
        with database.connection_context():
            row = Upload.get_or_none(Upload.public_id == self.found.upload_id)
            video = Video.get_by_id(self.context.job.video_id)
            probing = _is_probed(video)
        if row is None or row.rewound != self.found.rewound or has_ended(row):
            raise Discarded("The upload has ended, or was begun anew.")
        if row.state is not UploadState.COMPLETE:
            if self._all_here_s is None and _silence_s(row) > self.context.settings.stall_s:
                raise GivesWay("the last bytes don't come")
            return None
        if video.state in (VideoState.PROCESSING, VideoState.READY) and video.facts is not None:
            return Probe.from_dict(video.facts)
        if not probing:
            raise Discarded("The finished file can't be used, or nobody looks at it any more.")
        return None


def has_ended(row: Upload) -> bool:
    return row.state not in (UploadState.RECEIVING, UploadState.FINISHING, UploadState.COMPLETE)


def _is_probed(video: Video) -> bool:
    live = Job.state.in_([JobState.QUEUED, JobState.RUNNING])
    return bool(Job.select().where(Job.video == video, Job.kind == "probe", live).exists())


def _silence_s(row: Upload) -> float:
    return max(0.0, (now() - row.touched_at).total_seconds())


def others_wait() -> bool:
    """Whether work that people wait for stands in line for the encoder. Wants no connection."""
    with database.connection_context():
        return bool(
            Job.select()
            .where(
                Job.queue == "media",
                Job.state == JobState.QUEUED,
                Job.kind != AHEAD,
                Job.priority >= int(Priority.NORMAL),
                ~Job.only_at_night,
                Job.run_after.is_null() | (Job.run_after <= now()),
            )
            .exists()
        )


def rest_s(came: int, seconds: float, settled: int, length: int | None) -> float | None:
    """Until the last byte, at the pace of ``came`` bytes in ``seconds``; None: not known."""
    if length is None or came <= 0 or seconds <= 0:
        return None
    return max(0.0, (length - settled) * seconds / came)


def outlook(row: Upload, found: Prospect, layout: Layout) -> Outlook:
    """What stands for and against beginning now."""
    at = now()
    alive_s = max(0.1, (at - row.created_at).total_seconds())
    return Outlook(
        encode_s=found.encode_s,
        rest_s=rest_s(row.settled_offset, alive_s, row.settled_offset, row.length),
        silent_s=_silence_s(row),
        others_wait=others_wait(),
    )
