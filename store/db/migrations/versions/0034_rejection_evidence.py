"""The message or resource of a rejection: its control id, or type and id."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rejections", sa.Column("evidence_id", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("rejections", "evidence_id")
