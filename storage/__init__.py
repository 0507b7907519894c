"""Bytes on disk: uploads, originals, renditions, and the links to them."""
