"""Times as the clocks of a named zone show them, and the moments that are meant by them.

Pure. Twice a year most zones have an hour that no clock shows, and one that they show twice. A
time in the first is refused with the nearest one that there is; of a time in the second the first
is meant unless somebody says otherwise, and `read_clock` tells that there are two.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from appliance.errors import InvalidInput
from appliance.users import check_time_zone

TOO_FAR = "No calendar goes that far. Choose a date nearer to today."


@dataclass(frozen=True)
class Reading:
    """What a local time means. ``moments``, in UTC: none when the clocks skip it, two when they
    show it twice, the earlier first. ``nearest``: the local time to take instead of a skipped one,
    otherwise the time itself."""

    local: datetime
    zone: str
    moments: tuple[datetime, ...]
    nearest: datetime

    @property
    def is_skipped(self) -> bool:
        return not self.moments

    @property
    def is_twice(self) -> bool:
        return len(self.moments) == 2


def read_clock(local: datetime, zone: str) -> Reading:
    """``local`` has no zone of its own. Raises InvalidInput for a zone or a year that isn't one."""
    place = ZoneInfo(check_time_zone(zone))
    local = local.replace(tzinfo=None, fold=0)
    try:
        before, after = (local.replace(tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1))
        real = sorted({m for m in (before, after) if _shown(m, place) == local})
        nearest = local if real else _shown(_change_between(after, before, place), place)
    except OverflowError as exc:
        raise InvalidInput(TOO_FAR, field="publish_at") from exc
    return Reading(local, zone, tuple(real), nearest)


def in_utc(when: datetime | None, *, field: str) -> datetime | None:
    """The moment that ``when`` names; None stays None. Raises InvalidInput for a time without a
    zone of its own, and for one that only its zone can write down."""
    if when is None:
        return None
    if when.tzinfo is None or when.utcoffset() is None:
        raise InvalidInput(
            "The time has no zone. Write it like 2030-01-31T18:00:00+01:00.", field=field
        )
    try:
        return when.astimezone(UTC)
    except OverflowError as exc:
        raise InvalidInput(TOO_FAR, field=field) from exc


def _shown(moment: datetime, place: ZoneInfo) -> datetime:
    return moment.astimezone(place).replace(tzinfo=None, fold=0)


def _change_between(low: datetime, high: datetime, place: ZoneInfo) -> datetime:
    """The first second with the offset that holds at ``high``: where the clocks jumped."""
    offset = high.astimezone(place).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(place).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high


def moment_of(
    local: datetime, zone: str, *, second: bool = False, field: str = "publish_at"
) -> datetime:
    """The moment, in UTC. ``second``: of a time that comes twice, the later one.

    Raises InvalidInput (code ``time_skipped``) for a time that the clocks skip.
    """
    reading = read_clock(local, zone)
    if reading.is_skipped:
        raise InvalidInput(skipped_sentence(reading), field=field, code="time_skipped")
    return reading.moments[-1 if second else 0]


def first_moment(local: datetime, zone: str) -> datetime:
    """As ``moment_of``, but a skipped time is taken for the nearest one: what repeats by itself
    must not stop at such a night."""
    reading = read_clock(local, zone)
    return reading.moments[0] if reading.moments else read_clock(reading.nearest, zone).moments[0]


def parse(text: str, *, field: str = "publish_at") -> datetime:
    """ "2026-12-24T18:00", with or without seconds and a zone of its own. Raises InvalidInput."""
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError as exc:
        raise InvalidInput(
            "Choose a date and a time. It is written like 2030-01-31 18:00.", field=field
        ) from exc


def skipped_sentence(reading: Reading) -> str:
    """Why a time can't be taken, and which one can."""
    day = f"{reading.local.day} {reading.local:%b %Y}"
    nearest = f"{reading.nearest:%H:%M}"
    if reading.nearest.date() != reading.local.date():
        nearest = f"{reading.nearest.day} {reading.nearest:%b %Y}, {nearest}"
    return (
        f"On {day} the clocks of {reading.zone} are put forward and never show "
        f"{reading.local:%H:%M}. The nearest time is {nearest}."
    )


def twice_sentence(reading: Reading, *, second: bool = False) -> str:
    """That a time comes twice, and which of the two is taken; "" for all others."""
    if not reading.is_twice:
        return ""
    day = f"{reading.local.day} {reading.local:%b %Y}"
    which = "second" if second else "first"
    return (
        f"On {day} the clocks of {reading.zone} are put back and show {reading.local:%H:%M} twice. "
        f"The {which} is taken ({offset_of(reading.moments[second], reading.zone)})."
    )


def offset_of(moment: datetime, zone: str) -> str:
    """ "UTC+02:00": how far the clocks of the zone are from UTC then."""
    seconds = moment.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()
    sign = "-" if seconds < timedelta() else "+"
    minutes = round(abs(seconds).total_seconds() / 60)
    return f"UTC{sign}{minutes // 60:02}:{minutes % 60:02}"


def shifted(moment: datetime, zone: str, *, days: int = 0, hours: int = 0) -> datetime:
    """Some days on, at what the clocks of the zone show now; and some hours, which always last an
    hour. Raises InvalidInput when the clocks skip that time on that day."""
    place = ZoneInfo(check_time_zone(zone))
    try:
        if days:
            local = moment.astimezone(place)
            later = local.replace(tzinfo=None) + timedelta(days=days)
            moment = moment_of(later, zone, second=bool(local.fold))
        return moment + timedelta(hours=hours)
    except OverflowError as exc:
        raise InvalidInput(TOO_FAR, field="publish_at") from exc


def on_day(moment: datetime, zone: str, day: date) -> datetime:
    """Another day, at what the clocks of the zone show now. Raises InvalidInput as `shifted`."""
    here = moment.astimezone(ZoneInfo(check_time_zone(zone))).date()
    return shifted(moment, zone, days=(day - here).days)
