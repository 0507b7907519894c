"""Media Appliance, the core: settings, rows, states and the operations that need rows only.

This package knows no HTTP, no queue and no file layout. Imports run one way:
``web → tasks → storage → appliance`` (docs/decisions/0002).
"""

from importlib.metadata import version

__version__ = version("media-appliance")
