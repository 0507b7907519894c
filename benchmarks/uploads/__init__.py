"""Uploads against @tus/server, nginx, the disk itself, and through Caddy."""
