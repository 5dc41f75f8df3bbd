"""Indexes in the order in which pages list rows: a patient's history, rejections, held changes."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_changes_patient_id", table_name="changes")
    op.create_index("ix_changes_patient_id_seq", "changes", ["patient_id", "seq"])
    op.drop_index("ix_rejections_status_last_at", table_name="rejections")
    op.create_index("ix_rejections_status_last_at", "rejections", ["status", "last_at", "id"])
    op.create_index("ix_rejections_enterprise_status_last_at", "rejections", ["enterprise", "status", "last_at", "id"])
    op.create_index("ix_rejections_source_status_last_at", "rejections", ["source", "status", "last_at", "id"])
    op.drop_index("ix_held_statements_run_id_state", table_name="held_statements")
    op.create_index("ix_held_statements_run_id_state", "held_statements", ["run_id", "state", "patient_id"])
    op.drop_index("ix_held_statements_source_state", table_name="held_statements")
    op.create_index("ix_held_statements_source_state", "held_statements", ["source", "state", "patient_id", "run_id"])


def downgrade() -> None:
    op.drop_index("ix_held_statements_source_state", table_name="held_statements")
    op.create_index("ix_held_statements_source_state", "held_statements", ["source", "state"])
    op.drop_index("ix_held_statements_run_id_state", table_name="held_statements")
    op.create_index("ix_held_statements_run_id_state", "held_statements", ["run_id", "state"])
    op.drop_index("ix_rejections_source_status_last_at", table_name="rejections")
    op.drop_index("ix_rejections_enterprise_status_last_at", table_name="rejections")
    op.drop_index("ix_rejections_status_last_at", table_name="rejections")
    op.create_index("ix_rejections_status_last_at", "rejections", ["status", "last_at"])
    op.drop_index("ix_changes_patient_id_seq", table_name="changes")
    op.create_index("ix_changes_patient_id", "changes", ["patient_id"])
