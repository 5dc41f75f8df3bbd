"""Messages of messaging providers that were recorded, and the e-mail addresses of patients beside their phone numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from store.db.tables import UtcDateTime

revision = "0068"
down_revision = "0067"
branch_labels = None
depends_on = None

AT_ONCE = 2_000
PATIENTS = """SELECT id, enterprise, contact FROM patients
 WHERE merged_into IS NULL AND id > :after ORDER BY id LIMIT :limit"""
STATED = """SELECT p.id, a.assertions FROM patients p JOIN assertions a ON a.patient_id = p.id
 WHERE p.merged_into IS NULL AND p.id > :after AND p.id <= :last AND a.assertions LIKE '%"email%'"""
LIST = """INSERT INTO patient_phones (enterprise, number, patient_id, in_force) VALUES (:enterprise, :number, :patient, :in_force)
 ON CONFLICT DO NOTHING"""


def upgrade() -> None:
    op.create_table(
        "provider_messages",
        sa.Column("enterprise", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("recorded", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("enterprise", "message", name=op.f("pk_provider_messages")),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    for rows in _groups(connection):
        connection.execute(sa.text(LIST), rows)


def downgrade() -> None:
    op.execute("DELETE FROM patient_phones WHERE number LIKE '%@%'")
    op.drop_table("provider_messages")


def _groups(connection: Any) -> Iterator[list[dict[str, Any]]]:
    """Every address that any authority lists, those in force first, a few thousand patients at a time."""
    after = 0
    while patients := connection.execute(sa.text(PATIENTS), {"after": after, "limit": AT_ONCE}).fetchall():
        enterprises = {number: enterprise for number, enterprise, _ in patients}
        found = [(number, address, 1) for number, _, contact in patients for address in json.loads(contact).get("emails") or ()]
        span = {"after": after, "last": patients[-1][0]}
        for number, text in connection.execute(sa.text(STATED), span).fetchall():
            stated = json.loads(text)[1].items()
            found += [(number, address, 0) for name, (value, *_) in stated if name.partition("#")[0] == "email" for address in value or ()]
        if rows := [_row(enterprises[number], number, address, in_force) for number, address, in_force in found]:
            yield rows
        after = patients[-1][0]


def _row(enterprise: str, patient: int, address: str, in_force: int) -> dict[str, Any]:
    return {"enterprise": enterprise, "patient": patient, "number": address.strip().casefold(), "in_force": in_force}
