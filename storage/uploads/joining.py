"""Several uploads become one (tus 1.0.0, "Concatenation"), with no second copy of their bytes.

The final upload takes over the file of its first part by rename. Of each further part it takes
piece after piece, the last one first: copied to its place, forced to disk, and only then cut off
the part's file. So the size of that file says what is still to be copied, the disk never holds
more than one piece twice, and whoever finds a final upload half joined can go on. The kernel does
the copying; where the file system shares blocks between files, it copies nothing.

Joining may be begun by any process, at any time, again: it belongs to whoever has the lock of the
first part's file, which is the lock of the final upload's file after the rename.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet

from appliance.db import transaction
from appliance.durable import is_full, sync_folder
from appliance.errors import Conflict, InvalidInput, NotFound, StorageFull
from appliance.ids import new_id
from appliance.models import Upload, Video
from appliance.states import UploadState, move
from storage.uploads.files import BytesLost, open_locked, write_at
from storage.uploads.limits import check_room, check_size
from storage.uploads.rows import (
    ENDED,
    FINAL,
    FULL_SENTENCE,
    OPEN,
    PARTIAL,
    Created,
    Held,
    UploadGone,
    hash_token,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from appliance.models import User
    from storage.layout import Layout
    from storage.uploads.rows import NewUpload
    from storage.uploads.store import Store

PIECE_BYTES = 64 << 20
# Where the kernel can't copy between two files by itself, bytes go through memory.
_NO_KERNEL_COPY = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL})
_CHUNK_BYTES = 1 << 20


# Making


def begin(
    store: Store, owner: User, new: NewUpload, parts: Sequence[tuple[str, str]], said: str
) -> Created:
    """A final upload of complete parts (their ids and tokens); nothing is copied yet.

    From here on the parts belong to it. The same parts once more give the same upload with the
    same token: a client that lost the answer needn't send everything again. ``said`` is echoed.

    Raises InvalidInput (named twice, or no part), NotFound (no such upload of this owner),
    Conflict (not complete, or used already), UploadGone, TooLarge, StorageFull.
    """
    ids = [upload_id for upload_id, _ in parts]
    for number, upload_id in enumerate(ids, start=1):
        if upload_id in ids[: number - 1]:
            raise InvalidInput(f"Part {number} is named twice; each part can be used once.")
    token = _token_of(parts)
    with transaction():
        rows = [_find_part(store, owner, n, part) for n, part in enumerate(parts, start=1)]
        begun = _begun_before(owner, token)
        if begun is not None:
            return begun
        for number, row in enumerate(rows, start=1):
            _check_part(store.layout, number, row)
        length = sum(row.length or 0 for row in rows)
        check_size(store.settings, length)
        _check_room(store, rows)
        for row in rows:
            move(Upload, row.id, UploadState.RECEIVING, UploadState.FINISHING)
        return store.insert(
            owner,
            replace(new, length=length, concat=FINAL),
            (new_id(), token),
            state=UploadState.FINISHING,
            parts=ids,
            concat_said=_seal(said, token),
            complete_declared=True,
        )


def _token_of(parts: Sequence[tuple[str, str]]) -> str:
    """As good as random to whoever lacks one of the parts' tokens, and the same each time."""
    text = "final upload\n" + "\n".join(f"{upload_id} {token}" for upload_id, token in parts)
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:24]).decode()


def _find_part(store: Store, owner: User, number: int, part: tuple[str, str]) -> Upload:
    try:
        row = store.check(*part)
    except NotFound:
        row = None
    # What belongs to somebody else looks like what isn't there.
    if row is None or row.owner_id != owner.id:
        raise NotFound(f"Part {number} is no upload of yours.")
    if row.concat != PARTIAL:
        raise InvalidInput(f"Part {number} was not begun as a part of something.")
    return row


def _begun_before(owner: User, token: str) -> Created | None:
    row = Upload.get_or_none(
        Upload.owner == owner,
        Upload.concat == FINAL,
        Upload.token_hash == hash_token(token),
        Upload.state.in_((*OPEN, UploadState.COMPLETE)),
    )
    if row is None:
        return None
    video_id = row.video.public_id if row.video is not None else ""
    return Created(row.public_id, token, video_id, row.expires_at)


def _check_part(layout: Layout, number: int, row: Upload) -> None:
    if row.state in (UploadState.FINISHING, UploadState.COMPLETE):
        raise Conflict(f"Part {number} belongs to another file already.")
    if row.state is not UploadState.RECEIVING:
        raise UploadGone(f"Part {number}: {row.error or ENDED[row.state]}")
    if not row.complete_declared:
        raise Conflict(f"Part {number} is not complete. Send the rest of it first.")
    path = layout.upload(row.public_id)
    if not path.exists() or path.stat().st_size != row.length:
        raise UploadGone(f"Part {number}: {ENDED[UploadState.LOST]}")


