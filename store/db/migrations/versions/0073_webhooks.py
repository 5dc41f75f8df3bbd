"""Webhooks to senders: positions in the change feed, and messages that were not accepted yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import BigId, UtcDateTime

revision = "0073"
down_revision = "0072"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", BigId, nullable=False),
        sa.Column("disabled", UtcDateTime(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_webhook_endpoints")),
    )
    op.create_table(
        "webhook_messages",
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("seq", BigId, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("patient", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("due", UtcDateTime(), nullable=False),
        sa.Column("made", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "seq", name=op.f("pk_webhook_messages")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_webhook_messages_endpoint_patient_seq", "webhook_messages", ["endpoint", "patient", "seq"])


def downgrade() -> None:
    op.drop_table("webhook_messages")
    op.drop_table("webhook_endpoints")
