"""Restore the newest backup where it harms nobody, and see whether it would have worked.

All of it: every byte is read and compared, the database is opened and migrated by this version, its
rows are counted. What can't be tried without a person is the recovery key.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from storage.backups import opening, restore
from storage.backups.building import Building
from storage.backups.create import no_progress
from storage.backups.folder import BackupFolder
from storage.backups.format import BackupDamaged

if TYPE_CHECKING:
    from appliance.settings import Settings
    from storage.backups.create import Progress


@dataclass(frozen=True)
class Drilled:
    """``problems``: why it could not be restored; [] when it could."""

    name: str
    files: int = 0
    size_bytes: int = 0
    videos: int = 0
    migrated: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def drill(settings: Settings, name: str = "", progress: Progress = no_progress) -> Drilled:
    """Of the backup ``name``, or the newest. Raises NotFound, Conflict (newer schema, another
    run), StorageFull, OSError; a damaged backup is told, not raised."""
    folder = BackupFolder(settings.backups)
    name = name or folder.newest()
    folder.set_folder(name)
    # Beside the backups: on their disk the files need no second copy. Two may be tried at once.
    aside = folder.tmp / f"drill-{secrets.token_hex(4)}"
    with folder.locked(alone=False), restore.cleaned_up(aside):
        try:
            manifest = folder.manifest(name)
            restore.require_known_schema(manifest)
            Building(folder, manifest, aside, progress).run()
            progress("Opening the database", 0.95)
            wish = opening.Wish(
                purpose="drill",
                backup=name,
                made_at=manifest.created_at.isoformat(),
                rows=manifest.rows,
            )
            opened = opening.open_aside(aside, wish)
        except BackupDamaged as exc:
            return Drilled(name, problems=exc.problems or [exc.message])
        except opening.OpeningFailed as exc:
            return Drilled(name, problems=[exc.message])
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return Drilled(
            name, len(manifest.files), manifest.size_bytes, opened.videos, opened.migrated
        )
