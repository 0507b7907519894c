"""Templates of posts: texts and options to begin with, for all of the team."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import peewee

from appliance import events
from appliance.clock import now
from appliance.db import transaction
from appliance.errors import Conflict, InvalidInput, NotFound
from appliance.models import PostTemplate
from appliance.post_input import clean_description, clean_title
from appliance.text import clean_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.models import User, Video

MAX_NAME_CHARS = 80
MAX_OPTIONS_BYTES = 20_000


def all_templates() -> list[PostTemplate]:
    """By name. Wants a connection."""
    return list(PostTemplate.select().order_by(PostTemplate.name))


def get(public_id: str) -> PostTemplate:
    """Raises NotFound."""
    found: PostTemplate | None = PostTemplate.get_or_none(PostTemplate.public_id == public_id)
    if found is None:
        raise NotFound("There is no such template; somebody may have deleted it.")
    return found


def find(word: str) -> PostTemplate:
    """By id or name. Raises NotFound."""
    found: PostTemplate | None = PostTemplate.get_or_none(
        (PostTemplate.public_id == word) | (PostTemplate.name == clean_line(word))
    )
    if found is None:
        names = ", ".join(f"“{t.name}”" for t in all_templates()) or "none"
        raise NotFound(f"There is no template “{word[:MAX_NAME_CHARS]}”. Templates: {names}.")
    return found


def save(
    template: PostTemplate | None,
    *,
    actor: User | None,
    name: str,
    title: str = "",
    description: str = "",
    options: Mapping[str, Any] | None = None,
) -> PostTemplate:
    """Make one (None), or change it. Raises InvalidInput, and Conflict for a name that is taken."""
    columns = {
        "name": _name(name),
        "title": clean_title(title, field="title"),
        "description": clean_description(description, field="description"),
        "options": dict(options or {}),
    }
    if len(json.dumps(columns["options"])) > MAX_OPTIONS_BYTES:
        raise InvalidInput("The options are too long for a template.", field="options")
    try:
        with transaction():
            if template is None:
                template = PostTemplate.create(created_by=actor, **columns)
                what = "create"
            else:
                PostTemplate.update(**columns, updated_at=now()).where(
                    PostTemplate.id == template.id
                ).execute()
                template = PostTemplate.get_by_id(template.id)
                what = "change"
            events.audit(actor, f"post_template.{what}", f"post_template:{template.public_id}")
    except peewee.IntegrityError as exc:
        raise Conflict(
            f"There is a template “{columns['name']}” already. Choose another name.",
            code="name_taken",
        ) from exc
    return template


def delete(template: PostTemplate, *, actor: User | None) -> None:
    """Posts that were made from it stay as they are."""
    with transaction():
        template.delete_instance()
        events.audit(actor, "post_template.delete", f"post_template:{template.public_id}")


def texts_for(template: PostTemplate, video: Video) -> tuple[str, str]:
    """Title and text for a video, "{title}" and "{description}" filled in; "" stays "", which
    means the video's own."""

    def fill(text: str) -> str:
        # One pass: what a video is called is not looked through for variables again.
        parts = text.split("{title}")
        filled = [part.replace("{description}", video.description) for part in parts]
        return video.title.join(filled)

    return fill(template.title), fill(template.description)


def _name(text: str) -> str:
    name = clean_line(text, max_bytes=4 * MAX_NAME_CHARS + 4)
    if not name:
        raise InvalidInput("Give the template a name.", field="name")
    if len(name) > MAX_NAME_CHARS:
        raise InvalidInput(f"The name is longer than {MAX_NAME_CHARS} characters.", field="name")
    return name
