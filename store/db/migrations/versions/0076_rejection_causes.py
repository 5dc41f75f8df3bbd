"""Rejections know their preference and their patient, and are counted by cause along one index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0076"
down_revision = "0075"
branch_labels = None
depends_on = None

CAUSE = ["enterprise", "status", "source", "reason", "path"]


def upgrade() -> None:
    op.add_column("rejections", sa.Column("attribute", sa.Text(), nullable=False, server_default=""))
    op.add_column("rejections", sa.Column("patient_id", sa.BigInteger(), nullable=True))
    op.create_index("ix_rejections_cause", "rejections", [*CAUSE, "attribute", "patient_id", "times", "first_at", "last_at", "id"])
    op.drop_index("ix_rejections_ranking", "rejections")


def downgrade() -> None:
    op.create_index("ix_rejections_ranking", "rejections", [*CAUSE, "times", "id"])
    op.drop_index("ix_rejections_cause", "rejections")
    op.drop_column("rejections", "patient_id")
    op.drop_column("rejections", "attribute")
