"""Statements with a period, which start or end by themselves, and when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import BigId, UtcDateTime

revision = "0048"
down_revision = "0036"
branch_labels = None
depends_on = None

DUE = sa.text("due IS NOT NULL")


def upgrade() -> None:
    op.add_column("patients", sa.Column("due", UtcDateTime(), nullable=True))
    op.create_index("ix_patients_due", "patients", ["enterprise", "due"], postgresql_where=DUE, sqlite_where=DUE)
    op.create_table(
        "statements_ahead",
        sa.Column("patient_id", BigId, sa.ForeignKey("patients.id", name=op.f("fk_statements_ahead_patient_id")), nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("attribute", sa.Text(), nullable=False),
        sa.Column("due", UtcDateTime(), nullable=False),
        sa.Column("origin", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("effective", UtcDateTime(), nullable=False),
        sa.Column("effective_latest", UtcDateTime(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("evidence_id", sa.Text(), nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("patient_id", "authority", "record", "attribute", "due", "origin", name=op.f("pk_statements_ahead")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("statements_ahead")
    op.drop_index("ix_patients_due", "patients")
    op.drop_column("patients", "due")
