"""Identifiers have a kind, and several patients may share one that is for look-up only.

Existing rows still identify a payload's patient (kind ``''``): which of them the sources own is only in the configuration. The next payload
with such an identifier sets its kind.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COLUMNS = "enterprise, value, authority, type, origin, patient_id"
ALL = ("enterprise", "value", "authority", "type")


def upgrade() -> None:
    _again((*ALL, "origin"), sa.Column("kind", sa.Text(), nullable=False))
    op.execute(f"INSERT INTO identifiers ({COLUMNS}, kind) SELECT {COLUMNS}, '' FROM identifiers_before")
    _done()


def downgrade() -> None:
    _again(ALL)
    # A shared identifier is kept by the patient whom it identifies, otherwise by the first.
    op.execute(
        f"INSERT INTO identifiers ({COLUMNS}) SELECT {COLUMNS} FROM (SELECT {COLUMNS}, row_number() OVER (PARTITION BY"
        " enterprise, value, authority, type ORDER BY CASE kind WHEN 'lookup' THEN 1 ELSE 0 END, origin) AS place"
        " FROM identifiers_before) AS ranked WHERE place = 1"
    )
    _done()


def _again(key: tuple[str, ...], *more: sa.Column[str]) -> None:
    """Creates an empty table with another key beside the old one: SQLite cannot change a key."""
    op.drop_index("ix_identifiers_patient_id", table_name="identifiers")
    op.rename_table("identifiers", "identifiers_before")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("ALTER TABLE identifiers_before DROP CONSTRAINT pk_identifiers, DROP CONSTRAINT fk_identifiers_patient_id")
    op.create_table(
        "identifiers",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ALL),
        sa.Column("origin", sa.BigInteger(), nullable=False),
        sa.Column("patient_id", BIG_ID, nullable=False),
        *more,
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_identifiers_patient_id")),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_identifiers")),
        sqlite_with_rowid=False,
    )


def _done() -> None:
    op.drop_table("identifiers_before")
    op.create_index(op.f("ix_identifiers_patient_id"), "identifiers", ["patient_id"])
