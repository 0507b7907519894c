"""The process that knows Apprise: reads one wish, answers with one line, ends (see apart.py)."""

from __future__ import annotations

import json
import logging
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from appliance.alerts import service_of
from appliance.errors import InvalidInput
from appliance.text import clean_line, clean_text
from tasks.alerting import addresses, reach
from tasks.alerting.apart import APP

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_S, READ_S = 8.0, 20.0
# Names of files that Apprise's services hold as plain text.
_FILES = ("keyfile", "subfile", "pgp_key", "pgp_privkey")
_UNKNOWN = "The service did not take the message, and gave no reason."


def main() -> None:
    """``argv[1]``: after how many seconds nobody waits any more."""
    signal.alarm(int(sys.argv[1]))
    answer = {"problem": answer_to(json.load(sys.stdin))}
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


def answer_to(wish: dict[str, str]) -> str:
    """What went wrong, without secrets of the address; "": nothing."""
    try:
        opened = open_address(addresses.look_over(wish["address"]))
        addresses.refuse_metadata(opened, look_up=wish["do"] == "send")
    except InvalidInput as exc:
        return exc.message
    return _send(opened, wish) if wish["do"] == "send" else ""


def open_address(address: str) -> Any:
    """Apprise's own object for it. Raises InvalidInput; its sentence has no secret of it."""
    from apprise import Apprise, AppriseAsset

    _hush()
    asset = AppriseAsset(
        app_id=APP, app_desc=APP, app_url="", image_url_mask="", image_url_logo="",
        allow_templates=False, storage_mode="memory", http_redirects=False,
    )  # fmt: skip
    try:
        opened = Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
    except Exception:  # of some services the parts are looked at by code that stumbles
        opened = None
    if opened is None:
        raise InvalidInput(
            f"Apprise can't use this address. How one of “{service_of(address)[:40]}” is "
            "written stands at appriseit.com/services.",
            field="address",
        )
    if _takes_in_more(opened):
        raise InvalidInput(
            "An address may not name a file of the box, or a second address to read from. Leave "
            "out template=, keyfile=, subfile=, pgppub= or pgpprv=.",
            field="address",
        )
    opened.socket_connect_timeout, opened.socket_read_timeout = CONNECT_S, READ_S
    opened.redirects = False  # where a redirect leads nobody has looked at, ?redirect=yes or not
    return opened


def _takes_in_more(opened: Any) -> bool:
    """Whether something would be read here, from disk or from another address, and sent there:
    the box's own keys, or what a cloud tells its machines."""
    from apprise import AppriseAttachment

    attached = (part for part in vars(opened).values() if isinstance(part, AppriseAttachment))
    return any(len(part) > 0 for part in attached) or any(
        getattr(opened, name, None) for name in _FILES
    )


def _hush() -> None:
    """Its own log quotes whole addresses, and the headers that it sends."""
    log = logging.getLogger("apprise")
    log.setLevel(logging.WARNING)
    log.propagate = False
    if not log.handlers:
        log.addHandler(logging.NullHandler())


def _send(opened: Any, wish: dict[str, str]) -> str:
    from apprise import NotifyFormat

    with _listening() as said:
        try:
            sent = opened.notify(
                title=clean_line(wish["title"], max_bytes=200),
                body=clean_text(wish["body"], max_bytes=4000),
                body_format=NotifyFormat.TEXT,
            )
        except Exception as exc:  # whatever a service's code stumbles over: the reason is told
            said.append(f"{type(exc).__name__}: {exc}")
            sent = False
    if sent:
        return ""
    reason = clean_line(" ".join(said[:3]), max_bytes=600) or _UNKNOWN
    reason = clean_line(addresses.without_secrets(reason, wish["address"]), max_bytes=300)
    return f"{reason} {reach.why_not(sorted(addresses.hosts_of(opened)))}".strip()


@contextmanager
def _listening() -> Iterator[list[str]]:
    """What Apprise says about failures."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    log = logging.getLogger("apprise")
    listener = Listener(level=logging.WARNING)
    log.addHandler(listener)
    try:
        yield said
    finally:
        log.removeHandler(listener)


if __name__ == "__main__":
    main()
