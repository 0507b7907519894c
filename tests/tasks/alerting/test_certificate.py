"""The certificate that the box serves, read from a real server on loopback."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance import certificates, jobs
from appliance.models import Job
from appliance.states import JobState
from tasks.alerting import certificate
from tests.tasks.doing import run_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.settings import Settings

NOW = datetime.now(UTC).replace(microsecond=0)
Key = ec.EllipticCurvePrivateKey


def issue(
    name: str, key: Key, issuer: str, by: Key, *, ends: datetime, is_ca: bool = False
) -> x509.Certificate:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=90))
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=is_ca, crl_sign=is_ca,
                content_commitment=False, key_encipherment=False, data_encipherment=False,
                key_agreement=False, encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
        .sign(by, hashes.SHA256())
    )  # fmt: skip


@contextmanager
def served(folder: Path, *, ends: datetime) -> Iterator[tuple[int, Path]]:
    """The port of a server with a certificate for "localhost", and its authority's own."""
    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = issue(
        "Pier Root", root, "Pier Root", root, ends=NOW + timedelta(days=900), is_ca=True
    )
    shown = issue("localhost", key, "Pier Root", root, ends=ends)
    pem = serialization.Encoding.PEM
    (folder / "root.pem").write_bytes(authority.public_bytes(pem))
    (folder / "both.pem").write_bytes(
        shown.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    raw, _ = server.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(raw, server_side=True) as secured:
                        secured.recv(1)
                except OSError:
                    raw.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield server.getsockname()[1], folder / "root.pem"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_its_times_and_its_issuer_are_read_and_what_browsers_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = NOW + timedelta(days=20)
    with served(tmp_path, ends=ends) as (port, authority):
        stranger = certificate.read("localhost", port)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        known = certificate.read("localhost", port)
        wrong_name = certificate.read("127.0.0.1", port)
    assert (known.begins_at, known.ends_at) == (NOW - timedelta(days=90), ends)
    assert (known.issuer, known.distrust, known.error) == ("Pier Root", "", "")
    # An authority of one's own is no error: all is read, and it is said.
    assert (stranger.ends_at, stranger.error) == (ends, "")
    assert "issuer certificate" in stranger.distrust
    assert "mismatch" in wrong_name.distrust and wrong_name.ends_at == ends


def test_one_that_has_ended_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = NOW - timedelta(days=1)
    with served(tmp_path, ends=ends) as (port, authority):
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        found = certificate.read("localhost", port)
    assert (found.ends_at, found.error) == (ends, "") and "expired" in found.distrust


def test_where_nobody_speaks_tls_the_reason_stands(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert certificate.read("localhost", port).error == "Connection refused"


def test_the_job_keeps_what_it_has_read(tmp_path: Path, settings: Settings, db: None) -> None:
    with served(tmp_path, ends=NOW + timedelta(days=20)) as (port, _):
        jobs.create("certificate", "certificate")
        run_all(settings.model_copy(update={"public_url": f"https://localhost:{port}"}))
    assert Job.get().state is JobState.COMPLETED
    kept = certificates.latest()
    assert kept is not None and kept.host == "localhost"
    assert kept.ends_at == NOW + timedelta(days=20)
