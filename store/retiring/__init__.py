"""A source leaves: its locks go, its last known values stay."""
