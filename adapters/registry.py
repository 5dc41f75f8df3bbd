"""The registry of adapters: name -> module and class, and its settings. Plain dicts, so a search for the name finds it; imported on use."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from adapters.base import Adapter, Listener, Sink, SourceSettings

if TYPE_CHECKING:
    from adapters.schema import SettingsGroup

ADAPTERS = {
    "fhir.bulk": "adapters.fhir.bulk.adapter:BulkAdapter",
    "fhir.rest": "adapters.fhir.rest:RestAdapter",
    "files.delimited": "adapters.files.adapter:DelimitedAdapter",
    "files.sftp": "adapters.files.sftp:DelimitedSftpAdapter",
    "hl7v2.files": "adapters.hl7v2.files:FilesAdapter",
    "hl7v2.mllp": "adapters.hl7v2.mllp:MllpListener",
    "hl7v2.sftp": "adapters.hl7v2.sftp:SftpAdapter",
    "rest.athena": "adapters.rest.athena:AthenaAdapter",
    "rest.json": "adapters.rest.rest:JsonAdapter",
}

SCHEMAS = {
    "fhir.bulk": "adapters.fhir.schema:BulkOptions",
    "fhir.rest": "adapters.fhir.schema:FhirOptions",
    "files.delimited": "adapters.files.schema:DelimitedOptions",
    "files.sftp": "adapters.files.schema:DelimitedSftpOptions",
    "hl7v2.files": "adapters.hl7v2.schema:FilesOptions",
    "hl7v2.mllp": "adapters.hl7v2.schema:MllpOptions",
    "hl7v2.sftp": "adapters.hl7v2.schema:Hl7SftpOptions",
    "rest.athena": "adapters.rest.schema:AthenaOptions",
    "rest.json": "adapters.rest.schema:RestJsonOptions",
}
LISTENERS = frozenset({"hl7v2.mllp"})
"""Adapters whose EMR calls us: they are not read on a schedule."""
FOLDERS = frozenset({"files.delimited", "hl7v2.files"})
"""Adapters whose ``path`` is a folder on this machine."""


SINKS = {
    "fhir.consent": "adapters.fhir.write_back:ConsentSink",
    "fhir.patient": "adapters.fhir.write_back:PatientSink",
    "hl7v2.a31": "adapters.hl7v2.write_back:A31Sink",
}
"""What writes opt-outs to EMRs."""


def schema(adapter: str) -> type[SettingsGroup]:
    """The adapter's own settings. ``KeyError`` for a name that is not registered."""
    found: type[SettingsGroup] = _named(SCHEMAS[adapter])
    return found


def build(settings: SourceSettings) -> Adapter | Listener:
    """Builds the adapter of a source. It opens no connection yet. ``KeyError`` for a name that is not registered."""
    adapter: Adapter | Listener = _named(ADAPTERS[settings.adapter])(settings)
    return adapter


def build_sink(kind: str, settings: SourceSettings, attributes: Mapping[str, Any], options: Mapping[str, Any]) -> Sink:
    """Builds what writes opt-outs to the EMR of a source. It opens no connection yet. ``options``: the sink's own settings."""
    found: Sink = _named(SINKS[kind])(settings, attributes, options)
    return found


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
