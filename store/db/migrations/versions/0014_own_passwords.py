"""Since when a user's password is one that somebody else set and must be changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import UtcDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("provisional", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("users", "provisional")
