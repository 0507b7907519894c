"""Addresses of channels, looked at when they are saved and again before something is sent there.

An admin may name any service, on this machine's own network, too; but not the addresses at which
clouds hand out the machine's own credentials, and nothing that writes into this very system.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from appliance.alerts import service_of
from appliance.errors import InvalidInput
from tasks.alerting import apart
from tasks.alerting.reach import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_CHARS = 2000
_IS_HOST = re.compile(r"localhost|[\w-]+(?:\.[\w-]+)+", re.IGNORECASE)
# They tell this system something, not a person; or run what stands on it.
_LOCAL = frozenset({"syslog", "dbus", "qt", "kde", "gnome", "macosx", "windows", "glib", "file"})
# Where clouds answer with credentials to whoever asks. Link-local ones are refused as a whole.
# Source: the providers' pages about instance metadata (AWS, Google, Azure, Alibaba, Oracle).
_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("100.100.100.200", "192.0.0.192", "fd00:ec2::254")
)
_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog"})


def check(address: str) -> str:
    """``address`` without blanks around it, when something can be sent there.

    Raises InvalidInput (field "address"). Asks no network: names are looked up before sending.
    """
    address = look_over(address)
    if refused := apart.ask({"do": "check", "address": address}, apart.CHECK_WITHIN_S):
        raise InvalidInput(refused, field="address")
    return address


def look_over(address: str) -> str:
    """What can be said without Apprise. Raises InvalidInput."""
    address = address.strip()
    if not address:
        raise InvalidInput("Enter the address of the channel.", field="address")
    if len(address) > MAX_CHARS or any(not ch.isprintable() or ch == " " for ch in address):
        raise InvalidInput("An address is one line without blanks.", field="address")
    if service_of(address) in _LOCAL:
        raise InvalidInput(
            "This would tell the machine, not a person. Choose a way that reaches you.",
            field="address",
        )
    return address


def refuse_metadata(opened: Any, *, look_up: bool) -> None:
    """Raises InvalidInput for an address that hands out credentials of the machine.

    ``look_up``: resolve names, too. The unit that sends can't reach link-local addresses anyhow
    (IPAddressDeny=), whatever a name resolves to a moment later.
    """
    for plain in hosts_of(opened):
        found = [plain] if _as_ip(plain) else (resolve(plain) if look_up else [])
        if plain in _METADATA_NAMES or any(map(_is_metadata, found)):
            raise InvalidInput(
                "This address belongs to the machine's own provider, not to a person.",
                field="address",
            )


def hosts_of(opened: Any) -> set[str]:
    """Names and addresses that Apprise's object connects to, as far as they are of the address.

    Many services have a token or a topic in the place of the host: who looked that up as a name
    would tell it to the network.
    """
    hosts = [getattr(opened, "smtp_host", None)]
    is_cloud = getattr(opened, "mode", None) == "cloud"  # ntfys://topic
    if not is_cloud and any("{host}" in template for template in opened.templates):
        hosts.append(opened.host)
    return {str(host).strip("[]").rstrip(".").lower() for host in hosts if host}


def _as_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        pass
    try:  # "2852039166", "0xa9fea9fe", "169.254.43518": what the resolver takes for an address
        return ipaddress.ip_address(socket.inet_aton(text))
    except (OSError, ValueError):
        return None


def _is_metadata(text: str) -> bool:
    found = _as_ip(text)
    if found is None:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.is_link_local or found.is_multicast or found in _METADATA


def without_secrets(text: str, address: str) -> str:
    """``text`` (of a library that failed) with every part of ``address`` but its host left out.

    Of many services the place of the host holds a token, too: it stays only if it looks like one.
    """
    for secret in sorted(_secrets_of(address), key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def _secrets_of(address: str) -> set[str]:
    rest = address.partition("://")[2]
    host = urlsplit(f"//{rest}").netloc.rpartition("@")[2]
    name, _, port = host.partition(":")
    if not (_IS_HOST.fullmatch(name) or port.isdecimal() or host.startswith("[")):
        return {word for word in _words(rest) if len(word) >= 4}
    words = _words(rest.removeprefix(host) if rest.startswith(host) else rest)
    return {word for word in words if len(word) >= 4 and word not in (host, name)}


def _words(text: str) -> Iterable[str]:
    for mark in "/?&=@:,;#":
        text = text.replace(mark, " ")
    for word in text.split():
        yield word
        yield unquote(word)
