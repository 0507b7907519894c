"""The filter ``cannot_reach``: what is wrong with addresses that the units are to reach."""

from __future__ import annotations

import ipaddress
from typing import Any

# What systemd/appliance-watch.service and the delivery worker are kept from (IPAddressDeny=).
NEAR = """
127.0.0.0/8 ::1/128 169.254.0.0/16 fe80::/10 224.0.0.0/4 ff00::/8
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 172.16.0.0/12 192.0.0.0/24 192.168.0.0/16
198.18.0.0/15 240.0.0.0/4 fc00::/7 fec0::/10 64:ff9b:1::/48
"""
# Where clouds hand out a machine's credentials (tasks/alerting/addresses.py), and no neighbour is.
NEVER = """
169.254.0.0/16 fe80::/10 224.0.0.0/4 ff00::/8 0.0.0.0/8 240.0.0.0/4
100.100.100.200 192.0.0.192 fd00:ec2::254
"""


def cannot_reach(given: Any) -> list[str]:
    """Of ``appliance_reach``: a clause for each entry that can't be used, in its order."""
    if not isinstance(given, list):
        return [f"{given} is no list"]
    return [f"{entry} {why}" for entry in given if (why := _why_not(entry))]


def _why_not(entry: Any) -> str:
    try:
        # A text alone: 10.1 would be a number of YAML's, and the address 0.0.0.10.
        network = ipaddress.ip_network(entry if isinstance(entry, str) else "")
    except ValueError:
        return "is no address or network, such as 192.168.1.25 or 192.168.1.0/24"
    if any(_overlap(network, never) for never in NEVER.split()):
        return "has addresses at which clouds hand out a machine's credentials, or nobody is"
    if not any(_within(network, near) for near in NEAR.split()):
        return "is not of a private network; the internet is reached anyway"
    return ""


def _overlap(network: Any, other: str) -> bool:
    there = ipaddress.ip_network(other)
    return network.version == there.version and network.overlaps(there)


def _within(network: Any, other: str) -> bool:
    there = ipaddress.ip_network(other)
    return network.version == there.version and network.subnet_of(there)


class FilterModule:
    """As Ansible looks for it."""

    def filters(self) -> dict[str, Any]:
        return {"cannot_reach": cannot_reach}
