"""The opt-outs by staff, and those under review, are found along an index among hundreds of thousands by patients."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0079"
down_revision = "0078"
branch_labels = None
depends_on = None

BY_HAND = """(words LIKE '%"staff"%' OR words LIKE '%"review"%')"""


def upgrade() -> None:
    words, bindings = sa.text(BY_HAND), sa.text(f"until IS NULL AND {BY_HAND}")
    columns = ["enterprise", "number"]
    op.create_index("ix_sms_words_by_hand", "sms_words", columns, sqlite_where=words, postgresql_where=words)
    op.create_index("ix_sms_bindings_by_hand", "sms_bindings", columns, sqlite_where=bindings, postgresql_where=bindings)


def downgrade() -> None:
    op.drop_index("ix_sms_bindings_by_hand", "sms_bindings")
    op.drop_index("ix_sms_words_by_hand", "sms_words")
