"""The rehearsal EMR: an EMR to practise against, whole and on loopback only.

::

    with RehearsalEmr(patients=200, seed=7) as emr:
        emr.fhir_source(enterprise="…")  # a source for the configuration of emr-sync, ready to use
        emr.hl7_source(enterprise="…", listen="127.0.0.1:2575")
        emr.tick()                  # some patients change their minds
        emr.send("127.0.0.1", 2575) # the EMR's ADT feed
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from ssl import SSLContext
from typing import Any

from adapters.rehearsal import certificate, disorder, hl7, ndjson
from adapters.rehearsal.chart import Chart, ChartEntry, Clock, utc_now
from adapters.rehearsal.dialect import AUTHORITY, MRN_SYSTEM, Mapping, fhir_mapping, hl7_mapping
from adapters.rehearsal.export import ExportDesk
from adapters.rehearsal.faults import Faults
from adapters.rehearsal.fhir_server import Clinic, FhirServer
from adapters.rehearsal.mllp_sender import MllpSender, OnAck, Report
from adapters.rehearsal.population import Population
from adapters.rehearsal.token import ClientKey, TokenDesk

CLIENT_ID = "emr-sync-rehearsal"


class RehearsalEmr:
    """A FHIR endpoint, an ADT feed and a population. ``clock`` is the EMR's own time: what ``Date`` and ``lastUpdated`` say.

    With ``tls`` the endpoint speaks HTTPS with a certificate of its own. ``open_files``: an export's files take no token.
    """

    client_id = CLIENT_ID

    def __init__(
        self,
        *,
        patients: int = 200,
        seed: int = 1,
        clock: Clock = utc_now,
        faults: Faults | None = None,
        algorithm: str = "ES384",
        search_by_last_updated: bool = True,
        port: int = 0,
        tls: bool = False,
        open_files: bool = False,
    ) -> None:
        self.chart = Chart(Population(seed, patients), clock)
        self.faults = faults or Faults()
        self.exports = ExportDesk(self.chart, self.faults)
        self.certificate = certificate.made() if tls else None
        self.key = ClientKey(algorithm)
        self.desk = TokenDesk(CLIENT_ID, self.key, clock)
        self._clinic = Clinic(self.chart, self.desk, self.faults, self.exports, search_by_last_updated, open_files)
        self._port = port
        self._server: FhirServer | None = None

    @property
    def base_url(self) -> str:
        """The FHIR endpoint, known once it was started; it answers until ``stop``."""
        return self._started.base_url

    @property
    def token_url(self) -> str:
        return self._started.token_url

    @property
    def private_key(self) -> str:
        """The client's private key, PEM. Made at start, good for this EMR only."""
        return self.key.private_pem

    @property
    def authorities(self) -> dict[str, list[str]]:
        """An enterprise's ``authorities`` under which the patients of both dialects meet."""
        return {AUTHORITY: [MRN_SYSTEM]}

    @property
    def mapping(self) -> dict[str, Mapping]:
        """The site mapping of each dialect this EMR speaks: ``fhir`` and ``hl7v2``."""
        return {"fhir": fhir_mapping(), "hl7v2": hl7_mapping()}

    def start(self) -> RehearsalEmr:
        """Opens the FHIR endpoint. Messages and exports need no start."""
        self._server = FhirServer(self._clinic, self._port, self.certificate.server() if self.certificate else None)
        self._server.start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    @property
    def _started(self) -> FhirServer:
        if self._server is None:
            raise RuntimeError("the rehearsal EMR has no address until it is started")
        return self._server

    def __enter__(self) -> RehearsalEmr:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def tick(self) -> range:
        """Time passes: some patients (one in 25) change a preference. Returns their indexes."""
        return self.chart.tick()

    def remove(self, index: int) -> None:
        """A patient's record is deleted: it is gone from reads, and named in the next export that asks for changes."""
        self.chart.remove(index)

    def entry(self, index: int) -> ChartEntry:
        """A patient as the EMR holds it now."""
        return self.chart.entry(index)

    def messages(self, event: str = "A08", *, since: datetime | None = None, indexes: Iterable[int] | None = None) -> Iterator[bytes]:
        """ADT messages of everybody, of those changed at or after ``since``, or of ``indexes``."""
        if indexes is None:
            indexes = self.chart.indexes(lambda updated: since is None or updated >= since)
        return (hl7.message(self.chart.entry(index), event) for index in indexes)

    def merge_message(self, survivor: int, merged: int) -> bytes:
        """An ADT^A40 for two patients, as of now."""
        return hl7.merge(self.entry(survivor), self.entry(merged), self.chart.clock())

    def send(
        self,
        host: str,
        port: int,
        messages: Iterable[bytes] | None = None,
        *,
        connections: int = 4,
        on_ack: OnAck | None = None,
        tls: SSLContext | None = None,
    ) -> Report:
        """Sends messages (everybody's A08 unless given) over MLLP, with TLS where given, and waits for every acknowledgement."""
        sender = MllpSender(host, port, connections=connections, on_ack=on_ack, lose_every=self.faults.lost_acks, tls=tls)
        return sender.send(self._disordered(self.messages() if messages is None else messages))

    def _disordered(self, messages: Iterable[bytes]) -> Iterable[bytes]:
        """The stream as the planned faults have it."""
        faults = self.faults
        if faults.wrong_charsets:
            messages = disorder.miswritten(messages, faults.wrong_charsets)
        if faults.duplicates:
            messages = disorder.duplicated(messages, faults.duplicates)
        return disorder.reordered(messages, faults.reordered) if faults.reordered else messages

    def export(self, path: Path) -> int:
        """Writes everybody as NDJSON; returns how many."""
        return ndjson.write(self.chart, path)

    def fhir_source(self, *, enterprise: str, private_key: str | None = None) -> dict[str, Any]:
        """A ``sources`` entry for the FHIR endpoint. ``private_key`` is how the configuration names the secret (``file:…``)."""
        trust = {"ca": self.certificate.certificate} if self.certificate else {}
        return trust | {
            "enterprise": enterprise,
            "display_name": "Rehearsal EMR (FHIR)",
            "adapter": "fhir.rest",
            "preset": "fhir-standard",
            "base_url": self.base_url,
            "auth": {
                "kind": "smart_backend",
                "client_id": CLIENT_ID,
                "private_key": private_key or self.private_key,
                "alg": self.key.algorithm,
            },
            "patient_id": {"authority": AUTHORITY, "type": "MR"},
            "mapping": fhir_mapping(),
        }

    def bulk_source(self, *, enterprise: str, private_key: str | None = None, group: str | None = None) -> dict[str, Any]:
        """A ``sources`` entry that reads the same endpoint by bulk exports, of everybody or of a group."""
        export = {"level": "group", "group": group} if group else {"level": "patient"}
        changes = {"adapter": "fhir.bulk", "display_name": "Rehearsal EMR (bulk exports)", "export": export}
        return self.fhir_source(enterprise=enterprise, private_key=private_key) | changes

    def hl7_source(self, *, enterprise: str, listen: str) -> dict[str, Any]:
        """A ``sources`` entry for a listener that this EMR's ADT feed can be sent to."""
        return {
            "enterprise": enterprise,
            "display_name": "Rehearsal EMR (ADT feed)",
            "adapter": "hl7v2.mllp",
            "preset": "hl7v2-standard",
            "listen": listen,
            "patient_id": {"authority": AUTHORITY, "type": "MR"},
            "mapping": hl7_mapping(),
        }
