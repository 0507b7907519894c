"""The stand-in of Google: OAuth, and the YouTube Data API v3 as far as the publisher uses it."""
