"""The diagnostics bundle: what somebody who is to help needs, and no secret of the box."""
