"""When each serving process last read its configuration again, and why it kept the former one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import UtcDateTime

revision = "0067"
down_revision = "0066"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("processes", sa.Column("reloaded", UtcDateTime(), nullable=True))
    op.add_column("processes", sa.Column("not_reloaded", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("processes", "not_reloaded")
    op.drop_column("processes", "reloaded")
