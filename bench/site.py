"""The site to measure: one enterprise that syncs, with an ADT feed and optionally a FHIR source of the rehearsal EMR."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from adapters.rehearsal.dialect import AUTHORITY, MRN_SYSTEM, fhir_mapping, hl7_mapping
from sync.config.loading import load
from sync.config.settings import Settings

ENTERPRISE, ADT, FHIR = "bench-hospital", "bench-adt", "bench-fhir"


def free_port() -> int:
    """A free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write(
    folder: Path,
    url: str,
    *,
    sources: tuple[str, ...] = (ADT,),
    listen: str = "127.0.0.1:0",
    mllp: str = "127.0.0.1:2575",
    tls: Mapping[str, str] | None = None,
) -> Path:
    """The configuration file of the site. ``tls`` are the files of the ADT listener's certificate and key."""
    feeds = {ADT: _adt(mllp) | ({"tls": dict(tls)} if tls else {}), FHIR: _fhir()}
    document = {
        "database": url,
        "api": {"listen": listen},
        "enterprises": {ENTERPRISE: _enterprise()},
        "sources": {name: feeds[name] for name in sources},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def _enterprise() -> dict[str, Any]:
    """A safeguard that holds nothing: a held change is less work than one that takes effect."""
    open_to_all = {"floor": 1_000_000_000}
    return {
        "sync_contact_preferences": True,
        "default_region": "US",
        "authorities": {AUTHORITY: [MRN_SYSTEM]},
        "safeguard": open_to_all,
    }


def settings(folder: Path, url: str, *, sources: tuple[str, ...] = (ADT,)) -> Settings:
    """The site's configuration, as the program reads it."""
    return load(write(folder, url, sources=sources), {})


def _adt(mllp: str) -> dict[str, Any]:
    common = {"enterprise": ENTERPRISE, "adapter": "hl7v2.mllp", "preset": "hl7v2-standard", "listen": mllp}
    all_from_here = {"max_connections_per_address": 256}  # of which those that are closing count, too
    return common | all_from_here | {"patient_id": {"authority": AUTHORITY, "type": "MR"}, "mapping": hl7_mapping()}


def _fhir() -> dict[str, Any]:
    common = {"enterprise": ENTERPRISE, "adapter": "fhir.rest", "preset": "fhir-standard", "base_url": "http://127.0.0.1:9/fhir/r4"}
    return common | {"patient_id": {"authority": AUTHORITY, "type": "MR"}, "mapping": fhir_mapping()}
