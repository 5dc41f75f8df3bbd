"""The errors of the store, by what the caller must do.

::

    StoreError                  something about this request; nothing was changed
    ├── PatientUnknown          no such patient in this enterprise
    ├── NotFound                no such run, rejection, source, key or user
    ├── ReplyUnknown            no such reply in this enterprise
    ├── IdentifierAmbiguous     several patients answer to it: name the authority
    ├── IdentifierConflict      one payload's identifiers belong to different patients
    ├── PreferenceLocked        an EMR masters the value: change it there
    ├── ToggleOff               the enterprise does not use the toggle: switch the setting on first
    ├── OptInOff                the enterprise does not let people opt a patient in here
    ├── SearchOff               the enterprise finds patients by identifier only
    ├── SettingRefused          the setting cannot be changed while something else holds
    ├── RoleRefused             this role may not do that
    ├── VersionConflict         somebody else changed it since: read it again
    ├── TooManyTries            too many wrong passwords: try again after a while
    ├── MergeRefused            the merge would close a circle or join a patient with itself
    ├── ValueRefused            the value is not one of those allowed
    ├── PayloadUnreadable       a kept payload cannot be opened: its key is not there, or it was not kept
    ├── ChainBroken             a line of a chain does not fit what stands before it
    ├── FeedRestarted           the feed of changes does not go on from where its reader left it
    ├── NotOnWorklist           the opt-out is not in the state that a tick, or taking it back, needs
    ├── NothingHeld             the run holds nothing that waits for a decision
    └── RunActive               the source has a run under way
    BackupFailed                a backup could not be made or restored; the database in use was not changed
    KeyExists                   this form created its API key already
    DocumentDamaged             what is stored does not read back: the database is damaged
    SchemaOutdated              the database is older than this program: run ``emr-sync migrate``
    └── SchemaNewer             it is newer: install the program that matches it

Messages hold no identifier, name, phone or payload text: they name attributes, sources and opaque ids only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime


class StoreError(Exception):
    """Something about this request; nothing was changed."""


class DocumentDamaged(ValueError):
    """What is stored does not read back. No record's fault: the database is damaged."""


class PatientUnknown(StoreError):
    """No such patient in this enterprise."""


class NotFound(StoreError):
    """No such run, rejection, source, key or user in this enterprise; the message says where to look."""


class ReplyUnknown(StoreError):
    """No such reply in this enterprise."""


class IdentifierAmbiguous(StoreError):
    """Several patients answer to this identifier; name the authority."""


class IdentifierConflict(StoreError):
    """The identifiers of one payload belong to different patients."""


class PreferenceLocked(StoreError):
    """An EMR masters the value. Says which, since when, and where to change it."""

    def __init__(self, attribute: str, source: str, where: str, since: datetime | None = None) -> None:
        self.attribute, self.source, self.where, self.since = attribute, source, where, since
        when = f" since {since:%Y-%m-%d %H:%M} UTC" if since else ""
        super().__init__(f"{attribute} is controlled by {where}{when}: update this patient in {where}")


class ToggleOff(StoreError):
    """The enterprise's Do Not Contact setting is off, so nobody sets it here."""


class OptInOff(StoreError):
    """The policy ``staff_may_record_opt_in`` is off: only a START from the phone itself opts it in."""


class SearchOff(StoreError):
    """The policy ``search`` lets nobody find patients by name, birth date or phone."""


class SettingRefused(StoreError):
    """The setting cannot be changed while something else holds; the message says what."""


class RoleRefused(StoreError):
    """This role may not do that."""


class VersionConflict(StoreError):
    """The patient changed since it was read."""


class TooManyTries(StoreError):
    """Too many wrong passwords for this name or from this address; the next one may come after so many seconds."""

    def __init__(self, after: float) -> None:
        self.after = max(1, math.ceil(after))
        super().__init__(f"too many failed attempts: wait {self.after} {'second' if self.after == 1 else 'seconds'}, then try again")


class MergeRefused(StoreError):
    """A merge of a patient with itself, or one that would close a circle."""


class ValueRefused(StoreError):
    """The value is not one of those allowed for its attribute."""


class RunActive(StoreError):
    """The source has a run under way; one at a time."""


class PayloadUnreadable(StoreError):
    """A kept payload cannot be opened, or was not kept."""


class ChainBroken(StoreError):
    """A line of a chain does not fit: somebody changed it. Nothing of it is removed."""


class FeedRestarted(StoreError):
    """The feed of changes does not go on from there: the database was restored, or the number was never given."""


class NothingHeld(StoreError):
    """The run holds nothing that waits for a decision."""


class NotOnWorklist(StoreError):
    """The opt-out does not wait to be typed into an EMR, or was not ticked off."""


class BackupFailed(Exception):
    """A backup could not be made, or restored into a scratch database. The message says what to do."""


class KeyExists(Exception):
    """A key has this number already: the same form was sent twice."""


class NotRepeated(Exception):
    """These payloads were only recognized, and must be read: what they repeat is not in force, or follows news about their patient."""

    def __init__(self, payloads: Sequence[object]) -> None:
        self.payloads = payloads
        super().__init__(f"{len(payloads)} payloads must be read")


class SchemaOutdated(Exception):
    """The database's schema is not the one this program was written for."""


class SchemaNewer(SchemaOutdated):
    """A newer program upgraded it: this one is the wrong one. The message says which to install."""
