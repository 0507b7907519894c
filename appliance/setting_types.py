"""Types of settings: what a value must look like, and what is said of one that does not.

The sentences end up behind the name of the setting ("APPLIANCE_LISTEN: must be HOST:PORT …").
"""

from __future__ import annotations

import re
from datetime import time
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

T = TypeVar("T")

# What becomes of originals: appliance/retention.py says what the words mean.
_RETENTION = re.compile(r"keep|(?:delete|smaller):[1-9][0-9]{0,3}")
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def night_times(value: str) -> tuple[time, time] | None:
    """ "22:00-06:00" → (22:00, 06:00); None for "": there is no window. Raises ValueError."""
    if not value:
        return None
    found = _HOURS.fullmatch(value)
    if found is None or (found[1], found[2]) == (found[3], found[4]):
        raise ValueError("must be two times such as 22:00-06:00, or empty")
    return time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))


def _listen(value: str) -> str:
    if value.startswith("unix:"):
        if not value.removeprefix("unix:").startswith("/"):
            raise ValueError("the path after unix: must be absolute")
        return value
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ValueError("must be HOST:PORT or unix:/PATH")
    return value


def _public_url(value: str) -> str:
    sentence = "must be an address such as https://video.example.org, without a path"
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as exc:
        raise ValueError(sentence) from exc
    more = (parts.path.strip("/"), parts.query, parts.fragment, parts.username)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(more):
        raise ValueError(sentence)
    return value.rstrip("/")


def _remote_url(value: str) -> str:
    value = _public_url(value)
    parts = urlsplit(value)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError("must begin with https:// (plain http only for this very machine)")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError("must be a time zone such as Europe/Berlin") from exc
    if value not in available_timezones():
        raise ValueError("must be a time zone such as Europe/Berlin")
    return value


def _night_hours(value: str) -> str:
    night_times(value.strip())
    return value.strip()


def _absolute(value: Path) -> Path:
    return value.expanduser().absolute()


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


def _retention(value: str) -> str:
    if not _RETENTION.fullmatch(value):
        raise ValueError("must be keep, delete:DAYS or smaller:DAYS, such as delete:30")
    return value


def _long_secret(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < 20:
        raise ValueError("must have at least 20 characters; make one with: openssl rand -hex 20")
    return value


def _addresses(value: SecretStr) -> SecretStr:
    if not all("://" in word for word in value.get_secret_value().split()):
        raise ValueError("must be addresses such as mailto://… or ntfys://…, with spaces between")
    return value


# A setting that may be left out: an empty variable says the same as none.
Maybe = Annotated[T | None, BeforeValidator(_empty_is_none)]

ListenAddress = Annotated[str, AfterValidator(_listen)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
# Scheme and host of a platform; without TLS only on this machine.
RemoteUrl = Annotated[str, AfterValidator(_remote_url)]
GraphVersion = Annotated[str, Field(pattern=r"^v[0-9]{1,3}\.[0-9]{1,2}$")]
TimeZone = Annotated[str, AfterValidator(_zone)]
NightHours = Annotated[str, AfterValidator(_night_hours)]
OriginalsPolicy = Annotated[str, AfterValidator(_retention)]
FolderPath = Annotated[Path, AfterValidator(_absolute)]
LongSecret = Annotated[SecretStr, AfterValidator(_long_secret)]
AddressList = Annotated[SecretStr, AfterValidator(_addresses)]
