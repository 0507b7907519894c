"""Whether the unit that this runs in is kept from an address, for the sentence of who failed there.

The delivery worker and the watch reach the internet and nothing near (IPAddressDeny=); who needs a
neighbour names it in the inventory. Asked after a failure alone: the kernel drops such packets, so
all that is seen is a time-out.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.checkup.system import CannotAsk, ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

CGROUPS = Path("/proc/self/cgroup")
_UNIT = re.compile(r"/([^/\n]+\.service)$", re.M)


def why_not(hosts: Sequence[str]) -> str:
    """A sentence when this unit may not reach one of them; "": it may, or nobody knows."""
    allowed, denied = _rules()
    if denied:
        for host in hosts:
            for address in resolve(host):
                if is_kept_from(address, allowed, denied):
                    return (
                        f"This service may not reach {address}, which is of your own network: "
                        "name it in appliance_reach of the inventory, and run the playbook."
                    )
    return ""


def is_kept_from(address: str, allowed: Sequence[Network], denied: Sequence[Network]) -> bool:
    """As the kernel does it: what is allowed wins. Source: systemd.resource-control(5)."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in each for each in denied) and not any(found in each for each in allowed)


def resolve(host: str) -> list[str]:
    """Its addresses; none where the name isn't known, which whoever connects says."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [str(entry[4][0]) for entry in found]


def unit_of(cgroups: str) -> str:
    """Of what /proc/PID/cgroup says; "": started by a person."""
    found = _UNIT.search(cgroups)
    return found[1] if found else ""


def networks(answer: str, name: str) -> list[Network]:
    """Of ``systemctl show``'s ``answer`` the list ``name``."""
    said = re.search(rf"^{name}=(.*)$", answer, re.M)
    return [ipaddress.ip_network(each) for each in said[1].split()] if said else []


def _rules() -> tuple[list[Network], list[Network]]:
    """What this very unit is allowed and denied; nothing where systemd can't be asked."""
    with suppress(OSError, CannotAsk, ValueError):
        if unit := unit_of(CGROUPS.read_text()):
            names = ("IPAddressAllow", "IPAddressDeny")
            answer = ask("systemctl", "show", f"--property={','.join(names)}", "--", unit)
            return networks(answer, names[0]), networks(answer, names[1])
    return [], []
