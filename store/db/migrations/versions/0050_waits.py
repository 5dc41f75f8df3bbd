"""Wrong passwords delay the next attempt, in memory; they no longer lock a user out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import UtcDateTime

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("users", "locked_until")
    op.drop_column("users", "failures")


def downgrade() -> None:
    op.add_column("users", sa.Column("failures", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("users", sa.Column("locked_until", UtcDateTime(), nullable=True))
