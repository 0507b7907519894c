"""Loaded dataclasses for templates: plain values, no row that asks the database while rendering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance import access
from appliance.models import Role

if TYPE_CHECKING:
    from appliance.models import User


@dataclass(frozen=True)
class Viewer:
    """Who looks at the page."""

    user_id: str
    email: str
    shown_name: str
    role: str
    theme: str
    shortcuts: bool
    time_zone: str
    is_admin: bool
    may_upload: bool

    @classmethod
    def of(cls, user: User) -> Viewer:
        return cls(
            user_id=user.public_id,
            email=user.email,
            shown_name=user.name or user.email,
            role=user.role.value,
            theme=user.theme,
            shortcuts=user.shortcuts,
            time_zone=user.time_zone,
            is_admin=access.at_least(user, Role.ADMIN),
            may_upload=access.at_least(user, Role.EDITOR),
        )
