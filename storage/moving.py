"""Move the whole data folder to another disk: copy while the box runs, the rest while it stands.

The whole, because adopting an upload and finishing a version are renames, which end at the edge
of a file system. The copy is compared with its source byte for byte, read back from the new disk;
what the rows know the digest of is compared with that, too. Each file that was compared is noted
in the new folder, so a move that was cut short goes on there. Files keep their times, and a file
with the size and time of its source is whole: it gets its time after its last byte was forced to
disk. The switch is that of a link (moved.py): paths, units and settings stay as they are.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.durable import is_full, sync_folder
from appliance.errors import Conflict, InvalidInput, StorageFull
from appliance.models import Rendition, Video
from appliance.states import RenditionState, VideoState
from appliance.text import describe_size
from storage.layout import Layout
from storage.media import free_bytes
from storage.media_types import RENDITION_FILES
from storage.moved import MOVED_FROM, NOTES, moved_from, old_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SPARE_BYTES = 64 * 1024**2
_CHUNK = 1 << 20
# Made anew where they are missing; sockets and locks of processes mean nothing elsewhere.
_LEFT_BEHIND = {"ballast", "ballast-door", "rehearsal", "tmp", NOTES, MOVED_FROM}
_LEFT_ENDINGS = (".new", ".lock", "-shm", ".sock", ".restoring")
_TOPS = ("uploads", "media", "trash", "tmp", "backups")
_SHOWN = ("media", "trash", "uploads")
_DATABASES = ("appliance.db", "queue.db")


@dataclass
class Tally:
    """``wrong``: files whose bytes are not those that their rows know; they were so before."""

    files: int = 0
    bytes: int = 0
    copied: int = 0
    wrong: list[str] = field(default_factory=list)


def refuse_place(data: Path, target: Path) -> None:
    """What is wrong with a folder that need not be there yet. Raises InvalidInput, Conflict."""
    whole, place = data.resolve(), target.resolve()
    if place == whole or place.is_relative_to(whole) or whole.is_relative_to(place):
        raise InvalidInput(f"{target} and the data folder {whole} lie in one another.")
    if os.path.ismount(data) and not data.is_symlink():
        raise Conflict(
            f"{data} is the very top of a disk, which can't be put aside. Mount the new disk there "
            "instead: docs/storage.md says how."
        )
    if inside := next(filter(os.path.ismount, sorted(whole.iterdir())), None):
        raise Conflict(
            f"{inside} is a disk of its own inside of the data folder, and would be copied. Mount "
            "it elsewhere first, and name it in the settings."
        )
    if os.access(place, os.R_OK | os.X_OK):  # else `refuse` says so, when it is there
        _refuse_taken(whole, place, target)
    old = old_of(data.parent.resolve() / data.name)
    if not data.is_symlink() and old.exists():
        raise Conflict(f"{old} is there, from another move: `--forget-old` removes it.")
    there = next(each for each in (place, *place.parents) if each.exists())
    if there.stat().st_dev == whole.stat().st_dev:
        raise InvalidInput(f"{target} is on the same disk as {whole}: nothing would be won.")


def refuse(data: Path, target: Path, wanted_bytes: int) -> None:
    """Say why ``data`` can't be moved to ``target``. Run it as the user of the box.

    Raises InvalidInput, Conflict, StorageFull.
    """
    refuse_place(data, target)
    place = target.resolve()
    if not place.is_dir():
        raise InvalidInput(f"{target} is no folder.")
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        raise InvalidInput(
            f"The user of the box may not write to {target}: `chown appliance: {target}`."
        )
    needed = wanted_bytes + _SPARE_BYTES - total_bytes(place)
    if needed > free_bytes(place):
        raise StorageFull(
            f"{target} has {describe_size(free_bytes(place))} free, and "
            f"{describe_size(needed)} are needed."
        )


def _refuse_taken(whole: Path, place: Path, target: Path) -> None:
    begun = source_of(place)
    if begun is not None and begun != str(whole):
        raise Conflict(f"{target} is where {begun} is being moved to.")
    if begun is not None or not place.is_dir():
        return
    # What `lay_out` has made before something came in between is no hindrance.
    strangers = set(os.listdir(place)) - {"lost+found", *_TOPS}
    if strangers or any(_files(place)):
        raise Conflict(
            f"{target} is not empty. Take a folder of its own, such as {target / 'appliance'}."
        )


def total_bytes(data: Path) -> int:
    """Of what a move takes along; a second name of a file counts once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for path in _files(data):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue  # removed meanwhile: the box runs
        if (found.st_dev, found.st_ino) not in seen:
            seen.add((found.st_dev, found.st_ino))
            total += found.st_size
    return total


