"""Requests turned into calls: pages, API, tus, public links."""
