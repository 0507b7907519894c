"""The wheel is complete: in an environment with nothing else it serves pages with their assets."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest

ROOT = Path(__file__).parents[1]

# Making the environment downloads the runtime packages when no cache has them.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `./dev build` makes it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*command, folder], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bin` of an environment that has the wheel and the hashed runtime lock, nothing else."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False, symlinks=True)
    install = load_dev().installer(environment / "bin/python")
    lock = ROOT / "requirements.lock"
    subprocess.run([*install, "--require-hashes", "-r", lock], check=True)
    subprocess.run([*install, "--no-deps", wheel], check=True)
    return environment / "bin"


def test_wheel_holds_the_four_packages_and_no_more(wheel: Path) -> None:
    top = {name.split("/")[0] for name in ZipFile(wheel).namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "appliance",
        "storage",
        "tasks",
        "web",
    }


def test_wheel_holds_all_tracked_data_of_the_packages(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    for pattern in ("web/templates/**/*.html", "appliance/migrations/*.py"):
        wanted = {str(path.relative_to(ROOT)) for path in ROOT.glob(pattern)}
        assert wanted, f"nothing matches {pattern}"
        assert wanted <= names


def test_wheel_holds_built_assets_and_not_their_sources(wheel: Path) -> None:
    archive = ZipFile(wheel)
    names = set(archive.namelist())
    manifest = json.loads(archive.read("web/static/manifest.json"))
    assert {f"web/static/{path}" for path in manifest.values()} <= names
    assert "web/static/LICENSES.txt" in names
    assert not [name for name in names if name.startswith("web/assets/")]


def test_installed_wheel_knows_its_version(installed: Path, tmp_path: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    done = run_installed(installed, tmp_path, "--version")
    assert version in done.stdout


def test_installed_wheel_serves_pages_with_assets(installed: Path, tmp_path: Path) -> None:
    run_installed(installed, tmp_path, "migrate")
    with serving(installed, tmp_path) as client:
        page = client.get("/sign-in")
        assert page.status_code == 200
        assets = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text))
        assert {asset.rsplit(".", 1)[1] for asset in assets} >= {"css", "js"}
        for asset in assets:
            answer = client.get(asset)
            assert answer.status_code == 200, asset
            assert "immutable" in answer.headers["cache-control"], asset


def load_dev():
    """./dev as a module: what installs there installs here."""
    loader = SourceFileLoader("dev", str(ROOT / "dev"))
    module = module_from_spec(spec_from_loader("dev", loader))
    loader.exec_module(module)
    return module


def environment(folder: Path, listen: str) -> dict[str, str]:
    """Nothing of the checkout, nor of the person's own appliance."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("APPLIANCE_", "PYTHON"))
    }
    return {**inherited, "APPLIANCE_DATA": str(folder / "data"), "APPLIANCE_LISTEN": listen}


def run_installed(
    installed: Path, folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    # From another folder: in the checkout Python would import the checkout.
    done = subprocess.run(
        [installed / "appliance", *arguments],
        cwd=folder,
        env=environment(folder, "127.0.0.1:0"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@contextmanager
def serving(installed: Path, folder: Path) -> Iterator[httpx.Client]:
    """`appliance web` on a free port, and a client that follows its redirects."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    log = folder / "web.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [installed / "appliance", "web"],
            cwd=folder,
            env=environment(folder, listen),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=f"http://{listen}", follow_redirects=True, timeout=10) as client:
            wait_until_it_answers(client, process, log)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_it_answers(client: httpx.Client, process: subprocess.Popen, log: Path) -> None:
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        assert process.poll() is None, f"appliance web ended:\n{log.read_text()}"
        try:
            client.get("/")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"appliance web did not answer within 30 s:\n{log.read_text()}")