def source_of(target: Path) -> str | None:
    """Which folder is being moved to ``target``; None: none."""
    try:
        with (target / NOTES).open(encoding="utf-8") as lines:
            return str(json.loads(lines.readline())["source"])
    except (FileNotFoundError, KeyError, ValueError):
        return None


def known_digests(data: Path) -> dict[str, str]:
    """What the rows say of files: path below the data folder → SHA-256. Wants a connection."""
    layout = Layout(data)
    known: dict[str, str] = {}
    videos = Video.select(Video.public_id, Video.state, Video.sha256).where(
        Video.sha256.is_null(False), Video.original_removed_at.is_null()
    )
    for row in videos:
        folder = layout.trashed if row.state is VideoState.TRASHED else layout.video
        known[str((folder(row.public_id) / "original").relative_to(data))] = str(row.sha256)
    ready = (
        Rendition.select(Rendition, Video.public_id, Video.state)
        .join(Video)
        .where(Rendition.state == RenditionState.READY, Rendition.sha256.is_null(False))
    )
    for made in ready:
        video = made.video
        folder = layout.trashed if video.state is VideoState.TRASHED else layout.video
        path = folder(video.public_id) / RENDITION_FILES[made.profile].name
        known[str(path.relative_to(data))] = str(made.sha256)
    return known


