"""Times as precise as they were written: the end of those that are intervals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import UtcDateTime

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

ADDED = (("assertions", "effective_latest"), ("assertions", "confirmed_latest"), ("held_statements", "effective_latest"))


def upgrade() -> None:
    for table, column in ADDED:
        op.add_column(table, sa.Column(column, UtcDateTime(), nullable=True))


def downgrade() -> None:
    for table, column in reversed(ADDED):
        op.drop_column(table, column)
