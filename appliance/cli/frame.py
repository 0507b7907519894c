"""What all commands share: the open box, and answers for people and for scripts."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from appliance.db import database, open_database
from appliance.migrate import require_current
from appliance.settings import load_settings
from appliance.text import clean_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from appliance.settings import Settings

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def ready_settings(**overrides: Any) -> Settings:
    """The settings, with the database bound to a schema of this version; makes a new box.

    Raises SettingsError, also when the box is to be migrated first.
    """
    from storage.backups import in_use
    from storage.layout import Layout

    settings = load_settings(**overrides)
    in_use.enter(settings.data)
    Layout(settings.data).make_folders()
    open_database(settings.database_path)
    require_current(settings)
    return settings


class OneByDefault(click.Group):
    """A group that is a command, too: without the name of one, ``default`` is meant."""

    def __init__(self, *args: Any, default: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        asks_for_help = args[:1] in (["-h"], ["--help"])
        if not args or (args[0].startswith("-") and not asks_for_help):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


@contextmanager
def opened_box() -> Iterator[Settings]:
    """The box of this machine, its database open."""
    settings = ready_settings()
    with database.connection_context():
        yield settings


def go_on_alone() -> None:
    """Before work that stops the box: half-way is no place to stop."""
    # Who started us may go away, over a line that breaks.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Like Ctrl-C: what was begun is taken back.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def tell(text: str, *, nl: bool = True) -> None:
    """On the terminal, where there is one still: what goes on goes on without it, too."""
    with suppress(OSError):
        click.echo(text, err=True, nl=nl)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, none: str) -> None:
    """Columns of text; ``none`` is the sentence for an empty list."""
    if not rows:
        click.echo(none)
        return
    cells = [list(headings), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    for number, row in enumerate(cells):
        line = "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True))
        click.secho(line.rstrip(), bold=number == 0)


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values below each other; what is not known is left out."""
    known = {name: value for name, value in facts.items() if value not in (None, "", [], {})}
    width = max(map(len, known), default=0)
    for name, value in known.items():
        click.echo(f"{name:<{width}}  {clean_line(str(value), max_bytes=2000)}")


def _cell(value: object) -> str:
    # Titles come from people, and a terminal obeys control characters.
    return "–" if value is None or value == "" else clean_line(str(value), max_bytes=120)
