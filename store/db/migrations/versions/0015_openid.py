"""Users who sign in with OpenID Connect, and which of those sign-ins were used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import UtcDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("issuer", "subject"):
        op.add_column("users", sa.Column(name, sa.Text(), nullable=True))
    op.create_index("uq_users_issuer_subject", "users", ["issuer", "subject"], unique=True)
    op.create_table(
        "openid_sign_ins",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_openid_sign_ins")),
    )


def downgrade() -> None:
    op.drop_table("openid_sign_ins")
    op.drop_index("uq_users_issuer_subject", "users")
    for name in ("subject", "issuer"):
        op.drop_column("users", name)
