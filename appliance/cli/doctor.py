"""`appliance doctor`: looks at all that can be wrong, and says what mends it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from appliance.cli.frame import json_option, print_json
from appliance.doctor import Finding, Verdict
from appliance.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

_SIGNS = {
    Verdict.GOOD: ("ok", "green"),
    Verdict.NOTE: ("note", "yellow"),
    Verdict.BAD: ("bad", "red"),
}


@click.command()
@click.option(
    "--url", help="Look at a box from outside, as people reach it: proves what a proxy does."
)
@click.option(
    "--token",
    envvar="APPLIANCE_TOKEN",
    help="API token of that box with the scopes read and upload; better in APPLIANCE_TOKEN.",
)
@click.option("--long", is_flag=True, help="With --url: also send for longer than a minute.")
@json_option
def doctor(url: str | None, token: str | None, long: bool, as_json: bool) -> int:
    """Check this box: programs, disk, database, keys, processes, address, backups, alerts.

    Each check says what it found, why that matters, and what mends it. With --url it looks from
    outside instead, through everything in between, and removes what it sent. Ends with 1 when
    something is bad. Root looks as the user that the data belongs to.
    """
    if url is None:
        from tasks.checkup.owner import become_owner
        from tasks.checkup.task import examine_box

        if long:
            raise click.UsageError("--long goes with --url.")
        settings = load_settings()
        become_owner(settings.data)
        made: Iterable[Finding] = examine_box(settings)
    else:
        from appliance.cli.outside import examine

        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise click.UsageError(f"{url} is no address of a box: it begins with https://.")
        made = examine(url, token, long=long)
    findings = []
    for each in made:
        findings.append(each)
        if not as_json:
            print_finding(each)
    if as_json:
        print_json({"healthy": _healthy(findings), "findings": [asdict(f) for f in findings]})
    return 0 if _healthy(findings) else 1


def _healthy(findings: list[Finding]) -> bool:
    return all(each.verdict is not Verdict.BAD for each in findings)


def print_finding(each: Finding) -> None:
    """One finding, for people."""
    word, colour = _SIGNS[each.verdict]
    click.echo(f"{click.style(f'{word:<4}', fg=colour, bold=True)}  {each.check}: {each.found}")
    if each.mend:
        click.echo(f"      {each.why}\n      → {each.mend}")
