"""One module for each platform; tasks/publish/registry.py lists them."""
