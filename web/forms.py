"""Forms of pages: fields in, sentences beside the fields out. They work without script.

A form that can't be taken is shown again with status 422, all that was typed (but passwords) and
what to correct; one that is taken is answered by 303, so that a reload sends nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from litestar.enums import RequestEncodingType
from litestar.params import BodyKwarg
from litestar.response import Template

from appliance.errors import ApplianceError, TooManyAttempts
from web.errors import describe

# All fields are optional to the parser: what is missing is told like what is wrong.
FormData = Annotated[dict[str, Any], BodyKwarg(media_type=RequestEncodingType.URL_ENCODED)]


def text(data: dict[str, Any], name: str) -> str:
    """One field; "" when it isn't there. A field sent twice counts once, the last."""
    value = data.get(name, "")
    return str(value[-1] if isinstance(value, list) and value else value or "")


def several(data: dict[str, Any], name: str) -> list[str]:
    """All values of a group of checkboxes."""
    value = data.get(name, [])
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


@dataclass(frozen=True)
class Form:
    """What a form template shows: ``value(name)`` and ``problem(name)``, ``problems`` on top."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str:
        return str(self.values.get(name, ""))

    def problem(self, name: str) -> str:
        return self.problems.get(name, "")


SECRETS = frozenset({"password", "new_password", "current_password", "_csrf_token"})


def refused(data: dict[str, Any], error: ApplianceError, *names: str) -> Form:
    """The form as it was sent, with the problem beside its field (or on top, for no field)."""
    field_name = getattr(error, "field", None)
    place = field_name if field_name in names else ""
    kept = {name: value for name, value in data.items() if name not in SECRETS}
    return Form(kept, {place or "": error.message})


def shown_again(template: str, error: ApplianceError, context: dict[str, Any]) -> Template:
    """422 for what has to be corrected, else the error's own status (409, 429 …)."""
    answer = describe(error)
    headers = answer.headers if isinstance(error, TooManyAttempts) else {}
    return Template(template, context=context, status_code=answer.status, headers=headers)
