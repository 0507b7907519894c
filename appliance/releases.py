"""Releases side by side, and the plan for going from one to another: decided here, done elsewhere.

``<prefix>/releases/<name>/`` holds each with its own Python environment, ``<prefix>/current``
leads to the one in use. ``appliance/activation.py`` carries out what is decided here, and writes
each phase into ``<prefix>/activation.json`` before it begins it: so after a kill or a power cut
the next look knows what may have happened, and either takes it back or accepts it.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from appliance.doctor import Finding, Verdict, finding
from appliance.durable import is_full, sync_folder, write_durably
from appliance.errors import Conflict, NotFound, SettingsError
from appliance.text import describe_size

_T = TypeVar("_T")

PREFIX = Path("/opt/appliance")
KEPT_PAST = 20
# Beside copies of the database: the log of the one that is migrated, and a little.
_SPARE_BYTES = 32 * 1024**2
# Some journals, each written aside first, and the link.
_SPARE_OF_JOURNAL_BYTES = 256 * 1024


class Phase(StrEnum):
    """What an activation does, in this order. From OPENING on the public may use the release."""

    STOPPING = "stopping"
    BACKING_UP = "backing_up"
    MIGRATING = "migrating"
    TRYING = "trying"
    SWITCHING = "switching"
    OPENING = "opening"
    CHECKING = "checking"


_ORDER = tuple(Phase)


@dataclass(frozen=True)
class Under:
    """An activation that has begun and has no end yet.

    ``previous``: the release before, if there was one. ``backup``: of the database as it was,
    once it is there. ``changes_schema``: the database will not be fit for ``previous``.
    ``restores``: a backup that takes the database's place instead of a migration.
    ``undoing``: why it is being taken back. ``delivering``: posts could go out when that began,
    though the phase doesn't say so: somebody has started what was cut short.
    """

    to: str
    previous: str | None
    began_at: str
    changes_schema: bool
    phase: Phase = Phase.STOPPING
    backup: str | None = None
    aside: str | None = None
    restores: str | None = None
    undoing: str | None = None
    delivering: bool = False

    def has_reached(self, phase: Phase) -> bool:
        return _ORDER.index(self.phase) >= _ORDER.index(phase)


@dataclass(frozen=True)
class Past:
    """How an activation ended. ``result``: active, or taken back, for the ``reason``."""

    to: str
    previous: str | None
    at: str
    result: str  # "active" | "rolled_back"
    reason: str = ""
    backup: str | None = None  # of the database before it, where the schema was changed


@dataclass(frozen=True)
class Undo:
    """What takes an activation back, besides starting the processes again."""

    restore: bool
    switch: bool
    pause_posting: bool


def undo_of(under: Under) -> Undo:
    """What may have happened by now, and has to be taken back.

    After a restored database nobody knows any more what was posted in between; so once posts could
    go out, posting pauses until somebody has looked.
    """
    # While a backup is being restored, a migration is on its way, or after it, nothing less helps.
    changed = under.changes_schema and under.has_reached(Phase.MIGRATING)
    restore = changed and under.backup is not None
    return Undo(
        restore=restore,
        switch=under.has_reached(Phase.SWITCHING),
        pause_posting=restore and (under.delivering or under.has_reached(Phase.OPENING)),
    )


def is_accepted(under: Under) -> bool:
    """Whether an activation that was cut short stands: it was tried, and people may have used it.

    Otherwise it is taken back: nobody has, so nothing of theirs is lost.
    """
    return under.undoing is None and under.has_reached(Phase.OPENING)


@dataclass(frozen=True)
class Facts:
    """What a release says of the box that it would take over (``appliance release step look``).

    ``settings_error``: sentences; the rest is empty then. ``applied``: the migrations of the
    database; ``newer``: those of them that the release doesn't know; ``pending``: those that it
    would run. ``rehearsal_error``: why they failed on a copy. ``data_bytes``: the database's.
    ``jobs``: of those that run, by kind; ``uploads``: of those under way.
    """

    version: str
    settings_error: str = ""
    findings: tuple[Finding, ...] = ()
    listen: str = ""
    data: str = ""
    applied: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()
    database_bytes: int = 0
    free_bytes: int = 0
    rehearsed_s: float | None = None
    rehearsal_error: str = ""
    jobs: dict[str, int] = field(default_factory=dict)
    uploads: int = 0

    @property
    def is_new_box(self) -> bool:
        return not self.applied

    @property
    def needed_bytes(self) -> int:
        return needed_bytes(self.database_bytes, changes=bool(self.pending))


def needed_bytes(database_bytes: int, *, changes: bool) -> int:
    """Free space for an activation: a backup, its way back, and a database that is written anew."""
    return (4 if changes else 1) * database_bytes + _SPARE_BYTES


def facts_from(said: dict[str, Any]) -> Facts:
    """What ``step look`` printed. Raises SettingsError when that is no answer of a release."""
    lists = ("applied", "pending", "newer")
    try:
        findings = [
            Finding(**{**each, "verdict": Verdict(each["verdict"])}) for each in said["findings"]
        ]
        values = {**said, **{name: tuple(said[name]) for name in lists}}
        return _made(Facts, {**values, "findings": tuple(findings)})
    except (KeyError, TypeError, ValueError) as exc:
        raise SettingsError(f"The release gave an answer that isn't understood: {exc}.") from exc


def judge(facts: Facts) -> list[Finding]:
    """One finding for each thing that matters; the release may come when none of them is bad."""
    if facts.settings_error:
        mend = "Change the settings so that both versions read them, or leave the setting out."
        return [
            finding(
                "Settings",
                f"Version {facts.version} must be able to read them.",
                facts.settings_error,
                bad=mend,
            )
        ]
    found = [
        finding("Settings", f"Version {facts.version} must be able to read them.", "all are known"),
        *facts.findings,
        _judge_schema(facts),
    ]
    if not facts.is_new_box and not facts.newer:
        found.append(_judge_space(facts))
    if facts.pending and not facts.is_new_box and not facts.newer:
        found.append(_judge_rehearsal(facts))
    return [*found, _judge_work(facts)]


def _judge_schema(facts: Facts) -> Finding:
    check, why = "Database", "An older program would misread a newer database."
    if facts.newer:
        mend = (
            "Take a release that knows it, or restore a backup from before it: "
            "`appliance release rollback --restore-backup` does both in one."
        )
        said = f"it was written by a newer version (it knows {facts.newer[-1]})"
        return finding(check, why, said, bad=mend)
    if facts.is_new_box:
        return finding(check, why, "none yet: it will be made")
    if facts.pending:
        return finding(check, why, f"to be brought forward by {', '.join(facts.pending)}")
    return finding(check, why, "as this version wants it")


def _judge_space(facts: Facts) -> Finding:
    short = facts.free_bytes < facts.needed_bytes
    return finding(
        "Space",
        "The database is copied first, so that there is a way back.",
        f"{describe_size(facts.free_bytes)} free, {describe_size(facts.needed_bytes)} needed",
        bad="Delete videos or empty the bin." if short else "",
    )


def _judge_rehearsal(facts: Facts) -> Finding:
    check, why = "Rehearsal", "The migrations are run on a copy first."
    if facts.rehearsal_error:
        mend = "Nothing was changed. Report it with the diagnostics of the box."
        return finding(check, why, facts.rehearsal_error, bad=mend)
    if facts.rehearsed_s is None:
        return finding(check, why, "not done: there is no room for a copy")
    return finding(check, why, f"done on a copy, in {facts.rehearsed_s:.1f} s")


def _judge_work(facts: Facts) -> Finding:
    check, why = "Work under way", "It is interrupted, and goes on by itself."
    parts = [f"{count} × {kind}" for kind, count in sorted(facts.jobs.items())]
    if facts.uploads:
        parts.append(f"{facts.uploads} upload(s)")
    return finding(check, why, ", ".join(parts) or "none")


# Where they are


@dataclass(frozen=True)
class Prefix:
    """The folder of all releases; the journal and the link are in it, too."""

    path: Path = PREFIX

    @property
    def releases(self) -> Path:
        return self.path / "releases"

    @property
    def current(self) -> Path:
        return self.path / "current"

    @property
    def journal(self) -> Path:
        return self.path / "activation.json"

    @property
    def spare(self) -> Path:
        """Room that is given up when the journal finds none: the way back needs to be written."""
        return self.path / "activation.spare"

    @property
    def lock(self) -> Path:
        return self.path / "activation.lock"

    def names(self) -> list[str]:
        """Of all whole releases, the oldest first."""
        if not self.releases.is_dir():
            return []
        # With a dot: what is being removed.
        found = [
            each
            for each in self.releases.iterdir()
            if not each.name.startswith(".") and program_of(each).exists()
        ]
        return [each.name for each in sorted(found, key=lambda each: each.stat().st_mtime_ns)]

    def active(self) -> str | None:
        """The name of the release in use."""
        try:
            return Path(os.readlink(self.current)).name
        except FileNotFoundError:
            return None

    def release(self, name: str) -> Path:
        return self.releases / name

    def find(self, path: Path) -> str:
        """The name of the release at ``path``. Raises NotFound, SettingsError."""
        whole = path.resolve()
        if not program_of(whole).exists():
            raise NotFound(f"{path} is no release: it has no bin/appliance.")
        if whole.parent != self.releases.resolve():
            raise SettingsError(f"{path} is not in {self.releases}: releases are installed there.")
        return whole.name

    def switch(self, name: str | None) -> None:
        """Let ``current`` lead to a release, at once for everybody; None: to nothing."""
        if name is None:
            self.current.unlink(missing_ok=True)
        else:
            aside = self.path / ".current.new"
            aside.unlink(missing_ok=True)
            aside.symlink_to(f"releases/{name}")
            aside.replace(self.current)
        sync_folder(self.path)


def program_of(release: Path) -> Path:
    return release / "bin/appliance"


def to_prune(names: list[str], past: list[Past], active: str | None, keep: int) -> list[str]:
    """Which releases may go, when ``keep`` of them are to stay besides the one in use.

    What was in use last stays first: it is what a roll-back goes to; then the newest.
    """
    used = [each.previous for each in reversed(past) if each.result == "active"]
    ranked = [name for name in used if name in names and name != active]
    ranked += [name for name in reversed(names) if name != active]
    kept = list(dict.fromkeys(ranked))[:keep]
    return [name for name in names if name != active and name not in kept]


def before(past: list[Past], active: str | None) -> Past | None:
    """The activation that brought what is in use: the way back leads to its ``previous``."""
    for each in reversed(past):
        if each.result == "active" and each.to == active and each.previous not in (None, active):
            return each
    return None


def pick_way_back(last: Past | None, wanted: str | None, names: list[str]) -> str:
    """The release to go back to. ``last``: see ``before``; ``names``: all. Raises Conflict."""
    name = wanted or (last.previous if last is not None else None)
    if name is None:
        raise Conflict("No release was in use before this one. `appliance release list` has all.")
    if name not in names:
        raise Conflict(f"The release {name} isn't there any more: install it again.")
    return name


def pick_backup(last: Past | None, name: str, facts: Facts, allowed: bool) -> str:
    """The backup for a release that can't read today's database. Raises Conflict: all it costs."""
    backup = last.backup if last is not None and last.previous == name else None
    if backup is not None and allowed:
        return backup
    text = (
        f"{name} can't read today's database: it was brought forward since ({facts.newer[-1]}), "
        "and that can't be taken back. "
    )
    if backup is None or last is None:
        raise Conflict(text + "Restore a backup from before the upgrade: `appliance backup list`.")
    raise Conflict(
        f"{text}There is a backup from before the upgrade of {last.at}: {backup}. "
        "`appliance release rollback --restore-backup` goes back to it; what was uploaded, changed "
        "or posted since is then missing from the box, and kept aside in a file beside the backup. "
        "What was posted since stays on the platforms, and the box no longer knows of it."
    )


# The journal


@dataclass(frozen=True)
class Journal:
    """``under``: the activation that has no end yet; ``past``: the newest last."""

    under: Under | None = None
    past: tuple[Past, ...] = ()

    def ended(self, result: str, at: str, reason: str = "") -> Journal:
        """The journal after its activation has ended."""
        under = self.under
        if under is None:
            raise Conflict("No activation is under way.")
        backup = under.backup if under.changes_schema else None
        last = Past(under.to, under.previous, at, result, reason, backup)
        return Journal(None, (*self.past, last)[-KEPT_PAST:])

    def moved(self, **changes: Any) -> Journal:
        if self.under is None:
            raise Conflict("No activation is under way.")
        return replace(self, under=replace(self.under, **changes))


def read_journal(prefix: Prefix) -> Journal:
    """Raises SettingsError when it can't be understood."""
    try:
        said = json.loads(prefix.journal.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Journal()
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{prefix.journal} can't be read: {exc}.") from exc
    try:
        under = said["under"]
        return Journal(
            under=_made(Under, {**under, "phase": Phase(under["phase"])}) if under else None,
            past=tuple(_made(Past, each) for each in said["past"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise SettingsError(f"{prefix.journal} was written by another version: {exc}.") from exc


def _made(kind: type[_T], said: dict[str, Any]) -> _T:
    """A newer version may have said more; what is missing, nobody can make up."""
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]  # all are dataclasses
    return kind(**{name: value for name, value in said.items() if name in known})


def write_journal(prefix: Prefix, journal: Journal) -> None:
    """Durable when this returns, on a full disk by the room of ``lay_in_spare``. Raises OSError."""
    content = json.dumps(asdict(journal), indent=2).encode()
    try:
        write_durably(prefix.journal, content, mode=0o666)
    except OSError as exc:
        if not is_full(exc):
            raise
        prefix.spare.unlink(missing_ok=True)
        write_durably(prefix.journal, content, mode=0o666)


def lay_in_spare(prefix: Prefix) -> None:
    """Raises OSError when there is no room for it: so there is none for an activation."""
    with prefix.spare.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, _SPARE_OF_JOURNAL_BYTES)


def remove(prefix: Prefix, names: list[str]) -> None:
    """Releases, and what is left of those whose removal was cut short. Raises OSError.

    By another name first: half a release with the name of a whole one would be taken for that.
    """
    for name in [*names, None]:
        for each in prefix.releases.glob(".removed-*"):
            shutil.rmtree(each)
        if name is not None:
            prefix.release(name).rename(prefix.releases / f".removed-{name}")
