"""Rows for tests, with only what matters said."""

from __future__ import annotations

from typing import Any

from appliance.models import Role, Source, User, Video, Visibility
from appliance.states import VideoState


def make_user(email: str = "editor@example.org", role: Role = Role.EDITOR, **columns: Any) -> User:
    return User.create(email=email, role=role, **columns)


def make_video(owner: User | None = None, **columns: Any) -> Video:
    values: dict[str, Any] = {
        "owner": owner,
        "filename": "clip.mp4",
        "title": "Clip",
        "source": Source.BROWSER,
        "visibility": Visibility.TEAM,
        "state": VideoState.RECEIVED,
        **columns,
    }
    return Video.create(**values)
