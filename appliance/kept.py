"""Small things that the box remembers, each a row of `Setting`: a name and an object of JSON."""

from __future__ import annotations

from typing import Any

from appliance.clock import now
from appliance.models import Setting


def read(name: str) -> dict[str, Any]:
    """{} when nothing was kept yet. Wants a connection."""
    row = Setting.get_or_none(Setting.name == name)
    return dict(row.value) if row is not None else {}


def write(name: str, value: dict[str, Any]) -> None:
    """Wants a connection."""
    columns = {Setting.value: value, Setting.updated_at: now()}
    Setting.insert({Setting.name: name, **columns}).on_conflict(
        conflict_target=[Setting.name], update=columns
    ).execute()
