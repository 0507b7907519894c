"""Whether bytes flow: not collected, not cut, in both directions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx

from appliance.cli.outside import mends
from appliance.cli.outside.line import BYTES, TUS, Failed, Line, by_box, describe
from appliance.doctor import Finding, finding

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1024**2
# Below 1 MiB in all, where nginx's own limit begins: that is another finding.
_FIRST = bytes(512 * 1024)
_TRIAL_BYTES = 960 * 1024
_LARGE_BYTES = 128 * _MIB  # more than services allow that allow little
_SENT_BYTES, _SENT_WORDS = 110 * _MIB, "110 MiB"
_APPEND = {**TUS, "Upload-Offset": "0", "Content-Type": BYTES}
_PAUSES_S = (0.7, 4.0)  # the second for networks that are slow
_HEARD_S = 6.0
LONG_S = 70.0  # longer than the 60 s at which most proxies give up
_STEP_S = 5.0
_STEP_BYTES = 128 * 1024


def check_buffering(line: Line) -> Finding:
    """Half of a PATCH, then silence: the box must have it while the request is open."""
    check = "Uploads flow"
    why = "Bytes that a proxy collects are lost when the connection breaks: it starts at zero."
    mend = mends.REQUESTS_STREAM.for_server(line.server)
    for pause_s in _PAUSES_S:
        trial = line.begin(_TRIAL_BYTES)
        with line.sending(trial, _FIRST, size=_TRIAL_BYTES) as sending:
            early = sending.early_answer(pause_s)
            if early is not None:
                return finding(check, why, f"an open upload was ended: {_said(early)}", bad=mend)
            offset = line.offset(trial)
        if offset:
            found = f"{offset:,} bytes were on the box while the request was still open"
            return finding(check, why, found.replace(",", " "))
    after = line.offset(trial)
    found = "after half a megabyte and a pause the box had nothing"
    found += f"; {after} bytes after the connection was cut" if after else ", nor after a cut"
    return finding(check, why, found, bad=mend)


def check_large(line: Line) -> Finding:
    check, why = "Large files", "One request may bring a whole file."
    try:
        trial = line.begin(_LARGE_BYTES)
    except Failed as exc:
        mend = "Look at the room on the box, and at APPLIANCE_MAX_UPLOAD_BYTES."
        return finding(check, why, f"an upload of 128 MiB can't begin. {exc}", note=mend)
    with line.sending(trial, _FIRST, size=_LARGE_BYTES) as sending:
        early = sending.early_answer(_PAUSES_S[0])
    if early is not None:
        mend = mends.NO_BODY_LIMIT.for_server(line.server)
        if isinstance(early, httpx.Response) and by_box(early):
            mend = "Look into the log of the box."
        return finding(check, why, f"a request of 128 MiB was ended: {_said(early)}", bad=mend)
    return finding(check, why, "a request of 128 MiB is let in")


def _said(early: httpx.Response | str) -> str:
    return early if isinstance(early, str) else describe(early)


def check_events(line: Line) -> Finding:
    check, why = "Live pages", "Pages follow the box by a stream of events that never ends."
    mend = mends.ANSWERS_STREAM.for_server(line.server)
    try:
        with line.stream("/api/v1/events", silence_s=_HEARD_S) as answer:
            if answer.status_code != 200:
                return finding(check, why, f"the stream was answered {describe(answer)}", bad=mend)
            pieces = answer.iter_bytes()
            heard = next(pieces, b"")
            if b"retry:" not in heard:
                return finding(check, why, "the stream begins otherwise than the box's", bad=mend)
            trial = line.begin(10)
            deadline = time.monotonic() + _HEARD_S
            while trial.video_id.encode() not in heard:
                heard += next(pieces, b"")
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("")
    except httpx.ReadTimeout:
        return finding(check, why, f"no event came within {_HEARD_S:.0f} s", bad=mend)
    except httpx.HTTPError as exc:
        return finding(check, why, f"the stream was cut: {exc}", bad=mend)
    return finding(check, why, "events come as they happen")


def check_large_sent(line: Line) -> Finding:
    """Some limits count what comes, not what is announced."""
    check, why = "Large files, sent", "One request may bring a whole file."
    trial = line.begin(2 * _SENT_BYTES)  # half of it, so that no video comes of it
    headers = {**_APPEND, "Content-Length": str(_SENT_BYTES)}
    pieces = (bytes(_MIB) for _ in range(_SENT_BYTES // _MIB))
    mend = mends.NO_BODY_LIMIT.for_server(line.server)
    try:
        answer = line.ask("PATCH", trial.address, fresh=True, headers=headers, content=pieces)
    except Failed as exc:
        return finding(check, why, f"a request of {_SENT_WORDS} was cut. {exc}", bad=mend)
    if answer.status_code != 204:
        found = f"a request of {_SENT_WORDS} was answered {describe(answer)}"
        return finding(check, why, found, bad=mend)
    return finding(check, why, f"a request of {_SENT_WORDS} came through")


def check_long(line: Line) -> Finding:
    """A request that takes longer than proxies wait by default, though bytes keep coming."""
    check, why = "Long uploads", "A large file on a slow line takes hours."
    mend = mends.LONG_REQUESTS.for_server(line.server)
    steps = int(LONG_S / _STEP_S) + 1
    size = steps * _STEP_BYTES

    def slowly() -> Iterator[bytes]:
        for step in range(steps):
            if step:
                time.sleep(_STEP_S)
            yield bytes(_STEP_BYTES)

    trial = line.begin(2 * size)  # half of it, so that no video comes of it
    headers = {**_APPEND, "Content-Length": str(size)}
    started_s = time.monotonic()
    try:
        answer = line.ask("PATCH", trial.address, fresh=True, headers=headers, content=slowly())
    except Failed as exc:
        took_s = time.monotonic() - started_s
        return finding(check, why, f"it was cut after {took_s:.0f} s. {exc}", bad=mend)
    took_s = time.monotonic() - started_s
    if answer.status_code != 204:
        found = f"after {took_s:.0f} s it was answered {describe(answer)}"
        return finding(check, why, found, bad=mend)
    return finding(check, why, f"one of {took_s:.0f} s came through")
