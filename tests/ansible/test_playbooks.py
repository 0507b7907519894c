"""The playbooks: their form, and what they say to whoever gives them something that can't be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.parts import ANSIBLE, Case, refusals
from tests.end_to_end.box import ROOT
from tests.provisioning.installing import play

LOCAL = "localhost,"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_they_are_in_the_form_of_ansible_lint_s_production_profile() -> None:
    lint = Path(sys.executable).with_name("ansible-lint")
    done = subprocess.run(
        [lint, "--offline", "--profile", "production", "--nocolor", "--strict", "ansible"],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C.UTF-8", "PATH": f"{lint.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("playbook", ["site.yml", "uninstall.yml"])
def test_ansible_can_read_them(playbook: str) -> None:
    played = play(LOCAL, playbook, "--syntax-check")
    assert played.code == 0, played.said


def test_only_modules_that_come_with_ansible_are_used() -> None:
    module = re.compile(r"^\s+(?:- )?([a-z_]+\.[a-z_]+\.[a-z_]+):", re.M)
    named = {name for file in ANSIBLE.rglob("*.yml") for name in module.findall(file.read_text())}
    assert "ansible.builtin.copy" in named
    assert {name for name in named if not name.startswith("ansible.builtin.")} == set()


GOOD = {
    "preflight_distribution": "Debian",
    "preflight_version": "12.9",
    "preflight_architecture": "x86_64",
    "preflight_memory_mib": 2048,
    "preflight_room_mib": 5000,
    "preflight_is_root": True,
    "preflight_service_manager": "systemd",
    "preflight_others": [],
}
MACHINES: dict[str, tuple[dict[str, Any], str]] = {
    "debian-12": ({}, ""),
    "debian-13": ({"preflight_version": "13.1"}, ""),
    "ubuntu-24": ({"preflight_distribution": "Ubuntu", "preflight_version": "24.04"}, ""),
    "ubuntu-26": ({"preflight_distribution": "Ubuntu", "preflight_version": "26.04"}, ""),
    "fedora": (
        {"preflight_distribution": "Fedora", "preflight_version": "44"},
        "runs Fedora 44. The appliance can be installed on Debian 12 and 13, Ubuntu 24.04 and",
    ),
    "debian-11": ({"preflight_version": "11.9"}, "runs Debian 11.9"),
    "ubuntu-22": (
        {"preflight_distribution": "Ubuntu", "preflight_version": "22.04"},
        "runs Ubuntu 22.04",
    ),
    "processor": ({"preflight_architecture": "armv7l"}, "64 bits"),
    "memory": ({"preflight_memory_mib": 512}, "has 512 MiB of memory"),
    "disk": ({"preflight_room_mib": 900}, "only 900 MiB free"),
    "no-sudo": ({"preflight_is_root": False}, "can't become root"),
    "no-systemd": ({"preflight_service_manager": "sysvinit"}, "(sysvinit does)"),
    "port": ({"preflight_others": ["apache2"]}, "systemctl disable --now apache2"),
}
ADDRESSES = {
    "no-address": ("", "No address is given"),
    "a-link": ("https://video.example.org", "can not be used: people open the box at it."),
    "capitals": ("Video.Example.org", "in small letters"),
}


def test_who_gives_something_that_can_t_be_is_told_in_a_sentence(tmp_path: Path) -> None:
    model, other = tmp_path / "model.bin", tmp_path / "other-1.0-py3-none-any.whl"
    model.write_bytes(b"a model")
    other.write_bytes(b"")
    speech = {"speech_model": str(model), "speech_folder": str(tmp_path / "models")}
    speech |= {"ansible_become": False}
    wanted = {
        **{
            name: (Case("preflight", "judge", {**GOOD, **given}), sentence)
            for name, (given, sentence) in MACHINES.items()
        },
        **{
            name: (Case("preflight", "main", {**GOOD, "domain": domain}), sentence)
            for name, (domain, sentence) in ADDRESSES.items()
        },
        "reach": (
            Case(
                "preflight", "main", {"domain": "a.lan", "appliance_reach": ["10.0.0.7", "a.lan"]}
            ),
            "appliance_reach can not be used: a.lan is no address or network, such as 192.168.1.25",
        ),
        "other-wheel": (
            Case("release", "wheel", {"appliance_wheel": str(other)}),
            "is no wheel named media_appliance-VERSION-py3-none-any.whl. Leave appliance_wheel out",
        ),
        "no-wheel": (
            Case("release", "wheel", {"appliance_wheel": "/media_appliance-1-py3-none-any.whl"}),
            "Leave appliance_wheel out",
        ),
        "no-checksum": (
            Case("speech", "model", {**speech, "speech_model_sha256": ""}),
            "needs speech_model_sha256",
        ),
        "another-checksum": (
            Case("speech", "model", {**speech, "speech_model_sha256": "0" * 64}),
            "is not the file of that checksum",
        ),
        "tls": (Case("caddy", "main", {"caddy_tls": "none"}), "it can be acme, internal"),
        "no-certificate": (Case("caddy", "main", {"caddy_tls": "files"}), "needs the paths"),
    }
    said = refusals({name: case for name, (case, _) in wanted.items()}, tmp_path)
    for name, (_, sentence) in wanted.items():
        assert (sentence in said[name]) if sentence else (said[name] == ""), (name, said[name])
    assert not (tmp_path / "models").exists()


def test_the_wheel_is_built_here_and_the_same_each_time(tmp_path: Path) -> None:
    """A release is named after it, so an unchanged checkout has to give the release of before."""
    hashes = set[bytes]()
    for name in ("one", "two"):
        case = Case("release", "wheel", {"release_folder": str(tmp_path / name / "dist")})
        (tmp_path / name).mkdir()
        assert refusals({"build": case}, tmp_path / name) == {"build": ""}
        (wheel,) = (tmp_path / name / "dist").glob("media_appliance-*.whl")
        hashes.add(wheel.read_bytes())
    assert len(hashes) == 1
