"""Users and their API tokens, from the shell of the box."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from appliance import quotas, tokens, users
from appliance.access import Scope
from appliance.cli.frame import json_option, opened_box, print_json, print_table
from appliance.db import transaction
from appliance.errors import NotFound
from appliance.models import ApiToken, Role, User

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

password_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from the first line of stdin."
)
# What a token may do when nobody says: all but managing the box.
_USUAL_SCOPES = tuple(scope.value for scope in Scope if scope is not Scope.ADMIN)


@click.group()
def user() -> None:
    """Add, list, reset, limit and deactivate users."""


@user.command()
@click.argument("email")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--name", default="", help="What people call them.")
@password_option
@json_option
def add(email: str, role: str, name: str, password_stdin: bool, as_json: bool) -> None:
    """Add a user. Without a password they get a link to choose one."""
    password = _read_password() if password_stdin else None
    with opened_box() as settings, transaction():
        person = users.add_user(
            email,
            role=Role(role),
            name=name,
            password=password,
            time_zone=settings.team_time_zone,
        )
        link = None if password else users.reset_link(person, settings)
    _say_link(person, link, as_json=as_json, otherwise=f"{person.email} is here now, as {role}.")


@user.command(name="list")
@json_option
def list_users(as_json: bool) -> None:
    """List all users."""
    with opened_box():
        people = users.all_users()
    if as_json:
        print_json({"items": [_describe(person) for person in people]})
        return
    rows = [
        (
            person.email,
            person.name,
            person.role,
            "deactivated" if person.deactivated_at else "",
            _shown(person.last_seen_at),
        )
        for person in people
    ]
    print_table(
        ("Email", "Name", "Role", "State", "Last seen"),
        rows,
        none="There is nobody yet. Add the first user: "
        "appliance user add you@example.org --role owner",
    )


@user.command(name="setup-link")
@json_option
def print_setup_link(as_json: bool) -> None:
    """Print a link to create the first account in the browser; earlier ones end."""
    with opened_box() as settings:
        link = users.setup_link(settings)
    if as_json:
        print_json({"link": link})
    else:
        click.echo(link or "There are accounts already: sign in, or see `appliance user list`.")


@user.command()
@click.argument("email")
@password_option
@json_option
def reset(email: str, password_stdin: bool, as_json: bool) -> None:
    """Give a user a link to choose a new password, or set it here."""
    password = _read_password() if password_stdin else None
    with opened_box() as settings:
        person = users.by_email(email)
        link = None if password else users.reset_link(person, settings)
        if password:
            users.set_password(person, password)
    _say_link(person, link, as_json=as_json, otherwise=f"{person.email} has a new password.")


@user.command()
@click.argument("email")
@click.argument("size")
@json_option
def quota(email: str, size: str, as_json: bool) -> None:
    """Limit what a user's videos may take: a SIZE ("20 GiB"), none or default."""
    with opened_box() as settings:
        person = users.by_email(email)
        users.set_quota(person, quotas.parse_quota(size), actor=None)
        person = users.by_email(email)
        used, limit = quotas.used_bytes(person), quotas.quota_of(settings, person)
        words = quotas.describe_quota(settings, person)
    if as_json:
        print_json({**_describe(person), "used_bytes": used, "quota_bytes": limit})
    elif limit is None:
        click.echo(f"{person.email} has no limit; {words} are used.")
    else:
        click.echo(f"{person.email} uses {words}.")


@user.command()
@click.argument("email")
@json_option
def deactivate(email: str, as_json: bool) -> None:
    """Switch an account off: sessions and tokens end, videos stay."""
    with opened_box():
        person = users.by_email(email)
        users.deactivate(person, actor=None)
        person = users.by_email(email)
    _say_link(person, None, as_json=as_json, otherwise=f"{person.email} can't sign in any more.")


@user.command()
@click.argument("email")
@json_option
def reactivate(email: str, as_json: bool) -> None:
    """Switch an account on again."""
    with opened_box():
        person = users.by_email(email)
        users.reactivate(person, actor=None)
        person = users.by_email(email)
    _say_link(person, None, as_json=as_json, otherwise=f"{person.email} can sign in again.")


@click.group()
def token() -> None:
    """Create, list and revoke API tokens."""


@token.command()
@click.argument("email")
@click.option("--name", required=True, help="What it is for, so that you can tell it apart.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it may do; once for each. Default: all but admin.",
)
@click.option("--expires-days", type=click.IntRange(1, 3650), help="Default: it doesn't expire.")
@json_option
def create(
    email: str, name: str, scopes: Sequence[str], expires_days: int | None, as_json: bool
) -> None:
    """Create a token for a user, and print it: the only time that it is shown."""
    with opened_box():
        row, text = tokens.create(
            users.by_email(email),
            name=name,
            scopes=scopes or _USUAL_SCOPES,
            expires_days=expires_days,
        )
    if as_json:
        print_json({"token_id": row.public_id, "token": text, "scopes": row.scopes})
    else:
        click.echo(text)


@token.command(name="list")
@click.argument("email", required=False)
@json_option
def list_tokens(email: str | None, as_json: bool) -> None:
    """List the tokens of one user, or of all."""
    with opened_box():
        people = [users.by_email(email)] if email else users.all_users()
        found = [(person, row) for person in people for row in tokens.of(person)]
    if as_json:
        print_json({"items": [_describe_token(person, row) for person, row in found]})
        return
    print_table(
        ("Id", "Begins with", "Name", "User", "May", "Last used", "Expires"),
        [
            (
                row.public_id,
                f"{row.prefix}…",
                row.name,
                person.email,
                " ".join(row.scopes),
                _shown(row.last_used_at),
                _shown(row.expires_at),
            )
            for person, row in found
        ],
        none="There are no tokens.",
    )


@token.command()
@click.argument("token_id")
@json_option
def revoke(token_id: str, as_json: bool) -> None:
    """End a token, by its id from `appliance token list`."""
    with opened_box():
        row = ApiToken.get_or_none(ApiToken.public_id == token_id)
        if row is None:
            raise NotFound("There is no such token; `appliance token list` shows them with ids.")
        tokens.revoke(row.user, token_id)
    if as_json:
        print_json({"token_id": token_id, "revoked": True})
    else:
        click.echo("The token is revoked.")


def _read_password() -> str:
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError("There is no password on stdin: pipe one line into the command.")
    return line


def _say_link(person: User, link: str | None, *, as_json: bool, otherwise: str) -> None:
    if as_json:
        print_json({**_describe(person), "reset_link": link})
    elif link:
        click.echo(f"{person.email} chooses a password here (once, within a day):\n{link}")
    else:
        click.echo(otherwise)


def _describe(person: User) -> dict[str, Any]:
    return {
        "user_id": person.public_id,
        "email": person.email,
        "name": person.name,
        "role": person.role,
        "active": person.deactivated_at is None,
        "created_at": _exact(person.created_at),
        "last_seen_at": _exact(person.last_seen_at),
    }


def _describe_token(person: User, row: ApiToken) -> dict[str, Any]:
    return {
        "token_id": row.public_id,
        "prefix": row.prefix,
        "name": row.name,
        "email": person.email,
        "scopes": row.scopes,
        "created_at": _exact(row.created_at),
        "last_used_at": _exact(row.last_used_at),
        "expires_at": _exact(row.expires_at),
    }


def _exact(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _shown(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"
