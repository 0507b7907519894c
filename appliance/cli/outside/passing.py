"""Whether requests and answers pass as they are: methods, headers, statuses, addresses, ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.cli.outside import mends
from appliance.cli.outside.line import BYTES, TUS, Failed, Line, by_box, describe
from appliance.doctor import Finding, finding

if TYPE_CHECKING:
    import httpx

# Upload-Metadata may have 8192 bytes; this with its file name comes close.
_LONG_HEADER = 7900
_ANSWERED = ("Tus-Resumable", "Upload-Offset", "Upload-Expires", "Appliance-Video-Id")


def check_location(line: Line) -> Finding:
    check, why = "Upload addresses", "A client sends on to the address that it is given."
    trial = line.begin(10)
    location = trial.created.headers["Location"]
    if not location.startswith("/files/"):
        mend = mends.LOCATION.for_server(line.server)
        return finding(check, why, f"the box's /files/… arrives as {location[:60]}", bad=mend)
    return finding(check, why, "they arrive as the box gives them")


def check_headers_down(line: Line) -> Finding:
    check, why = "Headers of answers", "By them a client knows where an upload goes on."
    trial = line.begin(10)
    head = line.ask("HEAD", trial.address, headers=TUS)
    options = line.ask("OPTIONS", "/files")
    missing = {name for name in _ANSWERED if name not in trial.created.headers}
    missing |= {
        name
        for name in (*_ANSWERED, "Upload-Length", "Upload-Metadata", "Content-Length")
        if name not in head.headers
    }
    missing |= {name for name in ("Tus-Version", "Tus-Extension") if name not in options.headers}
    if missing:
        mend = mends.HEADERS_DOWN.for_server(line.server)
        return finding(check, why, f"these don't arrive: {', '.join(sorted(missing))}", bad=mend)
    if "no-store" not in head.headers.get("Cache-Control", ""):
        mend = mends.HEADERS_DOWN.for_server(line.server)
        return finding(check, why, "Cache-Control arrives without no-store", bad=mend)
    return finding(check, why, "all arrive")


def check_headers_up(line: Line) -> Finding:
    check = "Headers of requests"
    why = "By them the box knows what a client wants, and what its file is called."
    mend = mends.HEADERS_UP.for_server(line.server)
    try:
        trial = line.begin(10)
    except Failed as exc:
        missing = {412: "Tus-Resumable", 400: "Upload-Length"}.get(exc.status)
        if missing is None:
            raise
        return finding(check, why, f"{missing} doesn't get to the box", bad=mend)
    look = line.ask("HEAD", trial.address, headers=TUS)
    if look.status_code == 200 and look.headers.get("Upload-Metadata", "") != trial.metadata:
        return finding(check, why, "Upload-Metadata doesn't pass as it is", bad=mend)
    try:
        long = line.begin(10, padding=_LONG_HEADER)
    except Failed as exc:
        return finding(check, why, f"a header of 8 kB doesn't pass. {exc}", bad=mend)
    back = line.ask("HEAD", long.address, headers=TUS)
    if back.status_code != 200:
        found = f"an answer with a header of 8 kB arrives as {describe(back)}"
        return finding(check, why, found, bad=mends.LONG_HEADERS_DOWN.for_server(line.server))
    if back.headers.get("Upload-Metadata") != long.metadata:
        return finding(check, why, "a header of 8 kB is cut or changed", bad=mend)
    overridden = line.ask(
        "POST",
        trial.address,
        headers={
            **TUS,
            "X-HTTP-Method-Override": "PATCH",
            "Upload-Offset": "0",
            "Content-Type": BYTES,
        },
        content=b"12345",
    )
    if overridden.status_code != 204:
        found = f"X-HTTP-Method-Override was answered {describe(overridden)}"
        return finding(check, why, found, bad=mend)
    return finding(check, why, "all get to the box")


def check_methods(line: Line) -> Finding:
    check, why = "Methods", "Uploads go by PATCH and PUT, are asked for by HEAD, end by DELETE."
    trial = line.begin(10)
    sent = {**TUS, "Upload-Offset": "0", "Content-Type": BYTES}
    where = {"Content-Range": "bytes */10"}
    looks: list[tuple[str, httpx.Response, int]] = [
        ("OPTIONS", line.ask("OPTIONS", "/files"), 204),
        ("PATCH", line.ask("PATCH", trial.address, headers=sent, content=b"12345"), 204),
        ("HEAD", line.ask("HEAD", trial.address, headers=TUS), 200),
        ("PUT", line.ask("PUT", trial.address, headers=where, content=b""), 202),
        ("DELETE", line.ask("DELETE", trial.address, headers=TUS), 204),
    ]
    wrong = [
        f"{method} was answered {describe(answer)}"
        for method, answer, wanted in looks
        if answer.status_code != wanted
    ]
    trial.removed = not any(found.startswith("DELETE") for found in wrong)
    if wrong:
        return finding(check, why, "; ".join(wrong), bad=mends.METHODS.for_server(line.server))
    return finding(check, why, ", ".join(method for method, _, _ in looks) + " pass")


def check_statuses(line: Line) -> Finding:
    check = "Errors"
    why = "A client goes on after 409, waits after 423 and begins anew after 410."
    trial, gone = line.begin(10), line.begin(10)
    gone_removed = line.ask("DELETE", gone.address, headers=TUS).status_code == 204
    gone.removed = gone_removed
    sent = {**TUS, "Upload-Offset": "7", "Content-Type": BYTES}
    looks: list[tuple[str, httpx.Response, int]] = [
        ("409", line.ask("PATCH", trial.address, headers=sent, content=b"123"), 409),
        ("412", line.ask("PATCH", trial.address, content=b"123"), 412),
        ("404", line.ask("HEAD", f"/files/{'a' * 26}.{'a' * 32}", headers=TUS), 404),
    ]
    if gone_removed:
        look = line.ask("PATCH", gone.address, headers=sent, content=b"123")
        looks.append(("410", look, 410))
    offered = line.ask("OPTIONS", "/files").headers.get("Tus-Extension", "")
    if "checksum" in offered.split(","):
        checked = {
            **sent,
            "Upload-Offset": "0",
            "Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        }
        look = line.ask("PATCH", trial.address, headers=checked, content=b"123")
        looks.append(("460", look, 460))
    wrong = [
        f"{name} arrives as {describe(answer)}"
        for name, answer, wanted in looks
        if answer.status_code != wanted
    ]
    # An error page of a proxy has the box's status, but not its words.
    wrong += [
        f"{name} arrives with other words"
        for name, answer, wanted in looks
        if answer.status_code == wanted and not by_box(answer)
    ]
    if wrong:
        return finding(check, why, "; ".join(wrong), bad=mends.STATUSES.for_server(line.server))
    return finding(check, why, ", ".join(name for name, _, _ in looks) + " arrive as they are")


def check_ranges(line: Line) -> Finding:
    check, why = "Ranges", "Players jump, and platforms fetch, by asking for parts of a file."
    mend = mends.RANGES.for_server(line.server)
    address = _some_file(line)
    if address is None:
        later = "Look again once a video is ready."
        return finding(check, why, "there is no file yet to ask a part of", note=later)
    whole = line.ask("HEAD", address)
    if whole.status_code != 200 or not whole.headers.get("Content-Length", "").isdecimal():
        found = f"HEAD of a file was answered {describe(whole)}, without its size"
        return finding(check, why, found, bad=mends.HEADERS_DOWN.for_server(line.server))
    size = int(whole.headers["Content-Length"])
    last = min(99, size - 1)
    part = line.ask("GET", address, headers={"Range": f"bytes=0-{last}"})
    wanted = f"bytes 0-{last}/{size}"
    if part.status_code != 206 or part.headers.get("Content-Range") != wanted:
        found = f"a part of a file was answered {describe(part)} with {len(part.content)} bytes"
        return finding(check, why, found, bad=mend)
    if len(part.content) != last + 1:
        found = f"a part of {last + 1} bytes came with {len(part.content)}"
        return finding(check, why, found, bad=mend)
    return finding(
        check, why, f"parts of files pass, {'public' if '/public/' in address else 'own'}"
    )


def _some_file(line: Line) -> str | None:
    """One that anybody may fetch, if there is one; else one that the token may."""
    answer = line.ask("GET", "/api/v1/videos", params={"limit": 50})
    if answer.status_code != 200:
        raise Failed(f"The list of videos was answered {describe(answer)}.")
    videos = answer.json()["items"]
    for name in ("social_ready_url", "poster_url"):
        for video in videos:
            if video.get(name):
                path = str(video[name])
                # Behind the address that is looked at, whatever the box takes itself for.
                return "/" + path.split("/", 3)[3] if "://" in path else path
    return None
