"""The index by which people find patients, and that of the patients a user viewed.

Names that were kept before are added to it while the service runs (``store.patients.indexing``): reading the assertions of a million
patients takes minutes, and the service need not wait for it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0069"
down_revision = "0068"
branch_labels = None
depends_on = None

BY_BYTE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "patient_search",
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("token", BY_BYTE, nullable=False),
        sa.Column("entry", BY_BYTE, nullable=False),
        sa.Column("patient_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("enterprise", "token", "entry", "patient_id", name=op.f("pk_patient_search")),
        sqlite_with_rowid=False,
    )
    op.add_column("patients", sa.Column("search_entry", sa.Text(), nullable=True))
    missing = sa.text("search_entry IS NULL AND merged_into IS NULL")
    op.create_index("ix_patients_not_indexed", "patients", ["enterprise", "id"], sqlite_where=missing, postgresql_where=missing)
    viewed = sa.text("action = 'viewed_patient'")
    columns = ["enterprise", "chain", "actor", "number"]
    op.create_index("ix_chain_links_viewed", "chain_links", columns, sqlite_where=viewed, postgresql_where=viewed)


def downgrade() -> None:
    op.drop_index("ix_chain_links_viewed", "chain_links")
    op.drop_index("ix_patients_not_indexed", "patients")
    op.drop_column("patients", "search_entry")
    op.drop_table("patient_search")
