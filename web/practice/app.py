"""The practice platform as a part of the web process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio.to_thread
from litestar import Router

from appliance import accounts
from appliance.db import database
from appliance.states import AccountState
from tasks.publish import dispatch
from web.practice import api, pages
from web.practice.fetcher import Fetcher
from web.practice.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from litestar import Litestar

    from appliance.settings import Settings
    from appliance.vault import Vault


class Practice:
    """Its parts; ``app.state.practice`` while the web process runs."""

    def __init__(self, settings: Settings, vault: Vault, address: str) -> None:
        self._settings = settings
        self.token = accounts.practice_token(vault)
        self.store = Store(settings.data / "practice")
        self.fetcher = Fetcher(settings, self.store, address)

    def permalink(self, post_id: str) -> str:
        return f"{self._settings.base_url}/practice/v/{post_id}"

    def set_faults(self, faults: Mapping[str, float]) -> None:
        """Misbehave like this from now on. Accepting the sign-in again reconnects the account."""
        refused = "expire_token" in self.store.faults()
        self.store.clear_fault()
        for name, value in faults.items():
            self.store.set_fault(name, value)
        if refused and "expire_token" not in faults:
            self._reconnect()

    def _reconnect(self) -> None:
        with database.connection_context():
            for account in accounts.connected():
                if account.platform == "practice" and account.state is AccountState.RECONNECT:
                    accounts.mark_connected(account)
                    dispatch.account_settled(account)


def practice_app(settings: Settings) -> Router:
    """Everything below ``/practice``."""
    return Router(
        "/practice",
        route_handlers=[
            Router(
                "/api/v1",
                route_handlers=[
                    api.create_container,
                    api.publish,
                    api.list_media,
                    api.show_media,
                    api.remove_media,
                    api.list_faults,
                    api.set_faults,
                ],
            ),
            pages.overview,
            pages.watch,
            pages.send_file,
            pages.change_faults,
            pages.remove,
        ],
    )


@asynccontextmanager
async def practising(app: Litestar) -> AsyncIterator[None]:
    """While the web process runs; ends within two seconds, a fetch under way is done again."""
    settings = app.state.settings
    if not settings.practice:
        yield
        return

    def begin() -> Practice:
        practice = Practice(settings, app.state.vault, app.state.listen)
        practice.store.tidy()
        practice.fetcher.start()
        return practice

    practice = app.state.practice = await anyio.to_thread.run_sync(begin)
    try:
        yield
    finally:
        await anyio.to_thread.run_sync(practice.fetcher.stop)
