"""The times of the week at which posts go out. All functions want a connection."""

from __future__ import annotations

from datetime import time
from typing import TYPE_CHECKING

from peewee import IntegrityError

from appliance import events, planned
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import Conflict, InvalidInput, NotFound
from appliance.models import Slot
from appliance.schedule import LOOK_AHEAD, WeekTime, next_free
from appliance.users import check_time_zone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from appliance.models import Account, User

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# A week has that many quarters of an hour; more slots than that are a mistake of a script.
MOST = 7 * 24 * 4


def every() -> list[Slot]:
    """In the order of the week."""
    return list(Slot.select().order_by(Slot.weekday, Slot.time, Slot.id))


def week_time(slot: Slot) -> WeekTime:
    return WeekTime(slot.weekday, time.fromisoformat(slot.time), slot.time_zone)


def week_times() -> list[WeekTime]:
    return [week_time(slot) for slot in every()]


def add(weekday: int, clock: str, zone: str, *, actor: User | None) -> Slot:
    """``weekday``: 0 is Monday. ``clock``: "18:00". Raises InvalidInput, Conflict for a double."""
    if weekday not in range(7):
        raise InvalidInput("Choose a day from Monday to Sunday.", field="weekday")
    check_time_zone(zone)
    try:
        at = time.fromisoformat(clock.strip())
    except ValueError as exc:
        raise InvalidInput("Write the time as 18:00.", field="time") from exc
    if at.tzinfo is not None or at.second or at.microsecond:
        raise InvalidInput("Write the time as 18:00.", field="time")
    with transaction():
        if Slot.select().count() >= MOST:
            raise Conflict(f"There are {MOST} slots already. Remove one first.", code="too_many")
        try:
            slot = Slot.create(
                weekday=weekday, time=f"{at:%H:%M}", time_zone=zone, created_by=actor
            )
        except IntegrityError as exc:
            raise Conflict(f"There is a slot on {describe(weekday, at)} already.") from exc
        events.audit(actor, "slot.add", f"slot:{slot.public_id}", slot=describe(weekday, at))
        _tell("slot.added", slot)
    return slot


def remove(public_id: str, *, actor: User | None) -> None:
    """What is planned for it stays. Raises NotFound."""
    with transaction():
        slot = Slot.get_or_none(Slot.public_id == public_id)
        if slot is None:
            raise NotFound("There is no such slot; somebody may have removed it.")
        _tell("slot.removed", slot)
        slot.delete_instance()
        what = describe(slot.weekday, time.fromisoformat(slot.time))
        events.audit(actor, "slot.remove", f"slot:{public_id}", slot=what)


def describe(weekday: int, at: time) -> str:
    """ "Friday 18:00"."""
    return f"{DAYS[weekday]} {at:%H:%M}"


def _tell(type: str, slot: Slot) -> None:
    events.record(type, f"slot:{slot.public_id}", weekday=slot.weekday, time=slot.time)


def next_free_slot(accounts: Sequence[Account] = (), *, but: str = "") -> datetime:
    """When the next free slot is. Free: nothing goes to one of ``accounts`` (none: to any) then.

    ``but``: a post that doesn't count, because it is the one to be moved. Raises Conflict when
    there are no slots, or none is free within a year.
    """
    after = now()
    slots = week_times()
    if not slots:
        raise Conflict(
            "No slots are set up. Add times of the week in Settings, Schedule.", code="no_slots"
        )
    wanted = {account.id for account in accounts}
    taken = [
        plan.at
        for plan in planned.load(after, after + LOOK_AHEAD)
        if plan.post != but and (not wanted or plan.account in wanted)
    ]
    taken += planned.without_accounts(after, after + LOOK_AHEAD, but=but)
    found = next_free(slots, taken, after)
    if found is None:
        raise Conflict(
            "All slots of the next year are taken. Add more in Settings, Schedule.",
            code="no_free_slot",
        )
    return found
