"""The processes of the box: each on its own (for systemd), or all of them with ``up``."""

from __future__ import annotations

import faulthandler
import fcntl
import importlib.util
import os
import resource
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import peewee

from appliance import listener, supervisor
from appliance.allocator import keep_buffers
from appliance.cli.frame import json_option, print_json, ready_settings
from appliance.db import open_database
from appliance.errors import SettingsError
from appliance.job_kinds import QUEUES
from appliance.logs import configure_logs
from appliance.migrate import migrate as migrate_database
from appliance.notify import notify
from appliance.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from appliance.settings import Settings

# A delivery lets the step in flight finish; here a person waits at the terminal.
_STOP_WITHIN_S = {"delivery": 30.0}
_FILES = 65_536

listen_option = click.option("--listen", metavar="HOST:PORT", help="Instead of APPLIANCE_LISTEN.")


@click.command()
@listen_option
def up(listen: str | None) -> None:
    """Run the whole box in this terminal, until Ctrl-C."""
    from storage.backups import in_use
    from storage.layout import Layout

    settings = load_settings(listen=listen)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(settings):
        in_use.enter(settings.data)
        Layout(settings.data).make_folders()
        open_database(settings.database_path)
        migrate_database(settings)
        in_use.leave()  # it is the children who use it, and make way for a restored backup
        with listener.bind(settings.listen) as socket:
            # From here on the address is the real one, also when a port was to be found.
            settings = settings.model_copy(update={"listen": listener.address_of(socket)})
            programs = _programs(socket.fileno())
            printer = supervisor.Printer(["up", *(program.name for program in programs)])
            code = supervisor.Supervisor(
                programs,
                printer,
                environ=_environ_for(settings),
                on_ready=lambda: _greet(settings, printer),
            ).run()
    if code:
        raise SystemExit(code)


@click.command()
@listen_option
@click.option("--fd", type=int, hidden=True, help="Serve this socket, which is bound already.")
def web(listen: str | None, fd: int | None) -> None:
    """Run the web process: pages, API, uploads, public links."""
    settings = ready_settings(listen=listen)
    configure_logs(settings, "appliance-web")
    faulthandler.enable()
    _require_fast_server()
    _allow_many_files()
    keep_buffers()
    import uvicorn

    from web.app import create_app
    from web.direct_body import UploadProtocol

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            notify("READY=1")

        async def shutdown(self, sockets: Any = None) -> None:
            notify("STOPPING=1\nSTATUS=Answers what was asked already, then ends")
            await super().shutdown(sockets)

    number = listener.activated() if fd is None else fd
    socket = listener.bind(settings.listen) if number is None else listener.adopt(number)
    settings = settings.model_copy(update={"listen": listener.address_of(socket)})
    behind_proxy = settings.listen.startswith("unix:")
    server = Server(
        uvicorn.Config(
            create_app(settings),
            http=UploadProtocol,
            loop="uvloop",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,  # the app writes its own, without secrets
            server_header=False,
            # Only the proxy can open the socket; on TCP anybody could send these headers.
            proxy_headers=behind_proxy,
            forwarded_allow_ips="*" if behind_proxy else "",
            # Live pages keep their streams open for ever; without a limit it would never end.
            timeout_graceful_shutdown=3,
        )
    )

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn raises the signal once more when it has stopped; that must not end us with an error.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.run(sockets=[socket])


@click.command()
@click.argument("name", type=click.Choice(QUEUES))
def worker(name: str) -> int:
    """Run one worker: media (encodes), quick (checks, posters) or delivery (posts)."""
    settings = ready_settings()
    configure_logs(settings, f"appliance-worker-{name}")
    faulthandler.enable()
    from tasks.worker import run

    return run(settings, name)


@click.command()
@json_option
def migrate(as_json: bool) -> None:
    """Bring the database to this version's schema; an older one is backed up first."""
    from storage.backups import in_use

    settings = load_settings()
    in_use.enter(settings.data)
    open_database(settings.database_path)
    applied = migrate_database(settings)
    if as_json:
        print_json({"applied": applied})
    else:
        click.echo("\n".join(f"applied {name}" for name in applied) or "Nothing to do.")


def _programs(listening: int) -> list[supervisor.Program]:
    command = [sys.executable, "-m", "appliance.cli"]
    return [
        supervisor.Program(
            "web",
            [*command, "web", "--fd", str(listening)],
            pass_fds=(listening,),
            # A post on its way to the practice platform, or fetched from us, needs it.
            stops_last=True,
            tells_ready=True,
        ),
        *(
            supervisor.Program(
                name, [*command, "worker", name], stop_within_s=_STOP_WITHIN_S.get(name, 10.0)
            )
            for name in QUEUES
        ),
    ]


def _environ_for(settings: Settings) -> dict[str, str]:
    """Our environment, with what was worked out here in place of how it was said."""
    decided = {"APPLIANCE_DATA": str(settings.data), "APPLIANCE_LISTEN": settings.listen}
    also_said = {f"{name}_FILE" for name in decided}
    kept = {name: value for name, value in os.environ.items() if name not in also_said}
    return {**kept, "PYTHONUNBUFFERED": "1", **decided}


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """Raises SettingsError when another `up` runs on the same data; the lock dies with us."""
    with (settings.data / "up.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise SettingsError(
                f"`appliance up` runs on {settings.data} already. Stop it first, or set "
                "APPLIANCE_DATA to another folder."
            ) from exc
        yield


def _greet(settings: Settings, printer: supervisor.Printer) -> None:
    """Say where it runs; on the first run, where to make the first account."""
    from appliance.db import database
    from appliance.users import setup_link

    try:
        with database.connection_context():
            link = setup_link(settings)
    except peewee.DatabaseError as exc:  # a full disk, say: no reason to stop what runs
        printer.line("up", f"no link to create the first account can be made now: {exc}")
        link = None
    if link is None:
        lines = [f"Media Appliance runs at {settings.base_url}"]
    else:
        lines = ["Make the first account here (the link works once):", "", link]
    width = max(map(len, lines))
    printer.line("up", f"┌{'─' * (width + 4)}┐")
    for line in lines:
        printer.line("up", f"│  {line:<{width}}  │")
    printer.line("up", f"└{'─' * (width + 4)}┘")


def _allow_many_files() -> None:
    """Each connection is one. Shells start programs with 1024, and the kernel allows far more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _require_fast_server() -> None:
    """Without them uvicorn quietly falls back to parts that are a third slower."""
    missing = [name for name in ("httptools", "uvloop") if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"The Python package {' and '.join(missing)} is missing. "
            "Install the appliance again with all it depends on."
        )
