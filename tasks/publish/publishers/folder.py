"""A folder on this box (or a mounted share): a copy of the video under a readable name.

Beside ``Title.mp4`` stand ``Title.txt`` for people and ``Title.json`` for programs; the latter
carries the marker of the target, by which a finished copy is recognised. This folder is the one
place where text of a user becomes part of a path: see `clean_name`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.durable import is_full, sync_folder
from appliance.text import clean_line
from tasks.publish.publisher import (
    Capabilities,
    Checkpoint,
    Done,
    Failed,
    FieldLimit,
    Finding,
    MediaFacts,
    NotThere,
    PostDraft,
    RetryAt,
    Staged,
    Step,
    Target,
    check_draft,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings

# From linux/fs.h: make the second file share the first one's blocks, copied when written to.
FICLONE = 0x40049409
_UNWELCOME = re.compile(r'[/\\:*?"<>|]')
# Names that Windows keeps for devices; the folder may be a share.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


class FolderPublisher:
    capabilities = Capabilities(
        label="Folder",
        can_stage=True,
        takes_any_media=True,
        can_delete=True,
        title=FieldLimit(500),
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.folder or settings.data / "published"

    def validate(self, draft: PostDraft, facts: MediaFacts) -> list[Finding]:
        return check_draft(draft, facts, self.capabilities)

    def stage(self, target: Target, save: Checkpoint) -> Step:
        if target.file is None:
            return Failed("The file of the video is gone.", code="no_file")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if self._is_full(target.file):
                return self._no_room("")
            save({"staged": True})
            _copy(target.file, self._staged(target))
        except OSError as exc:
            return self._trouble(exc)
        return Staged()

    def poll(self, target: Target) -> Step:
        return self.reconcile(target)

    def go_live(self, target: Target, save: Checkpoint) -> Step:
        try:
            with self._locked():
                name = self._own_name(target)
                if name is None:
                    if not self._staged(target).exists():
                        return NotThere()
                    name = self._free_name(target)
                    save({**target.checkpoint, "name": name})
                    self._write(f"{name}.json", _facts(target))
                return self._finish(target, name)
        except OSError as exc:
            return self._trouble(exc)

    def reconcile(self, target: Target) -> Step:
        try:
            name = self._own_name(target)
            if self._staged(target).exists():
                return Staged()
            if name is not None and self._video(target, name).exists():
                return self._finish(target, name)
        except OSError as exc:
            return self._trouble(exc)
        return NotThere()

    def edit(self, target: Target) -> Step:
        return Failed("A folder keeps texts as they were posted.", code="not_offered")

    def comment(self, target: Target, text: str) -> Step:
        return Failed("A folder has no comments.", code="not_offered")

    def numbers(self, target: Target) -> dict[str, int] | NotThere:
        return {}

    def delete(self, target: Target) -> Step:
        try:
            with self._locked():
                self._staged(target).unlink(missing_ok=True)
                _aside(self._staged(target)).unlink(missing_ok=True)
                name = self._own_name(target)
                if name is not None:
                    for path in (self._video(target, name), *self._sidecars(name)):
                        path.unlink(missing_ok=True)
        except OSError as exc:
            return self._trouble(exc)
        return NotThere()

    def _finish(self, target: Target, name: str) -> Done:
        """From the reserved name on: each step may be done again."""
        with contextlib.suppress(FileNotFoundError):  # renamed before a crash
            os.replace(self._staged(target), self._video(target, name))
        self._write(f"{name}.txt", f"{target.draft.title}\n\n{target.draft.description}\n")
        sync_folder(self._folder)
        return Done(self._video(target, name).name)

    def _own_name(self, target: Target) -> str | None:
        """The name under which this very target is (or was about to be) put here."""
        name = target.checkpoint.get("name")
        if not isinstance(name, str):
            return None
        try:
            facts = json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return name if facts.get("marker") == target.marker else None

    def _free_name(self, target: Target) -> str:
        wanted = clean_name(target.draft.title)
        # After a few taken ones, a name that no other target can have.
        tries = [wanted, *(f"{wanted} ({n})" for n in range(2, 10))]
        for name in (*tries, f"{wanted} {target.marker}"):
            if not any(p.exists() for p in (self._video(target, name), *self._sidecars(name))):
                return name
        return f"{wanted} {target.marker} {os.urandom(4).hex()}"

    def _video(self, target: Target, name: str) -> Path:
        return self._folder / f"{name}{_ending(target)}"

    def _sidecars(self, name: str) -> tuple[Path, Path]:
        return self._folder / f"{name}.json", self._folder / f"{name}.txt"

    def _staged(self, target: Target) -> Path:
        return self._folder / f".{target.marker}.part"

    def _write(self, name: str, text: str) -> None:
        aside = self._folder / f".{name[:80]}.{os.getpid()}.tmp"
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, self._folder / name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time chooses a name."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _is_full(self, file: Path) -> bool:
        """On the disk of the appliance's own data, its reserve stays free."""
        same_disk = self._folder.stat().st_dev == self._settings.data.stat().st_dev
        kept = self._settings.reserve_bytes() if same_disk else 0
        return shutil.disk_usage(self._folder).free - file.stat().st_size < kept

    def _no_room(self, detail: str) -> Step:
        return RetryAt(None, f"There is no room left in {self._folder}.", detail)

    def _trouble(self, exc: OSError) -> Step:
        if is_full(exc):
            return self._no_room(repr(exc))
        return Failed(
            f"{self._folder} can't be written to ({exc.strerror}). Set APPLIANCE_FOLDER to a "
            "folder that the appliance may write to, then press Retry.",
            code="folder",
            detail=repr(exc),
        )


def clean_name(title: str) -> str:
    """A title as a file name (without ending) that every file system takes."""
    name = _UNWELCOME.sub(" ", clean_line(title, max_bytes=120))
    name = " ".join(name.split()).strip(". ")
    if not name or _DEVICES.match(name):
        name = f"Video {name}".strip()
    return name


def _ending(target: Target) -> str:
    """Of a short list, so that nothing that somebody sends becomes a program in the folder."""
    ending = Path(target.filename).suffix.lower()
    known = {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".ts", ".ogv"}
    return ending if ending in known else ".mp4"


def _facts(target: Target) -> str:
    facts: dict[str, Any] = {
        "marker": target.marker,
        "title": target.draft.title,
        "description": target.draft.description,
        "size_bytes": target.media.size_bytes,
        "sha256": target.media.sha256,
        "duration_s": target.media.duration_s,
    }
    return json.dumps(facts, ensure_ascii=False, indent=2) + "\n"


def _aside(place: Path) -> Path:
    return place.with_suffix(".copying")


def _copy(source: Path, place: Path) -> None:
    """A copy that is durable under ``place``, or none; sharing blocks where the disk can.

    No hard link: whoever edits the file in the folder would change our rendition.
    """
    aside = _aside(place)
    with source.open("rb") as original, aside.open("wb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), FICLONE, original.fileno())
        except OSError:
            shutil.copyfileobj(original, copy, 4 * 1024 * 1024)
        copy.flush()
        os.fsync(copy.fileno())
    os.replace(aside, place)
    sync_folder(place.parent)
