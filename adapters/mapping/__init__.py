"""Mapping that all protocols share: site rules, code tables, telephone numbers and addresses, languages, identifiers."""
