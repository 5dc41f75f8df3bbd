"""Alembic's entry: runs the revisions on the connection that ``store.schema`` hands over."""

from __future__ import annotations

from alembic import context

from store.brake import held_tables as held_tables
from store.merging import merge_tables as merge_tables
from store.people import user_tables as user_tables
from store.periods import period_tables as period_tables
from store.proof import chain_tables as chain_tables
from store.sources import source_tables as source_tables
from store.tables import Table
from store.texting import consent_tables as consent_tables

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata)
with context.begin_transaction():
    context.run_migrations()
