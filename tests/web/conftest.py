"""One web process for all tests of a module, emptied between them: starting one takes a while."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from appliance.db import database
from appliance.models import ALL, Setting
from appliance.settings import Settings
from storage.layout import Layout
from tests.tasks.publish.posting import Poster, posting
from tests.web.serving import Served, add_user, script, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from appliance.models import User


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = Settings(
        data=tmp_path_factory.mktemp("box") / "data",
        listen="127.0.0.1:0",
        disk_reserve="10 MiB",  # type: ignore[arg-type]  # pydantic reads the unit
    )
    with served(settings) as running:
        yield running


@pytest.fixture
def one_server(module_server: Served) -> Iterator[Served]:
    """The module's server, with no rows and no files of earlier tests; the database is open."""
    with database.connection_context():
        yield module_server
        for model in reversed(ALL):
            if model is not Setting:
                model.delete().execute()
    layout = Layout(module_server.settings.data)
    for folder in (layout.uploads, layout.media, layout.trash, layout.tmp):
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


@pytest.fixture(scope="module")
def module_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Poster]:
    """A box with somebody who posts; modules make their ``box`` of it, emptied for each test."""
    with posting(Settings(data=tmp_path_factory.mktemp("box") / "data", sweep_s=0.5)) as poster:
        yield poster


@pytest.fixture
def box(one_server: Served) -> Layout:
    """Where the module's server keeps its files."""
    return Layout(one_server.settings.data)


@pytest.fixture
def owner(one_server: Served) -> User:
    return add_user()


@pytest.fixture
def sender(one_server: Served, owner: User) -> Iterator[httpx.Client]:
    """A client with the owner's API token."""
    with script(one_server.url, owner) as client:
        yield client
