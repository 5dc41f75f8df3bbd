"""Drills: the running service, its database and its machine are broken on purpose, while an EMR sends and senders ask.

``python -m bench.drills`` runs all of them and prints a row for each; docs/operations.md has what was measured.
"""
