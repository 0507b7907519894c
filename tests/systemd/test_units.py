"""The unit files, as systemd itself reads and judges them; no running systemd is needed."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import click
import pytest

from appliance.cli import cli
from tests.end_to_end.box import ROOT

UNITS = ROOT / "systemd"

# Exposure as `systemd-analyze security` counts it, times ten: what is promised, above what is so.
EXPOSURES = {
    "appliance-web.service": 10,
    "appliance-worker@media.service": 10,
    "appliance-worker@quick.service": 10,
    "appliance-worker@delivery.service": 15,
    "appliance-sandbox@x.service": 10,
    "appliance-backup.service": 10,
    "appliance-backup-drill.service": 10,
    "appliance-cleanup.service": 10,
    "appliance-watch.service": 15,
}
STARTED = [*EXPOSURES, "appliance.target", "appliance-web.socket", "appliance-sandbox.socket"]
STARTED += [f"appliance-{name}.timer" for name in ("backup", "backup-drill", "cleanup", "watch")]

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, of the package systemd"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units, with a program where theirs would be: that one is looked for."""
    folder = tmp_path_factory.mktemp("units")
    shutil.copytree(UNITS, folder, dirs_exist_ok=True)
    for path in folder.rglob("*.service"):
        text = path.read_text()
        assert "=/opt/appliance/current/bin/" in text, path
        path.write_text(re.sub(r"/opt/appliance/current/bin/\w+", "/usr/bin/env", text))
    return folder


def analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_COLORS": "0"}
    return subprocess.run(
        ["systemd-analyze", *words], env=environ, capture_output=True, text=True, timeout=60
    )


@needs_analyze
def test_systemd_understands_every_line(folder: Path) -> None:
    done = analyze(folder, "verify", "--man=no", *STARTED)
    about_ours = [line for line in done.stderr.splitlines() if str(folder) in line]
    assert about_ours == [] and done.returncode == 0, done.stderr


@needs_analyze
def test_a_line_that_systemd_does_not_know_is_found(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "appliance-web.service").open("a") as file:
        file.write("\n[Service]\nProtectEverything=yes\n")
    assert "ProtectEverything" in analyze(tmp_path, "verify", "--man=no", *STARTED).stderr


