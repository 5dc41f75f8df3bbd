"""Benchmarks: ``python -m bench [--json] [--quick] [--only NAME]``. Every figure is shown with a floor, measured in the same run.

There is one file per benchmark; each yields :class:`bench.figure.Figure` values. Load comes from separate processes. Servers run as in
production: the real listener, API and store, on SQLite and on a real PostgreSQL with durable commits.
"""
