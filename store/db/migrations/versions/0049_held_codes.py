"""The codes of held statements, and the mapping that read them, so that another mapping can read them before approval."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("held_statements", sa.Column("mapping", sa.Text(), nullable=False, server_default=""))
    op.add_column("held_statements", sa.Column("codes", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("held_statements", "codes")
    op.drop_column("held_statements", "mapping")
