"""What becomes of originals: the policy, chosen by an admin or fixed by the settings.

``keep``: they stay. ``delete``: so many days after a video is ready its original goes, and what
was made of it stays. ``smaller``: the same, but only where the version for posting takes less room
and shows no less (docs/decisions/0017). tasks/retention.py says which originals a policy spares.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from appliance import access, events, kept
from appliance.db import transaction
from appliance.errors import Conflict, InvalidInput
from appliance.models import Role

if TYPE_CHECKING:
    from appliance.models import User
    from appliance.settings import Settings

# The row of the settings that admins change on a page.
NAME = "retention"
DEFAULT_DAYS, MOST_DAYS = 30, 9999


class Originals(StrEnum):
    KEEP = "keep"
    DELETE = "delete"
    SMALLER = "smaller"


@dataclass(frozen=True)
class Policy:
    """``after_days`` after the video became ready; says nothing for KEEP."""

    kind: Originals = Originals.KEEP
    after_days: int = DEFAULT_DAYS


@dataclass(frozen=True)
class Chosen:
    """``fixed``: by the settings of the box, so that no page can change it."""

    policy: Policy
    fixed: bool


def policy_of(settings: Settings) -> Chosen:
    """The policy that holds now. Wants a connection."""
    if settings.keep_originals is not None:
        return Chosen(parse(settings.keep_originals), fixed=True)
    chosen = kept.read(NAME)
    return Chosen(make(**chosen) if chosen else Policy(), fixed=False)


def parse(text: str) -> Policy:
    """ "keep", "delete:30", "smaller:30"; checked when the settings were read."""
    kind, _, days = text.partition(":")
    return Policy(Originals(kind), int(days)) if days else Policy(Originals(kind))


def make(kind: str, after_days: Any = DEFAULT_DAYS) -> Policy:
    """Raises InvalidInput for what is no policy."""
    if kind not in list(Originals):
        raise InvalidInput("Choose keep, delete or smaller.", field="kind")
    if type(after_days) is not int or not 1 <= after_days <= MOST_DAYS:
        raise InvalidInput(f"Write a number of days from 1 to {MOST_DAYS}.", field="after_days")
    return Policy(Originals(kind), after_days)


def choose(settings: Settings, actor: User, policy: Policy) -> None:
    """Raises Forbidden, and Conflict when the settings of the box fix it."""
    access.require(actor, Role.ADMIN)
    if settings.keep_originals is not None:
        raise Conflict(
            "The box's own settings say what becomes of originals (APPLIANCE_KEEP_ORIGINALS). "
            "Take that out and start it again to choose here.",
            code="fixed_by_settings",
        )
    value: dict[str, Any] = {"kind": policy.kind.value, "after_days": policy.after_days}
    with transaction():
        kept.write(NAME, value)
        events.audit(actor, "storage.policy", **value)
        events.record("storage.policy", "storage", actor_id=actor.id, admins_only=True, **value)
