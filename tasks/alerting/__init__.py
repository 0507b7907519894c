"""Telling admins: what is wrong now, who is told of it and how (appliance/alerts.py decides)."""
