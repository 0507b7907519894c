"""Posting: one protocol for all platforms, a pure machine that decides, an executor that acts."""
