"""The stand-ins of real platforms: one line for each, for the web process and for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from web.practice.google.app import google_router
from web.practice.google.google import Google
from web.practice.meta.app import make_meta, meta_router

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar import Router

    from appliance.settings import Settings
    from web.practice.ground import Ground


class StandIn(Protocol):
    """A stand-in while the process runs: ``app.state.<name>``.

    ``endpoints``: its names of calls, as faults and notes of calls use them → in words.
    """

    ground: Ground
    endpoints: dict[str, str]

    def begin(self) -> None:
        """Threads, if it has some; and tidying up after the last time."""
        ...

    def tidy(self) -> None:
        """Remove what is over by the clock, while it works."""
        ...

    def end(self) -> None:
        """Within two seconds."""
        ...


@dataclass(frozen=True)
class Kind:
    """``routes``: a router below ``/practice``. ``make``: settings, and where the web process
    listens (as `own_socket_client` wants it)."""

    name: str
    label: str
    routes: Callable[[], Router]
    make: Callable[[Settings, str], StandIn]


STAND_INS: tuple[Kind, ...] = (
    Kind("google", "YouTube", google_router, Google),
    Kind("meta", "Facebook and Instagram", meta_router, make_meta),
)
