"""The one error of the program's own set-up."""

from __future__ import annotations


class Unusable(Exception):
    """What was asked for cannot be had as the configuration or the database stand. The message says what to do."""
