"""What each platform would refuse, by ``rules.json``: one file for browser, server and shell."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.publish.publisher import FieldLimit, Finding, Unit, check_field

if TYPE_CHECKING:
    from tasks.publish.publisher import MediaFacts, PostDraft


@cache
def rules() -> dict[str, dict[str, Any]]:
    """By platform. Each says ``as_of`` and ``source``: when it was read, and where."""
    loaded: dict[str, dict[str, Any]] = json.loads(
        Path(__file__).with_name("rules.json").read_text(encoding="utf-8")
    )
    return loaded


def text_limit(platform: str, field: str) -> FieldLimit | None:
    rule = rules().get(platform, {}).get("texts", {}).get(field)
    if rule is None:
        return None
    return FieldLimit(
        maximum=rule["max"],
        unit=Unit(rule["unit"]),
        forbidden=rule.get("forbidden", ""),
        required=rule.get("required", False),
    )


def check(platform: str, draft: PostDraft, facts: MediaFacts) -> list[Finding]:
    """The findings about texts and file; a platform without rules minds nothing."""
    found = check_field("title", draft.title, text_limit(platform, "title"))
    return found + check_field(
        "description", draft.description, text_limit(platform, "description")
    )
