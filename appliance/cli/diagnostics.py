"""`appliance diagnostics`: a zip for who is to help, without the box's secrets."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.frame import json_option, print_json
from appliance.db import open_database
from appliance.settings import load_settings


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write it. Default: a new name in this folder.",
)
@json_option
def diagnostics(output: Path | None, as_json: bool) -> None:
    """Write a zip of versions, settings, findings, logs and counts, without secrets.

    Look into it before you send it: it says all that is known about this box but who its people
    are, what they brought, and what would let somebody in.
    """
    from tasks.checkup.owner import become_owner
    from tasks.checkup.task import examine_box
    from tasks.diagnostics import bundle

    settings = load_settings()
    path = output or Path(bundle.file_name())
    # Before root's rights are given up: the folder may be root's.
    with path.open("xb") as file:
        path.chmod(0o600)
        become_owner(settings.data)
        open_database(settings.database_path)
        size = file.write(bundle.make(settings, list(examine_box(settings))))
    if as_json:
        print_json({"path": str(path.absolute()), "size_bytes": size})
    else:
        click.echo(f"{path} is written. Look into it before you send it.")
