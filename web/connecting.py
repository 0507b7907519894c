"""Beginning a sign-in from the browser, and practice accounts in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from appliance import connections, oauth_clients
from appliance.connections import PLATFORMS
from appliance.errors import Conflict
from tasks.connect import flow
from tasks.publish.remotes import Service, address_of
from web.security import CONTENT_SECURITY_POLICY

if TYPE_CHECKING:
    from appliance.models import Account, Connection, Session, User
    from appliance.settings import Settings
    from appliance.vault import Vault

_DIALOGS = (Service.GOOGLE_AUTH, Service.FACEBOOK_DIALOG)


def policy(settings: Settings) -> dict[str, str]:
    """The header of pages with a Connect button: browsers hold a form's redirect to form-action,
    so the two places that people are sent to have to be named there."""
    places = [address_of(settings, service, practice=False) for service in _DIALOGS]
    wide = CONTENT_SECURITY_POLICY.replace(
        "form-action 'self'", f"form-action 'self' {' '.join(places)}"
    )
    return {"Content-Security-Policy": wide}


def begin(
    settings: Settings,
    vault: Vault,
    platform: str,
    *,
    user: User,
    session: Session | None,
    practice: bool,
    account: Account | None,
) -> str:
    """Where the browser goes next. A connection must be open.

    Raises NotFound, ConnectRefused (no client id), Conflict (practice is switched off).
    """
    _allow(settings, platform, practice=practice)
    began = connections.begin(
        vault, platform, user=user, session=session, practice=practice, account=account
    )
    return flow.dialog_address(settings, began)


def _allow(settings: Settings, platform: str, *, practice: bool) -> None:
    connections.provider_of(platform)
    if practice and not settings.practice:
        raise Conflict("Practice is switched off by the settings of this box.")


def make_practice_accounts(app: Any, *, user: User, session: Session | None) -> list[Connection]:
    """One click: an account on each stand-in, without anybody going to its page. The delivery
    worker does the rest as for real ones. A connection must be open. Raises Conflict."""
    settings: Settings = app.state.settings
    vault: Vault = app.state.vault
    begun = []
    for provider in oauth_clients.PROVIDERS:
        stand_in = app.state.get(provider)
        if stand_in is None:
            continue
        platform = next(p for p, of in PLATFORMS.items() if of == provider)
        _allow(settings, platform, practice=True)
        began = connections.begin(
            vault, platform, user=user, session=session, practice=True, take_all=True
        )
        asked = dict(parse_qsl(urlsplit(flow.dialog_address(settings, began)).query))
        begun.append(
            connections.receive(
                vault,
                provider,
                state=began.state,
                code=_consent(provider, stand_in, asked),
                error="",
                user=user,
                session=session,
            )
        )
    if not begun:
        raise Conflict("Practice is switched off by the settings of this box.")
    return begun


def _consent(provider: str, stand_in: Any, asked: dict[str, str]) -> str:
    """What the stand-in's page would send the browser back with, after “yes”."""
    if provider == "google":
        from web.practice.google import grants

        return grants.give_code(stand_in.ground, grants.CHANNELS[0]["id"], asked)
    from web.practice.meta import people

    scopes = asked["scope"].split(",")
    person = people.PEOPLE[0]["id"]
    return people.give_code(stand_in.ground, person, asked["redirect_uri"], scopes)
