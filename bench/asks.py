"""A store full of patients, and the decision requests of senders."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.base import Payload
from adapters.hl7v2.mapping import Hl7Mapper
from adapters.rehearsal.dialect import AUTHORITY
from adapters.rehearsal.population import mrn
from bench import site
from bench.load_mllp import START, feed
from sync.config.loading import load
from sync.runtime import Runtime, lane

LINE = "+12175550100"
KINDS: tuple[dict[str, Any], ...] = (
    {"message_type": "automation", "channels": ["sms", "voice"], "line": LINE, "topic": "appointments"},
    {"message_type": "automation", "channels": ["sms", "voice", "email"], "line": LINE},
    {"message_type": "broadcast", "channels": ["sms", "voice"], "line": LINE},
    {"message_type": "campaign", "channels": ["sms", "email"], "line": LINE},
)
"""The requests, in turn: mostly automations, as in practice."""


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def fill(config: Path, patients: int) -> str:
    """Ingests an A08 for every patient. Returns a sender's key."""
    runtime = Runtime.open(load(config, {}))
    source = runtime.feed(site.ADT)
    payloads = (Payload(body, "bench", START) for body in feed(patients, revision=0))
    run = runtime.engine.feed(lane(source), Hl7Mapper(source.settings), payloads)
    if run.counts.get("applied") != patients:
        raise RuntimeError(f"not every patient was applied: {dict(run.counts)}")
    _, key = runtime.keys.create("bench", site.ENTERPRISE, "sender", START)
    runtime.close()
    return key


def ask(index: int) -> dict[str, Any]:
    """The request about a patient."""
    return {"patient": {"authority": AUTHORITY, "value": mrn(index)}, **KINDS[index % len(KINDS)]}


def body(index: int) -> bytes:
    """The request about a patient, as JSON."""
    return json.dumps(ask(index), separators=(",", ":")).encode()


def bodies(patients: int) -> list[bytes]:
    """One request per patient, as JSON, in an order different from the table's."""
    order = sorted(range(patients), key=lambda index: (index * 7919) % patients)
    return [body(index) for index in order]
