"""The safeguard: held statements, recent changes by live feeds that permitted contact, and people's decisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import BigId, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "held_statements",
        sa.Column("patient_id", BigId, nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("attribute", sa.Text(), nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("again", sa.BigInteger(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("effective", UtcDateTime(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("evidence_id", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_held_statements_patient_id")),
        sa.PrimaryKeyConstraint("patient_id", "authority", "attribute", name=op.f("pk_held_statements")),
    )
    op.create_index("ix_held_statements_run_id_state", "held_statements", ["run_id", "state"])
    op.create_index("ix_held_statements_source_state", "held_statements", ["source", "state"])
    op.create_table(
        "loosened",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("patient_id", BigId, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_loosened_patient_id")),
        sa.PrimaryKeyConstraint("source", "patient_id", name=op.f("pk_loosened")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "verdicts",
        sa.Column("seq", BigId, nullable=False, autoincrement=True),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("patients", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_verdicts")),
    )
    op.create_index(op.f("ix_verdicts_run_id"), "verdicts", ["run_id"])


def downgrade() -> None:
    for table in ("verdicts", "loosened", "held_statements"):
        op.drop_table(table)
