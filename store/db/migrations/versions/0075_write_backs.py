"""Opt-outs on their way to EMRs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import BigId, UtcDateTime

revision = "0075"
down_revision = "0074"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "write_backs",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("patient_id", BigId, nullable=False),
        sa.Column("attribute", sa.Text(), nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stated", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("due", UtcDateTime(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sent", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_write_backs_patient_id_patients")),
        sa.PrimaryKeyConstraint("source", "patient_id", "attribute", name=op.f("pk_write_backs")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_write_backs_state_due", "write_backs", ["state", "due"])


def downgrade() -> None:
    op.drop_table("write_backs")
