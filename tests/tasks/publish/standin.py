"""The stand-ins of the platforms by themselves, on a free loopback port: no appliance around.

::

    with standing(settings) as stand:
        stand.google.ground.set_faults([Fault("videos.insert", "lose")])
        client_for(stand.settings, Service.YOUTUBE_API, practice=False).get("/youtube/v3/videos")

``stand.settings`` have the addresses of all platforms (and ``listen``) turned to this port, so
accounts in practice mode and others both come here.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from litestar import Litestar, Router
from litestar.datastructures import State

from tasks.publish.remotes import STAND_INS as PATHS
from tests.web.serving import bound_socket, wait_until
from web.practice.stand_ins import STAND_INS
from web.templating import template_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings


class Stand:
    """``google``, ``meta`` …: the stand-ins by their names."""

    def __init__(self, settings: Settings, app: Litestar) -> None:
        self.settings = settings
        self.app = app

    def __getattr__(self, name: str) -> Any:
        return self.app.state[name]


@contextmanager
def standing(settings: Settings) -> Iterator[Stand]:
    with bound_socket() as listener:
        listen = f"127.0.0.1:{listener.getsockname()[1]}"
        addresses = {f"{at.value}_url": f"http://{listen}{path}" for at, path in PATHS.items()}
        settings = settings.model_copy(update={"listen": listen, **addresses})
        made = {kind.name: kind.make(settings, listen) for kind in STAND_INS}
        app = Litestar(
            [Router("/practice", route_handlers=[kind.routes() for kind in STAND_INS])],
            state=State({"settings": settings}),
            template_config=template_config(settings),
            logging_config=None,
            openapi_config=None,
        )
        for name, stand_in in made.items():
            app.state[name] = stand_in
            stand_in.begin()
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_config=None, access_log=False, timeout_graceful_shutdown=1, ws="none"
            )
        )
        thread = threading.Thread(target=server.run, args=([listener],), name="stand-ins")
        thread.start()
        try:
            wait_until("the stand-ins answer", lambda: server.started or not thread.is_alive())
            assert server.started
            yield Stand(settings, app)
        finally:
            server.should_exit = True
            thread.join(timeout=20)
            for stand_in in made.values():
                stand_in.end()
            assert not thread.is_alive(), "the stand-ins did not stop"
