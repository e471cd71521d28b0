# SPDX-License-Identifier: MIT
"""The one exception that ends the demo with a message."""


class DemoError(Exception):
    """Something the reader can act on; its text is printed after 'ebb demo: '."""
