"""How this machine reaches its package archives, in the form that a guest takes.

All of it is read when a guest's system is made: archives and proxies from apt, indexes from pip,
authorities that this machine trusts besides those that Debian ships.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")
_APT_WORDS = re.compile(r"Acquire::(?:Check-Valid-Until|Check-Date|https?::|Retries)")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.S)
_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL")
_TRUST_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


def _output(*command: str, **environ: str) -> str:
    done = subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else ""


def apt_sources(suite: str) -> str:
    """Lines of a sources.list for ``suite`` from the archives of this machine."""
    here = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.M)
    assert here is not None, "this system has no code name: is it Debian?"
    asked = ("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)")
    lines = set()
    for line in _output(*asked, "Created-By: Packages").splitlines():
        address, release, component = line.split(maxsplit=2)
        if re.fullmatch(rf"{here[1]}(-updates|-security)?", release):
            lines.add(f"deb {address} {release.replace(here[1], suite, 1)} {component}")
    return "".join(f"{line}\n" for line in sorted(lines))


def apt_options() -> str:
    lines = _output("apt-config", "dump").splitlines()
    return "".join(f"{line}\n" for line in lines if _APT_WORDS.match(line))


def pip_options() -> str:
    """A pip.conf; folders of this machine are left out, for the guest hasn't got them."""
    lines = ["[global]", f"cert = {TRUSTED}", "timeout = 180"]
    pip = shutil.which("pip") or shutil.which("pip3")
    for name in ("index-url", "extra-index-url", "trusted-host", "proxy"):
        said = _output(pip, "config", "get", f"global.{name}") if pip else ""
        lines += [
            f"{name} = {word}" for word in said.split() if not word.startswith(("/", "file:"))
        ]
    return "\n".join(lines) + "\n"


def variables() -> dict[str, str]:
    """For /etc/environment and systemd."""
    named = {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)}
    named |= {name.upper(): named[name] for name in list(named)}
    return named | {name: str(TRUSTED) for name in _TRUST_VARIABLES}


def own_authorities(system: Path) -> list[str]:
    """Certificates, in PEM, that are trusted here and not shipped with the guest's system."""
    if not TRUSTED.exists():
        return []
    shipped = {
        _fingerprint(found)
        for file in (system / "usr/share/ca-certificates").rglob("*.crt")
        for found in _PEM.findall(file.read_text())
    }
    return [
        f"{found[0]}\n"
        for found in _PEM.finditer(TRUSTED.read_text())
        if _fingerprint(found[1]) not in shipped
    ]


def _fingerprint(body: str) -> str:
    return hashlib.sha256(base64.b64decode("".join(body.split()))).hexdigest()
