"""Assembles the web process: routes, middleware, error answers, what runs beside them.

Route modules: all Litestar handlers and routers defined at the top of a module in ``ROUTES`` are
served. Each handler says who may use it: ``opt=PUBLIC`` or ``opt=needs(Role.VIEWER, Scope.READ)``
(web/auth.py); one that says nothing is refused. In handlers, ``request.app.state`` has
``settings``, ``layout``, ``vault``, ``live``, ``desk``; ``principal(request)`` is who asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Litestar, Router, asgi
from litestar.datastructures import CacheControlHeader, State
from litestar.exceptions import HTTPException, NotFoundException
from litestar.handlers.base import BaseRouteHandler
from litestar.plugins.htmx import HTMXPlugin
from litestar.static_files import create_static_files_router

from appliance.errors import ApplianceError
from appliance.vault import open_vault
from storage.layout import Layout
from web.auth import PUBLIC, Authentication, cookie_name, guard
from web.errors import to_response
from web.form_token import FormToken
from web.lifespan import lifespan
from web.openapi import openapi_config
from web.practice.app import practice_app
from web.request_log import RequestLog
from web.restoring import Restoring
from web.routes import (
    account_settings,
    accounts_api,
    accounts_page,
    alerts_api,
    alerts_page,
    backups_api,
    backups_page,
    components_page,
    connect,
    covers_api,
    events_api,
    guest_links_api,
    guest_links_page,
    guest_uploads,
    guests,
    health,
    jobs_api,
    jobs_page,
    library,
    library_batch,
    media,
    metrics,
    open_uploads,
    people,
    post_form_pages,
    post_history_api,
    post_numbers,
    post_pages,
    post_plans_api,
    post_target_pages,
    post_targets_api,
    post_templates_api,
    post_templates_page,
    poster_api,
    poster_page,
    posts_api,
    privacy,
    profiles_api,
    profiles_page,
    public,
    readiness_api,
    record_page,
    remaking,
    rendition_pages,
    renditions_api,
    schedule_api,
    schedule_pages,
    schedule_settings,
    setup_restore,
    sign_in,
    slots_api,
    storage_api,
    storage_page,
    system_page,
    upload_page,
    uploads_api,
    video_pages,
    videos_api,
)
from web.security import SecurityHeaders
from web.templating import STATIC, template_config
from web.tus import SayTus, Tus, tus_app

if TYPE_CHECKING:
    from types import ModuleType

    from litestar.types import Receive, Scope, Send

    from appliance.settings import Settings
    from web.tus import Tus

ROUTES = (
    account_settings,
    accounts_api,
    accounts_page,
    alerts_api,
    alerts_page,
    backups_api,
    backups_page,
    components_page,
    covers_api,
    connect,
    events_api,
    guest_links_api,
    guest_links_page,
    guest_uploads,
    guests,
    health,
    jobs_api,
    jobs_page,
    library,
    library_batch,
    media,
    metrics,
    open_uploads,
    people,
    post_form_pages,
    post_history_api,
    post_numbers,
    post_pages,
    post_plans_api,
    post_target_pages,
    post_targets_api,
    post_templates_api,
    post_templates_page,
    poster_api,
    poster_page,
    posts_api,
    privacy,
    profiles_api,
    profiles_page,
    public,
    record_page,
    readiness_api,
    remaking,
    rendition_pages,
    renditions_api,
    schedule_api,
    schedule_pages,
    schedule_settings,
    setup_restore,
    sign_in,
    slots_api,
    storage_api,
    storage_page,
    system_page,
    upload_page,
    uploads_api,
    video_pages,
    videos_api,
)


def create_app(settings: Settings, *, listen: str | None = None) -> Litestar:
    """The application. Works on a fresh box: what is missing is made, the database at start-up.

    ``listen``: where the server really listens, when that differs from the setting (port 0).
    """
    layout = Layout(settings.data)
    layout.make_folders()
    vault = open_vault(settings)
    tus = tus_app(settings)
    app = Litestar(
        # One router, registered once: Litestar wraps a threaded handler again for each further
        # handler that is registered on its path, and then answers with a coroutine.
        route_handlers=[Router("/", route_handlers=_route_handlers(settings, tus))],
        guards=[guard],
        exception_handlers={
            ApplianceError: to_response,
            HTTPException: to_response,
            Exception: to_response,
        },
        lifespan=[lifespan],
        logging_config=None,
        openapi_config=openapi_config(),
        plugins=[HTMXPlugin()],
        state=State(
            {
                "settings": settings,
                "layout": layout,
                "vault": vault,
                "listen": listen or settings.listen,
            }
        ),
        template_config=template_config(settings),
    )
    # Not above: State copies what it is made of.
    app.state.restoring = Restoring(settings)
    app.state.desk, app.state.slots, app.state.joins = tus.desk, tus.desk.slots, tus.joins
    # Around Litestar's own routing, so that unknown addresses and errors get all of it, too.
    app.asgi_handler = RequestLog(
        SecurityHeaders(
            public.GrantedFiles(
                SayTus(
                    FormToken(
                        Authentication(app.asgi_handler, settings),
                        key=vault.derive("form token"),
                        cookie=cookie_name(settings, "csrf"),
                        secure=settings.https,
                    )
                )
            ),
            https=settings.https,
        )
    )
    return app


def _route_handlers(settings: Settings, tus: Tus) -> list[Any]:
    handlers: list[Any] = [
        create_static_files_router(
            path="/static",
            directories=[STATIC],
            cache_control=CacheControlHeader(max_age=31_536_000, public=True, immutable=True),
            opt=PUBLIC,
        ),
        # Uploads by tus. Its headers force browsers to ask first, so other sites can't send them.
        asgi("/files", is_mount=True, copy_scope=True, opt={**PUBLIC, "exclude_from_csrf": True})(
            _as_function(tus)
        ),
    ]
    for module in ROUTES:
        handlers += _handlers_of(module)
    if settings.practice:
        handlers.append(practice_app(settings))
    return handlers


def _as_function(tus: Tus) -> Any:
    """Litestar copies routers deeply, and what is mounted in them; functions it leaves as they are.

    A copy would have slots of its own, which nobody else could look into.
    """

    async def files(scope: Scope, receive: Receive, send: Send) -> None:
        # Mounts get all that begins alike, less the beginning: of "/filesystem" it is "system/".
        if not scope["path"].startswith("/"):
            raise NotFoundException
        await tus(scope, receive, send)

    return files


def _handlers_of(module: ModuleType) -> list[Any]:
    return [v for v in vars(module).values() if isinstance(v, BaseRouteHandler | Router)]
