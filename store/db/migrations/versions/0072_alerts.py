"""Which alerts were sent, to whom, and which could not be delivered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import UtcDateTime

revision = "0072"
down_revision = "0071"
branch_labels = None
depends_on = None

KEY = ("target", "kind", "enterprise", "source")


def upgrade() -> None:
    op.create_table(
        "alerts",
        *(sa.Column(name, sa.Text(), nullable=False) for name in KEY),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("told", UtcDateTime(), nullable=True),
        sa.Column("tried", UtcDateTime(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*KEY, name=op.f("pk_alerts")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("alerts")
