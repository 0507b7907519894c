"""How the team plans: how far apart posts are kept, and whose posts need somebody's approval.

Wishes of the admins, kept in the row "schedule" of the settings. Wants a connection.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from appliance import events, kept
from appliance.db import transaction
from appliance.errors import InvalidInput
from appliance.models import Role

if TYPE_CHECKING:
    from appliance.models import User

NAME = "schedule"
MOST_APART_MINUTES = 24 * 60


class Approval(StrEnum):
    """Whose posts wait until an admin or an owner has said yes."""

    NOBODY = "nobody"
    EDITORS = "editors"
    EVERYBODY = "everybody"  # admins, too: another admin or an owner says yes


@dataclass(frozen=True)
class Rules:
    """``apart_minutes``: two posts to one account that are closer are shown as a conflict."""

    apart_minutes: int = 15
    approval: Approval = Approval.NOBODY

    @property
    def apart(self) -> timedelta:
        return timedelta(minutes=self.apart_minutes)


def current() -> Rules:
    known = {field.name for field in fields(Rules)}
    rules = Rules(**{name: value for name, value in kept.read(NAME).items() if name in known})
    return replace(rules, approval=Approval(rules.approval))


def keep(
    *, apart_minutes: int | None = None, approval: str | None = None, actor: User | None
) -> Rules:
    """Change what is given. Raises InvalidInput."""
    with transaction():
        rules = current()
        if apart_minutes is not None:
            if not 0 <= apart_minutes <= MOST_APART_MINUTES:
                raise InvalidInput(
                    f"Write minutes from 0 to {MOST_APART_MINUTES}.", field="apart_minutes"
                )
            rules = replace(rules, apart_minutes=apart_minutes)
        if approval is not None:
            if approval not in list(Approval):
                raise InvalidInput(
                    "Choose whose posts need approval: nobody, editors or everybody.",
                    field="approval",
                )
            rules = replace(rules, approval=Approval(approval))
        value = {name: str(v) if isinstance(v, StrEnum) else v for name, v in asdict(rules).items()}
        kept.write(NAME, value)
        events.audit(actor, "schedule.rules", **value)
    return rules


def needs_approval(rules: Rules, author: User | None) -> bool:
    """Whether a post of this author waits for a yes. None is the box's own shell: it doesn't.

    The rule "everybody" leaves the owners out: above them is nobody who could say yes.
    """
    if author is None or author.role is Role.OWNER:
        return False
    if rules.approval is Approval.EVERYBODY:
        return True
    return rules.approval is Approval.EDITORS and author.role is not Role.ADMIN
