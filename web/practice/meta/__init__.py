"""The stand-in of Meta: its login, the Graph API and the upload host, for Pages and Instagram."""
