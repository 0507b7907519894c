"""The real application under uvicorn on a free loopback port, and clients for it.

::

    with serving(settings) as url:
        owner = add_user("owner@example.org", Role.OWNER)
        with browser(url, owner) as client:   # a session's cookie and form token
            client.get("/settings")
        with script(url, owner) as client:    # an API token
            client.get("/api/v1/videos")
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

from appliance import passwords, sessions, tokens, users
from appliance.access import Scope
from appliance.db import database
from appliance.models import Role, User
from appliance.settings import Settings
from storage.layout import Layout
from tests.factories import make_tables
from web.app import create_app
from web.direct_body import UploadProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PASSWORD = "correct horse battery"
ROOT = Path(__file__).parent.parent.parent


def wait_until(what: str, look: Callable[[], Any], *, seconds: float = 20) -> Any:
    """The first true answer of ``look``; fails with ``what`` when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := look():
            return answer
        time.sleep(0.02)  # between two looks, never instead of one
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def bound_socket() -> socket.socket:
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    return found


class Served:
    """A running web process of this test. It reads like its address."""

    def __init__(self, settings: Settings, app: Any, server: uvicorn.Server) -> None:
        self.settings = settings
        self.app = app
        self.server = server
        self.url = f"http://{settings.listen}"  # whatever its public address is


@contextmanager
def served(settings: Settings) -> Iterator[Served]:
    """As ``serving``, for tests that need to reach inside."""
    with bound_socket() as listener:
        port = listener.getsockname()[1]
        settings = settings.model_copy(update={"listen": f"127.0.0.1:{port}"})
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            http=UploadProtocol,  # as `appliance web` does
            lifespan="on",
            timeout_graceful_shutdown=3,
            ws="none",
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="web under test")
        thread.start()
        try:
            wait_until("the app has started", lambda: server.started or not thread.is_alive())
            assert server.started, "the app did not start; its log says why"
            yield Served(settings, app, server)
        finally:
            live = getattr(app.state, "live", None)
            if live is not None:
                live.end_soon()
            server.should_exit = True
            thread.join(timeout=20)
            assert not thread.is_alive(), "the app did not stop"


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """The app in a thread of this process; its address. The database is this process's, too."""
    with served(settings) as running:
        yield running.url


@contextmanager
def serving_process(settings: Settings) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The app in a process of its own (to be killed, say); its address and the process."""
    with bound_socket() as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("APPLIANCE_")},
        "APPLIANCE_DATA": str(settings.data),
        "APPLIANCE_LISTEN": f"127.0.0.1:{port}",
        "APPLIANCE_DISK_RESERVE": "10 MiB",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance.cli", "web"], env=environment, cwd=ROOT
    )
    try:
        wait_until("the web process answers", lambda: _answers(url, process))
        yield url, process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=20)


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the web process ended"
    try:
        return httpx.get(f"{url}/health/live", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def _connected() -> Any:
    return database.connection_context() if database.is_closed() else nullcontext()


def prepare(settings: Settings) -> None:
    """A migrated database, before (or without) any web process."""
    Layout(settings.data).make_folders()
    make_tables(settings)


def add_user(email: str = "owner@example.org", role: Role = Role.OWNER) -> User:
    """A user whose password is ``PASSWORD``; the database must be bound."""
    with _connected():
        user = users.add_user(email, role=role, name=email.partition("@")[0])
        User.update(password_hash=_hash_of_password()).where(User.id == user.id).execute()
        return User.get_by_id(user.id)


@cache
def _hash_of_password() -> str:
    """Made once: hashing is slow on purpose."""
    return passwords.hash_password(PASSWORD)


def add_token(user: User, scopes: Iterable[Scope] = tuple(Scope)) -> str:
    with _connected():
        wanted = [s for s in scopes if s is not Scope.ADMIN or user.role in ("owner", "admin")]
        return tokens.create(user, name="tests", scopes=wanted)[1]


def script(url: str, user: User, scopes: Iterable[Scope] = tuple(Scope)) -> httpx.Client:
    """A client with an API token, as a script would use it."""
    token = add_token(user, scopes)
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=20)


def browser(url: str, user: User | None = None) -> httpx.Client:
    """A client that behaves like a browser: cookies, Sec-Fetch-Site, no redirects followed.

    With ``user``: signed in, without the cost of hashing a password. ``form_token(client)`` is
    what its forms would carry.
    """
    client = httpx.Client(
        base_url=url,
        headers={"Sec-Fetch-Site": "same-origin", "Accept": "text/html"},
        timeout=20,
    )
    if user is not None:
        with _connected():
            token = sessions.start(user, address="127.0.0.1", agent="tests", settings=Settings())
        client.cookies.set("session", token)
    return client


def form_token(client: httpx.Client) -> str:
    """The token that the forms of this client's pages carry."""
    if "csrf" not in client.cookies:
        client.get("/no-such-page")  # any page brings it
    return client.cookies["csrf"]


def send_form(client: httpx.Client, path: str, **fields: Any) -> httpx.Response:
    """Post a form of ours as a browser without JavaScript does."""
    return client.post(path, data={"_csrf_token": form_token(client), **fields})
