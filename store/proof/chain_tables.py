"""The rows of chains (``store.proof.chain``)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index

from store.columns import Mapped, mapped_column
from store.tables import Table


class ChainLinkRow(Table):
    """Append only. A line of a chain (``store.proof.chain``): the audit log, the decision receipts."""

    __tablename__ = "chain_links"
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    chain: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[str]
    hash: Mapped[str]
    __table_args__ = (Index("ix_chain_links_enterprise_subject", "enterprise", "subject"),)


class ChainHeadRow(Table):
    """How long each chain is, and its last hash."""

    __tablename__ = "chain_heads"
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    chain: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    hash: Mapped[str]
