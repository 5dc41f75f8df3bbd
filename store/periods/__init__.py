"""Statements with a period: kept with it, and evaluated at the moment asked about (product section 7)."""
