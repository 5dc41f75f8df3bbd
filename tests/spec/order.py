"""Which evidence counts when messages are late, repeated, or from several sources (product rules 5.1 to 5.7).

A row: what arrives, in this order, and the resulting Do Not Contact. ``adt yes@10`` is a source's statement, true since 10.
``adt -@10`` clears it, ``adt ...@10`` does not state it. ``merge@50`` joins a second record, ``2:`` is about that record.
``adt yes@10~20`` was true since some time from 10 to 20. ``staff yes`` is the toggle while the enterprise does not sync
(``a little ago``: from a machine with a slow clock). ``sync`` and ``no sync`` switch sync on and off.
"""

from __future__ import annotations

ORDER: tuple[tuple[str, str, str], ...] = (
    ("the newer statement counts", "adt yes@10, adt no@20", "no"),
    ("a late statement changes nothing", "adt yes@20, adt no@10", "yes"),
    ("if times overlap, the refusal counts", "adt yes@10~20, adt no@15", "yes"),
    ("if times overlap, the order of receipt does not matter", "adt no@15, adt yes@10~20", "yes"),
    ("an entirely later statement ends a refusal", "adt yes@10~20, adt no@21", "no"),
    ("a permission from some time that day ends no refusal of that day", "adt yes@50, adt no@0~86399", "yes"),
    ("a clear from some time that day overrides a no of that day", "adt no@50, adt -@0~86399", "unknown"),
    ("a refusal from some time that day overrides a no of that day", "adt no@50, adt yes@0~86399", "yes"),
    ("a refusal from some time that day can end the next day", "adt yes@0~86399, adt no@86400", "no"),
    ("if several overlap, any refusal counts", "adt no@15, adt yes@10~20, adt no@12~30", "yes"),
    (
        "a refusal that an entirely later statement ended does not return by another overlap",
        "adt no@10~20, adt -@5~15, adt yes@0~8",
        "unknown",
    ),
    ("the same in another order of receipt", "adt -@5~15, adt no@10~20, adt yes@0~8", "unknown"),
    ("two statements of the same time: the refusal counts", "adt yes@10, adt no@10", "yes"),
    ("a repeat changes nothing, however late it comes", "adt no@10, adt yes@20, adt no@10", "yes"),
    ("a message without a statement changes nothing", "adt yes@10, adt ...@20", "yes"),
    ("a cleared statement is unknown", "adt yes@10, adt -@20", "unknown"),
    ("a lost message leaves the statement before it", "adt yes@10", "yes"),
    ("one source's yes is a yes", "adt no@20, fhir yes@10", "yes"),
    ("a newer no of another source does not end it", "fhir yes@10, adt no@99", "yes"),
    ("a source with a fast clock outdates only its own statements", "adt yes@9000, adt no@20, fhir no@30", "yes"),
    ("two sources state no", "adt no@10, fhir no@20", "no"),
    ("an opt-out of either record survives their merge", "adt no@20, 2: adt yes@10, merge@50", "yes"),
    ("a late permission from before the merge ends no refusal", "adt yes@10, merge@50, 2: adt no@30", "yes"),
    ("a late opt-out from before the merge counts", "adt no@20, merge@50, 2: adt yes@10", "yes"),
    ("a statement about the merged record after the merge counts", "adt yes@10, merge@50, 2: adt no@60", "no"),
    ("a late opt-out does not undo a statement made after the merge", "merge@50, adt no@60, 2: adt yes@10", "no"),
    ("without sync the toggle counts, not the EMR", "no sync, adt no@10, staff yes", "yes"),
    ("without sync the EMR's yes has no effect", "no sync, adt yes@10", "unknown"),
    ("the EMR's statement counts as soon as sync is on", "no sync, adt yes@10, staff no, sync", "yes"),
    ("a local yes counts until the EMR makes a statement", "no sync, adt ...@10, staff yes, sync", "yes"),
    ("an earlier statement of the EMR does not end it", "no sync, adt no@10, staff yes, sync", "yes"),
    ("an earlier statement that arrives late does not end it", "no sync, adt ...@10, staff yes, sync, adt no@20", "yes"),
    ("a later statement of the EMR ends it", "no sync, adt ...@10, staff yes, sync, adt no@20000", "no"),
    ("a later statement that repeats an earlier one ends it", "no sync, adt no@10, staff yes, sync, adt no@20000", "no"),
    (
        "a later repeat ends it, even after a repeat from before the local yes",
        "no sync, adt no@10, staff yes, sync, adt no@9999, adt no@20000",
        "no",
    ),
    ("when sync is off again, the toggle counts", "no sync, adt ...@10, staff yes, sync, adt no@20000, no sync", "yes"),
    (
        "a local yes from a slow clock is newer than what was received before it",
        "no sync, adt no@9990, staff yes a little ago, sync",
        "yes",
    ),
    ("a merge does not end a local yes", "no sync, adt ...@10, 2: adt no@10, staff yes, sync, merge@90000", "yes"),
)
