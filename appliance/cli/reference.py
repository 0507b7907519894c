"""Writes the reference pages of docs/ from the code; a test holds the files to it."""

from __future__ import annotations

import inspect
import types
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from appliance.settings import Settings
from appliance.states import MOVES, PostState

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS_HEAD = """\
# Settings

<!-- Made by `appliance reference settings > docs/settings.md`: edit appliance/settings.py. -->

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


STATES_HEAD = """\
# States

<!-- Made by `appliance reference states > docs/states.md`: edit appliance/states.py. -->

A move is a compare-and-set (`UPDATE … WHERE state = old`): of two who want it, one wins. What is
not in these tables can't happen.
"""

CLI_HEAD = """\
# The command line

<!-- Made by `appliance reference cli > docs/cli.md`: edit appliance/cli. -->

Every command leaves with 0 (done), 1 (failed) or 2 (wrong use), or 130 when Ctrl-C ended it.
Errors are one sentence on stderr. `--json` prints JSON on stdout, for scripts.

Commands that manage the box (`user`, `token`, `migrate`, `doctor`) work on the data folder of this
machine, whether the box runs or not. Commands that work with videos talk to a running box: the
one of this machine, or another one by its address and an API token:

```sh
export APPLIANCE_URL=https://video.example.org
export APPLIANCE_TOKEN=ma_…  # made there: appliance token create you@example.org --name laptop
appliance upload holiday.mp4 --wait
```

An upload that was interrupted goes on where it stopped when the same command is run again.

Kept stable, because scripts rely on it: `user add EMAIL --role ROLE --password-stdin`,
`token create EMAIL --name NAME` (prints the token alone), and `upload FILE --wait --json` (one
line of JSON for each file, with its `video_id`).
"""


@click.command(hidden=True)
@click.argument("page", type=click.Choice(["settings", "states", "cli"]))
@click.pass_context
def reference(context: click.Context, page: str) -> None:
    """Print a page of docs/."""
    click.echo(reference_page(page, context.find_root().command), nl=False)


def reference_page(page: str, root: click.Command) -> str:
    """A whole page as Markdown; ``root`` is the command of which all others are part."""
    match page:
        case "settings":
            return settings_page()
        case "states":
            return states_page()
        case _:
            return cli_page(root)


def cli_page(root: click.Command) -> str:
    """Every command with its options."""
    if isinstance(root, click.Group):
        root.list_commands(click.Context(root))  # which loads them
    return "".join([CLI_HEAD, *_describe_commands(root, "appliance")])


def _describe_commands(command: click.Command, name: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        for part, child in command.commands.items():
            if not child.hidden:
                yield from _describe_commands(child, f"{name} {part}")
        return
    context = click.Context(command, info_name=name)
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"\n## `{name}`\n\n```\n{name} {pieces}\n```\n\n{inspect.cleandoc(command.help or '')}\n"
    records = [
        record
        for option in command.params
        if isinstance(option, click.Option)
        and (record := option.get_help_record(context)) is not None
    ]
    if records:
        yield "\n"
    yield from (f"- `{names}`: {words}\n" for names, words in records)


def states_page() -> str:
    """Every state, with what may follow it."""
    parts = [STATES_HEAD]
    for kind, moves in MOVES.items():
        noun = kind.__name__.removesuffix("State")
        parts.append(f"\n## {noun}\n\n| state | may become |\n|---|---|\n")
        for state in kind:
            # In the order of the enumeration: sets have none.
            following = [f"`{new}`" for new in kind if new in moves.get(state, ())]
            parts.append(f"| `{state}` | {', '.join(following) or 'nothing: it stays'} |\n")
    states = ", ".join(f"`{state}`" for state in PostState)
    parts.append(
        f"\n## Post\n\nOne of {states}: always worked out from its targets, never set by itself "
        "(but for drafts).\n"
    )
    return "".join(parts)


def settings_page() -> str:
    """The whole page, as Markdown."""
    parts = [SETTINGS_HEAD]
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
