"""Talk to a running box over its HTTP API: one elsewhere by address and token, or this machine's.

For the box on this machine the address comes from the web process's heartbeat, and the token is
made for the command and revoked after it.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from appliance import __version__, tokens
from appliance.access import Scope
from appliance.cli.frame import json_option, ready_settings
from appliance.clock import boot_id, boottime_s
from appliance.db import database
from appliance.errors import ApplianceError
from appliance.heartbeats import SILENT_AFTER_S
from appliance.models import Heartbeat, Role, User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from appliance.settings import Settings


class Unreachable(ApplianceError):
    code = "unreachable"


class Answered(ApplianceError):
    """The box said no; ``status`` is that of HTTP."""

    def __init__(self, message: str, *, code: str, status: int) -> None:
        super().__init__(message, code=code)
        self.status = status


@dataclass(frozen=True)
class Box:
    """``url`` without a slash at the end, as people would open it; ``http`` carries the token.

    ``name``: what stays the same while the address of this machine's box changes.
    """

    url: str
    http: httpx.Client
    name: str = ""

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of the answer. Raises Unreachable, Answered."""
        kept = {name: value for name, value in params.items() if value is not None}
        return self._ask("GET", path, params=kept)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._ask("POST", path, json=body, headers=named)

    def patch(self, path: str, body: Any) -> Any:
        return self._ask("PATCH", path, json=body)

    def put(self, path: str, body: Any) -> Any:
        return self._ask("PUT", path, json=body)

    def send(self, path: str, content: bytes, media_type: str) -> Any:
        """A small file as the body of a PUT."""
        headers = {"Content-Type": media_type}
        return self._ask("PUT", path, content=content, headers=headers)

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        import httpx

        try:
            answer = self.http.request(method, path, **options)
        except httpx.TransportError as exc:
            raise Unreachable(_cannot_reach(self.url, exc)) from exc
        check(answer)
        return answer.json() if answer.content else None


def check(answer: httpx.Response) -> None:
    """Raises Answered with the sentence of the box when it said no."""
    if answer.status_code < 300:
        return
    try:
        problem = answer.json()
        sentence, code = str(problem["detail"]), str(problem["code"])
    except (ValueError, KeyError, TypeError):
        sentence = (
            f"{answer.url.host} answered {answer.status_code} and nothing that a box would say. "
            "Look whether the address is that of an appliance."
        )
        code = "no_box"
    raise Answered(sentence, code=code, status=answer.status_code)


def remote(command: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator for commands that talk to a box: gives them ``box`` and ``as_json``."""

    @click.option(
        "--url", envvar="APPLIANCE_URL", help="A box elsewhere. Default: the one of this machine."
    )
    @click.option(
        "--token",
        envvar="APPLIANCE_TOKEN",
        help="API token for it; better in APPLIANCE_TOKEN, which other users don't see.",
    )
    @json_option
    @functools.wraps(command)
    def wrapped(*args: Any, url: str | None, token: str | None, **options: Any) -> Any:
        with connected(url, token) as box:
            return command(*args, box=box, **options)

    return wrapped


@contextmanager
def connected(url: str | None, token: str | None) -> Iterator[Box]:
    """The box that was named, or this machine's. Raises UsageError, Unreachable."""
    if url:
        if not token:
            raise click.UsageError(
                "A box elsewhere wants a token: set APPLIANCE_TOKEN. On that box, "
                "`appliance token create` makes one."
            )
        with _client(url.rstrip("/"), token) as http:
            yield Box(url.rstrip("/"), http, url.rstrip("/"))
        return
    settings = ready_settings()
    listen = _listens_at(settings)
    with _own_token() as own, _client(f"http://{listen}", own, ours=True) as http:
        base_url = settings.model_copy(update={"listen": listen}).base_url
        yield Box(base_url, http, str(settings.data))


def _client(url: str, token: str, *, ours: bool = False) -> httpx.Client:
    """``ours``: on this machine, so never by way of a proxy of the environment."""
    import httpx

    transport, place = None, url
    if url.startswith("http://unix:"):
        transport = httpx.HTTPTransport(uds=url.removeprefix("http://unix:"))
        place = "http://localhost"
    try:
        return httpx.Client(
            base_url=place,
            transport=transport,
            headers={
                "Authorization": f"Bearer {token}",
                "User-Agent": f"appliance/{__version__}",
                "Accept": "application/json",
            },
            timeout=httpx.Timeout(30, connect=10),
            trust_env=not ours,
        )
    except httpx.InvalidURL as exc:
        raise click.UsageError(f"{url} is no address of a box.") from exc


def _listens_at(settings: Settings) -> str:
    """Where this machine's web process listens. Raises Unreachable when none runs."""
    with database.connection_context():
        row = Heartbeat.get_or_none(Heartbeat.process == "web")
    if (
        row is None
        or row.boot_id != boot_id()
        or boottime_s() - row.beat_boottime_s > SILENT_AFTER_S
    ):
        raise Unreachable(
            f"No appliance runs on {settings.data}. Start it with `appliance up`, or name another "
            "box with --url."
        )
    return str(row.info["listen"])


@contextmanager
def _own_token() -> Iterator[str]:
    """A token of the first owner or admin for as long as the command runs."""
    with database.connection_context():
        user = (
            User.select()
            .where(User.role.in_([Role.OWNER, Role.ADMIN]), User.deactivated_at.is_null())
            .order_by(User.role == Role.ADMIN, User.id)
            .first()
        )
        if user is None:
            raise ApplianceError(
                "There is no owner or admin yet. Open the set-up link that `appliance up` prints, "
                "or run `appliance user add you@example.org --role owner`."
            )
        row, text = tokens.create(user, name="appliance command", scopes=Scope, expires_days=1)
    try:
        yield text
    finally:
        with database.connection_context():
            tokens.revoke(user, row.public_id)


def _cannot_reach(url: str, exc: Exception) -> str:
    return f"{url} can't be reached: {exc}. Look whether the appliance runs there."
