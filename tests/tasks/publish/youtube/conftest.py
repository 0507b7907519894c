"""One stand-in for all tests of a module; each begins with an empty channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.settings import Settings
from tests.tasks.publish.standin import standing
from tests.tasks.publish.youtube.channel import Channel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tasks.publish.standin import Stand


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    settings = Settings(
        data=tmp_path_factory.mktemp("stand") / "data",
        listen="127.0.0.1:0",
        disk_reserve="10 MiB",  # type: ignore[arg-type]  # as people write it
    )
    with standing(settings) as found:
        yield found


@pytest.fixture
def channel(stand: Stand) -> Channel:
    return Channel(stand)
