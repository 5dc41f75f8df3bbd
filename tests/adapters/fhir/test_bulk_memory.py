"""A larger export needs no more memory. (A million patients are measured by ``python -m bench --only bulk``.)"""

from __future__ import annotations

import tracemalloc

from adapters.base import Fetch
from adapters.rehearsal.emr import RehearsalEmr
from tests.adapters.fhir.bulk.test_adapter import adapter

SMALL, LARGE, IN_A_FILE = 2_000, 4_000, 250  # both keep as many files and batches in flight as may be
HALF_A_LINE = 1_500  # bytes: a line with its items is 3,100, its digest with its place in the dictionary about 250


def peak(patients: int) -> int:
    """The most memory, in bytes, that the EMR and the adapter in this process hold while everything is read."""
    with RehearsalEmr(patients=patients, seed=3) as emr:
        emr.exports.file_size = IN_A_FILE
        read = 0
        tracemalloc.start()
        for batch in adapter(emr).fetch(Fetch()):
            read += len(batch.items)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert read == patients
    return highest


def test_memory_does_not_grow_with_the_export() -> None:
    """But for the digests of the last 20,000 lines, by which one that comes twice is known. What the threads
    hold at one moment differs by half a megabyte or so from time to time, so the bound lies far from both."""
    peak(IN_A_FILE)  # what is loaded once is loaded now
    assert peak(LARGE) - peak(SMALL) < (LARGE - SMALL) * HALF_A_LINE
