"""A platform that answers what it is told to, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str]


@dataclass
class Scripted:
    """``answers``: (path, status, JSON or text, headers); the first of a path is used and, unless
    it is the last one of that path, gone."""

    settings: Settings
    answers: list[tuple[str, int, Any, dict[str, str]]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def say(self, path: str, data: Any, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((path, status, data, named))

    def to(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    def take(self, path: str) -> tuple[int, Any, dict[str, str]]:
        mine = [answer for answer in self.answers if answer[0] == path]
        if not mine:
            return 404, {"error": f"nothing is said about {path}"}, {}
        if len(mine) > 1:
            self.answers.remove(mine[0])
        return mine[0][1:]


@contextmanager
def scripted(settings: Settings) -> Iterator[Scripted]:
    """All platforms' addresses lead to it: ``.settings``."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            stand.asked.append(
                Asked(
                    self.command,
                    parts.path,
                    dict(parse_qsl(parts.query)),
                    {name.lower(): value for name, value in self.headers.items()},
                    dict(parse_qsl(body)),
                )
            )
            status, data, headers = stand.take(parts.path)
            text = (data if isinstance(data, str) else json.dumps(data)).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = answer  # the server's own names

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = f"http://127.0.0.1:{server.server_port}"
    names = ("google_auth", "google_token", "youtube_api", "facebook_dialog", "facebook_graph")
    settings = settings.model_copy(update={f"{name}_url": here for name in names})
    stand = Scripted(settings)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="platform")
    thread.start()
    try:
        yield stand
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
