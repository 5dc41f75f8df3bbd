"""Decision receipts are found by the id of their decision."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0070"
down_revision = "0069"
branch_labels = None
depends_on = None

REFERRED = sa.text("reference IS NOT NULL")


def upgrade() -> None:
    op.add_column("chain_links", sa.Column("reference", sa.Text(), nullable=True))
    columns = ["enterprise", "reference"]
    op.create_index("ix_chain_links_enterprise_reference", "chain_links", columns, postgresql_where=REFERRED, sqlite_where=REFERRED)


def downgrade() -> None:
    op.drop_index("ix_chain_links_enterprise_reference", "chain_links")
    op.drop_column("chain_links", "reference")
