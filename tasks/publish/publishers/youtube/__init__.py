"""YouTube, by the Data API v3: upload unseen, then change who can see it.

Source of endpoints, limits and errors: platforms.md §1.
"""
