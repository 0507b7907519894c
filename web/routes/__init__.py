"""Route modules: a handler parses, calls one function, picks a template."""
