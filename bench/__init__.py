"""Benchmarks: ``python -m bench [--json] [--quick] [--only NAME]``. Every figure stands beside its floor, measured in the same run.

One file per bench; each yields :class:`bench.figure.Figure` values. Load comes from processes of its own, servers run as they do
in production: the real listener, API and store, on SQLite and on a real PostgreSQL with durable commits.
"""
