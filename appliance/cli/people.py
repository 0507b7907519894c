"""Users and their API tokens, from the shell of the box."""

from __future__ import annotations

import click


@click.group()
def user() -> None:
    """Add, list, reset and deactivate users."""


@click.group()
def token() -> None:
    """Create, list and revoke API tokens."""
