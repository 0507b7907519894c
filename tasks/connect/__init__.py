"""Accounts on platforms outside: how they come in, how their sign-ins stay alive, how they go."""