class Mover:
    """One run over all files. ``known``: digests by path. ``tell``: told the bytes so far."""

    def __init__(
        self, data: Path, target: Path, known: dict[str, str], tell: Callable[[int], None]
    ) -> None:
        self.path = data.parent.resolve() / data.name
        self.data = data.resolve()
        self.target = target.resolve()
        self.known = known
        self.tell = tell
        self.tally = Tally()
        self.first: dict[tuple[int, int], str] = {}  # of the names of one file, in this run
        self.compared: dict[str, list[object]] = {}

    def copy(self, *, final: bool) -> Tally:
        """Copy what is new or has changed. ``final``: nothing runs, so databases come along, and
        what is no longer there goes. Raises StorageFull, Conflict, OSError.
        """
        self._read_notes()
        with (self.target / NOTES).open("a", encoding="utf-8") as notes:
            try:
                fcntl.flock(notes, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise Conflict(f"Another move to {self.target} is under way.") from exc
            if notes.tell() == 0:
                notes.write(json.dumps({"source": str(self.data)}) + "\n")
                notes.flush()
            self._folders()
            self._links()
            for path in _files(self.data):
                if not final and path.parent == self.data and path.name.startswith(_DATABASES):
                    continue  # half of a transaction is no database
                try:
                    self._bring(path, notes.write)
                except FileNotFoundError:
                    if final:
                        raise
                except OSError as exc:
                    if not is_full(exc):
                        raise
                    raise StorageFull(f"{self.target} has no room left.") from exc
            os.fsync(notes.fileno())
        if final:
            self._remove_gone()
            old = self.data if self.path.is_symlink() else old_of(self.path)
            places = [str(old), *(str(path) for path in moved_from(self.data))]
            (self.target / MOVED_FROM).write_text("\n".join(places), encoding="utf-8")
            for folder in (self.target, *_folders(self.target)):
                sync_folder(folder)
        return self.tally

    def _read_notes(self) -> None:
        try:
            lines = (self.target / NOTES).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return
        for line in lines[1:]:
            try:
                name, *rest = json.loads(line)
            except ValueError:
                continue  # cut short
            self.compared[name] = rest

    def _folders(self) -> None:
        before = os.umask(0)
        try:
            for folder in (*_folders(self.data), self.data / "tmp"):
                place = self.target / folder.relative_to(self.data)
                # mkdir, not chmod: so the group that is passed on by the folder above stays.
                if folder.is_dir() and not place.exists():
                    place.mkdir(mode=stat.S_IMODE(folder.stat().st_mode) & 0o777)
        finally:
            os.umask(before)

    def _links(self) -> None:
        """At the top an admin may have put some: to a disk with the backups, say."""
        for path in self.data.iterdir():
            place = self.target / path.name
            if path.is_symlink() and not os.path.lexists(place):
                leads_to = Path(os.path.normpath(self.data / path.readlink()))
                is_own = leads_to.is_relative_to(self.data)
                place.symlink_to(path.readlink() if is_own else leads_to)

    def _bring(self, path: Path, note: Callable[[str], object]) -> None:
        found, place = path.lstat(), self.target / path.relative_to(self.data)
        name = str(path.relative_to(self.data))
        self.tally.files += 1
        seen = [found.st_size, found.st_mtime_ns]
        first = self.first.setdefault((found.st_dev, found.st_ino), name)
        was, twin = self.compared.get(name), self._twin(name, first, found)
        if twin is not None:
            self._link(first, place)
            digest = twin[2]
        else:
            self.tally.bytes += found.st_size
            if was is not None and was[:2] == seen and _is_like(place, found):
                digest = was[2]
            else:
                digest = self._copy(path, place, found)
                if path.lstat().st_mtime_ns != found.st_mtime_ns:
                    return  # written to meanwhile; the last run takes it
                os.utime(place, ns=(found.st_atime_ns, found.st_mtime_ns))
                self.tally.copied += 1
        if was != [*seen, digest]:
            # Each name for itself: when the first is removed, the others aren't copied again.
            self.compared[name] = [*seen, digest]
            note(json.dumps([name, *seen, digest]) + "\n")
        if name in self.known and self.known[name] != digest:
            self.tally.wrong.append(name)
        self.tell(self.tally.bytes)

    def _twin(self, name: str, first: str, found: os.stat_result) -> list[object] | None:
        """What is noted of the file's first name, when this is a further one and that is over."""
        noted = self.compared.get(first)
        if name == first or found.st_nlink == 1 or noted is None:
            return None
        # The first was written to meanwhile, or its number is another file's by now.
        if noted[:2] != [found.st_size, found.st_mtime_ns]:
            return None
        return noted if _is_like(self.target / first, found) else None

    def _link(self, first: str, place: Path) -> None:
        """A second name of a file that is over there already."""
        twin = self.target / first
        if place.exists() and place.samefile(twin):
            return
        if not place.parent.is_dir():
            self._folders()
        place.unlink(missing_ok=True)
        os.link(twin, place)

    def _copy(self, path: Path, place: Path, found: os.stat_result) -> str:
        """The SHA-256 of both. Raises Conflict when the new disk gives back other bytes."""
        if not place.parent.is_dir():
            self._folders()
        place.unlink(missing_ok=True)
        read = hashlib.sha256()
        mode = stat.S_IMODE(found.st_mode) & 0o777
        before = os.umask(0)
        try:
            handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        finally:
            os.umask(before)
        with os.fdopen(handle, "r+b") as written, path.open("rb") as source:
            while part := source.read(_CHUNK):
                read.update(part)
                written.write(part)
            written.flush()
            os.fsync(handle)
            # From the disk, not from memory.
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            written.seek(0)
            there = hashlib.file_digest(written, "sha256").hexdigest()
        if there != read.hexdigest():
            raise Conflict(f"The new disk gives back other bytes than were written: {place}.")
        return there

    def _remove_gone(self) -> None:
        kept = {path.relative_to(self.data) for path in _files(self.data)}
        for path in list(_files(self.target)):
            if path.relative_to(self.target) not in kept:
                path.unlink()


def lay_out(data: Path, target: Path) -> None:
    """As root: make the new folder and those at its top belong to whom the old ones do.

    The group of each is passed on to what is made in it, and only root may give that.
    """
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in _TOPS:
        if (data / name).is_dir() and not (data / name).is_symlink():
            (target / name).mkdir(mode=0o700, exist_ok=True)
            _belong(target / name, (data / name).stat())
    _belong(target, data.stat())


def _belong(folder: Path, like: os.stat_result) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(handle, like.st_uid, like.st_gid)
        os.fchmod(handle, stat.S_IMODE(like.st_mode))
    finally:
        os.close(handle)


def _is_like(place: Path, found: os.stat_result) -> bool:
    try:
        there = place.lstat()
    except FileNotFoundError:
        return False
    return (there.st_size, there.st_mtime_ns) == (found.st_size, found.st_mtime_ns)


def _files(data: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(data):
        top = Path(folder) == data
        if top:
            wanted = set(folders) - _LEFT_BEHIND - {"lost+found"}
            # A file with several names gets its group where it is made: where the proxy reads it.
            folders[:] = sorted(wanted, key=lambda name: (name not in _SHOWN, name))
        for name in sorted(names):
            path = Path(folder, name)
            if top and (name in _LEFT_BEHIND or name.endswith(_LEFT_ENDINGS)):
                continue
            if path.is_symlink() or not path.is_file():
                continue
            yield path


def _folders(data: Path) -> list[Path]:
    found = []
    for folder, folders, _ in os.walk(data):
        if Path(folder) == data:
            folders[:] = [name for name in folders if name not in _LEFT_BEHIND | {"lost+found"}]
        paths = (Path(folder, name) for name in sorted(folders))
        found += [path for path in paths if not path.is_symlink()]
    return found
