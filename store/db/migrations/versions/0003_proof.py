"""Encrypted payloads; the hash chains of the audit log and of decision receipts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rejections", sa.Column("key_id", sa.Text(), nullable=True))
    op.execute(sa.text("UPDATE rejections SET payload = :nothing").bindparams(sa.bindparam("nothing", b"", sa.LargeBinary())))  # in clear
    op.create_table(
        "chain_links",
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("enterprise", "chain", "number", name=op.f("pk_chain_links")),
    )
    op.create_index("ix_chain_links_enterprise_subject", "chain_links", ["enterprise", "subject"])
    op.create_table(
        "chain_heads",
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("enterprise", "chain", name=op.f("pk_chain_heads")),
    )


def downgrade() -> None:
    op.drop_table("chain_heads")
    op.drop_index("ix_chain_links_enterprise_subject", table_name="chain_links")
    op.drop_table("chain_links")
    op.drop_column("rejections", "key_id")
