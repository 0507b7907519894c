"""Where settings come from: each source gives the values it has, by name, and where they stand.

``appliance.settings.load_settings`` says which source is the stronger.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from appliance.errors import SettingsError

PREFIX = "APPLIANCE_"
# Read by others: where the settings are, which box the commands talk to, the start of the machine.
_OTHER_NAMES = {"APPLIANCE_CONFIG", "APPLIANCE_URL", "APPLIANCE_TOKEN", "APPLIANCE_BOOT_ID"}

# Name of the setting → its value, and the words that name the place it was read from.
Found = dict[str, tuple[Any, str]]


def from_toml(environ: dict[str, str]) -> Found:
    """Raises SettingsError for a file that is named and not there, or can't be read."""
    named = environ.get("APPLIANCE_CONFIG")
    path = Path(named or "appliance.toml")
    if not path.is_file():
        if named:
            raise SettingsError(f"APPLIANCE_CONFIG: there is no file {path}.")
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as exc:
        raise SettingsError(f"{path} can't be read: {exc}.") from exc
    return {name: (value, f"{path}: {name}") for name, value in table.items()}


def from_credentials(environ: dict[str, str], names: Collection[str]) -> Found:
    """Credentials that systemd gave the unit. Raises SettingsError for one that can't be read."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return {}
    # Other credentials of the unit are not ours to judge: only known names are looked at.
    found = {
        name: (_read_secret(Path(folder, name), f"credential {name}"), f"credential {name}")
        for name in names
        if Path(folder, name).is_file()
    }
    # An empty one stands in for one that this box doesn't have: SetCredential= in systemd/.
    return {name: (value, where) for name, (value, where) in found.items() if value}


def from_environ(environ: dict[str, str], names: Collection[str]) -> Found:
    """Raises SettingsError for a setting that is said twice, or whose file can't be read."""
    found: Found = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable in _OTHER_NAMES:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name.endswith("_file") and name not in names:
            name, value = name.removesuffix("_file"), _read_secret(Path(value), variable)
        if name in found:
            raise SettingsError(f"{variable} and {found[name][1]} say the same; keep one of them.")
        found[name] = (value, variable)
    return found


def _read_secret(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{where}: {path} can't be read.") from exc
