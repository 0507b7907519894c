"""Whether the address leads to a box, by TLS, and both agree on time and on the address."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from appliance.cli.outside.line import Failed, Line, describe
from appliance.cli.outside.mends import METHODS
from appliance.doctor import Finding, finding

if TYPE_CHECKING:
    import httpx

_MOST_SKEW_S = 60.0
_REDIRECT = (
    "Let http:// lead to https://. nginx: `return 308 https://$host$request_uri;` in the server "
    "of port 80. Caddy: name the site without http://."
)
_LOCAL = ("localhost", "127.0.0.1", "::1")


def check_reach(line: Line) -> Finding:
    check, why = "Reach", "All the rest needs a box that answers."
    try:
        answer = line.ask("GET", "/health/live")
    except Failed as exc:
        mend = "Look at the address, DNS, the certificate, and whether proxy and box run."
        return finding(check, why, str(exc), bad=mend)
    if answer.is_redirect:
        target = answer.headers.get("Location", "")
        mend = f"Use the address that it leads to: {_origin(target)}."
        return finding(check, why, f"it leads on to {target}", bad=mend)
    if not _is_alive(answer):
        mend = (
            "Look whether the proxy passes everything below / to APPLIANCE_LISTEN, and whether the "
            "box runs: `appliance doctor` on its machine."
        )
        return finding(check, why, f"no box answers: {describe(answer)}", bad=mend)
    return finding(check, why, f"a box answers at {line.url}")


def _is_alive(answer: httpx.Response) -> bool:
    try:
        return answer.status_code == 200 and answer.json() == {"status": "alive"}
    except ValueError:
        return False


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else address


def check_tls(line: Line) -> Finding:
    check, why = "TLS", "Passwords, tokens and upload addresses travel in clear without it."
    parts = urlsplit(line.url)
    if parts.scheme != "https":
        if parts.hostname in _LOCAL:
            return finding(check, why, "none, and none needed on this machine")
        mend = "Open the box by https alone; docs/proxy.md shows how."
        return finding(check, why, "the address is http://", bad=mend)
    if parts.port not in (None, 443):
        return finding(check, why, "the certificate is good for this name")
    try:
        plain = line.ask("GET", f"http://{parts.hostname}/health/live", fresh=True)
    except Failed:
        return finding(check, why, "the certificate is good, and http:// is closed")
    target = urlsplit(plain.headers.get("Location", ""))
    if not plain.is_redirect or target.scheme != "https":
        return finding(check, why, f"http:// was answered {describe(plain)}", bad=_REDIRECT)
    return finding(check, why, "the certificate is good, and http:// leads to https://")


def check_clocks(line: Line) -> Finding:
    check, why = "Clocks", "Links end and posts go out by the clock of the box."
    before_s = time.time()
    answer = line.ask("GET", "/health/live")
    text = answer.headers.get("Date")
    if not text:
        mend = "Let the header Date pass."
        return finding(check, why, "the answer says no time", note=mend)
    try:
        there_s = parsedate_to_datetime(text).timestamp()
    except ValueError:
        return finding(check, why, f"the answer says “{text}”", note="Let the header Date pass.")
    # Date is cut to whole seconds, and the answer took a moment.
    skew_s = min(abs(there_s - before_s), abs(there_s - time.time()))
    if skew_s > _MOST_SKEW_S:
        mend = "Set both clocks, and keep them right with NTP (`timedatectl set-ntp true`)."
        return finding(check, why, f"{skew_s:.0f} s apart", bad=mend)
    return finding(check, why, "this computer's and the box's agree")


def check_public_url(line: Line) -> Finding:
    """By a grant, whose address the box makes from APPLIANCE_PUBLIC_URL."""
    check = "Public address"
    why = "Links in mails, upload addresses and what platforms fetch begin with it."
    wanted = {
        "filename": "appliance-doctor.bin",
        "file_size": 1,
        "content_type": "application/octet-stream",
    }
    answer = line.ask("POST", "/api/v1/uploads", json=wanted)
    if answer.status_code != 201:
        return finding(
            check,
            why,
            f"asking for an upload address was answered {describe(answer)}",
            bad=METHODS.for_server(line.server),
        )
    grant = answer.json()
    line.adopt(grant["upload_url"], answer)
    said = _origin(grant["upload_url"])
    if said != _origin(line.url):
        mend = f"Set APPLIANCE_PUBLIC_URL={_origin(line.url)}, or look at the address it has."
        return finding(check, why, f"the box takes itself for {said}", bad=mend)
    return finding(check, why, f"the box knows itself as {said}")
