"""The job "certificate": read, as a browser would, the certificate that the box serves."""

from __future__ import annotations

import logging
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509

from appliance import certificates
from appliance.certificates import Certificate
from appliance.clock import now
from appliance.text import clean_line
from tasks.alerting import reach

if TYPE_CHECKING:
    from appliance.models import Job
    from appliance.settings import Settings
    from tasks.context import Context, Outcome

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0


def look(settings: Settings) -> Certificate | None:
    """None: the box is not reached over https. No connection of the database is needed."""
    parts = urlsplit(settings.base_url)
    if parts.scheme != "https" or parts.hostname is None:
        return None
    return read(parts.hostname, parts.port or 443)


def read(host: str, port: int) -> Certificate:
    """Never raises: what went wrong stands in ``error``."""
    at = now()
    try:
        shown = _ask(host, port)
        found = x509.load_der_x509_certificate(shown)
    except (OSError, ValueError) as exc:
        return Certificate(at, host, error=f"{_words(exc)}. {reach.why_not([host])}".strip(". "))
    return Certificate(
        at,
        host,
        begins_at=found.not_valid_before_utc,
        ends_at=found.not_valid_after_utc,
        issuer=clean_line(_issuer(found), max_bytes=200),
        distrust=_distrust(host, port),
    )


def _ask(host: str, port: int) -> bytes:
    """Whatever it is: also one that has ended is looked at."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout=TIMEOUT_S) as raw,
        context.wrap_socket(raw, server_hostname=host) as secured,
    ):
        shown = secured.getpeercert(binary_form=True)
    if not shown:
        raise ValueError("it showed none")
    return shown


def _distrust(host: str, port: int) -> str:
    """An authority of one's own is no trouble, but worth a word."""
    try:
        with (
            socket.create_connection((host, port), timeout=TIMEOUT_S) as raw,
            ssl.create_default_context().wrap_socket(raw, server_hostname=host),
        ):
            return ""
    except ssl.SSLCertVerificationError as exc:
        return clean_line(exc.verify_message, max_bytes=200)
    except OSError as exc:
        return _words(exc)


def _issuer(found: x509.Certificate) -> str:
    for oid in (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME):
        if names := found.issuer.get_attributes_for_oid(oid):
            return str(names[0].value)
    return ""


def _words(exc: Exception) -> str:
    said = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return clean_line(str(said), max_bytes=200)


def read_certificate(job: Job, context: Context) -> Outcome:
    """The job, once a day."""
    found = look(context.settings)
    if found is None:
        return None
    if found.error:
        log.warning("The certificate of %s can't be read: %s", found.host, found.error)
    return partial(certificates.keep, found)
