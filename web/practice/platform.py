"""The practice platform's parts, and what its API and its pages do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance import accounts
from appliance.db import database
from appliance.states import AccountState
from tasks.publish import dispatch
from web.practice.fetcher import Fetcher
from web.practice.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

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
