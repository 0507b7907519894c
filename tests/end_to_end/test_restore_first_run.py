"""A box goes up in smoke; a new one is restored on its first page, by its own processes."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.end_to_end.box import Box, wait_for
from tests.web.serving import send_form

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "correct horse battery"

pytestmark = pytest.mark.timeout(300)


def test_restored_on_the_first_page(tmp_path: Path) -> None:
    old = Box(tmp_path / "old" / "data", backup_folder=tmp_path / "backups")
    old.add_owner()
    key = old.run("backup", "key").splitlines()[0]
    old.run("backup", "create")
    shutil.rmtree(old.data)

    new = Box(tmp_path / "new" / "data", backup_folder=tmp_path / "backups")
    new.data.mkdir(parents=True)
    new.start()
    try:
        link = wait_for("the set-up link", lambda: re.search(r"/setup/(\S+)", new.log.read_text()))
        path = f"/setup/{link[1]}"
        with httpx.Client(base_url=new.url, timeout=20) as client:
            assert "Restore from backup" in client.get(path).text
            page = client.get(f"{path}/restore").text
            (name,) = set(re.findall(r'name="name" value="(\w+)"', page))
            wrong = send_form(client, f"{path}/restore", name="x")
            assert wrong.status_code == 422 and "Choose a backup" in wrong.text
            refused = _refused(new, "backup", "restore")
            assert "The box is running" in refused and "Ctrl-C" in refused
            # Without the key nothing happens: the box has another one.
            send_form(client, f"{path}/restore", name=name)
            state = f"{path}/restore/_state"
            wait_for(
                "it is refused",
                lambda: "Enter the recovery key" in client.get(state).text,
                seconds=60,
            )
            web = new.pid("web")
            send_form(client, f"{path}/restore", name=name, recovery_key=key)

            def is_back() -> bool:
                try:
                    return "The box is restored" in client.get(state).text
                except httpx.TransportError:
                    return False

            wait_for("it is restored", is_back, seconds=120)
            assert new.pid("web") != web
            assert client.get(path).status_code == 404
            entered = send_form(client, "/sign-in", email="owner@example.org", password=PASSWORD)
            assert entered.status_code == 303, entered.text
        wait_for("all workers are back", lambda: all(new.pid(w) for w in ("media", "delivery")))
        assert not (new.data / "switch.json").exists()
    finally:
        new.stop()


def _refused(box: Box, *command: str) -> str:
    with pytest.raises(AssertionError) as told:
        box.run(*command)
    return str(told.value)
