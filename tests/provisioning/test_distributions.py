"""The other systems that the box is made for: installations and upgrades that are killed end well.

What is told in full on Debian 12 (test_story.py) is told shortly here: killed and gone on with,
first account, a video that goes out, a second run that changes nothing, an upgrade that is killed.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from tests.end_to_end.box import wait_for
from tests.provisioning import test_story as story
from tests.provisioning.guests import booted, why_not
from tests.provisioning.installing import DOMAIN, build_wheel, cut_short

LONG = os.environ.get("APPLIANCE_TEST_LONG") == "1"
_reason = why_not() or ("" if LONG else "APPLIANCE_TEST_LONG=1 runs it")
pytestmark = [
    pytest.mark.long,
    pytest.mark.needs_root,
    pytest.mark.needs_systemd,
    pytest.mark.skipif(bool(_reason), reason=_reason),
    pytest.mark.timeout(2400),
]

GIVEN = {"domain": DOMAIN, "caddy_tls": "internal"}
# Where the installation is killed: the task, and how many seconds it may have had at most.
INSTALLING = {
    "packages : Install packages": 20,
    "release : Install the packages and the wheel, each by its hash": 8,
    "services : Put the release to use": 6,
    "firewall : Put the rules in force": 2,
}
UPGRADING = ("services : Put the release to use", 12)


@pytest.mark.parametrize("suite", ["bookworm", "trixie", "noble"])
def test_a_killed_installation_and_a_killed_upgrade_end_well(suite: str, tmp_path: Path) -> None:
    moments = random.Random(suite)
    (tmp_path / "new").mkdir()
    wheel, newer = build_wheel(tmp_path), build_wheel(tmp_path / "new", "99.0.1")
    with booted(suite, suite) as guest:
        told = story.Story(guest, tmp_path, wheel)
        for task, most_s in INSTALLING.items():
            given = GIVEN | {"appliance_wheel": str(wheel)}
            cut_short(guest, "site.yml", task, moments.uniform(0.2, most_s), **given)
        whole = told.play()
        assert whole.code == 0, whole.said[-4000:]
        link = re.search(rf"https://{DOMAIN}(/setup/[\w-]+)", whole.said)
        assert link is not None, whole.said[-1000:]
        told.setup_path = link[1]
        story.test_the_link_makes_the_first_account(told)
        story.test_a_video_gets_ready_and_goes_out(told)
        story.test_the_box_finds_itself_healthy(told)
        again = told.play()
        assert (again.code, again.changes) == (0, []), again.said[-4000:]
        assert guest.run("nft list tables") == "table inet appliance"

        task, most_s = UPGRADING
        told.wheel = newer
        for _ in range(2):
            given = GIVEN | {"appliance_wheel": str(newer)}
            cut_short(guest, "site.yml", task, moments.uniform(0.2, most_s), **given)
        upgraded = told.play()
        assert upgraded.code == 0, upgraded.said[-4000:]
        wait_for("it answers", lambda: story.answers(told.box), seconds=60)
        assert "99.0.1" in guest.run("appliance --version")
        again = told.play()
        assert (again.code, again.changes) == (0, []), again.said[-4000:]
