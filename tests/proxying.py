"""nginx and Caddy in front of a box under test: as we ship them, or spoiled in one way."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.end_to_end.box import free_port
from tests.web.serving import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
NGINX_CONF = ROOT / "docs" / "proxy" / "nginx.conf"
CADDYFILE = ROOT / "docs" / "proxy" / "Caddyfile"


def program(name: str) -> str:
    """Its path. Without one: an error where tests must be complete, elsewhere a skip."""
    # Debian puts nginx where few people's PATH leads.
    if path := shutil.which(name) or shutil.which(name, path="/usr/sbin"):
        return path
    sentence = f"There is no {name}; on Debian: sudo apt-get install {name}"
    if os.environ.get("CI") == "true" or os.geteuid() == 0:
        raise RuntimeError(sentence)
    pytest.skip(sentence)


def caddy_version() -> tuple[int, ...]:
    said = subprocess.run([program("caddy"), "version"], capture_output=True, text=True, check=True)
    found = re.search(r"\d+(?:\.\d+)+", said.stdout)
    assert found is not None
    return tuple(int(part) for part in found[0].split("."))


@dataclass(frozen=True)
class Certificate:
    """For localhost, trusted by whoever is given ``cert`` as its authority."""

    cert: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    at = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - datetime.timedelta(days=1))
        .not_valid_after(at + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    made.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made


def shipped_nginx(
    backend: str, port: int, certificate: Certificate | None, *, media: Path | None = None
) -> str:
    """docs/proxy/nginx.conf with its marked lines filled in. ``backend``: host:port or unix:…

    ``media``: nginx sends the files below it by itself.
    """
    text = NGINX_CONF.read_text()
    if media is not None:
        text = text.replace("#sendfile# ", "").replace("/var/lib/appliance/media/", f"{media}/")
    filled = {
        r"server unix:/run/appliance/web\.sock;  # <-": f"server {backend};",
        r"server_name video\.example\.org;  # <-.*": "server_name localhost;",
    }
    if certificate is None:
        filled |= {
            r"listen 443 ssl http2;": f"listen 127.0.0.1:{port};",
            r"ssl_certificate(_key)? .*": "",
        }
    else:
        filled |= {
            r"listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
            r"ssl_certificate .*": f"ssl_certificate {certificate.cert};",
            r"ssl_certificate_key .*": f"ssl_certificate_key {certificate.key};",
        }
    for pattern, value in filled.items():
        text, count = re.subn(pattern, value, text)
        assert count, f"{pattern} is not in {NGINX_CONF.name}"
    # The server of port 80 is not for tests.
    return text[: text.index("\nserver {\n    listen 80;")]


@contextmanager
def nginx(site: str, folder: Path, port: int, *, https: bool = False) -> Iterator[str]:
    """``site``: what stands inside of http { … }; its address."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = folder / "nginx.conf"
    whole.write_text(
        f"daemon off; pid {folder}/pid; worker_processes 1; error_log stderr warn;\n"
        + ("user root;\n" if os.geteuid() == 0 else "")
        + f"events {{}}\nhttp {{\naccess_log off;\n{temporary}\n{site}\n}}\n"
    )
    command = [program("nginx"), "-p", str(folder), "-c", str(whole), "-e", "stderr"]
    with _running(command, folder, {}):
        scheme, host = ("https", "localhost") if https else ("http", "127.0.0.1")
        url = f"{scheme}://{host}:{port}"
        _wait(port)
        yield url


@contextmanager
def caddy(
    backend: str,
    folder: Path,
    *,
    text: str = "",
    certificate: Certificate | None = None,
    port: int = 0,
    media: Path | None = None,
) -> Iterator[str]:
    """The shipped Caddyfile, or ``text``; its address. ``backend``: host:port or unix//path.

    ``media``: Caddy sends the files below it by itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    url = f"{'https' if certificate else 'http'}://localhost:{port}"
    text = text or CADDYFILE.read_text()
    if certificate is not None:
        # Its own way to a certificate asks the network.
        site = "{$BOX_SITE:video.example.org} {\n"
        assert site in text
        text = text.replace(site, f"{site}\ttls {certificate.cert} {certificate.key}\n")
    config = folder / "Caddyfile"
    config.write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + text)
    environment = {"BOX_SITE": url, "BOX_BACKEND": backend, "HOME": str(folder)}
    environment |= {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    if media is not None:
        environment |= {"BOX_SENDFILE": "X-Accel-Redirect", "BOX_MEDIA": str(media)}
    command = [program("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"]
    with _running(command, folder, environment):
        _wait(port)
        yield url


def _wait(port: int) -> None:
    """Until it takes connections; what it answers without a box behind it is not waited for."""

    def listens() -> bool:
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", port)) == 0

    wait_until(f"the proxy listens at port {port}", listens)


@contextmanager
def _running(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=output
        )
    try:
        yield
    except BaseException:
        print(log.read_text()[-3000:])
        raise
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