@needs_analyze
def test_the_example_for_hardware_is_understood_too(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    place = tmp_path / "appliance-sandbox@.service.d"
    place.mkdir()
    shutil.copy(UNITS / "examples/hardware-encoder.conf", place)
    done = analyze(tmp_path, "verify", "--man=no", "appliance-sandbox@x.service")
    assert str(tmp_path) not in done.stderr and done.returncode == 0, done.stderr


@needs_analyze
@pytest.mark.parametrize("unit", EXPOSURES)
def test_each_may_do_as_little_as_promised(folder: Path, unit: str) -> None:
    threshold = f"--threshold={EXPOSURES[unit]}"
    done = analyze(folder, "security", "--offline=true", "--no-pager", threshold, unit)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


@needs_analyze
@pytest.mark.parametrize("unit", ["appliance-watch.service", "appliance-worker@delivery.service"])
def test_what_may_be_reached_near_costs_little(folder: Path, tmp_path: Path, unit: str) -> None:
    """The file that the playbook writes for ``appliance_reach``."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    place = tmp_path / f"{unit}.d"
    place.mkdir(exist_ok=True)
    (place / "50-reach.conf").write_text("[Service]\nIPAddressAllow=192.168.1.25 fd12::/64\n")
    threshold = f"--threshold={EXPOSURES[unit]}"
    done = analyze(tmp_path, "security", "--offline=true", "--no-pager", threshold, unit)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr
    assert analyze(tmp_path, "verify", "--man=no", unit).stderr.count(str(tmp_path)) == 0


def directives(*names: str) -> list[tuple[str, str]]:
    """Of a unit and its drop-ins, in their order."""
    found = []
    for name in names:
        for line in (UNITS / name).read_text().splitlines():
            if line and not line.startswith(("#", "[")):
                key, _, value = line.partition("=")
                found.append((key, value))
    return found


def effective(*names: str) -> dict[str, str]:
    """The last word of each directive that isn't a list."""
    return dict(directives(*names))


WEB = ("appliance-web.service",)
WORKERS = {
    name: ("appliance-worker@.service", f"appliance-worker@{name}.service.d/10-{name}.conf")
    for name in ("media", "quick", "delivery")
}


@pytest.mark.parametrize("files", [WEB, WORKERS["media"], WORKERS["quick"]], ids="/".join)
def test_only_deliveries_have_a_network(files: tuple[str, ...]) -> None:
    last = effective(*files)
    assert last["PrivateNetwork"] == "yes" and last["IPAddressDeny"] == "any"
    assert last["RestrictAddressFamilies"] == "AF_UNIX"
    assert effective(*WORKERS["delivery"])["PrivateNetwork"] == "no"


def test_the_playbook_knows_what_deliveries_are_kept_from() -> None:
    """``appliance_reach`` takes addresses of these alone."""
    spelled = {
        "localhost": "127.0.0.0/8 ::1/128",
        "link-local": "169.254.0.0/16 fe80::/10",
        "multicast": "224.0.0.0/4 ff00::/8",
    }
    near = runpy.run_path(str(ROOT / "ansible/roles/preflight/filter_plugins/near.py"))["NEAR"]
    for files in (WORKERS["delivery"][1:], ("appliance-watch.service",)):
        said = " ".join(v for k, v in directives(*files) if k == "IPAddressDeny").split()
        assert " ".join(spelled.get(each, each) for each in said).split() == near.split()


@pytest.mark.parametrize("files", [WEB, *WORKERS.values()], ids="/".join)
def test_all_that_stay_are_watched_and_started_again_for_ever(files: tuple[str, ...]) -> None:
    last = effective(*files)
    assert (last["Type"], last["KillSignal"], last["Restart"]) == ("notify", "SIGINT", "always")
    assert int(last["WatchdogSec"]) == 30 and last["StartLimitIntervalSec"] == "0"
    assert last["UMask"] == "0027" and last["LimitCORE"] == "0"


def test_a_delivery_in_flight_is_waited_for_and_web_is_not_long() -> None:
    from tasks.worker import PATIENCE_S

    for name, files in WORKERS.items():
        assert PATIENCE_S[name] < int(effective(*files)["TimeoutStopSec"])
    assert int(effective(*WEB)["TimeoutStopSec"]) <= 20


def test_the_key_goes_to_those_who_talk_to_platforms_alone() -> None:
    def has_key(*files: str) -> bool:
        said = directives(*files)
        return any(k.startswith("LoadCredential") and "credentials_key" in v for k, v in said)

    assert has_key(*WEB) and has_key(*WORKERS["delivery"])
    assert not has_key(*WORKERS["media"]) and not has_key(*WORKERS["quick"])
    assert not has_key("appliance-sandbox@.service")


def test_pages_come_before_encodes() -> None:
    def weight(*files: str) -> int:
        return int(effective(*files)["CPUWeight"])

    web, quick, media = weight(*WEB), weight(*WORKERS["quick"]), weight(*WORKERS["media"])
    assert web > quick > 100 > media > weight("system-appliancejobs.slice")
    # Weights count between neighbours: so all of them are in one slice.
    assert effective(*WORKERS["media"])["Slice"] == "system.slice"


def commands_of_units() -> list[tuple[str, list[str]]]:
    found = []
    for path in sorted(UNITS.glob("*.service")):
        for key, value in directives(path.name):
            program, *words = shlex.split(value) if key == "ExecStart" else ("",)
            if program.endswith("/appliance"):
                found.append((path.name, words))
    return found


def options_of(command: click.Command | None) -> set[str]:
    assert command is not None
    return {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize(("unit", "words"), commands_of_units())
def test_what_the_units_start_is_a_command(unit: str, words: list[str]) -> None:
    command: click.Command | None = cli
    for word in words:
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word)
            assert command is not None, (unit, words)
        else:
            # The queue of a worker, or an option of the command.
            assert word == "%i" or word in options_of(command), (unit, words)


def test_every_directive_stands_below_a_comment() -> None:
    """In each file each paragraph of settings has its reason; one paragraph holds few of them."""
    bare = []
    for path in sorted(p for p in UNITS.rglob("*") if p.is_file()):
        for paragraph in re.split(r"\n\s*\n", path.read_text()):
            said = [line for line in paragraph.splitlines() if "=" in line and line[0] != "#"]
            if len(said) > 6 and "#" not in paragraph:
                bare.append((path.name, said[0]))
    assert bare == []


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")
@pytest.mark.skipif(
    shutil.which("systemd-tmpfiles") is None,
    reason="needs systemd-tmpfiles, of the package systemd",
)
def test_users_and_folders_are_made_as_they_should_be(tmp_path: Path) -> None:
    """On a file system of its own; twice, because the playbook and each boot do it again."""
    for kind in ("sysusers", "tmpfiles"):
        place = tmp_path / f"etc/{kind}.d/appliance.conf"
        place.parent.mkdir(parents=True)
        shutil.copy(UNITS / f"appliance-{kind}.conf", place)
    for _ in range(2):
        for program in (["systemd-sysusers"], ["systemd-tmpfiles", "--create"]):
            subprocess.run([*program, f"--root={tmp_path}"], check=True, capture_output=True)
    gids = {
        name: int(rest.split(":")[1])
        for name, _, rest in (
            line.partition(":") for line in (tmp_path / "etc/group").read_text().splitlines()
        )
    }

    def about(path: str) -> tuple[int, int]:
        found = (tmp_path / path).stat()
        return stat.S_IMODE(found.st_mode), found.st_gid

    caddy, ours = gids["caddy"], gids["appliance"]
    assert about("var/lib/appliance") == (0o710, caddy)
    assert about("var/lib/appliance/media") == (0o2710, caddy)
    for closed in ("uploads", "tmp", "trash"):
        assert about(f"var/lib/appliance/{closed}") == (0o2700, caddy)
    assert about("var/backups/appliance") == (0o700, ours)
    assert about("etc/appliance") == (0o750, ours)
    assert about("etc/appliance/credentials") == (0o700, 0)
