"""Files of settings: read before anything runs with them."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.frame import json_option, print_json
from appliance.settings import load_settings


@click.group()
def settings() -> None:
    """Look into files of settings."""


@settings.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def check(file: Path, as_json: bool) -> None:
    """Say whether FILE, written like appliance.toml, has good settings alone.

    Ends with 1 and a sentence for each setting that is unknown or wrong.
    """
    named = load_settings({"APPLIANCE_CONFIG": str(file)}).model_fields_set
    if as_json:
        print_json({"settings": sorted(named)})
    else:
        click.echo(f"{file}: {len(named)} settings, all of them good.")
