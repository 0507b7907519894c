"""What has to be done once at Google and Meta, step by step, and what the box can see of it. Pure.

The same list is the page Settings → Accounts → Set up and the command `appliance accounts setup`;
docs/accounts.md tells the same at length.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tasks.connect.google import Google
from tasks.connect.meta import Meta

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from appliance.oauth_clients import About


class Verdict(StrEnum):
    OK = "ok"
    BAD = "bad"
    WARN = "warn"
    UNKNOWN = "unknown"  # only a person can look


@dataclass(frozen=True)
class Step:
    """``copies``: (label, text) to be copied there. ``finding``: what the box sees of it."""

    name: str
    title: str
    text: str
    verdict: Verdict = Verdict.UNKNOWN
    finding: str = ""
    link: str = ""
    copies: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Seen:
    """What the box knows. ``check``: `flow.client_check`. ``accounts``: the facts of the connected
    accounts of this provider that aren't practice, each with its "platform".

    ``locked``: a video came out locked as private, as those of unaudited projects do.
    """

    base_url: str
    redirect: str
    client: About
    check: Mapping[str, Any]
    accounts: tuple[Mapping[str, Any], ...] = ()
    privacy_contact: str = ""
    worker_alive: bool = True
    locked: bool = False


def steps(provider: str, seen: Seen) -> list[Step]:
    """The list for "google" or "meta"."""
    return _google(seen) if provider == "google" else _meta(seen)


def _google(seen: Seen) -> list[Step]:
    scopes = "\n".join(scope.name for scope in Google.scopes)
    return [
        Step(
            "project",
            "Make a project and switch on the YouTube Data API",
            "In the Google Cloud console make a project, then open the library of APIs, look for "
            "“YouTube Data API v3” and press Enable.",
            *_done_if(seen.accounts, "A channel answered: it is on."),
            link="https://console.cloud.google.com/apis/library/youtube.googleapis.com",
        ),
        Step(
            "branding",
            "Fill in who asks for consent",
            "Google Auth platform → Branding: the name people will see, your mail address, and "
            "these two pages of this box. Audience: External.",
            *_pages_verdict(seen),
            link="https://console.cloud.google.com/auth/branding",
            copies=_pages(seen.base_url),
        ),
        Step(
            "scopes",
            "Add the permissions",
            "Google Auth platform → Data access → Add or remove scopes: enter these three by hand.",
            *_done_if(seen.accounts, "A channel was connected with all three."),
            link="https://console.cloud.google.com/auth/scopes",
            copies=(("Scopes", scopes),),
        ),
        Step(
            "testing",
            "Leave “Testing”",
            "Google Auth platform → Audience → Publish app. While it says “Testing”, Google ends "
            "each sign-in after 7 days, and all channels drop out.",
            *_testing(seen),
            link="https://console.cloud.google.com/auth/audience",
        ),
        Step(
            "client",
            "Make a client for this box",
            "Google Auth platform → Clients → Create client, type “Web application”. Add this "
            "address under Authorised redirect URIs, letter by letter.",
            *_redirect(seen, raw_addresses=False),
            link="https://console.cloud.google.com/auth/clients",
            copies=(("Redirect address", seen.redirect),),
        ),
        _entered(seen, "Enter the client id and secret here", "Google shows the secret only once."),
        Step(
            "audit",
            "Ask for the audit of the project",
            "Videos that a project without audit uploads stay locked as private, for ever: they "
            "have to be uploaded again after it. Ask for it early, it takes weeks. Until then post "
            "as private or unlisted, and try things out in practice mode.",
            Verdict.BAD if seen.locked else Verdict.UNKNOWN,
            "A video was locked as private by YouTube: the project isn't audited."
            if seen.locked
            else "Only a post shows it: the box compares what YouTube made of its privacy.",
            link="https://support.google.com/youtube/contact/yt_api_form",
        ),
        _worker(seen),
    ]


def _meta(seen: Seen) -> list[Step]:
    scopes = ", ".join(scope.name for scope in Meta.scopes)
    has_instagram = any(facts.get("platform") == "instagram" for facts in seen.accounts)
    return [
        Step(
            "app",
            "Make an app",
            "At Meta for Developers: Create app, type Business. Add the use cases for managing "
            "Pages and for Instagram content.",
            *_done_if(seen.accounts, "An account was connected with it."),
            link="https://developers.facebook.com/apps/creation/",
        ),
        Step(
            "client",
            "Let it lead back to this box",
            "Facebook Login for Business → Settings: add this address under Valid OAuth Redirect "
            "URIs, letter by letter. “Client OAuth login” and “Web OAuth login” stay on.",
            *_redirect(seen, raw_addresses=True),
            link="https://developers.facebook.com/apps/",
            copies=(("Redirect address", seen.redirect),),
        ),
        Step(
            "branding",
            "Name the pages about data",
            "App settings → Basic: these two as Privacy policy URL and as Data deletion "
            "instructions URL.",
            *_pages_verdict(seen),
            copies=_pages(seen.base_url),
        ),
        _entered(
            seen,
            "Enter the app id and secret here",
            "App settings → Basic. “Require app secret” under Advanced stays off.",
        ),
        Step(
            "scopes",
            "Ask for the permissions",
            "App review → Permissions: advanced access to all of these. Without it only people "
            "with a role in the app can connect their Pages.",
            *_missing(seen.accounts),
            copies=(("Permissions", scopes),),
        ),
        Step(
            "live",
            "Switch the app to Live",
            "At the top of the app's dashboard. What an app in Development posts is seen by "
            "nobody but the people with a role in it.",
            Verdict.UNKNOWN,
            "Only a person can see it: open a post while signed out of Facebook.",
        ),
        Step(
            "instagram",
            "Tie the Instagram account to the Page",
            "In the Instagram app: Settings → Account type → Professional; then on the Page: "
            "Settings → Linked accounts → Instagram. Both come in with one sign-in.",
            Verdict.OK if has_instagram else Verdict.UNKNOWN,
            "An Instagram account is connected." if has_instagram else "",
        ),
        Step(
            "public",
            "Be reachable from the internet",
            "Instagram fetches the video from this box, by a link that lives while it needs it.",
            *_reachable(seen.base_url),
        ),
        _worker(seen),
    ]


def _pages(base_url: str) -> tuple[tuple[str, str], ...]:
    return (
        ("Privacy policy", f"{base_url}/privacy"),
        ("Data deletion", f"{base_url}/data-deletion"),
    )


def _pages_verdict(seen: Seen) -> tuple[Verdict, str]:
    if not seen.privacy_contact:
        return Verdict.WARN, "The pages name nobody to write to: set APPLIANCE_PRIVACY_CONTACT."
    if not seen.base_url.startswith("https://"):
        return Verdict.WARN, "Reviewers open them in a browser: they need an https address."
    return Verdict.OK, f"They name {seen.privacy_contact}."


def _entered(seen: Seen, title: str, text: str) -> Step:
    verdict, finding = Verdict.OK, "Entered. Press “Check” to have it tried."
    code = seen.check.get("code")
    if not seen.client.id:
        verdict, finding = Verdict.BAD, "Nothing is entered yet."
    elif not seen.client.has_secret:
        verdict, finding = Verdict.BAD, "The secret is missing."
    elif code == "ok":
        finding = "It was tried: id and secret belong together."
    elif code == "checking":
        verdict, finding = Verdict.UNKNOWN, "It is being tried…"
    elif code:
        verdict, finding = Verdict.BAD, str(seen.check.get("sentence", ""))
    return Step("entered", title, text, verdict, finding)


def _testing(seen: Seen) -> tuple[Verdict, str]:
    if any(facts.get("testing") for facts in seen.accounts):
        return Verdict.BAD, "It is in “Testing”: Google said that a sign-in ends within 7 days."
    return _done_if(seen.accounts, "Google gave a sign-in without an end.")


def _done_if(accounts: Iterable[Mapping[str, Any]], finding: str) -> tuple[Verdict, str]:
    return (Verdict.OK, finding) if any(True for _ in accounts) else (Verdict.UNKNOWN, "")


def _missing(accounts: Iterable[Mapping[str, Any]]) -> tuple[Verdict, str]:
    accounts = list(accounts)
    missing = sorted({str(words) for facts in accounts for words in facts.get("missing") or ()})
    if missing:
        return Verdict.WARN, f"Not allowed so far: {', '.join(missing)}."
    return _done_if(accounts, "An account was connected with all of them.")


def _redirect(seen: Seen, *, raw_addresses: bool) -> tuple[Verdict, str]:
    """Source: developers.google.com/identity/protocols/oauth2/web-server#uri-validation."""
    parts = urlsplit(seen.base_url)
    host = parts.hostname or ""
    if is_loopback(host):
        return Verdict.WARN, (
            "It works for browsers on this very machine. For others set APPLIANCE_PUBLIC_URL to "
            "the https address of the box."
        )
    if parts.scheme != "https":
        return Verdict.BAD, (
            "It begins with http, which is refused. Set up https and APPLIANCE_PUBLIC_URL."
        )
    if _is_ip(host) and not raw_addresses:
        return Verdict.BAD, "Google refuses addresses of numbers. Give the box a name."
    if "." not in host or host.endswith((".local", ".lan", ".internal", ".home.arpa")):
        return Verdict.BAD, (
            f"“{host}” is a name of your own network, which is refused. Give the box a public name."
        )
    return Verdict.OK, "https, and a public name."


def _reachable(base_url: str) -> tuple[Verdict, str]:
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if is_loopback(host) or "." not in host:
        return Verdict.WARN, (
            "This address is not on the internet, so files are sent instead of fetched, which "
            "Instagram takes less reliably. Set APPLIANCE_PUBLIC_URL."
        )
    if parts.scheme != "https":
        return Verdict.WARN, "Use https: platforms refuse to fetch from plain http."
    return Verdict.OK, "https, and a public name. The first post shows whether it is open."


def _worker(seen: Seen) -> Step:
    return Step(
        "worker",
        "The delivery worker runs",
        "It alone talks to the platforms; sign-ins wait for it.",
        Verdict.OK if seen.worker_alive else Verdict.BAD,
        "It runs." if seen.worker_alive else "It doesn't run. Start it: appliance worker delivery.",
    )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
