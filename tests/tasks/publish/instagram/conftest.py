from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.settings import Settings
from tests.tasks.publish.instagram.studio import Studio, furnish
from tests.tasks.publish.posting import posting

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """One running box for all tests of a file: it takes seconds to start."""
    data = tmp_path_factory.mktemp("instagram") / "data"
    reserve = "10 MiB"
    with posting(Settings(data=data, listen="127.0.0.1:0", disk_reserve=reserve)) as box:  # type: ignore[arg-type]  # ByteSize reads it
        yield furnish(box)


@pytest.fixture
def studio(furnished: Studio, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """The box, with nothing on its stand-in, and a clock of its own."""
    furnished.clock.rule(monkeypatch)
    furnished.empty()
    yield furnished
    furnished.faults()
    furnished.fetched()
