"""Where the platforms are: one table of addresses, and a client for each.

The very same publishers talk to a platform and to its stand-in on this box: an account in practice
mode has other addresses, and its connection goes to the own socket.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import httpx

from appliance.db import database
from tasks.publish.lease_guard import before_request
from tasks.publish.own_socket import TIMEOUT, certificates, listening_address, own_socket_client

if TYPE_CHECKING:
    from appliance.settings import Settings


class Service(StrEnum):
    """A host of a platform. The setting ``<value>_url`` replaces its scheme and host."""

    GOOGLE_AUTH = "google_auth"
    GOOGLE_TOKEN = "google_token"
    YOUTUBE_API = "youtube_api"
    FACEBOOK_DIALOG = "facebook_dialog"
    FACEBOOK_GRAPH = "facebook_graph"
    INSTAGRAM_GRAPH = "instagram_graph"
    META_RUPLOAD = "meta_rupload"


# Below the box's own address; what follows is the platform's own path.
STAND_INS = {
    Service.GOOGLE_AUTH: "/practice/google",
    Service.GOOGLE_TOKEN: "/practice/google",
    Service.YOUTUBE_API: "/practice/google",
    Service.FACEBOOK_DIALOG: "/practice/meta",
    Service.FACEBOOK_GRAPH: "/practice/meta",
    Service.INSTAGRAM_GRAPH: "/practice/meta",
    Service.META_RUPLOAD: "/practice/meta",
}


def address_of(settings: Settings, service: Service, *, practice: bool) -> str:
    """Without a slash at the end; put the platform's path behind it."""
    if practice:
        return settings.base_url + STAND_INS[service]
    url: str = getattr(settings, f"{service.value}_url")
    return url.rstrip("/")


def client_for(
    settings: Settings, service: Service, *, practice: bool, **options: Any
) -> httpx.Client:
    """A client whose relative addresses (with a slash in front) are the service's paths.

    One for each call: a kept-alive connection that the other side closes just now would look like
    a lost answer. Follows no redirects (308 is an answer of resumable uploads). Wants no open
    connection to the database, and opens one for a moment.
    """
    base_url = address_of(settings, service, practice=practice)
    if practice:
        with database.connection_context():
            address = listening_address(settings)
        client = own_socket_client(settings, address, **options)
        client.base_url = httpx.URL(base_url)
        return client
    return httpx.Client(
        base_url=base_url,
        timeout=options.pop("timeout", TIMEOUT),
        follow_redirects=False,
        verify=certificates(),
        event_hooks={"request": [before_request]},
        **options,
    )
