"""Writes docs/settings.md from the code; a test holds the file to it."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from appliance.settings import Settings

HEAD = """\
# Settings

<!-- Made by `appliance settings-doc > docs/settings.md`; edit appliance/settings.py instead. -->

Read once, at the start. Strongest first:

1. the options of a command, such as `appliance up --listen 127.0.0.1:8001`
2. the environment: `APPLIANCE_NAME`, or `APPLIANCE_NAME_FILE` with the path of a file to read
   the value from
3. a file of the setting's name in `$CREDENTIALS_DIRECTORY` (systemd: `LoadCredential=`)
4. `appliance.toml` in the current folder, or the file that `APPLIANCE_CONFIG` names
5. the default

Unknown names and values that can't be used stop the start with a sentence that names them. Sizes
take units, such as `20 GiB`; durations are numbers in the unit that the name ends in.

`APPLIANCE_URL` and `APPLIANCE_TOKEN` are no settings: they say which box the commands talk to
([cli.md](cli.md)).

```toml
# appliance.toml
public_url = "https://video.example.org"
max_upload_bytes = "50 GiB"
```
"""


@click.command(hidden=True)
def settings_doc() -> None:
    """Print docs/settings.md."""
    click.echo(settings_page(), nl=False)


def settings_page() -> str:
    """The whole page, as Markdown."""
    parts = [HEAD]
    for name, field in Settings.model_fields.items():
        parts.append(
            f"\n## `{name}`\n\n{field.description}\n\n"
            f"- Environment: `APPLIANCE_{name.upper()}`\n"
            f"- Takes: {describe_type(field.annotation)}\n"
            f"- Default: {describe_default(field)}\n"
        )
    return "".join(parts)


def describe_type(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        return describe_type(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return " or ".join(f"`{word}`" for word in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return describe_type(next(part for part in get_args(kind) if part is not type(None)))
    words = {
        bool: "`true` or `false`",
        int: "a whole number",
        float: "a number",
        ByteSize: "a size",
        SecretStr: "a secret text",
        str: "text",
    }
    return words.get(kind, "a path")


def describe_default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value is PydanticUndefined:
        return "see above" if "Default:" in (field.description or "") else "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, ByteSize):
        return f"`{value.human_readable()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`"
