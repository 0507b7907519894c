"""What a sign-in must be able to do. One for each company, for all platforms behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from appliance.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.connections import Found
    from tasks.connect.asking import Desk


@dataclass(frozen=True)
class ScopeNeed:
    """A permission that is asked for. ``required``: without it nothing can be posted."""

    name: str
    words: str
    required: bool = True


class Provider(Protocol):
    """All methods but `dialog` talk to the company: no open connection, never in the web process.

    They raise SignInLost, SignInUnreachable, ConnectRefused.
    """

    scopes: tuple[ScopeNeed, ...]
    refresh_is_vital: bool
    """Whether nothing works when `refreshed` fails; else the tokens at hand may be good still."""

    def dialog(self, desk: Desk, *, state: str, challenge: str) -> str:
        """The address of the page where the person agrees."""
        ...

    def redeem(self, desk: Desk, code: str, verifier: str) -> list[Found]:
        """The code that came back → all accounts that it opens, each looked at once."""
        ...

    def refreshed(self, desk: Desk, credentials: Mapping[str, Any]) -> dict[str, Any]:
        """All credentials, those that end soon made anew; what isn't replaced stays."""
        ...

    def needs_refresh(self, credentials: Mapping[str, Any], *, lasts_s: float) -> bool:
        """Whether something of it ends within ``lasts_s``. Asks nobody."""
        ...

    def probe(
        self, desk: Desk, platform: str, remote_id: str, credentials: Mapping[str, Any]
    ) -> Found:
        """Does it work? One cheap look; ``remote_id`` "": whatever account it opens."""
        ...

    def revoke(self, desk: Desk, credentials: Mapping[str, Any]) -> None:
        """Give the sign-in back. One that is void already is as good."""
        ...

    def check_client(self, desk: Desk) -> None:
        """Are client id and secret right? Without anybody signing in."""
        ...


def provider_named(name: str) -> Provider:
    """Raises NotFound."""
    from tasks.connect.google import Google
    from tasks.connect.meta import Meta

    made: dict[str, type[Provider]] = {"google": Google, "meta": Meta}
    if name not in made:
        raise NotFound(f"There is no sign-in “{name[:64]}”.")
    return made[name]()
