"""Attributes whose newer evidence from a source could not be read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0022"
branch_labels = None
depends_on = None

MARKED = sa.text("unreadable IS NOT NULL")


def upgrade() -> None:
    op.add_column("assertions", sa.Column("unreadable", sa.Text(), nullable=True))
    op.create_index("ix_assertions_unreadable", "assertions", ["authority"], postgresql_where=MARKED, sqlite_where=MARKED)


def downgrade() -> None:
    op.drop_index("ix_assertions_unreadable", "assertions")
    op.drop_column("assertions", "unreadable")
