"""Bring a backup back: built aside and checked to the last byte, then switched in by renames.

Until the switch nothing of the box is touched: a damaged backup, a wrong key, a full disk or a
SIGKILL leave the old data as it was.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from appliance.durable import is_full
from appliance.errors import Conflict, InvalidInput, NotFound, StorageFull
from appliance.migrate import FOLDER as MIGRATIONS
from appliance.text import describe_size
from storage.backups import format, opening, recovery_key, switching
from storage.backups.building import Building
from storage.backups.contents import key_id
from storage.backups.create import no_progress
from storage.backups.folder import BackupFolder
from storage.backups.format import BackupDamaged
from storage.backups.plain import open_plain, say_why
from storage.media import free_bytes, sync_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.settings import Settings
    from storage.backups.create import Progress
    from storage.backups.format import Manifest
    from storage.backups.opening import Opened

# For folders and names: a folder of a video takes a block.
_SPARE_BYTES = 8 * 1024**2
_NAME_BYTES = 4096


@dataclass(frozen=True)
class Prepared:
    """What lies aside, whole. ``secrets``: of the backup, where the recovery key was given."""

    manifest: Manifest
    opened: Opened
    secrets: dict[str, Any]


@dataclass(frozen=True)
class Undone:
    """``old_data``: the folder that keeps what was restored."""

    opened: Opened
    old_data: str


def prepare(
    settings: Settings,
    name: str,
    *,
    key: str = "",
    without_sign_ins: bool = False,
    progress: Progress = no_progress,
) -> Prepared:
    """Build the data of the backup aside, in ``data/restoring``, checked and fit for this version.
    Only in ``only_one``, which also holds for the switch.

    ``key``: the recovery key; needed where this box's own key is another one than the backup's,
    unless ``without_sign_ins``. Raises NotFound, BackupDamaged, InvalidInput (the key),
    Conflict (newer schema), StorageFull, OSError; then nothing has changed.
    """
    folder = BackupFolder(settings.backups)
    folder.set_folder(name)
    if not folder.root.is_dir():
        folder.manifest(name)  # says that there is none
    aside = settings.data / switching.ASIDE
    with folder.locked(alone=False), cleaned_up(aside):
        manifest = folder.manifest(name)
        require_known_schema(manifest)
        secrets = _open_secrets(folder, settings, manifest, key, without_sign_ins)
        building = Building(folder, manifest, aside, progress, like=settings.data)
        _require_room(settings, manifest, building.copied_bytes())
        building.run()
        progress("Opening the database", 0.95)
        opened = opening.open_aside(
            aside,
            opening.Wish(
                purpose="restore",
                backup=name,
                made_at=manifest.created_at.isoformat(),
                rows=manifest.rows,
                **_keys(settings, manifest, secrets),
            ),
        )
        sync_disk(aside)  # the names, of which there may be very many; files were synced before
        return Prepared(manifest, opened, secrets)


def switch(settings: Settings) -> str:
    """Put what was prepared in its place; the folder that keeps the old data ("": there was none).

    Only under ``in_use.alone``.
    """
    switching.commit(settings.data, switching.ASIDE)
    return switching.finish(settings.data)


def undo(settings: Settings) -> Undone:
    """Back to the data from before the last restore. It, too, is of a time that is over: it is
    brought to this version, and posting waits. Only in ``only_one`` and ``in_use.alone``.

    Raises NotFound, OpeningFailed; then nothing has changed.
    """
    kept = switching.kept(settings.data)
    if not kept:
        raise NotFound("No data from before a restore is kept.")
    name = kept[-1]
    wish = opening.Wish(
        purpose="undo",
        backup=name,
        made_at=switching.kept_since(name).isoformat(),
        rows={},
    )
    opened = opening.open_aside(settings.data / name, wish)
    switching.commit(settings.data, name)
    return Undone(opened, switching.finish(settings.data))


def require_known_schema(manifest: Manifest) -> None:
    """Raises Conflict."""
    known = {file.stem for file in MIGRATIONS.glob("[0-9]*.py")}
    if newer := sorted(set(manifest.schema) - known):
        raise Conflict(
            f"The backup {manifest.name} was made by a newer version ({manifest.app_version}, "
            f"with {newer[-1]}). Install that version, then restore.",
            code="newer_backup",
        )


def needs_key(settings: Settings, manifest: Manifest) -> bool:
    """Whether the sign-ins in it were sealed by another key than this box has."""
    return manifest.key_id != key_id(settings)


def _open_secrets(
    folder: BackupFolder, settings: Settings, manifest: Manifest, key: str, without: bool
) -> dict[str, Any]:
    if key:
        if format.SECRETS not in manifest.parts:
            raise InvalidInput(
                "This backup was made before there was a recovery key, so it has no secrets.",
                field="recovery_key",
            )
        return recovery_key.open_sealed(_sealed(folder, manifest), key, bound_to=manifest.name)
    if without or not needs_key(settings, manifest):
        return {}
    if format.SECRETS not in manifest.parts:
        raise InvalidInput(
            "This backup has no secrets, because there was no recovery key yet, and this box has "
            "another key: accounts have to be connected again. Restore it without the sign-ins.",
            field="recovery_key",
            code="no_secrets",
        )
    raise InvalidInput(
        "This box has another key than the backup. Enter the recovery key that was shown when "
        "backups were set up, or restore without the sign-ins and connect the accounts again.",
        field="recovery_key",
        code="needs_recovery_key",
    )


def _sealed(folder: BackupFolder, manifest: Manifest) -> Any:
    """Compared first: a changed byte in it would look like a wrong key."""
    problem = "changed"
    try:
        with open_plain(folder.set_folder(manifest.name) / format.SECRETS) as file:
            raw = file.read()
        if hashlib.sha256(raw).hexdigest() == manifest.parts[format.SECRETS].sha256:
            return json.loads(raw)
    except OSError as exc:
        problem = say_why(exc)
    said = f"{manifest.name}/{format.SECRETS}: {problem}"
    raise BackupDamaged(
        f"The backup {manifest.name} is damaged, so it was not restored: {said}.", [said]
    )


def _keys(settings: Settings, manifest: Manifest, secrets: dict[str, Any]) -> dict[str, Any]:
    from appliance.vault import read_key

    if not needs_key(settings, manifest):
        return {}
    if not secrets:
        return {"forget_sealed": True}
    return {"old_key": secrets["credentials_key"], "new_key": opening.text_of(read_key(settings))}


def _require_room(settings: Settings, manifest: Manifest, copied_bytes: int) -> None:
    # Two copies of the database while it is brought to this version's schema.
    needed = 3 * manifest.parts[format.DATABASE].size_bytes + copied_bytes
    needed += _SPARE_BYTES + _NAME_BYTES * len(manifest.files)
    free = free_bytes(settings.data)
    if needed > free:
        raise StorageFull(
            f"Restoring needs {describe_size(needed)} in {settings.data}, and "
            f"{describe_size(free)} are free. Make room there first; nothing was changed."
        )


@contextmanager
def only_one(data: Path) -> Iterator[None]:
    """No other restore works in ``data`` meanwhile, from its folder aside to the switch.

    Of its own, because the one of a new box's first page works while the box runs (in_use.py), and
    outlives a web process that dies. Raises Conflict.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data / "restoring.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise Conflict("A backup is being restored already. Wait until that is done.") from exc
        yield


@contextmanager
def cleaned_up(aside: Path) -> Iterator[None]:
    """What died before is removed, and what fails now."""
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o700, parents=True)
    try:
        yield
    except BaseException as exc:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(exc, OSError) and is_full(exc):
            raise StorageFull(
                f"The disk is full, so the backup was not restored; nothing in {aside.parent} has "
                "changed. Make room there first."
            ) from exc
        raise


def as_json(prepared: Prepared) -> dict[str, Any]:
    return {
        "name": prepared.manifest.name,
        "created_at": prepared.manifest.created_at.isoformat(),
        "files": len(prepared.manifest.files),
        "size_bytes": prepared.manifest.size_bytes,
        "secret_settings": sorted(set(prepared.secrets) - {"credentials_key"}),
        **asdict(prepared.opened),
    }
