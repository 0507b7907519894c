"""The stand-in of Meta: its sign-in, the Graph API for Pages and Instagram, and the upload host.

Things that calls are about are *nodes* (a Page, a video), and what hangs from them are *edges* (the
videos of a Page), as in the Graph API. Each module has a table of those that it answers; app.py
puts them together.
"""
