"""API keys can expire, and show when they were last used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import UtcDateTime

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("expires", "last_used"):
        op.add_column("api_keys", sa.Column(name, UtcDateTime(), nullable=True))


def downgrade() -> None:
    for name in ("last_used", "expires"):
        op.drop_column("api_keys", name)
