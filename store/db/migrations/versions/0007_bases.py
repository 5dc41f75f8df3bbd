"""Which configuration of each enterprise is in force, and which one awaits review."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import BigId, UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bases",
        sa.Column("seq", BigId, nullable=False, autoincrement=True),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("patients", sa.BigInteger(), nullable=False),
        sa.Column("preview", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_bases")),
    )
    op.create_index(op.f("ix_bases_enterprise"), "bases", ["enterprise"])


def downgrade() -> None:
    op.drop_table("bases")
