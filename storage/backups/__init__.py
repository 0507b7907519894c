"""Backups of the whole box: made while it works, checked without restoring, restored by renames.

What a folder of backups holds is said in format.py and docs/backups.md; create.py, verify.py,
restore.py, prune.py and drill.py are the verbs.
"""
