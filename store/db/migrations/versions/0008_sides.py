"""Statements under each identifier of a merged patient, and the numbers that a merge replaced."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import BigId

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("merges", sa.Column("own", sa.Text(), nullable=True))
    op.create_table(
        "displaced_numbers",
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("patient_id", BigId, nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_displaced_numbers_patient_id")),
        sa.PrimaryKeyConstraint("enterprise", "number", "patient_id", name=op.f("pk_displaced_numbers")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_displaced_numbers_patient_id"), "displaced_numbers", ["patient_id"])


def downgrade() -> None:
    op.drop_table("displaced_numbers")
    op.drop_column("merges", "own")
