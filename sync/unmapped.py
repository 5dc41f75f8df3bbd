"""The unmapped codes of a source, read from its rejections and ranked by the number of records that have them.

Rejected payloads contain patient data. A code is shown only if several records have it and it looks like a code: free text in a
coded field stays hidden.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from adapters.base import Payload
from store.errors import PayloadUnreadable
from store.runs.runs import RejectionStatus
from store.web.http.work import UnmappedCode
from sync.runtime import Runtime, adapter

REASON = "code_unmapped"
MOST_READ, SHOWN_FROM, SHOWN = 200, 3, 20
CODE = re.compile(r"[\w.:/+-]{1,20}")


def unmapped_codes(runtime: Runtime, source: str) -> list[UnmappedCode]:
    """The codes in the newest rejections, the most frequent first."""
    return ranked(Counter(pair for pairs in _pairs(runtime, source) for pair in pairs))


def ranked(records: Mapping[tuple[str, str], int]) -> list[UnmappedCode]:
    """The codes that may be shown, from the number of records by (path, code). The hidden codes of a path are one entry."""
    visible: Counter[tuple[str, str]] = Counter()
    for (path, code), count in records.items():
        visible[path, code if count >= SHOWN_FROM and CODE.fullmatch(code) else ""] += count
    return [UnmappedCode(path, code, count) for (path, code), count in visible.most_common(SHOWN)]


def _pairs(runtime: Runtime, source: str) -> Iterator[set[tuple[str, str]]]:
    feed = runtime.feed(source)
    mapper, journal = adapter(feed).mapper, runtime.journal
    for one in journal.rejection_store.rejections(feed.enterprise, source, RejectionStatus.OPEN, MOST_READ, REASON):
        try:
            payload = journal.rejection(one.id).payload
        except PayloadUnreadable:
            continue
        yield set(mapper.explain(Payload(payload, one.locator, one.first_at)).unmapped)
