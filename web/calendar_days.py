"""Which days a view of the schedule shows, and what it is called. Pure: days of somebody's zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from appliance.local_time import first_moment
from web.words import _

VIEWS = ("month", "week", "list")
LIST_DAYS = 28
# What people may page to; beyond it the calendars of computers end.
FIRST, LAST = date(2000, 1, 1), date(2200, 1, 1)


@dataclass(frozen=True)
class Span:
    """The days of a view, from ``first`` to ``last``. ``month``: the one that a month view is
    about (its first day), other days of which are only its frame."""

    view: str
    first: date
    last: date
    title: str
    before: date
    after: date
    month: date | None = None

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


def span_of(view: str, on: date) -> Span:
    """The days that ``view`` shows for a visit to the day ``on``. Weeks begin on Monday."""
    on = min(max(on, FIRST), LAST)
    if view == "week":
        first = on - timedelta(days=on.weekday())
        last = first + timedelta(days=6)
        step = timedelta(days=7)
        return Span(view, first, last, range_title(first, last), first - step, first + step)
    if view == "list":
        last = on + timedelta(days=LIST_DAYS - 1)
        step = timedelta(days=LIST_DAYS)
        return Span(view, on, last, range_title(on, last), on - step, on + step)
    month = on.replace(day=1)
    following = (month + timedelta(days=32)).replace(day=1)
    end = following - timedelta(days=1)
    return Span(
        "month",
        month - timedelta(days=month.weekday()),
        end + timedelta(days=6 - end.weekday()),
        f"{_(f'{month:%B}')} {month.year}",
        (month - timedelta(days=1)).replace(day=1),
        following,
        month,
    )


def range_title(first: date, last: date) -> str:
    """ "16 – 22 Nov 2026", "28 Dec 2026 – 3 Jan 2027"."""
    end = f"{last.day} {last:%b} {last.year}"
    if first.year != last.year:
        return f"{first.day} {first:%b} {first.year} – {end}"
    if first.month != last.month:
        return f"{first.day} {first:%b} – {end}"
    return f"{first.day} – {end}"


def day_title(day: date, today: date) -> str:
    """ "Friday 20 November", with the year when it isn't today's."""
    text = f"{day:%A} {day.day} {day:%B}"
    return text if day.year == today.year else f"{text} {day.year}"


def bounds(span: Span, zone: str) -> tuple[datetime, datetime]:
    """The first moment of the span, and the first that is no longer in it."""
    start = first_moment(datetime.combine(span.first, time()), zone)
    end = first_moment(datetime.combine(span.last + timedelta(days=1), time()), zone)
    return start, end


def parse_day(text: str, otherwise: date) -> date:
    """ "2026-11-20"; what is none is ``otherwise``."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return otherwise


def day_of(moment: datetime, zone: str) -> date:
    """The day on the calendars of the zone."""
    return moment.astimezone(ZoneInfo(zone)).date()
