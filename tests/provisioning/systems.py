"""The system that guests start from: fresh, with ssh, made once and kept in the cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.provisioning import host_settings, ubuntu

if TYPE_CHECKING:
    from collections.abc import Iterator

# As little as a rented machine has; what the appliance needs is the playbook's to bring.
_PACKAGES = (
    "apt-utils,ca-certificates,dbus,iproute2,libpam-systemd,openssh-server,procps,python3,"
    "python3-apt,sudo,systemd-resolved,systemd-sysv,udev"
)
_NOT_UNPACKED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
_NETWORK = "[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n"


def cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home, "media-appliance-guests")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def key() -> Path:
    """The private key that opens all guests."""
    file = cache() / "id_ed25519"
    with locked("key"):
        if not file.exists():
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "guests", "-f", file],
                check=True,
            )
    return file


def system(suite: str) -> Path:
    """The folder of a whole system, not to be changed; made anew when what goes into it changes."""
    is_ubuntu = suite in ubuntu.SUITES
    sources = ubuntu.apt_sources(suite) if is_ubuntu else host_settings.apt_sources(suite)
    options = host_settings.apt_options()
    assert sources, "apt has no archive: run apt-get update first"
    parts = (
        sources, options, host_settings.pip_options(), str(host_settings.variables()),
        Path(__file__).read_text(), key().with_suffix(".pub").read_text(),
    )  # fmt: skip
    name = f"{suite}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"
    with locked(suite):
        whole = cache() / name
        if not whole.exists():
            for older in cache().glob(f"{suite}-*"):
                shutil.rmtree(older)
            begun = cache() / f".{name}"
            shutil.rmtree(begun, ignore_errors=True)
            _make(begun, suite, sources, options)
            _set_up(begun, sources, options)
            begun.rename(whole)
    return whole


def _make(root: Path, suite: str, sources: str, options: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        list_file, option_file = Path(folder, "sources.list"), Path(folder, "apt.conf")
        list_file.write_text(sources)
        option_file.write_text(options)
        keys = []
        if suite in ubuntu.SUITES:
            keys = [f"--keyring={ubuntu.keyring(Path(folder))}"]
        done = subprocess.run(
            ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"]
            + [f"--dpkgopt=path-exclude={path}" for path in _NOT_UNPACKED]
            # Its disk is thrown away: no package need be forced onto it.
            + ["--dpkgopt=force-unsafe-io", f"--aptopt={option_file}", f"--include={_PACKAGES}"]
            + [*keys, suite, str(root), str(list_file)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, f"mmdebstrap failed:\n{done.stderr[-3000:]}"


def _set_up(root: Path, sources: str, options: str) -> None:
    for file in (root / "etc/apt/sources.list.d").iterdir():
        file.unlink()
    _write(root / "etc/apt/sources.list", sources)
    _write(root / "etc/apt/apt.conf.d/90host", options)
    shutil.copytree("/etc/apt/auth.conf.d", root / "etc/apt/auth.conf.d", dirs_exist_ok=True)
    for number, certificate in enumerate(host_settings.own_authorities(root)):
        _write(root / f"usr/local/share/ca-certificates/host-{number}.crt", certificate)
    _write(root / "etc/pip.conf", host_settings.pip_options())
    said = [f"{name}={value}" for name, value in host_settings.variables().items()]
    _write(root / "etc/environment", "".join(f"{line}\n" for line in said))
    manager = "".join(f'DefaultEnvironment="{line}"\n' for line in said)
    _write(root / "etc/systemd/system.conf.d/90-host.conf", f"[Manager]\n{manager}")
    _write(root / "etc/hostname", "guest\n")
    _write(root / "etc/hosts", "127.0.0.1 localhost\n127.0.1.1 guest\n::1 localhost\n")
    _write(root / "etc/systemd/network/20-wired.network", _NETWORK)
    _write(root / "etc/ssh/sshd_config.d/guest.conf", "UseDNS no\n")
    _write(root / "etc/fstab", "")
    _write(root / "etc/machine-id", "")
    public = key().with_suffix(".pub").read_text()
    _write(root / "root/.ssh/authorized_keys", public, mode=0o600)
    # An ordinary administrator, as on a rented machine.
    _inside(root, "useradd", "--create-home", "--shell", "/bin/bash", "admin")
    _write(root / "home/admin/.ssh/authorized_keys", public, mode=0o600)
    _inside(root, "chown", "-R", "admin:", "/home/admin")
    _write(root / "etc/sudoers.d/admin", "admin ALL=(ALL) NOPASSWD:ALL\n", mode=0o440)
    _inside(root, "update-ca-certificates")
    _inside(root, "systemctl", "enable", "systemd-networkd", "systemd-resolved")
    # Debian starts it as a service; on Ubuntu systemd listens for it (ssh.socket).
    if not (root / "etc/systemd/system/sockets.target.wants/ssh.socket").is_symlink():
        _inside(root, "systemctl", "enable", "ssh")
    # It waits for links that guests haven't got.
    _inside(root, "systemctl", "mask", "systemd-networkd-wait-online.service")
    resolver = root / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    resolver.symlink_to("/run/systemd/resolve/stub-resolv.conf")
    # As fresh as an image: without lists of packages.
    for path in (root / "var/lib/apt/lists").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _inside(root: Path, *command: str) -> None:
    done = subprocess.run(["chroot", root, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Others that run these tests wait meanwhile."""
    with (cache() / f".{name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
