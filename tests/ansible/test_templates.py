"""What the roles write: each setting arrives as it was given, and Caddy takes its file."""

from __future__ import annotations

import os
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from appliance.settings import Settings, load_settings
from tests.ansible.parts import ANSIBLE, Case, rendered
from tests.proxying import make_certificate, program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.proxying import Certificate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SECRETS = {name for name, field in Settings.model_fields.items() if "Secret" in str(field)}


def sample(name: str) -> Any:
    """A value that differs from nothing: the default, or one of ours where that is none."""
    default = Settings.model_fields[name].default
    if name in ("data", "sandbox_socket", "ffmpeg", "folder", "backup_folder"):
        return f"/srv/{name}"
    if name == "public_url":
        return "https://video.example.org"
    if name == "keep_originals":
        return "delete:30"
    if default is None:
        kind = str(Settings.model_fields[name].annotation)
        return "https://a.example.org" if name.endswith("_url") else 3 if "str" not in kind else "x"
    return default


ALL_SETTINGS = {name: sample(name) for name in Settings.model_fields if name not in SECRETS}
ALL_SETTINGS["team_name"] = 'Ünal "&" Söhne\\ \n\t'
SITES: dict[str, dict[str, Any]] = {
    "plain": {},
    "private": {"caddy_tls": "internal", "caddy_media_domain": "media.example.org"},
    "behind": {
        "caddy_email": "a@example.org",
        "caddy_trusted_proxies": ["192.0.2.0/24", "2001:db8::/32"],
    },
    "own": {"caddy_tls": "files"},
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rendered")


@pytest.fixture(scope="module")
def texts(folder: Path, certificate: Certificate) -> dict[str, str]:
    """All that is looked at below, by the name of its file in ``folder``."""
    toml, domain = "appliance.toml.j2", {"domain": "video.example.org"}
    secret = {name: "a-secret" for name in SECRETS} | {"team_name": "Films"}
    own = {"caddy_certificate": str(certificate.cert), "caddy_key": str(certificate.key)}
    firewall = {
        "firewall_ssh_ports": [22, 2222],
        "firewall_open": ["51820/udp", 8443],
        "firewall_web_from": ["192.0.2.0/24", "2001:db8::/32"],
    }
    cases = {
        "settings": Case("settings", toml, {**domain, "settings_given": ALL_SETTINGS}),
        "secret": Case("settings", toml, {**domain, "settings_given": secret}),
        "reach": Case("services", "reach.conf.j2", {"appliance_reach": ["10.0.0.7", "fd12::/64"]}),
        "media": Case("settings", toml, {**domain, "caddy_media_domain": "media.example.org"}),
        "network": Case(
            "settings",
            toml,
            {
                **domain,
                "caddy_media_domain": "origin.example.org",
                "settings_given": {"media_url": "https://cdn.example.org"},
            },
        ),
        "firewall": Case("firewall", "firewall.nft.j2", firewall),
    }
    for name, chosen in SITES.items():
        cases[name] = Case("caddy", "Caddyfile.j2", {**domain, **own, **chosen})
    return rendered(cases, folder)


def test_every_setting_can_be_given_in_the_inventory(texts: dict[str, str], folder: Path) -> None:
    assert tomllib.loads(texts["settings"]) == ALL_SETTINGS
    read = load_settings({"APPLIANCE_CONFIG": str(folder / "settings")})
    assert read.model_fields_set == set(ALL_SETTINGS)
    assert (read.team_name, str(read.data)) == (ALL_SETTINGS["team_name"], "/srv/data")


def test_the_playbook_knows_which_settings_are_secret() -> None:
    defaults = yaml.safe_load((ANSIBLE / "roles/settings/defaults/main.yml").read_text())
    assert set(defaults["settings_secret_names"]) == SECRETS


def test_no_secret_gets_into_the_file(texts: dict[str, str]) -> None:
    assert "a-secret" not in texts["secret"]
    assert tomllib.loads(texts["secret"]) == {
        "data": "/var/lib/appliance",
        "listen": "unix:/run/appliance/web.sock",
        "public_url": "https://video.example.org",
        "sandbox": "systemd",
        "backup_folder": "/var/backups/appliance",
        "team_name": "Films",
    }


def test_what_may_be_reached_is_what_systemd_allows(texts: dict[str, str]) -> None:
    said = [line for line in texts["reach"].splitlines() if not line.startswith("#")]
    assert said == ["[Service]", "IPAddressAllow=10.0.0.7 fd12::/64"]


def test_links_begin_with_the_second_name(texts: dict[str, str]) -> None:
    assert tomllib.loads(texts["media"])["media_url"] == "https://media.example.org"
    assert tomllib.loads(texts["network"])["media_url"] == "https://cdn.example.org"
    assert "media_url" not in tomllib.loads(texts["secret"])


@pytest.mark.parametrize("name", list(SITES))
def test_caddy_takes_its_configuration(name: str, texts: dict[str, str], folder: Path) -> None:
    command = [program("caddy"), "validate", "--adapter", "caddyfile", "--config", folder / name]
    done = subprocess.run(
        command,
        env={**os.environ, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    text, sites = texts[name], 2 if name == "private" else 1
    assert "{$" not in text, "a name was not filled in"
    assert text.count("tls internal") == (2 if name == "private" else 0)
    assert text.count("not path /public/*") == sites - 1
    assert text.count("trusted_proxies 192.0.2.0/24 2001:db8::/32") == (name == "behind")
    # What the shipped site does is not lost on the way.
    for line in ("flush_interval -1", "keepalive 4s", "root * /var/lib/appliance/media"):
        assert text.count(line) == sites


def test_the_firewall_always_lets_ssh_in(texts: dict[str, str]) -> None:
    lines = [line.strip() for line in texts["firewall"].splitlines()]
    assert "tcp dport { 22, 2222 } accept" in lines
    assert "udp dport 51820 accept" in lines and "tcp dport 8443 accept" in lines
    assert "ip saddr { 192.0.2.0/24 } tcp dport { 80, 443 } accept" in lines
    assert "ip6 saddr { 2001:db8::/32 } udp dport 443 accept" in lines
    assert "tcp dport { 80, 443 } accept" not in lines
