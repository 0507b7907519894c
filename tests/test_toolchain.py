"""The files that set-up works from: they agree with each other, and name no package index."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE = json.loads((ROOT / "package.json").read_text())
PACKAGE_LOCK = json.loads((ROOT / "package-lock.json").read_text())
STATIC = ROOT / "web/static"

RUNTIME = PROJECT["project"]["dependencies"]
DEV = PROJECT["dependency-groups"]["dev"]
LOCKS = {name: (ROOT / name).read_text() for name in ("requirements.lock", "requirements-dev.lock")}


def pins(lock: str) -> Iterator[str]:
    """`name==version` with its condition, as written, of each requirement in a lock."""
    return (line.rstrip(" \\") for line in lock.splitlines() if re.match(r"\w", line))


@pytest.mark.parametrize("name", LOCKS)
def test_python_lock_holds_names_versions_and_hashes_only(name: str) -> None:
    pin = r"[a-z0-9.-]+==\S+( ; [^/]+)? \\"
    digest = r"    --hash=sha256:[0-9a-f]{64}( \\)?"
    for line in LOCKS[name].splitlines():
        assert re.fullmatch(f"{pin}|{digest}", line)


@pytest.mark.parametrize(
    ("name", "wanted"), [("requirements.lock", RUNTIME), ("requirements-dev.lock", RUNTIME + DEV)]
)
def test_python_lock_has_what_the_project_pins(name: str, wanted: list[str]) -> None:
    locked = {pin.split(" ;")[0] for pin in pins(LOCKS[name])}
    assert set(wanted) <= locked


def test_what_is_developed_with_is_what_runs() -> None:
    runtime, dev = (set(pins(lock)) for lock in LOCKS.values())
    assert runtime <= dev


def test_build_tools_are_the_locked_ones() -> None:
    assert set(PROJECT["build-system"]["requires"]) <= set(DEV)


@pytest.mark.parametrize("folder", ["", "benchmarks/peers"])
def test_npm_lock_names_no_address(folder: str) -> None:
    text = (ROOT / folder / "package-lock.json").read_text()
    assert "://" not in text
    packages = json.loads(text)["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert all("integrity" in package for name, package in packages.items() if name)


def test_npm_lock_has_what_the_project_pins() -> None:
    wanted = PACKAGE["dependencies"] | PACKAGE["devDependencies"]
    locked = {name: PACKAGE_LOCK["packages"][f"node_modules/{name}"]["version"] for name in wanted}
    assert locked == wanted


def test_npm_lock_has_esbuild_for_other_machines() -> None:
    for machine in ("linux-x64", "linux-arm64", "darwin-arm64"):
        assert f"node_modules/@esbuild/{machine}" in PACKAGE_LOCK["packages"]


def test_wheel_holds_the_four_packages_only() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["appliance", "storage", "tasks", "web"]


def test_each_manifest_name_leads_to_a_hashed_file() -> None:
    manifest = json.loads((STATIC / "manifest.json").read_text())
    assert {"main.js", "main.css"} <= set(manifest)
    for name, path in manifest.items():
        stem, suffix = name.rsplit(".", 1)
        assert re.fullmatch(rf"{re.escape(stem)}-[A-Z0-9]{{8}}\.{suffix}", path)
        assert (STATIC / path).is_file()


def test_assets_are_built_again_only_after_an_edit(tmp_path: Path) -> None:
    checkout = checkout_of_assets(tmp_path)
    hatch_build.build_assets(checkout)
    assert hatch_build.assets_are_current(checkout)
    before = json.loads((checkout / "web/static/manifest.json").read_text())

    (checkout / "web/assets/css/main.css").write_text("body { color: rebeccapurple }")
    assert not hatch_build.assets_are_current(checkout)
    hatch_build.build_assets(checkout)

    after = json.loads((checkout / "web/static/manifest.json").read_text())
    assert after["main.css"] != before["main.css"]
    assert not (checkout / "web/static" / before["main.css"]).exists()
    assert "#639" in (checkout / "web/static" / after["main.css"]).read_text()


def test_broken_asset_is_named_and_leaves_the_old_ones(tmp_path: Path) -> None:
    checkout = checkout_of_assets(tmp_path)
    hatch_build.build_assets(checkout)
    before = (checkout / "web/static/manifest.json").read_text()

    (checkout / "web/assets/js/main.js").write_text("let let = (")
    with pytest.raises(hatch_build.AssetsError, match=r"js/main\.js"):
        hatch_build.build_assets(checkout)

    assert (checkout / "web/static/manifest.json").read_text() == before
    assert not hatch_build.assets_are_current(checkout)


def test_unknown_command_is_refused_with_a_sentence() -> None:
    command = [sys.executable, ROOT / "dev", "frobnicate"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "There is no command 'frobnicate': ./dev help lists what there is.\n"


def test_help_has_a_line_for_each_command() -> None:
    done = subprocess.run([sys.executable, ROOT / "dev"], capture_output=True, text=True)
    assert done.returncode == 0
    for name in ("up", "test", "check", "shots", "build", "lock"):
        assert re.search(rf"^  {name}\b.*  \w", done.stdout, re.MULTILINE)


def checkout_of_assets(folder: Path) -> Path:
    """A small checkout to build assets in, with the npm packages that are here already."""
    for name in ("package.json", "package-lock.json", "hatch_build.py", "web/assets/build.mjs"):
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    for name in ("js/main.js", "css/main.css"):
        entry = folder / "web/assets" / name
        entry.parent.mkdir()
        entry.write_text("/* empty */")
    return folder
