"""The store of uploads: rows and files, no protocol.

An upload is a video from its first moment. Its file's size is its offset; what was acknowledged
is on disk; when all bytes are there, ``finish`` makes the file the original of the video. All
methods want an open database connection, and block: call them from a thread.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from peewee import OperationalError

from appliance import events, metrics, videos
from appliance.clock import boot_id, boottime_s, now
from appliance.db import find, is_full, transaction, update_where
from appliance.durable import is_full as is_full_disk
from appliance.errors import Conflict, NotFound, StorageFull
from appliance.ids import new_id, new_token
from appliance.models import Upload, User, Video, Visibility
from appliance.states import UploadState, move
from appliance.text import clean_filename, clean_line
from storage.uploads import first_looks
from storage.uploads.adoption import adopt, put_in_place
from storage.uploads.ending import end_row, remove_file, why_cut_off
from storage.uploads.files import create_file, cut_back, open_locked
from storage.uploads.limits import check_limits, check_size
from storage.uploads.rows import (
    ENDED,
    FINAL,
    FULL_SENTENCE,
    OPEN,
    PARTIAL,
    UNKNOWN,
    Created,
    Held,
    NewUpload,
    UploadGone,
    hash_token,
)
from storage.uploads.slots import StillJoining
from storage.uploads.taking_up import reason_to_end
from storage.uploads.writing import disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from appliance.settings import Settings
    from storage.layout import Layout


class Store:
    def __init__(self, settings: Settings, layout: Layout) -> None:
        self.settings = settings
        self.layout = layout

    # Making

    def create(self, owner: User | None, new: NewUpload) -> Created:
        """A new upload and its video; durable when this returns.

        Raises TooLarge, StorageFull, TooManyAttempts (too many open uploads), and whatever
        ``new.also_check`` raises.
        """
        check_size(self.settings, new.length)
        upload_id, token = new_id(), new_token()
        path = self.layout.upload(upload_id)
        try:
            handle = create_file(path)
        except OSError as exc:
            path.unlink(missing_ok=True)
            if is_full_disk(exc):
                raise StorageFull("The box is full: nothing can be uploaded.") from exc
            raise
        try:
            with transaction():
                check_limits(self.settings, self.layout, owner, new)
                if new.also_check is not None:
                    new.also_check()
                created = self.insert(owner, new, (upload_id, token))
            metrics.UPLOAD_CREATED.labels(new.source.value).inc()
            return created
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(handle)

    def insert(
        self, owner: User | None, new: NewUpload, address: tuple[str, str], **columns: Any
    ) -> Created:
        """The rows of a new upload, in a transaction of the caller's. A part has no video."""
        upload_id, token = address
        video = None if new.concat == PARTIAL else self._insert_video(owner, new)
        row = Upload.create(
            public_id=upload_id,
            token_hash=hash_token(token),
            owner=owner,
            video=video,
            source=new.source,
            length=new.length,
            expected_bytes=new.expected_bytes,
            metadata_raw=new.metadata_raw,
            filename=clean_filename(new.filename),
            content_type=clean_line(new.content_type),
            protocol=new.protocol,
            sent_sha256=new.sent_sha256,
            guest_link_id=new.guest_link_id,
            concat=new.concat,
            boot_id=boot_id(),
            touched_boot_s=boottime_s(),
            expires_at=self._next_expiry(new.life_hours),
            **columns,
        )
        video_id = video.public_id if video is not None else ""
        return Created(upload_id, token, video_id, row.expires_at)

    def _insert_video(self, owner: User | None, new: NewUpload) -> Video:
        return videos.create(
            owner=owner,
            filename=new.filename,
            source=new.source,
            visibility=new.visibility or Visibility(self.settings.default_visibility),
            size_bytes=new.length or 0,
            title=new.title,
            guest_name=new.guest_name,
            guest_link_id=new.guest_link_id,
            guest_id=new.guest_id,
            sent_sha256=new.sent_sha256,
            index_moved=new.index_moved,
            tag_names=new.tags,
        )

    def _next_expiry(self, hours: float | None = None) -> datetime:
        return now() + timedelta(hours=self.settings.upload_idle_hours if hours is None else hours)

    # Taking up

    def open(self, upload_id: str, token: str) -> Held:
        """Hold the upload that ``token`` is for; the caller closes it.

        Raises NotFound (unknown, or the token is another's), UploadGone, UploadBusy, StillJoining.
        """
        return self.hold(self.check(upload_id, token))

    def check(self, upload_id: str, token: str) -> Upload:
        """The row that ``token`` is for. Raises NotFound."""
        row = find(Upload, Upload.public_id, upload_id)
        # Compared in any case: how long the answer takes must not tell whether the id exists.
        stored = row.token_hash if row is not None else hash_token("")
        if not hmac.compare_digest(hash_token(token), stored) or row is None:
            raise NotFound(UNKNOWN)
        return row

    def hold(self, row: Upload) -> Held:
        """As ``open``, for a row that the caller may see."""
        if row.concat == FINAL and row.state is UploadState.FINISHING:
            raise StillJoining(row)  # a matter of storage.uploads.joining alone
        try:
            handle: int | None = open_locked(self.layout.upload(row.public_id))
        except FileNotFoundError:
            handle = None
        try:
            fresh = find(Upload, Upload.id, row.id)
            if fresh is None:  # ended long ago, and swept this very moment
                raise NotFound(UNKNOWN)
            # Looked up by itself: whoever cancels the upload may remove it between the two.
            held = Held(fresh, find(Video, Video.id, fresh.video_id), handle, 0)
            fresh.owner = find(User, User.id, fresh.owner_id)
            self._take_up(held)
        except BaseException:
            if handle is not None:
                os.close(handle)
            raise
        return held

    def _take_up(self, held: Held) -> None:
        """Find the offset, or end what can't go on. Raises UploadGone."""
        row = held.row
        if row.state not in (*OPEN, UploadState.COMPLETE):
            raise UploadGone(row.error or ENDED[row.state], row.state)
        if row.state is not UploadState.RECEIVING:
            held.offset = row.length or 0
            return
        ending, sentence = reason_to_end(held)
        if ending is not None:
            self.end(held, ending, sentence)
            raise UploadGone(sentence, ending)

    # Receiving

    def acknowledge(self, held: Held) -> None:
        """After this, ``held.offset`` may be told to the sender: it is on disk.

        Raises OSError and StorageFull; then the offset is back at what was acknowledged before.
        """
        with self._or_fall_back(held):
            self.checkpoint(held)

    def checkpoint(self, held: Held) -> None:
        """As ``acknowledge``, while more is being written: on OSError, stop and ``fall_back``."""
        before, offset = held.row.durable_offset, held.offset
        if self.settings.upload_fsync == "ack":
            self._sync(held)
            offset = held.row.durable_offset
        columns: dict[str, Any] = {
            "durable_offset": held.row.durable_offset,
            "settled_offset": offset,
        }
        if offset > held.row.settled_offset:  # a request without bytes prolongs nothing
            columns |= self._touched()
        if not held.row.boot_id:
            columns["boot_id"] = boot_id()
        try:
            changed = update_where(Upload, columns, id=held.row.id, state=UploadState.RECEIVING)
        except OperationalError as exc:
            held.offset = held.row.durable_offset = before
            if is_full(exc):
                raise StorageFull(FULL_SENTENCE) from exc
            raise
        if not changed:
            self._look_again(held)
        mark = first_looks.crossed(held.row.settled_offset, offset)
        if held.row.concat == PARTIAL:
            self._prolong_parts(held.row)
        for name, value in columns.items():
            setattr(held.row, name, value)
        if mark is not None:
            first_looks.ask(held, mark)

    def _prolong_parts(self, row: Upload) -> None:
        """Complete parts wait for those that still arrive."""
        Upload.update(**self._touched()).where(
            Upload.owner == row.owner_id,
            Upload.concat == PARTIAL,
            Upload.state == UploadState.RECEIVING,
            Upload.complete_declared,
        ).execute()

    def _touched(self) -> dict[str, Any]:
        at = now()
        idle = timedelta(hours=self.settings.upload_idle_hours)
        return {"touched_at": at, "touched_boot_s": boottime_s(), "expires_at": at + idle}

    def _look_again(self, held: Held) -> None:
        """Somebody else moved the row on. Raises UploadGone when that was its end."""
        row = Upload.get_or_none(Upload.id == held.row.id)
        state = UploadState.TERMINATED if row is None else row.state
        held.row.state = state
        if state not in (*OPEN, UploadState.COMPLETE):
            raise UploadGone((row.error if row is not None else None) or ENDED[state], state)

    def doubt(self, held: Held) -> None:
        """Until the next checkpoint nothing counts that comes after the offset, even if we die.

        For bytes that are only kept if they are what was sent. Raises OSError.
        """
        self._sync(held)
        # Of no start of the machine: what isn't known to be on disk is cut off (files.py).
        Upload.update(boot_id="", durable_offset=held.row.durable_offset).where(
            Upload.id == held.row.id
        ).execute()
        held.row.boot_id = ""

    def _sync(self, held: Held) -> None:
        assert held.handle is not None
        offset = held.offset
        if offset > held.row.durable_offset:
            started = time.perf_counter()
            with metrics.timing_of_sync():
                os.fdatasync(held.handle)
            disk.note_sync(offset - held.row.durable_offset, time.perf_counter() - started)
            held.row.durable_offset = offset

    @contextlib.contextmanager
    def _or_fall_back(self, held: Held) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            self.fall_back(held)
            if is_full_disk(exc):
                raise StorageFull(FULL_SENTENCE) from exc
            raise

    def fall_back(self, held: Held) -> None:
        """After a failed sync: trust nothing after the last good one.

        The kernel may have dropped what it could not write, and says so only once.
        """
        with contextlib.suppress(OperationalError):
            self._rewind(held, held.row.durable_offset)
        with contextlib.suppress(OSError):
            self.take_back(held, held.row.durable_offset)
        held.offset = held.row.durable_offset

    def _rewind(self, held: Held, offset: int) -> None:
        """Tell readers of the growing file, before it is cut, that what they read doesn't hold.

        Does nothing under the default policy, where only durable bytes are settled.
        """
        if held.row.settled_offset > offset:
            Upload.update(settled_offset=offset, rewound=Upload.rewound + 1).where(
                Upload.id == held.row.id
            ).execute()
            held.row.settled_offset = offset

    def take_back(self, held: Held, offset: int) -> None:
        """Drop what came after ``offset``. Raises OSError."""
        assert held.handle is not None
        cut_back(held.handle, offset)
        held.offset = offset

    def restart(self, held: Held) -> None:
        """Back to the first byte: the sender sends the whole file anew."""
        assert held.handle is not None
        Upload.update(
            durable_offset=0, settled_offset=0, rewound=Upload.rewound + 1, early_look=None
        ).where(Upload.id == held.row.id).execute()
        cut_back(held.handle, 0)
        held.offset = held.row.durable_offset = held.row.settled_offset = 0
        held.row.rewound += 1

    def note_protocol(self, held: Held, protocol: str) -> None:
        """How bytes come now: it decides when the file is whole, and people may see it."""
        Upload.update(protocol=protocol).where(Upload.id == held.row.id).execute()
        held.row.protocol = protocol

    def tell_progress(self, held: Held) -> None:
        """An event for the pages of other people; callers throttle."""
        if held.video is None or not held.row.length:
            return
        events.record(
            "upload.progress",
            f"video:{held.video.public_id}",
            video=held.video,
            video_id=held.video.public_id,
            offset=held.offset,
            length=held.row.length,
            progress=round(held.offset / held.row.length, 4),
        )

    # Ending

    def settle(self, held: Held) -> None:
        """After receiving: finish when all bytes are here, else make sure of what has arrived."""
        if held.is_whole:
            self.finish(held)
        else:
            self.acknowledge(held)

    def finish(self, held: Held) -> None:
        """All bytes are here: make the file the original of its video, and start the work on it.

        Repeatable from wherever an earlier try was cut short. Raises UploadGone when the file
        is gone, or its sender may send no more; StorageFull.
        """
        row = held.row
        if row.state is UploadState.COMPLETE:
            return
        if row.concat == PARTIAL:
            self._keep_part(held)
            return
        if row.state is UploadState.RECEIVING:
            if self.settings.upload_fsync != "never":
                with self._or_fall_back(held):
                    self._sync(held)
            with transaction():  # nobody loses the right to send between the two
                cut_off = why_cut_off(row)
                moved = cut_off is None and move(
                    Upload,
                    row.id,
                    UploadState.RECEIVING,
                    UploadState.FINISHING,
                    durable_offset=held.offset,
                    settled_offset=held.offset,
                    complete_declared=True,
                )
            if cut_off is not None:
                self.end(held, UploadState.TERMINATED, cut_off)
                raise UploadGone(cut_off, UploadState.TERMINATED)
            if not moved:  # cancelled, or refused after a first look, while its last bytes came
                self._look_again(held)
            row.state = UploadState.FINISHING
        if held.video is None:
            self.end(held, UploadState.LOST, "The video was deleted while it was uploaded.")
            raise UploadGone(row.error or "")
        original = put_in_place(self.layout, row.public_id, held.video.public_id)
        if not original.exists() or original.stat().st_size != row.length:
            self.end(held, UploadState.LOST, ENDED[UploadState.LOST])
            raise UploadGone(row.error or "")
        adopt(row, held.video)
        metrics.UPLOAD_ENDED.labels(UploadState.COMPLETE.value).inc()
        row.state = UploadState.COMPLETE

    def _keep_part(self, held: Held) -> None:
        """A part that is complete waits for the others (storage/uploads/joining.py)."""
        row = held.row
        if row.state is not UploadState.RECEIVING or row.complete_declared:
            return
        if self.settings.upload_fsync != "never":
            with self._or_fall_back(held):
                self._sync(held)
        self.acknowledge(held)
        Upload.update(complete_declared=True).where(Upload.id == row.id).execute()
        row.complete_declared = True

    def terminate(self, held: Held) -> None:
        """The sender wants no more of it. A complete upload leaves its video alone."""
        if held.row.state is UploadState.RECEIVING:
            self.end(held, UploadState.TERMINATED, ENDED[UploadState.TERMINATED])
        elif held.row.state is UploadState.COMPLETE:
            Upload.update(token_hash="").where(Upload.id == held.row.id).execute()
        else:
            raise Conflict("All bytes are here; the file is being put in place. Look again.")

    def fail(self, held: Held) -> None:
        """The sender gives up: the video stays, and says so."""
        self.end(held, UploadState.FAILED, ENDED[UploadState.FAILED])

    def end(self, held: Held, state: UploadState, error: str) -> None:
        """Bring an open upload to an end without a file; its video goes, or says why it failed."""
        row = held.row
        if not end_row(self.layout, row, held.video, row.state, state, error):
            return
        metrics.UPLOAD_ENDED.labels(state.value).inc()
        row.state, row.error = state, error
        remove_file(self.layout, row.public_id)
