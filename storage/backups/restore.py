"""Bring a backup back: built aside and checked to the last byte, then switched in by renames.

Until the switch nothing of the box is touched: a damaged backup, a wrong key, a full disk or a
SIGKILL leave the old data as it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from appliance.durable import sync_folder
from appliance.errors import Conflict, InvalidInput, StorageFull
from appliance.migrate import FOLDER as MIGRATIONS
from appliance.text import describe_size
from storage.backups import format, opening, recovery_key, switching
from storage.backups.contents import key_id
from storage.backups.create import no_progress
from storage.backups.folder import BackupFolder
from storage.backups.format import BackupDamaged
from storage.backups.verify import say
from storage.media import free_bytes, is_full, sync_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.settings import Settings
    from storage.backups.create import Progress
    from storage.backups.format import Manifest
    from storage.backups.opening import Opened

_BLOCK = 4 * 1024**2
_SPARE_BYTES = 64 * 1024**2
_LAYOUT = ("uploads", "media", "trash", "tmp")


@dataclass(frozen=True)
class Prepared:
    """What lies aside, whole. ``secrets``: of the backup, where the recovery key was given."""

    manifest: Manifest
    opened: Opened
    secrets: dict[str, Any]


def prepare(
    settings: Settings,
    name: str,
    *,
    key: str = "",
    without_sign_ins: bool = False,
    progress: Progress = no_progress,
) -> Prepared:
    """Build the data of the backup aside, in ``data/restoring``, checked and fit for this version.

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
        _require_room(folder, settings, manifest)
        Building(folder, manifest, progress, like=settings.data).run(aside)
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
        path = folder.set_folder(manifest.name) / format.SECRETS
        try:
            raw = path.read_bytes()
            box = json.loads(raw)
        except (OSError, ValueError) as exc:
            where = f"{manifest.name}/{format.SECRETS}"
            raise BackupDamaged(f"{where} can't be read.", [f"{where}: damaged"]) from exc
        return recovery_key.open_sealed(box, key, bound_to=manifest.name)
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


def _keys(settings: Settings, manifest: Manifest, secrets: dict[str, Any]) -> dict[str, Any]:
    from appliance.vault import read_key

    if not needs_key(settings, manifest):
        return {}
    if not secrets:
        return {"forget_sealed": True}
    return {"old_key": secrets["credentials_key"], "new_key": opening.text_of(read_key(settings))}


def _require_room(folder: BackupFolder, settings: Settings, manifest: Manifest) -> None:
    same_disk = folder.root.stat().st_dev == settings.data.stat().st_dev
    database = manifest.parts[format.DATABASE].size_bytes
    needed = 3 * database + _SPARE_BYTES if same_disk else 2 * database + manifest.size_bytes
    free = free_bytes(settings.data)
    if needed > free:
        raise StorageFull(
            f"Restoring needs {describe_size(needed)} in {settings.data}, and "
            f"{describe_size(free)} are free. Make room there first; nothing was changed."
        )


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


class Building:
    """Of a backup into an empty folder.

    ``like``: the data folder whose groups and modes hold here, too; None: it is only tried, and
    files that can't get a second name there are read, but not copied.
    """

    def __init__(
        self,
        folder: BackupFolder,
        manifest: Manifest,
        progress: Progress,
        *,
        like: Path | None = None,
    ) -> None:
        self.folder, self.manifest, self.progress = folder, manifest, progress
        self.like = like
        self.problems: list[str] = []
        self._done = 0

    def run(self, aside: Path) -> None:
        """Raises BackupDamaged with all that is wrong."""
        groups = {name: make_like(self.like and self.like / name, aside / name) for name in _LAYOUT}
        set_folder = self.folder.set_folder(self.manifest.name)
        for name, part in self.manifest.parts.items():
            target = aside / name if name == format.DATABASE else None
            self._bring(set_folder / name, target, part.size_bytes, part.sha256, name)
        for entry in self.manifest.files:
            top = entry.path.partition("/")[0]
            target = aside / entry.path
            target.parent.mkdir(mode=0o750, exist_ok=True)
            source = self.folder.object(entry.sha256)
            self._bring(
                source, target, entry.size_bytes, entry.sha256, entry.path, groups[top], link=True
            )
        if self.problems:
            raise BackupDamaged(
                f"The backup {self.manifest.name} is damaged, so it was not restored: "
                f"{say(self.problems)}.",
                self.problems,
            )
        sync_folder(aside)

    def _bring(
        self,
        source: Path,
        target: Path | None,
        size_bytes: int,
        sha256: str,
        name: str,
        group: int | None = None,
        *,
        link: bool = False,
    ) -> None:
        """Read ``source`` in full, and put it at ``target``: by a second name, or as a copy."""
        try:
            with source.open("rb") as reader:
                about = os.fstat(reader.fileno())
                if about.st_size != size_bytes:
                    self.problems.append(f"{name}: {about.st_size} of {size_bytes} bytes")
                    return
                linked = link and group in (None, about.st_gid) and _link(source, target)
                only_tried = link and self.like is None
                found = self._read(reader, None if linked or only_tried else target)
        except FileNotFoundError:
            self.problems.append(f"{name}: missing")
            return
        if found != sha256:
            self.problems.append(f"{name}: changed")

    def _read(self, reader: Any, target: Path | None) -> str:
        found = hashlib.sha256()
        writer = target.open("xb") if target is not None else None
        try:
            while block := reader.read(_BLOCK):
                found.update(block)
                if writer is not None:
                    writer.write(block)
                self._done += len(block)
                share = self._done / (self.manifest.size_bytes or 1)
                self.progress("Checking and bringing back files", min(0.95, 0.95 * share))
            if writer is not None:
                os.fchmod(writer.fileno(), 0o640)
                writer.flush()
                os.fsync(writer.fileno())
        finally:
            if writer is not None:
                writer.close()
        return found.hexdigest()


def _link(source: Path, target: Path | None) -> bool:
    assert target is not None
    try:
        os.link(source, target)
    except OSError as exc:
        if is_full(exc):
            raise
        return False  # another disk
    return True


def make_like(model: Path | None, target: Path) -> int | None:
    """A folder with the group and mode of ``model``, where that is set; the group that files in it
    are to have, None: any.

    Installed, the proxy reads media by its group, which we aren't in: only a folder that is made
    inside of one with that group inherits it, and a rename keeps it.
    """
    about = model.stat() if model is not None and model.exists() else None
    if model is None or about is None or not about.st_mode & stat.S_ISGID:
        target.mkdir(mode=0o700)
        return None
    inside = model / f".{target.name}.new"
    shutil.rmtree(inside, ignore_errors=True)
    # Made with its mode: a change of mode by who isn't in the group takes the passing-on away.
    before = os.umask(0)
    try:
        inside.mkdir(stat.S_IMODE(about.st_mode) & 0o777)
    finally:
        os.umask(before)
    inside.rename(target)
    return about.st_gid


def as_json(prepared: Prepared) -> dict[str, Any]:
    return {
        "name": prepared.manifest.name,
        "created_at": prepared.manifest.created_at.isoformat(),
        "files": len(prepared.manifest.files),
        "size_bytes": prepared.manifest.size_bytes,
        "secret_settings": sorted(set(prepared.secrets) - {"credentials_key"}),
        **asdict(prepared.opened),
    }
