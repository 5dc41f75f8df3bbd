"""``demo``: shows a whole sync with a rehearsal EMR. ``rehearse``: runs only the rehearsal EMR.

Their dependencies are imported when they are called, so that no other command waits for them.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from typing import TYPE_CHECKING, Annotated

import typer

from sync.commands import output
from sync.commands.output import AsJson
from sync.config.problems import UsageError

if TYPE_CHECKING:
    from adapters.rehearsal.emr import RehearsalEmr
    from adapters.rehearsal.extract import Extracts
    from adapters.rehearsal.faults import Faults


class Layout(StrEnum):
    """The layouts of extracts (``adapters.rehearsal.extract_layouts``)."""

    WIDE = "wide"
    LONG = "long"
    EPIC = "epic"


class Semantics(StrEnum):
    """What a set of extracts has."""

    DELTA = "delta"
    SNAPSHOT = "snapshot"


Patients = Annotated[int, typer.Option(help="The number of synthetic patients.", min=1)]
Seed = Annotated[int, typer.Option(help="The same seed gives the same patients.")]
EXTRACT_FAULTS = ("lying-trailer", "wrong-columns", "short-row", "sequence-gap", "other-encoding", "zip-bomb", "cut-extract")


def _spoil_extract(name: str, faults: Faults) -> None:
    faults.spoil_extracts(name)


FAULTS: dict[str, Callable[[Faults], object]] = {
    "401": lambda faults: faults.unauthorized(),
    "429": lambda faults: faults.throttle(),
    "500": lambda faults: faults.fail(),
    "503": lambda faults: faults.fail(status=503),
    "cut": lambda faults: faults.cut(),
    "late": lambda faults: faults.stall(seconds=5),
    "well": lambda faults: faults.succeed(),
    "broken-next": lambda faults: setattr(faults, "break_next_links", True),
    "expired": lambda faults: faults.expire(),
    "partial": lambda faults: faults.leave_out(),
    "short": lambda faults: faults.miscount(),
    "slipped": lambda faults: faults.slip(),
    "announced": lambda faults: setattr(faults, "announce_more", 5),
    "error-entry": lambda faults: faults.report_errors(),
    "endless-next": lambda faults: setattr(faults, "endless_links", True),
    "html-file": lambda faults: faults.spoil_files("html"),
    "cut-file": lambda faults: faults.spoil_files("cut"),
    "pretty-file": lambda faults: faults.spoil_files("pretty"),
    "late-time": lambda faults: setattr(faults, "late_transaction_time", "end"),
    "redirected": lambda faults: faults.redirect(),
    "no-metadata": lambda faults: setattr(faults, "no_metadata", True),
    "byte-order-mark": lambda faults: setattr(faults, "byte_order_mark", True),
    "repeated-lines": lambda faults: setattr(faults, "repeat_lines", True),
    "duplicates": lambda faults: setattr(faults, "duplicates", 5),
    "reordered": lambda faults: setattr(faults, "reordered", 5),
    "wrong-charset": lambda faults: setattr(faults, "wrong_charsets", 7),
    "lost-acks": lambda faults: setattr(faults, "lost_acks", 9),
    "whole-extract": lambda faults: faults.spoil_extracts(""),
    **{name: partial(_spoil_extract, name) for name in EXTRACT_FAULTS},
}
"""The faults of ``--faults``. Those from 401 to ``late`` affect one request each; ``well`` answers one normally in between. ``expired`` and
the ``-file`` faults affect one file of an export; ``partial``, ``short`` and ``redirected`` one export; ``slipped`` and ``error-entry`` one
page; ``whole-extract`` and those after it one set of an extract. The others last until the end; those of the ADT feed affect about every
fifth message."""


def demo(
    once: Annotated[bool, typer.Option("--once", help="Exit after the demo instead of serving until Ctrl-C.")] = False,
    patients: Patients = 2000,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Sync a rehearsal EMR with synthetic patients on this machine, and show the result."""
    from adapters.rehearsal.emr import RehearsalEmr
    from sync.commands.show import play

    folder = Path(tempfile.mkdtemp(prefix="emr-sync-demo-"))
    try:
        with RehearsalEmr(patients=patients, seed=seed) as emr:
            play(emr, folder, once=once, as_json=as_json)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def rehearse(
    patients: Patients = 2000,
    seed: Seed = 1,
    port: Annotated[int, typer.Option(help="The port of its FHIR endpoint on loopback; 0 takes any free one.", min=0, max=65535)] = 0,
    send: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="First send an ADT message for every patient there.")] = None,
    faults: Annotated[
        str, typer.Option(metavar="FAULTS", help=f"Faults to simulate, in this order, comma-separated: {', '.join(FAULTS)}.")
    ] = "",
    tls: Annotated[bool, typer.Option("--tls", help="Use HTTPS, with a self-signed certificate.")] = False,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the client's private key to this new file.")] = None,
    export: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the patients to this new file, as NDJSON.")] = None,
    extracts: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write delimited extracts to this folder.")] = None,
    layout: Annotated[Layout, typer.Option(help="The layout of the extracts.")] = Layout.WIDE,
    semantics: Annotated[Semantics, typer.Option(help="What each set of extracts has: changes, or every patient.")] = Semantics.DELTA,
    sets: Annotated[int, typer.Option(help="How many sets of extracts. Some patients change between them.", min=1)] = 3,
    as_json: AsJson = False,
) -> None:
    """Run only the rehearsal EMR, on loopback, until Ctrl-C."""
    from adapters.rehearsal.emr import RehearsalEmr
    from sync.signals import sleep_until

    planned = planned_faults(faults)
    if existing := next((file for file in (key, export) if file and file.exists()), None):
        raise UsageError(f"{existing} exists and is never overwritten; name another file")
    ended = threading.Event()
    for number in (SIGINT, SIGTERM):
        signal(number, lambda *_: ended.set())
    with RehearsalEmr(patients=patients, seed=seed, port=port, faults=planned, tls=tls) as emr:
        if key:
            key.write_text(emr.private_key)
        if export:
            emr.export(export)
        written = emr.extracts(extracts, layout, semantics) if extracts else None
        if written:
            _write_sets(emr, written, sets)
        source, bulk = emr.fhir_source(enterprise="ENTERPRISE"), emr.bulk_source(enterprise="ENTERPRISE")
        if as_json:
            extract = {"extract_source": written.source(enterprise="ENTERPRISE")} if written else {}
            output.emit({"base_url": emr.base_url, "source": source, "bulk_source": bulk, **extract, "authorities": emr.authorities})
        else:
            shown = f"in {key}" if key else f"(for this EMR only):\n{emr.private_key}"
            output.say(f"FHIR endpoint: {emr.base_url}\nClient id: {emr.client_id}\nPrivate key {shown}")
            if emr.certificate:
                output.say(f"Certificate to trust:\n{emr.certificate.certificate}")
        if send:
            _send(emr, send)
        output.note("Running until Ctrl-C")
        sleep_until(ended)


def planned_faults(text: str) -> Faults:
    """The faults in the given order."""
    from adapters.rehearsal.faults import Faults

    faults = Faults()
    for name in (word.strip() for word in text.split(",") if word.strip()):
        if name not in FAULTS:
            raise UsageError(f"unknown fault {name!r}; use {', '.join(FAULTS)}")
        FAULTS[name](faults)
    return faults


def _write_sets(emr: RehearsalEmr, extracts: Extracts, sets: int) -> None:
    """Writes so many sets. A name has whole seconds, so each set has a second of its own."""
    for number in range(sets):
        if number:
            time.sleep(1)
            emr.tick()
        extracts.write()


def _send(emr: RehearsalEmr, where: str) -> None:
    host, _, port = where.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "[::1]") or not port.isdecimal():
        raise UsageError("--send must be an address on this machine, like 127.0.0.1:2575")
    report = emr.send(host.strip("[]"), int(port))
    output.note(f"sent {report.sent} messages: {', '.join(f'{number} {code}' for code, number in report.codes.items())}")
