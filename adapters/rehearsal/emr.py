"""The rehearsal EMR: a complete simulated EMR for practice, on loopback only.

::

    with RehearsalEmr(patients=200, seed=7) as emr:
        emr.fhir_source(enterprise="…")  # a source for the configuration of emr-sync, ready to use
        emr.hl7_source(enterprise="…", listen="127.0.0.1:2575")
        emr.tick()                  # some patients change a preference
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
from adapters.rehearsal.extract import SNAPSHOT, Extracts
from adapters.rehearsal.extract_layouts import LAYOUTS
from adapters.rehearsal.faults import Faults
from adapters.rehearsal.fhir_server import Clinic, FhirServer
from adapters.rehearsal.mllp_sender import PAUSE, MllpSender, OnAck, Report
from adapters.rehearsal.population import Population
from adapters.rehearsal.subscription import Subscription
from adapters.rehearsal.token import ClientKey, TokenDesk
from adapters.rehearsal.written import Written

CLIENT_ID = "emr-sync-rehearsal"


class RehearsalEmr:
    """A FHIR endpoint, an ADT feed and a population. ``clock`` is the EMR's own time, used for ``Date`` and ``lastUpdated``.

    With ``tls`` the endpoint uses HTTPS with its own certificate. ``open_files``: export files need no token.
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
        self.certificate = certificate.create() if tls else None
        self.key = ClientKey(algorithm)
        self.desk = TokenDesk(CLIENT_ID, self.key, clock)
        self.written = Written(self.chart)
        self._clinic = Clinic(self.chart, self.desk, self.faults, self.exports, self.written, search_by_last_updated, open_files)
        self.subscriptions: list[Subscription] = []
        self._port = port
        self._server: FhirServer | None = None

    @property
    def base_url(self) -> str:
        """The URL of the FHIR endpoint. Available after ``start``; it answers until ``stop``."""
        return self._started.base_url

    @property
    def token_url(self) -> str:
        return self._started.token_url

    @property
    def private_key(self) -> str:
        """The client's private key as PEM. Created at start, valid for this EMR only."""
        return self.key.private_pem

    @property
    def authorities(self) -> dict[str, list[str]]:
        """The ``authorities`` of an enterprise that link the patients of both dialects."""
        return {AUTHORITY: [MRN_SYSTEM]}

    @property
    def mapping(self) -> dict[str, Mapping]:
        """The site mapping for each protocol of this EMR: ``fhir`` and ``hl7v2``."""
        return {"fhir": fhir_mapping(), "hl7v2": hl7_mapping()}

    def start(self) -> RehearsalEmr:
        """Opens the FHIR endpoint. Messages and NDJSON files do not need it."""
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
        """Changes a preference of some patients (one in 25) and notifies the subscribers. Returns their indexes."""
        changed = self.chart.tick()
        for one in self.subscriptions:
            one.notify(changed)
        return changed

    def subscribe(self, url: str, **how: str) -> Subscription:
        """Creates a Subscription that notifies ``url`` of changed patients, with the arguments of :class:`Subscription`."""
        found = Subscription(self.chart, url, self.base_url, **how)
        self.subscriptions.append(found)
        return found

    def remove(self, index: int) -> None:
        """Deletes a patient's record: reads no longer return it, and the next export of changes lists it as deleted."""
        self.chart.remove(index)

    def entry(self, index: int) -> ChartEntry:
        """The current record of a patient in the EMR."""
        return self.chart.entry(index)

    def messages(self, event: str = "A08", *, since: datetime | None = None, indexes: Iterable[int] | None = None) -> Iterator[bytes]:
        """ADT messages of all patients, of those changed at or after ``since``, or of ``indexes``."""
        if indexes is None:
            indexes = self.chart.indexes(lambda updated: since is None or updated >= since)
        return (hl7.message(self.chart.entry(index), event) for index in indexes)

    def send(
        self,
        host: str,
        port: int,
        messages: Iterable[bytes] | None = None,
        *,
        connections: int = 4,
        on_ack: OnAck | None = None,
        tls: SSLContext | None = None,
        pause: float = PAUSE,
    ) -> Report:
        """Sends messages (default: one A08 per patient) over MLLP, optionally with TLS, and waits for every acknowledgement.

        ``pause``: seconds before a message is sent again.
        """
        sender = MllpSender(host, port, connections=connections, pause=pause, on_ack=on_ack, lose_every=self.faults.lost_acks, tls=tls)
        return sender.send(self._disordered(self.messages() if messages is None else messages))

    def _disordered(self, messages: Iterable[bytes]) -> Iterable[bytes]:
        """The stream, changed by the planned faults."""
        faults = self.faults
        if faults.wrong_charsets:
            messages = disorder.miswritten(messages, faults.wrong_charsets)
        if faults.duplicates:
            messages = disorder.duplicated(messages, faults.duplicates)
        return disorder.reordered(messages, faults.reordered) if faults.reordered else messages

    def export(self, path: Path) -> int:
        """Writes all patients as NDJSON. Returns their number."""
        return ndjson.write(self.chart, path)

    def extracts(self, folder: Path, layout: str, semantics: str = SNAPSHOT) -> Extracts:
        """Delimited extracts of a layout (``LAYOUTS``) in a folder; each call of their ``write`` adds a set."""
        return Extracts(self.chart, self.faults, folder, LAYOUTS[layout], semantics)

    def fhir_source(self, *, enterprise: str, private_key: str | None = None) -> dict[str, Any]:
        """A ``sources`` entry for the FHIR endpoint. ``private_key`` is the reference to the secret in the configuration (``file:…``)."""
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
        """A ``sources`` entry that reads the same endpoint by bulk exports, of all patients or of a group."""
        export = {"level": "group", "group": group} if group else {"level": "patient"}
        changes = {"adapter": "fhir.bulk", "display_name": "Rehearsal EMR (bulk exports)", "export": export}
        return self.fhir_source(enterprise=enterprise, private_key=private_key) | changes

    def hl7_source(self, *, enterprise: str, listen: str) -> dict[str, Any]:
        """A ``sources`` entry for a listener that receives the ADT feed of this EMR."""
        return {
            "enterprise": enterprise,
            "display_name": "Rehearsal EMR (ADT feed)",
            "adapter": "hl7v2.mllp",
            "preset": "hl7v2-standard",
            "listen": listen,
            "patient_id": {"authority": AUTHORITY, "type": "MR"},
            "mapping": hl7_mapping(),
        }
