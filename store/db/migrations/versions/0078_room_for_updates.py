"""Pages of patients and their assertions keep room for new versions of their rows, so that PostgreSQL need not touch the indexes.

A page that is full sends the new version of a row elsewhere, and every index then gets a new entry (PostgreSQL, "Heap-Only Tuples").
Only pages written from now on have the room; ``VACUUM FULL`` or ``pg_repack`` gives it to the others.
"""

from __future__ import annotations

from alembic import op

revision = "0078"
down_revision = "0077"
branch_labels = None
depends_on = None

TABLES = ("patients", "assertions")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"ALTER TABLE {table} SET (fillfactor = 70)")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
