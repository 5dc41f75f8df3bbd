"""What decisions depend on besides a patient, as one fingerprint: policies, the configuration in force, and which sources are stale.

The change feed names it on each page, so that a reader who keeps decisions knows when all of them have to be asked for again.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b

from store.domain import documents
from store.patients.preferences import Preferences


def fingerprint(store: Preferences, enterprise: str, now: datetime) -> str:
    """The fingerprint now. Decisions may be up to a second behind it, since they read policies and sources once a second."""
    rules = store.enterprises[enterprise]
    parts = (store.settings.get(enterprise).policy, rules.basis, sorted(store.freshness.stale([rules], now).items()))
    return blake2b(documents.write(parts).encode(), digest_size=8, person=b"emr-sync-rules").hexdigest()
