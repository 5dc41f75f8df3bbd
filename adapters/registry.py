"""The registry of adapters: name -> module and class. A plain dict, so a search for the name finds it; modules are imported on use."""

from __future__ import annotations

from importlib import import_module

from adapters.base import Adapter, Listener, SourceSettings

ADAPTERS = {
    "fhir.bulk": "adapters.fhir.bulk.adapter:BulkAdapter",
    "fhir.rest": "adapters.fhir.rest:RestAdapter",
    "hl7v2.files": "adapters.hl7v2.files:FilesAdapter",
    "hl7v2.mllp": "adapters.hl7v2.mllp:MllpListener",
    "hl7v2.sftp": "adapters.hl7v2.sftp:SftpAdapter",
    "rest.athena": "adapters.rest.athena:AthenaAdapter",
    "rest.json": "adapters.rest.rest:JsonAdapter",
}


def build(settings: SourceSettings) -> Adapter | Listener:
    """Builds the adapter of a source. It opens no connection yet. ``KeyError`` for a name that is not registered."""
    module, _, name = ADAPTERS[settings.adapter].partition(":")
    adapter: Adapter | Listener = getattr(import_module(module), name)(settings)
    return adapter
