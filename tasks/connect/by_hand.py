"""An account from a platform's own JSON: for set-ups without a browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance import connections
from appliance.connections import PLATFORMS, Found
from appliance.db import database, transaction
from appliance.errors import InvalidInput
from appliance.models import Account
from appliance.oauth_clients import Client
from appliance.text import clean_line
from tasks.connect.asking import Desk
from tasks.connect.provider import provider_named
from tasks.connect.tokens import box_desk, redirect_for
from tasks.publish import dispatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.settings import Settings
    from appliance.vault import Vault

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True)
class Form:
    """``needs``: what the JSON must have; ``may``: what it may have beside that. ``id``: the name
    of the platform's own number of the account."""

    id: str
    needs: tuple[str, ...]
    may: tuple[str, ...] = ()


FORMS = {
    "youtube": Form(
        "channel_id",
        ("refresh_token",),
        ("client_id", "client_secret", "access_token", "channel_id", "name"),
    ),
    "facebook": Form(
        "page_id",
        ("page_id", "page_token"),
        ("client_id", "client_secret", "user_token", "name"),
    ),
    "instagram": Form(
        "instagram_id",
        ("instagram_id", "page_token"),
        ("page_id", "client_id", "client_secret", "user_token", "name"),
    ),
}


def read(platform: str, data: Any) -> tuple[dict[str, Any], str, str]:
    """Credentials as an account keeps them, the platform's number of it, its name. Pure.

    Raises InvalidInput in a sentence that names what is missing or unknown; never a value.
    """
    form = FORMS.get(platform)
    if form is None:
        raise InvalidInput(f"Accounts of “{platform[:64]}” aren't added by hand. "
                           f"There are: {', '.join(FORMS)}.", field="platform")  # fmt: skip
    if not isinstance(data, dict):
        raise InvalidInput("The credentials must be one JSON object.", field="credentials")
    if unknown := sorted(set(data) - {*form.needs, *form.may}):
        known = ", ".join((*form.needs, *form.may))
        raise InvalidInput(f"“{unknown[0][:64]}” isn't known here. Known are: {known}.",
                           field="credentials")  # fmt: skip
    texts = {name: _text(name, value) for name, value in data.items()}
    if missing := [name for name in form.needs if not texts.get(name)]:
        raise InvalidInput(f"“{missing[0]}” is missing.", field="credentials")
    if bool(texts.get("client_id")) != bool(texts.get("client_secret")):
        raise InvalidInput("client_id and client_secret belong together.", field="credentials")
    id, name = texts.pop(form.id, ""), clean_line(texts.pop("name", ""))
    if id and not _ID.fullmatch(id):
        raise InvalidInput(f"“{form.id}” is no number of {platform}.", field="credentials")
    if "page_token" in texts:
        texts["access_token"] = texts.pop("page_token")
    if platform == "facebook":
        texts["page_id"] = id
    return {name: value for name, value in texts.items() if value}, id, name


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool) or len(str(value)) > 4096:
        raise InvalidInput(f"“{name[:64]}” must be a text.", field="credentials")
    return str(value).strip()


def bring_in(
    settings: Settings,
    vault: Vault,
    platform: str,
    data: Any,
    *,
    practice: bool = False,
    check: bool = True,
) -> Account:
    """The account, connected. With ``check`` the platform is asked whether it works, so never in
    the web process, and without an open connection.

    Raises InvalidInput, and what a `Provider` raises.
    """
    credentials, id, name = read(platform, data)
    found = Found(platform, id, name or id, credentials)
    if check:
        found = _probed(settings, vault, platform, id, credentials, practice=practice)
    elif not id:
        raise InvalidInput(f"Without a look at {platform} “{FORMS[platform].id}” is needed.",
                           field="credentials")  # fmt: skip

    with database.connection_context(), transaction():
        (account,) = connections.adopt(vault, [found], user=None, practice=practice)
        if not check:
            Account.update(checked_at=None).where(Account.id == account.id).execute()
        dispatch.account_settled(account)
        return Account.get_by_id(account.id)


def _probed(
    settings: Settings,
    vault: Vault,
    platform: str,
    id: str,
    credentials: Mapping[str, Any],
    *,
    practice: bool,
) -> Found:
    name = PLATFORMS[platform]
    provider = provider_named(name)
    if credentials.get("client_id"):
        client = Client(str(credentials["client_id"]), str(credentials["client_secret"]))
        desk = Desk(settings, client, practice, redirect_for(settings, name))
    elif provider.refresh_is_vital:
        desk = box_desk(settings, vault, name, practice=practice)
    else:  # a Page's token works without any client
        desk = Desk(settings, Client("", ""), practice)
    whole = dict(credentials)
    if provider.needs_refresh(whole, lasts_s=600):
        whole = provider.refreshed(desk, whole)
    return provider.probe(desk, platform, id, whole)
