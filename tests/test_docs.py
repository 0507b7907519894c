"""The pages in docs/ say what the code does."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.access import Scope
from appliance.cli import cli
from appliance.cli.reference import reference_page
from appliance.settings import Settings
from tasks.publish.registry import PUBLISHERS
from tests import media
from tests.end_to_end.box import running_box
from web.practice.faults import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))


@pytest.mark.parametrize("page", ["settings", "states", "cli"])
def test_reference_pages_are_what_the_code_says(page: str) -> None:
    written = (ROOT / "docs" / f"{page}.md").read_text()
    assert written == reference_page(page, cli), (
        f"Run: .venv/bin/appliance reference {page} > docs/{page}.md"
    )


def test_every_setting_has_its_place() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    for name in Settings.model_fields:
        assert f"`APPLIANCE_{name.upper()}`" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_paths_in_the_guide_exist() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    for word in re.findall(r"`([\w./]+)`", guide):
        if re.fullmatch(r"(appliance|storage|tasks|web|tests|docs)/[\w./]+", word):
            path = ROOT / word
            if "NAME" not in word and "NOUN" not in word:
                assert path.exists(), f"CONTRIBUTING.md names {word}"


def test_every_publisher_has_its_page_and_practice_tells_all_its_faults() -> None:
    pages = {page.stem: page.read_text() for page in ROOT.glob("docs/publishers/*.md")}
    assert set(pages) == set(PUBLISHERS)
    told = set(re.findall(r"^\| `(\w+)` \|", pages["practice"], re.M))
    assert told == set(FAULTS)


def test_commands_in_the_guide_are_those_of_dev() -> None:
    dev = (ROOT / "dev").read_text()
    for command in re.findall(r"^\| `\./dev (\w+)`", (ROOT / "CONTRIBUTING.md").read_text(), re.M):
        assert f"\ndef {command}(" in dev


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_decisions_are_short_and_have_the_four_parts(page: Path) -> None:
    text = page.read_text()
    number = int(page.name[:4])
    assert text.startswith(f"# {number}. ")
    for part in ("\nStatus: ", "\n## Context\n", "\n## Decision\n", "\n## Consequences\n"):
        assert part in text
    assert len(text.splitlines()) <= 40


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running box, as the variables that the examples ask for."""
    missing = [program for program in ("bash", "curl", "jq") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"The examples want {' and '.join(missing)}.")
    with running_box(tmp_path_factory.mktemp("examples")) as box:
        scopes = [option for scope in Scope for option in ("--scope", scope.value)]
        token = box.run("token", "create", "owner@example.org", "--name", "examples", *scopes)
        yield {**box.env, "URL": box.url, "TOKEN": token}


def test_the_examples_of_the_api_run_as_they_stand(
    examples: dict[str, str], tmp_path: Path
) -> None:
    shutil.copy(media.h264_aac(), tmp_path / "clip.mp4")
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.S)
    assert len(blocks) >= 6
    script = "set -euo pipefail\nset -x\n" + "\n".join(blocks)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=examples,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("Our trip", "Practice channel", "/practice/", "probe", '"alive"', "\n100\n"):
        assert words in done.stdout, f"{words} is not in:\n{done.stdout}"
