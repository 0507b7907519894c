"""The part of forms in which a time is chosen: now, later by the clocks of a zone, or a slot.

Fields: ``when`` (now, later, slot), ``publish_at`` (as datetime-local writes it), ``time_zone``,
``second`` (of a time that comes twice, the later one), ``hold_there``. The template is
posts/_when.html; what it says of the time as it stands is posts/_when_echo.html, so that a form
can have that part alone renewed. Both need ``when``: what `view` makes.

::

    typed = when_form.fresh(user, at=query.get("at", ""))   # or read(fields, user)
    chosen = when_form.due(typed, accounts)                 # raises InvalidInput
    context["when"] = when_form.view(typed, user, settings, accounts)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from appliance import local_time, schedule_rules, slots
from appliance.clock import now
from appliance.errors import ApplianceError, Conflict, InvalidInput
from appliance.models import Slot
from appliance.post_input import check_time
from appliance.users import check_time_zone
from tasks.publish import clashes
from tasks.publish.registry import capabilities_of
from web.words import _

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.models import Account, User
    from appliance.settings import Settings

CHOICES = ("now", "later", "slot")


@dataclass(frozen=True)
class When:
    """What stands in the fields."""

    choice: str = "now"
    at: str = ""
    zone: str = "UTC"
    second: bool = False
    hold_there: bool = False

    @property
    def later(self) -> bool:
        return self.choice != "now"


@dataclass(frozen=True)
class Due:
    """What is meant by them. ``publish_at`` None: now."""

    publish_at: datetime | None
    zone: str
    hold_there: bool = False


@dataclass(frozen=True)
class Spelled:
    """A moment as somebody's clocks show it."""

    whose: str
    text: str


@dataclass(frozen=True)
class WhenView:
    """For the templates."""

    typed: When
    zones: list[str]
    slot: datetime | None
    """The next free slot; None: there are no slots, or none is free."""
    has_slots: bool
    spelled: list[Spelled] = field(default_factory=list)
    problem: str = ""
    note: str = ""
    twice: bool = False
    against: list[str] = field(default_factory=list)
    holders: list[str] = field(default_factory=list)
    """The chosen accounts whose platform can keep the post until its time."""
    needs_approval: bool = False
    offers_now: bool = True


def fresh(user: User, *, at: str = "", choice: str = "") -> When:
    """The fields as they are first shown: now, or ``at`` (a local time of the person's zone) when
    somebody has chosen one in the calendar. The hour that is offered is the next full one."""
    try:
        offered = local_time.parse(at).replace(tzinfo=None) if at else None
    except InvalidInput:
        offered = None
    hour = now().astimezone(ZoneInfo(user.time_zone)) + timedelta(hours=1)
    return When(
        choice=choice if choice in CHOICES else "later" if offered else "now",
        at=f"{offered:%Y-%m-%dT%H:%M}" if offered else f"{hour:%Y-%m-%dT%H}:00",
        zone=user.time_zone,
    )


def read(data: Mapping[str, Any], user: User) -> When:
    """From the fields of a sent form. What is no zone is taken for the person's own."""
    choice = str(data.get("when", "now"))
    zone = str(data.get("time_zone", "")) or user.time_zone
    try:
        check_time_zone(zone)
    except InvalidInput:
        zone = user.time_zone
    return When(
        choice=choice if choice in CHOICES else "now",
        at=str(data.get("publish_at", ""))[:40],
        zone=zone,
        second=data.get("second") == "yes",
        hold_there=data.get("hold_there") == "yes",
    )


def of_moment(moment: datetime, zone: str) -> When:
    """The fields for a time that was chosen earlier."""
    local = moment.astimezone(ZoneInfo(zone))
    return When("later", f"{local:%Y-%m-%dT%H:%M}", zone, second=bool(local.fold))


def due(when: When, accounts: Sequence[Account] = (), *, post: str = "") -> Due:
    """What is meant. ``accounts``: for which a slot must be free. ``post``: the one to be moved.

    Raises InvalidInput for what is no time, is skipped by the clocks, or has passed, and for a
    slot when none is free. Wants a connection.
    """
    if when.choice == "now":
        return Due(None, when.zone)
    if when.choice == "slot":
        try:
            moment = slots.next_free_slot(accounts, but=post)
        except Conflict as exc:
            raise InvalidInput(exc.message, field="publish_at", code=exc.code) from exc
    else:
        local = local_time.parse(when.at)
        moment = (
            local_time.moment_of(local, when.zone, second=when.second)
            if local.tzinfo is None
            else local
        )
    return Due(check_time(moment), when.zone, when.hold_there)


def view(
    when: When,
    user: User,
    settings: Settings,
    accounts: Sequence[Account] = (),
    *,
    post: str = "",
    offers_now: bool = True,
    offers_hold: bool = True,
    offers_approval: bool = True,
) -> WhenView:
    """What the templates show of ``when`` as it stands. Wants a connection."""
    moment, problem = None, ""
    if when.later:
        try:
            moment = due(when, accounts, post=post).publish_at
        except InvalidInput as exc:
            problem = exc.message
    reading = _reading(when)
    holders = [a.name for a in accounts if _holds(a, moment)] if offers_hold else []
    return WhenView(
        typed=when,
        zones=list(dict.fromkeys([when.zone, user.time_zone, settings.team_time_zone, "UTC"])),
        slot=_slot(accounts, post),
        has_slots=Slot.select().exists(),
        spelled=spell(moment, user, settings, also=when.zone) if moment else [],
        problem=problem,
        note=local_time.twice_sentence(reading, second=when.second) if reading else "",
        twice=reading is not None and reading.is_twice,
        against=_against(moment, accounts, user, post),
        holders=holders,
        needs_approval=offers_approval
        and schedule_rules.needs_approval(schedule_rules.current(), user),
        offers_now=offers_now,
    )


def spell(moment: datetime, user: User, settings: Settings, *, also: str = "") -> list[Spelled]:
    """The moment by the clocks of the person, of the team, and of a third zone; each zone once."""
    whose = {user.time_zone: _("You"), settings.team_time_zone: _("The team")}
    if user.time_zone == settings.team_time_zone:
        whose[user.time_zone] = _("You and the team")
    if also:
        whose.setdefault(also, "")
    return [Spelled(name, day_and_time(moment, zone)) for zone, name in whose.items()]


def day_and_time(moment: datetime, zone: str) -> str:
    """ "Fri 20 Nov 2026, 18:00 (Europe/Berlin)"."""
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M} ({zone})"


def _reading(when: When) -> local_time.Reading | None:
    if when.choice != "later":
        return None
    try:
        local = local_time.parse(when.at)
        return local_time.read_clock(local, when.zone) if local.tzinfo is None else None
    except InvalidInput:
        return None


def _slot(accounts: Sequence[Account], post: str) -> datetime | None:
    try:
        return slots.next_free_slot(accounts, but=post)
    except ApplianceError:
        return None


def _against(
    moment: datetime | None, accounts: Sequence[Account], user: User, post: str
) -> list[str]:
    found = clashes.of_time(moment or now(), accounts, viewer=user, post=post)
    return [clash.sentence for clash in found]


def _holds(account: Account, moment: datetime | None) -> bool:
    capabilities = capabilities_of(account.platform)
    if moment is None or capabilities is None or not capabilities.native_scheduling:
        return False
    ahead_s = (moment - now()).total_seconds()
    most = capabilities.holds_to_s
    return ahead_s >= capabilities.holds_from_s and (most is None or ahead_s <= most)
