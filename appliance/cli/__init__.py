"""The ``appliance`` command: assembles the program; may import everything, nothing imports it.

Exit codes, for every command: 0 done, 1 failed, 2 wrong use; 130 when Ctrl-C ended it. Errors are
one sentence on stderr. Heavy imports stand inside the commands, so that ``--help`` is quick.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from appliance import __version__
from appliance.cli.processes import web, worker
from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130


class _Commands(click.Group):
    """What runs for ever is loaded alone: all the others would cost each service some 10 MB."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        import_module("appliance.cli.all_commands")
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:
            import_module("appliance.cli.all_commands")
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="appliance")
def cli() -> None:
    """A box for video: bring it in, see it become ready, post it.

    Settings come from APPLIANCE_… variables or appliance.toml: see docs/settings.md.
    """


cli.add_command(web)
cli.add_command(worker)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    try:
        code = cli.main(arguments, prog_name="appliance", standalone_mode=False)
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except ApplianceError as exc:
        return _failed(str(exc))
    except BrokenPipeError:
        # `appliance videos list | head`: nobody reads on. Python flushes stdout once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        return _failed(f"{where}{exc.strerror or exc}.")
    except Exception as exc:
        if os.environ.get("APPLIANCE_DEVELOPMENT"):
            raise
        if logging.getLogger().handlers:  # a process with a log
            logging.getLogger("appliance").exception("ended by an error")
            return FAILED
        return _failed(
            f"Something unexpected went wrong ({type(exc).__name__}: {exc}). "
            "Set APPLIANCE_DEVELOPMENT=1 to see where."
        )
    return code if isinstance(code, int) else 0


def _failed(message: str) -> int:
    click.echo(f"appliance: {message}", err=True)
    return FAILED
