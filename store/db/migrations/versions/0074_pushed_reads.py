"""Patients that an EMR reported as changed, until they are read again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import UtcDateTime

revision = "0074"
down_revision = "0073"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pushed_reads",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("patient", sa.Text(), nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("pushes", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("due", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("source", "patient", name=op.f("pk_pushed_reads")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_pushed_reads_due", "pushed_reads", ["due"])


def downgrade() -> None:
    op.drop_table("pushed_reads")
