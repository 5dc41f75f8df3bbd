"""Numbers that a patient no longer has, and since when: a late STOP applies to the patient who had the number when it was sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import BigId, UtcDateTime

revision = "0060"
down_revision = "0059"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "former_numbers",
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("patient_id", BigId, sa.ForeignKey("patients.id", name=op.f("fk_former_numbers_patient_id")), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("enterprise", "number", "patient_id", name=op.f("pk_former_numbers")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("former_numbers")
