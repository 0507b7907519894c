"""What people write into a post, checked and made clean: texts, times, changes for one account."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from appliance import local_time
from appliance.clock import now
from appliance.errors import InvalidInput
from appliance.text import clean_line, clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from appliance.models import Account

MAX_TITLE_CHARS = 500
MAX_DESCRIPTION_BYTES = 20_000
# A clock that is a little behind ours still means "now".
CLOCK_SKEW = timedelta(minutes=1)
OVERRIDES = {"title", "description", "options"}


def clean_title(text: str | None, *, field: str) -> str:
    """Raises InvalidInput."""
    line = clean_line(text or "", max_bytes=4 * MAX_TITLE_CHARS + 4)
    if len(line) > MAX_TITLE_CHARS:
        raise InvalidInput(
            f"The title is longer than {MAX_TITLE_CHARS} characters; shorten it.", field=field
        )
    return line


def clean_description(text: str | None, *, field: str) -> str:
    """Raises InvalidInput."""
    cleaned = clean_text(text or "", max_bytes=MAX_DESCRIPTION_BYTES + 4)
    if len(cleaned.encode()) > MAX_DESCRIPTION_BYTES:
        raise InvalidInput(
            f"The description is longer than {MAX_DESCRIPTION_BYTES} bytes; shorten it.",
            field=field,
        )
    return cleaned


def check_time(when: datetime | None) -> datetime | None:
    """In UTC. Raises InvalidInput for one without zone, or that has passed."""
    moment = local_time.in_utc(when, field="publish_at")
    if moment is not None and moment < now() - CLOCK_SKEW:
        raise InvalidInput(
            "This time has passed. Choose a later one, or leave it empty to post now.",
            field="publish_at",
        )
    return moment


def for_each_account(
    accounts: Sequence[Account], overrides: Mapping[str, Mapping[str, Any]]
) -> list[tuple[Account, dict[str, Any]]]:
    """Each account with its own texts: those for its platform, then those for itself."""
    known = {a.public_id for a in accounts} | {a.platform for a in accounts}
    for name, changes in overrides.items():
        if name not in known:
            raise InvalidInput(
                f"“{name[:64]}” in overrides is none of the chosen accounts or platforms.",
                field="overrides",
            )
        if extra := sorted(set(changes) - OVERRIDES):
            raise InvalidInput(
                f"overrides can't change “{extra[0][:64]}”; they change title, description and "
                "options.",
                field="overrides",
            )
    return [
        (a, clean_overrides({**overrides.get(a.platform, {}), **overrides.get(a.public_id, {})}))
        for a in accounts
    ]


def clean_overrides(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty. Raises InvalidInput."""
    cleaned: dict[str, Any] = {}
    for name, value in changes.items():
        if value is None:
            continue
        if not isinstance(value, dict if name == "options" else str):
            raise InvalidInput(f"“{name}” in overrides has the wrong type.", field="overrides")
        if name == "title":
            value = clean_title(str(value), field="overrides")
        elif name == "description":
            value = clean_description(str(value), field="overrides")
        if value:
            cleaned[name] = value
    return cleaned
