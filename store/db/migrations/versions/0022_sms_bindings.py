"""Opt-outs that stay with a patient, the numbers that any source lists, and replies that await review."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from store.db.tables import BigId, UtcDateTime

revision = "0022"
down_revision = "0015"
branch_labels = None
depends_on = None

AT_ONCE = 2_000
LISTED = """SELECT p.enterprise, p.id, a.assertions FROM assertions a JOIN patients p ON p.id = a.patient_id
 WHERE p.merged_into IS NULL AND a.assertions LIKE '%"phones%'"""
LIST = """INSERT INTO patient_phones (enterprise, number, patient_id, in_force) VALUES (:enterprise, :number, :patient, 0)
 ON CONFLICT DO NOTHING"""
BIND_OWNERS = """INSERT INTO sms_bindings (enterprise, patient_id, number, origin, words, bound, since)
 SELECT w.enterprise, ph.patient_id, w.number, ph.patient_id, w.words, w.updated, w.updated
 FROM sms_words w JOIN patient_phones ph ON ph.enterprise = w.enterprise AND ph.number = w.number"""
BIND_DISPLACED = """INSERT INTO sms_bindings (enterprise, patient_id, number, origin, words, bound, since)
 WITH RECURSIVE up(record, id) AS (SELECT DISTINCT patient_id, patient_id FROM displaced_numbers
 UNION SELECT up.record, p.merged_into FROM up JOIN patients p ON p.id = up.id WHERE p.merged_into IS NOT NULL)
 SELECT w.enterprise, p.id, w.number, d.patient_id, w.words, w.updated, w.updated FROM displaced_numbers d
 JOIN up ON up.record = d.patient_id JOIN patients p ON p.id = up.id AND p.merged_into IS NULL
 JOIN sms_words w ON w.enterprise = d.enterprise AND w.number = d.number
 WHERE NOT EXISTS (SELECT 1 FROM sms_bindings b WHERE b.patient_id = p.id AND b.number = w.number)"""


def upgrade() -> None:
    op.add_column("patient_phones", sa.Column("in_force", sa.BigInteger(), server_default=sa.text("1"), nullable=False))
    only = sa.text("in_force = 0")
    op.create_index("ix_patient_phones_not_in_force", "patient_phones", ["patient_id"], sqlite_where=only, postgresql_where=only)
    op.create_table(
        "sms_bindings",
        sa.Column("seq", BigId, autoincrement=True, nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("patient_id", BigId, nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("origin", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("bound", UtcDateTime(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_sms_bindings_patient_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_sms_bindings")),
    )
    op.create_index(op.f("ix_sms_bindings_patient_id"), "sms_bindings", ["patient_id"])
    op.create_index("ix_sms_bindings_enterprise_number", "sms_bindings", ["enterprise", "number"])
    op.create_table(
        "sms_replies",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("received", UtcDateTime(), nullable=False),
        sa.Column("recorded", UtcDateTime(), nullable=False),
        sa.Column("decided", UtcDateTime(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_replies")),
    )
    op.create_index("ix_sms_replies_enterprise_state_recorded", "sms_replies", ["enterprise", "state", "recorded", "id"])
    connection = op.get_bind()
    for rows in _groups(connection):
        connection.execute(sa.text(LIST), rows)
    connection.execute(sa.text(BIND_OWNERS))
    connection.execute(sa.text(BIND_DISPLACED))
    op.drop_table("displaced_numbers")


def downgrade() -> None:
    op.create_table(
        "displaced_numbers",
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("patient_id", BigId, nullable=False),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_displaced_numbers_patient_id")),
        sa.PrimaryKeyConstraint("enterprise", "number", "patient_id", name=op.f("pk_displaced_numbers")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_displaced_numbers_patient_id"), "displaced_numbers", ["patient_id"])
    op.drop_table("sms_replies")
    op.drop_table("sms_bindings")
    op.execute("DELETE FROM patient_phones WHERE in_force = 0")
    op.drop_index("ix_patient_phones_not_in_force", "patient_phones")
    op.drop_column("patient_phones", "in_force")


def _groups(connection: Any) -> Iterator[list[dict[str, Any]]]:
    """All numbers that any authority lists, a few thousand at a time."""
    found: list[dict[str, Any]] = []
    for enterprise, patient, text in connection.execute(sa.text(LISTED)).fetchall():
        for attribute, (value, *_) in json.loads(text)[1].items():
            if attribute.partition("#")[0] == "phones":
                found += [{"enterprise": enterprise, "number": phone[0], "patient": patient} for phone in value or ()]
        if len(found) >= AT_ONCE:
            yield found
            found = []
    if found:
        yield found