def _check_room(store: Store, rows: Sequence[Upload]) -> None:
    """No more than one piece is there twice at a time."""
    twice = max((min(PIECE_BYTES, row.length or 0) for row in rows[1:]), default=0)
    check_room(store.settings, store.layout, twice)


# The header that it was made with names the tokens of its parts. It has to be echoed, but must not
# lie open in the database, so it is sealed with the token of the final upload.


def _seal(said: str, token: str) -> str:
    return Fernet(_key(token)).encrypt(said.encode()).decode()


def echo(row: Upload, token: str) -> str:
    """``Upload-Concat`` as it was sent when this upload was created."""
    if row.concat_said is None:
        return row.concat or ""
    return Fernet(_key(token)).decrypt(row.concat_said.encode()).decode()


def _key(token: str) -> bytes:
    return base64.urlsafe_b64encode(hashlib.sha256(f"concat {token}".encode()).digest())


# Joining


def join(store: Store, row: Upload, *, enough: Callable[[], bool]) -> bool:
    """Bring a final upload to its end; False when ``enough`` said so before (asked between pieces).

    Raises UploadBusy, UploadGone, StorageFull, OSError. Wants an open database connection.
    """
    with _taken_up(store, row) as held:
        if held.row.state is not UploadState.FINISHING:
            return True
        try:
            if held.handle is not None and not _gather(store, held, enough):
                return False
        except BytesLost as exc:
            store.end(held, UploadState.LOST, str(exc))
            raise UploadGone(str(exc)) from exc
        except OSError as exc:
            if is_full(exc):
                raise StorageFull(FULL_SENTENCE) from exc
            raise
        store.finish(held)
        return True


@contextmanager
def _taken_up(store: Store, row: Upload) -> Iterator[Held]:
    """Without a file it has been put in its place before, or is lost: ``finish`` finds out."""
    handle: int | None = None
    for upload_id in ((row.parts or [""])[0], row.public_id):
        try:
            handle = open_locked(store.layout.upload(upload_id))
            break
        except FileNotFoundError:
            continue
    fresh = Upload.get_by_id(row.id)  # whoever had the lock before may have moved it on
    video = Video.get_or_none(Video.id == fresh.video_id)
    held = Held(fresh, video, handle, fresh.length or 0)
    try:
        yield held
    finally:
        held.close()


def _gather(store: Store, held: Held, enough: Callable[[], bool]) -> bool:
    """All parts into the file of the first, which becomes that of the final upload."""
    layout, ids = store.layout, held.row.parts or []
    parts = {part.public_id: part for part in Upload.select().where(Upload.public_id.in_(ids))}
    first = layout.upload(ids[0])
    if first.exists():
        first.rename(layout.upload(held.row.public_id))
    # Also when that was done before: a crash may have come between it and this.
    sync_folder(layout.uploads)
    assert held.handle is not None
    position = parts[ids[0]].length or 0
    for upload_id in ids[1:]:
        part, path = parts[upload_id], layout.upload(upload_id)
        if part.state is UploadState.FINISHING:
            if not _append(held.handle, position, path, part.length or 0, enough):
                return False
            move(Upload, part.id, UploadState.FINISHING, UploadState.COMPLETE)
        path.unlink(missing_ok=True)
        position += part.length or 0
    sync_folder(layout.uploads)
    return True


def _append(
    target: int, position: int, path: Path, length: int, enough: Callable[[], bool]
) -> bool:
    """The rest of a part goes to ``position`` and on; False: there is more. Raises BytesLost."""
    try:
        source = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise BytesLost(ENDED[UploadState.LOST]) from None
    try:
        left = os.fstat(source).st_size
        begun = os.fstat(target).st_size >= position + length
        if left > length or (left < length and not begun):
            raise BytesLost(ENDED[UploadState.LOST])
        while left:
            start = max(0, left - PIECE_BYTES)
            _copy(source, start, target, position + start, left - start)
            os.fdatasync(target)
            os.ftruncate(source, start)
            left = start
            if left and enough():
                return False
        return True
    finally:
        os.close(source)


def _copy(source: int, start: int, target: int, position: int, count: int) -> None:
    while count:
        try:
            copied = os.copy_file_range(source, target, count, start, position)
        except OSError as exc:
            if exc.errno not in _NO_KERNEL_COPY:
                raise
            data = os.pread(source, min(count, _CHUNK_BYTES), start)
            write_at(target, data, position)
            copied = len(data)
        if not copied:
            raise BytesLost(ENDED[UploadState.LOST])
        start, position, count = start + copied, position + copied, count - copied
