"""The codes that a source sent, besides the values they were mapped to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("assertions", sa.Column("codes", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("assertions", "codes")
