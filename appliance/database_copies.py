"""The copies of the database from before upgrades: which of them nobody goes back to any more.

Each activation leaves a family in ``backups/``: the copy, and what an upgrade that was taken back
had written (``-undone``) or a way back has replaced (``-replaced``).
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from appliance import releases
from appliance.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from appliance.releases import Journal, Prefix
    from appliance.settings import Settings

log = logging.getLogger(__name__)

KEPT = 3
_NAME = re.compile(
    r"(?P<family>before-.+-(?P<at>\d{8}T\d{6}Z))(-undone)?(-replaced)?\.db(-wal|-shm)?"
)


def find_way_back(journal: Journal, active: str | None) -> frozenset[str]:
    """The names of the copies that going back, or an activation under way, would take."""
    last, under = releases.before(list(journal.past), active), journal.under
    paths = [last.backup] if last is not None else []
    if under is not None:
        paths += [under.backup, under.restores]
    return frozenset(path.rpartition("/")[2] for path in paths if path)


def pick_old(names: Iterable[str], needed: frozenset[str]) -> list[str]:
    """Which files may go: all but those of the newest ``KEPT`` upgrades and of the way back."""
    found = {name: match for name in names if (match := _NAME.fullmatch(name))}
    families = {match["family"]: match["at"] for match in found.values()}
    newest = sorted(families, key=lambda family: (families[family], family))[-KEPT:]
    kept = {*newest, *(match["family"] for name in needed if (match := _NAME.fullmatch(name)))}
    return sorted(name for name, match in found.items() if match["family"] not in kept)


def forget_old(settings: Settings, prefix: Prefix | None = None) -> list[Path]:
    """Remove them; which. None at all where the journal of the releases can't be read."""
    folder = settings.data / "backups"
    if not folder.is_dir():
        return []
    names = [path.name for path in folder.iterdir()]
    if not pick_old(names, frozenset()):
        return []
    prefix = prefix or releases.Prefix()
    try:
        needed = find_way_back(releases.read_journal(prefix), prefix.active())
    except (SettingsError, OSError) as exc:
        log.warning("Copies of the database stay, as the way back isn't known: %s", exc)
        return []
    gone = [folder / name for name in pick_old(names, needed)]
    for path in gone:
        path.unlink(missing_ok=True)
        log.info("%s was removed: it was from before an upgrade of long ago", path.name)
    return gone
