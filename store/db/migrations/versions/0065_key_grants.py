"""The grants of a sender's key, beyond requesting decisions: none by default."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0065"
down_revision = "0060"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("grants", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("api_keys", "grants")
