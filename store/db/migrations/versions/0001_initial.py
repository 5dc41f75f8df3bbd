"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db.tables import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.Column("revoked", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.create_table(
        "patients",
        sa.Column("id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("sources", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("merged_into", BIG_ID, nullable=True),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.Column("updated", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["merged_into"], ["patients.id"], name=op.f("fk_patients_merged_into")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patients")),
    )
    op.create_index(
        "ix_patients_merged_into",
        "patients",
        ["merged_into"],
        unique=False,
        postgresql_where=sa.text("merged_into IS NOT NULL"),
        sqlite_where=sa.text("merged_into IS NOT NULL"),
    )
    op.create_table(
        "rejections",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("locator", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("first_at", UtcDateTime(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejections")),
    )
    op.create_index("ix_rejections_status_last_at", "rejections", ["status", "last_at"], unique=False)
    op.create_index("uq_rejections_source_digest", "rejections", ["source", "digest"], unique=True)
    op.create_table(
        "runs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("started", UtcDateTime(), nullable=False),
        sa.Column("alive", UtcDateTime(), nullable=False),
        sa.Column("finished", UtcDateTime(), nullable=True),
        sa.Column("since", sa.Text(), nullable=True),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index("ix_runs_source_started", "runs", ["source", "started"], unique=False)
    op.create_index(
        "uq_runs_active_source",
        "runs",
        ["source"],
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
        sqlite_where=sa.text("status = 'running'"),
    )
    op.create_table(
        "settings",
        sa.Column("seq", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_settings")),
    )
    op.create_index(op.f("ix_settings_enterprise"), "settings", ["enterprise"], unique=False)
    op.create_table(
        "sms_consent_events",
        sa.Column("seq", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("recorded", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_sms_consent_events")),
    )
    op.create_index("ix_sms_consent_events_enterprise_number", "sms_consent_events", ["enterprise", "number"], unique=False)
    op.create_table(
        "sms_words",
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("updated", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("enterprise", "number", name=op.f("pk_sms_words")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "source_states",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("last_heard", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_source_states")),
    )
    op.create_table(
        "assertions",
        sa.Column("patient_id", BIG_ID, nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("assertions", sa.Text(), nullable=False),
        sa.Column("effective", UtcDateTime(), nullable=False),
        sa.Column("confirmed", UtcDateTime(), nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("seen", sa.Text(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("last_heard", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_assertions_patient_id")),
        sa.PrimaryKeyConstraint("patient_id", "authority", name=op.f("pk_assertions")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "changes",
        sa.Column("seq", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("patient_id", BIG_ID, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence_id", sa.Text(), nullable=False),
        sa.Column("effective", UtcDateTime(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_changes_patient_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_changes")),
    )
    op.create_index("ix_changes_enterprise_seq", "changes", ["enterprise", "seq"], unique=False)
    op.create_index(op.f("ix_changes_patient_id"), "changes", ["patient_id"], unique=False)
    op.create_table(
        "identifiers",
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("patient_id", BIG_ID, nullable=False),
        sa.Column("origin", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_identifiers_patient_id")),
        sa.PrimaryKeyConstraint("enterprise", "value", "authority", "type", name=op.f("pk_identifiers")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_identifiers_patient_id"), "identifiers", ["patient_id"], unique=False)
    op.create_table(
        "merges",
        sa.Column("seq", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("survivor", BIG_ID, nullable=False),
        sa.Column("merged", BIG_ID, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("evidence_id", sa.Text(), nullable=False),
        sa.Column("effective", UtcDateTime(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("before", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["merged"], ["patients.id"], name=op.f("fk_merges_merged")),
        sa.ForeignKeyConstraint(["survivor"], ["patients.id"], name=op.f("fk_merges_survivor")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_merges")),
    )
    op.create_index(op.f("ix_merges_merged"), "merges", ["merged"], unique=False)
    op.create_index(op.f("ix_merges_survivor"), "merges", ["survivor"], unique=False)
    op.create_table(
        "patient_phones",
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("patient_id", BIG_ID, nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_patient_phones_patient_id")),
        sa.PrimaryKeyConstraint("enterprise", "number", "patient_id", name=op.f("pk_patient_phones")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_patient_phones_patient_id"), "patient_phones", ["patient_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_patient_phones_patient_id"), table_name="patient_phones")
    op.drop_table("patient_phones")
    op.drop_index(op.f("ix_merges_survivor"), table_name="merges")
    op.drop_index(op.f("ix_merges_merged"), table_name="merges")
    op.drop_table("merges")
    op.drop_index(op.f("ix_identifiers_patient_id"), table_name="identifiers")
    op.drop_table("identifiers")
    op.drop_index(op.f("ix_changes_patient_id"), table_name="changes")
    op.drop_index("ix_changes_enterprise_seq", table_name="changes")
    op.drop_table("changes")
    op.drop_table("assertions")
    op.drop_table("source_states")
    op.drop_table("sms_words")
    op.drop_index("ix_sms_consent_events_enterprise_number", table_name="sms_consent_events")
    op.drop_table("sms_consent_events")
    op.drop_index(op.f("ix_settings_enterprise"), table_name="settings")
    op.drop_table("settings")
    op.drop_index(
        "uq_runs_active_source",
        table_name="runs",
        postgresql_where=sa.text("status = 'running'"),
        sqlite_where=sa.text("status = 'running'"),
    )
    op.drop_index("ix_runs_source_started", table_name="runs")
    op.drop_table("runs")
    op.drop_index("uq_rejections_source_digest", table_name="rejections")
    op.drop_index("ix_rejections_status_last_at", table_name="rejections")
    op.drop_table("rejections")
    op.drop_index(
        "ix_patients_merged_into",
        table_name="patients",
        postgresql_where=sa.text("merged_into IS NOT NULL"),
        sqlite_where=sa.text("merged_into IS NOT NULL"),
    )
    op.drop_table("patients")
    op.drop_table("api_keys")
