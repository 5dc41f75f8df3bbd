"""Opt-outs keep the class of the message that they answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0071"
down_revision = "0070"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sms_consent_events", sa.Column("in_reply_to", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("sms_consent_events", "in_reply_to")
