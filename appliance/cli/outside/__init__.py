"""`appliance doctor --url`: whether a box can be used from here, through all that is in between.

Each look proves one thing with requests of its own, says what it found, why that matters and what
mends it. Uploads that are begun for it are removed at the end, whatever happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.cli.outside import flow, passing, place
from appliance.cli.outside.line import FILE_NAME, Failed, Line
from appliance.doctor import Finding, Verdict, finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Check = Callable[[Line], Finding]

_FOR_ANYBODY: tuple[Check, ...] = (place.check_tls, place.check_clocks)
_WITH_TOKEN: tuple[Check, ...] = (
    place.check_public_url,
    passing.check_headers_up,
    passing.check_methods,
    passing.check_location,
    passing.check_headers_down,
    passing.check_statuses,
    flow.check_buffering,
    flow.check_large,
    flow.check_events,
    passing.check_ranges,
)

_LONG: tuple[Check, ...] = (flow.check_large_sent, flow.check_long)


def examine(url: str, token: str | None, *, long: bool = False) -> Iterator[Finding]:
    """One finding after the other, as they are made."""
    line = Line(url.rstrip("/"), token)
    try:
        reach = place.check_reach(line)
        yield reach
        if reach.verdict is Verdict.BAD:
            return
        for check in _FOR_ANYBODY:
            yield _look(check, line)
        known = check_token(line)
        yield known
        if known.verdict is not Verdict.GOOD:
            return
        for check in (*_WITH_TOKEN, *(_LONG if long else ())):
            yield _look(check, line)
    finally:
        left = line.remove_trials()
        line.close()
    if left:
        yield finding(
            "Tidying up",
            "What was begun for this look is removed after it.",
            f"{len(left)} upload(s) named {FILE_NAME} could not be removed",
            note="Cancel them on the page /uploads, or wait: they go by themselves.",
        )


def check_token(line: Line) -> Finding:
    check, why = "Token", "Uploads, events and files can only be tried by somebody who may."
    if not line.token:
        mend = (
            "Set APPLIANCE_TOKEN to a token with the scopes read and upload "
            "(`appliance token create`), and look again."
        )
        return finding(check, why, "none was given: uploads were not tried", note=mend)
    answer = line.ask("GET", "/api/v1/videos", params={"limit": 1})
    if answer.status_code == 401:
        mend = (
            "Look at the token. If it is right, the proxy takes Authorization away or uses it "
            'itself: no `auth_basic`, no `proxy_set_header Authorization "";`.'
        )
        return finding(check, why, "the box doesn't know it", bad=mend)
    if answer.status_code == 403:
        return finding(check, why, "it may not read", bad="Give it the scopes read and upload.")
    return finding(check, why, "the box knows it")


def _look(check: Check, line: Line) -> Finding:
    try:
        return check(line)
    except Failed as exc:
        name = check.__name__.removeprefix("check_").replace("_", " ").capitalize()
        mend = "Mend what stands above first; then look again."
        return finding(name, "It could not be looked at.", str(exc), bad=mend)
