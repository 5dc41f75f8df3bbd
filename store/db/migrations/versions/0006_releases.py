"""Retired sources, so that retiring one can be undone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import BigId, UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "releases",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("patients", sa.BigInteger(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("last_heard", UtcDateTime(), nullable=True),
        sa.Column("undone_by", sa.Text(), nullable=True),
        sa.Column("undone_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
    )
    op.create_index(op.f("ix_releases_source"), "releases", ["source"])
    op.create_table(
        "released_marks",
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("patient_id", BigId, nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("staff", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["releases.id"], name=op.f("fk_released_marks_release_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_released_marks_patient_id")),
        sa.PrimaryKeyConstraint("release_id", "patient_id", name=op.f("pk_released_marks")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("released_marks")
    op.drop_table("releases")
