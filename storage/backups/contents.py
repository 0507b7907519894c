"""What of the settings goes into a backup: in clear what is no secret, sealed what is."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from appliance.vault import Vault, read_key

if TYPE_CHECKING:
    from appliance.settings import Settings

# Of this machine, not of the box; the key has a name of its own among the secrets.
_NOT_OURS = {"data", "backup_folder", "credentials_key"}


def settings_text(settings: Settings) -> str:
    """What was set, as ``appliance.toml``, without secrets."""
    lines = ["# The settings of the box when the backup was made, without secrets."]
    for name in sorted(settings.model_fields_set - _NOT_OURS):
        value = getattr(settings, name)
        if value is not None and not _is_secret(value):
            lines.append(f"{name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _is_secret(value: Any) -> bool:
    return isinstance(value, SecretStr) or (
        isinstance(value, list | tuple) and any(isinstance(one, SecretStr) for one in value)
    )


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    # A JSON text is a TOML text, but for pairs of surrogates and the bare character 127.
    text = json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")


def secrets_of(settings: Settings) -> dict[str, Any]:
    """The key of the vault, and secret settings by name."""
    found: dict[str, Any] = {"credentials_key": base64.b64encode(read_key(settings)).decode()}
    for name in sorted(settings.model_fields_set - _NOT_OURS):
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            found[name] = value.get_secret_value()
        elif isinstance(value, list | tuple) and _is_secret(value):
            found[name] = [one.get_secret_value() for one in value]
    return found


def key_id(settings: Settings) -> str:
    """Names the key that opens the sealed columns."""
    return Vault(read_key(settings)).key_id


def secrets_text(secrets: dict[str, Any]) -> str:
    """As ``appliance.toml``, for a person who sets up the next machine."""
    return "\n".join(f"{name} = {_toml(value)}" for name, value in secrets.items()) + "\n"
