"""When each source is due to be read next, so that it survives a restart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import UtcDateTime

revision = "0056"
down_revision = "0053"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schedule_times",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("due", UtcDateTime(), nullable=False),
        sa.Column("asked", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("source", "kind", name=op.f("pk_schedule_times")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("schedule_times")
