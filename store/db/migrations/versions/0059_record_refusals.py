"""The refusals of each record, even while something newer is in force. An existing store fills them as payloads are read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import BigId, UtcDateTime

revision = "0059"
down_revision = "0057"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "record_refusals",
        sa.Column("patient_id", BigId, sa.ForeignKey("patients.id", name=op.f("fk_record_refusals_patient_id")), nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("attribute", sa.Text(), nullable=False),
        sa.Column("origin", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("effective", UtcDateTime(), nullable=False),
        sa.Column("effective_latest", UtcDateTime(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("evidence_id", sa.Text(), nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("patient_id", "authority", "record", "attribute", "origin", name=op.f("pk_record_refusals")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("record_refusals")
