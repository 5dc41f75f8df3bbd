"""The runs of an enterprise are listed by state, over all sources and for one, along an index."""

from __future__ import annotations

from alembic import op

revision = "0077"
down_revision = "0076"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_runs_enterprise_status_started", "runs", ["enterprise", "status", "started", "id"])
    op.create_index("ix_runs_enterprise_source_status_started", "runs", ["enterprise", "source", "status", "started", "id"])


def downgrade() -> None:
    op.drop_index("ix_runs_enterprise_source_status_started", "runs")
    op.drop_index("ix_runs_enterprise_status_started", "runs")
