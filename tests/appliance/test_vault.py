"""Secrets at rest open with one key, for one row."""

from __future__ import annotations

import base64
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from appliance.errors import SettingsError
from appliance.settings import Settings
from appliance.vault import Vault, open_vault

if TYPE_CHECKING:
    from storage.layout import Layout

SECRET = {"access_token": "ya29.marker", "expires_in": 3600, "name": "Kanal für Übungen"}


@pytest.fixture
def vault() -> Vault:
    return Vault(os.urandom(32))


def test_what_goes_in_comes_out_and_is_not_seen(vault: Vault) -> None:
    sealed = vault.encrypt(SECRET, bound_to="account:1")
    assert vault.decrypt(sealed, bound_to="account:1") == SECRET
    assert "marker" not in sealed
    assert b"marker" not in base64.b64decode(sealed.partition(":")[2])


def test_the_same_secret_looks_different_each_time(vault: Vault) -> None:
    assert vault.encrypt(SECRET, bound_to="a") != vault.encrypt(SECRET, bound_to="a")


def test_secrets_of_two_rows_cannot_be_swapped(vault: Vault) -> None:
    sealed = vault.encrypt(SECRET, bound_to="account:1")
    with pytest.raises(SettingsError, match="tampered"):
        vault.decrypt(sealed, bound_to="account:2")


@pytest.mark.parametrize("position", [0, 11, 12, 40, -1])
def test_one_changed_byte_is_noticed(vault: Vault, position: int) -> None:
    key_id, _, body = vault.encrypt(SECRET, bound_to="account:1").partition(":")
    changed = bytearray(base64.b64decode(body))
    changed[position] ^= 1
    with pytest.raises(SettingsError, match="tampered"):
        vault.decrypt(f"{key_id}:{base64.b64encode(changed).decode()}", bound_to="account:1")


@pytest.mark.parametrize("text", ["", "nonsense", "0123abcd:", "0123abcd:????", "0123abcd:AAAA"])
def test_text_that_was_never_sealed_is_refused(vault: Vault, text: str) -> None:
    with pytest.raises(SettingsError, match="can't be opened"):
        vault.decrypt(text, bound_to="account:1")


def test_another_key_is_called_by_its_name(vault: Vault) -> None:
    sealed = vault.encrypt(SECRET, bound_to="account:1")
    with pytest.raises(SettingsError, match="key has changed"):
        Vault(os.urandom(32)).decrypt(sealed, bound_to="account:1")


def test_keys_for_other_purposes_differ_and_stay_the_same() -> None:
    first, second = Vault(bytes(32)), Vault(bytes(32))
    assert first.derive("links") == second.derive("links")
    assert len({first.derive("links"), first.derive("forms"), bytes(32)}) == 3
    assert Vault(b"\1" * 32).derive("links") != first.derive("links")


def test_the_first_start_makes_a_key_that_only_we_can_read(
    settings: Settings, layout: Layout
) -> None:
    sealed = open_vault(settings).encrypt(SECRET, bound_to="account:1")
    key = settings.data / "secret.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert open_vault(settings).decrypt(sealed, bound_to="account:1") == SECRET
    assert [path.name for path in settings.data.glob("secret.key*")] == ["secret.key"]


def test_of_many_that_start_at_once_all_have_the_same_key(
    settings: Settings, layout: Layout
) -> None:
    start = threading.Barrier(8)
    ids: list[str] = []

    def open_it() -> None:
        start.wait()
        ids.append(open_vault(settings).key_id)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1


def test_a_key_that_is_given_is_used_and_none_is_made(settings: Settings, layout: Layout) -> None:
    given = base64.b64encode(os.urandom(32)).decode()
    vault = open_vault(settings.model_copy(update=_key(given)))
    assert vault.key_id == Vault(base64.b64decode(given)).key_id
    assert not (settings.data / "secret.key").exists()


@pytest.mark.parametrize("bad", ["short", "c2hvcnQ=", "", "ä" * 44])
def test_a_key_of_the_wrong_form_is_refused_by_name(
    settings: Settings, layout: Layout, bad: str
) -> None:
    with pytest.raises(SettingsError, match="APPLIANCE_CREDENTIALS_KEY") as caught:
        open_vault(settings.model_copy(update=_key(bad)))
    assert not bad or bad not in str(caught.value)


def test_a_damaged_key_file_is_called_by_its_name(settings: Settings, layout: Layout) -> None:
    (settings.data / "secret.key").write_text("")
    with pytest.raises(SettingsError, match=r"secret\.key"):
        open_vault(settings)


def _key(text: str) -> dict[str, object]:
    return {"credentials_key": Settings(credentials_key=text).credentials_key}  # type: ignore[arg-type]
