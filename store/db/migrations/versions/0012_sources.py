"""Data about a source besides its runs: records by hour, findings. An index for the ranking of rejections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import UtcDateTime

revision = "0012"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "arrivals",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("hour", UtcDateTime(), nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("news", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", "hour", name=op.f("pk_arrivals")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "source_findings",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "kind", name=op.f("pk_source_findings")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_rejections_ranking"), "rejections", ["enterprise", "status", "source", "reason", "path", "times", "id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_rejections_ranking"), "rejections")
    op.drop_table("source_findings")
    op.drop_table("arrivals")
