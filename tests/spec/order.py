"""Which evidence counts when messages are late, repeated, or of several sources (product rules 5.1 to 5.7).

A row: what arrives, in this order, and what Do Not Contact is then. ``adt yes@10`` is a source's statement, true since 10;
``adt -@10`` takes it back, ``adt ...@10`` says nothing about it; ``merge@50`` joins a second record, ``2:`` speaks of that one;
``adt yes@10~20`` was true since some time from 10 to 20; ``staff yes`` is the toggle while the enterprise does not sync
(``a little ago``: by a machine whose clock is late); ``sync`` and ``no sync`` switch it.
"""

from __future__ import annotations

ORDER: tuple[tuple[str, str, str], ...] = (
    ("the newer statement counts", "adt yes@10, adt no@20", "no"),
    ("a late statement changes nothing", "adt yes@20, adt no@10", "yes"),
    ("where times overlap the refusal counts", "adt yes@10~20, adt no@15", "yes"),
    ("whichever was received first", "adt no@15, adt yes@10~20", "yes"),
    ("what is entirely later ends it", "adt yes@10~20, adt no@21", "no"),
    ("a permission of some time that day lifts nothing of that day", "adt yes@50, adt no@0~86399", "yes"),
    ("what is taken back some time that day stands against a no of that day", "adt no@50, adt -@0~86399", "unknown"),
    ("a refusal of some time that day counts against a no of that day", "adt no@50, adt yes@0~86399", "yes"),
    ("a refusal of some time that day ends the next day", "adt yes@0~86399, adt no@86400", "no"),
    ("of several overlapping ones any refusal counts", "adt no@15, adt yes@10~20, adt no@12~30", "yes"),
    ("a refusal older than all that overlaps does not come back", "adt no@10~20, adt -@5~15, adt yes@0~8", "unknown"),
    ("whichever of those was received first", "adt -@5~15, adt no@10~20, adt yes@0~8", "unknown"),
    ("two at the same moment: the refusal", "adt yes@10, adt no@10", "yes"),
    ("a repeat changes nothing, however late", "adt no@10, adt yes@20, adt no@10", "yes"),
    ("a message that says nothing about it changes nothing", "adt yes@10, adt ...@20", "yes"),
    ("a statement taken back is unknown", "adt yes@10, adt -@20", "unknown"),
    ("a lost message leaves what was said before it", "adt yes@10", "yes"),
    ("one source's yes is a yes", "adt no@20, fhir yes@10", "yes"),
    ("a newer no of another source does not lift it", "fhir yes@10, adt no@99", "yes"),
    ("a source whose clock is ahead outdates itself only", "adt yes@9000, adt no@20, fhir no@30", "yes"),
    ("two sources that say no", "adt no@10, fhir no@20", "no"),
    ("an opt-out of either record survives their merge", "adt no@20, 2: adt yes@10, merge@50", "yes"),
    ("a late permission from before the merge lifts nothing", "adt yes@10, merge@50, 2: adt no@30", "yes"),
    ("a late opt-out from before the merge counts", "adt no@20, merge@50, 2: adt yes@10", "yes"),
    ("of the merged record, what is said since counts", "adt yes@10, merge@50, 2: adt no@60", "no"),
    ("a late opt-out does not undo what was said since the merge", "merge@50, adt no@60, 2: adt yes@10", "no"),
    ("without sync the toggle counts, not the EMR", "no sync, adt no@10, staff yes", "yes"),
    ("without sync the EMR's yes has no effect", "no sync, adt yes@10", "unknown"),
    ("what the EMR said counts as soon as sync is on", "no sync, adt yes@10, staff no, sync", "yes"),
    ("a local yes stands until the EMR has stated", "no sync, adt ...@10, staff yes, sync", "yes"),
    ("what it had stated before does not lift it", "no sync, adt no@10, staff yes, sync", "yes"),
    ("nor does what it stated before and arrives late", "no sync, adt ...@10, staff yes, sync, adt no@20", "yes"),
    ("then the EMR's word counts", "no sync, adt ...@10, staff yes, sync, adt no@20000", "no"),
    ("also where it repeats what it stated before", "no sync, adt no@10, staff yes, sync, adt no@20000", "no"),
    ("and where it repeats that once more", "no sync, adt no@10, staff yes, sync, adt no@9999, adt no@20000", "no"),
    ("with sync off again, the toggle", "no sync, adt ...@10, staff yes, sync, adt no@20000, no sync", "yes"),
    ("a local yes of a slow clock is newer than what was received before it", "no sync, adt no@9990, staff yes a little ago, sync", "yes"),
    ("a merge does not lift a local yes", "no sync, adt ...@10, 2: adt no@10, staff yes, sync, merge@90000", "yes"),
)
