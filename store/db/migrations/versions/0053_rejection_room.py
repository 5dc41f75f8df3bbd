"""How much of its hourly limit for rejections a source has used, so that nobody can fill the disk."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import UtcDateTime

revision = "0053"
down_revision = "0051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rejection_room",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("hour", UtcDateTime(), nullable=False),
        sa.Column("nameless", sa.BigInteger(), nullable=False),
        sa.Column("nameless_bytes", sa.BigInteger(), nullable=False),
        sa.Column("named_bytes", sa.BigInteger(), nullable=False),
        sa.Column("left_out", sa.BigInteger(), nullable=False),
        sa.Column("bare", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_rejection_room")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("rejection_room")
