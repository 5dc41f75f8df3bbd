"""A small configuration to start from: the answers of an engineer in, YAML with comments out. Pure."""

from __future__ import annotations

from typing import NamedTuple

from sync.config.writing import inline, scalar

HL7, FHIR = "hl7v2", "fhir"
ADAPTERS = {HL7: "hl7v2.mllp", FHIR: "fhir.rest"}
SUFFIX = {HL7: "adt", FHIR: "fhir"}


class Starter(NamedTuple):
    """What differs from site to site. ``listen`` is for HL7 v2; ``base_url``, ``client_id``, ``private_key`` and ``alg`` for FHIR."""

    protocol: str
    enterprise: str
    source: str
    region: str
    time_zone: str
    preset: str
    authority: str
    identifier_type: str
    listen: str = ""
    base_url: str = ""
    client_id: str = ""
    private_key: str = ""
    alg: str = ""

    @property
    def text(self) -> str:
        """The configuration."""
        return HEAD.format(**self._words) + (HL7_SOURCE if self.protocol == HL7 else FHIR_SOURCE).format(**self._words)

    @property
    def _words(self) -> dict[str, str]:
        words = {name: scalar(value) for name, value in self._asdict().items()}
        known_by = {"authority": self.authority, "type": self.identifier_type}
        return words | {"adapter": ADAPTERS[self.protocol], "patient_id": inline(known_by), "auth": inline(self._auth)}

    @property
    def _auth(self) -> dict[str, str]:
        if not self.client_id:
            return {"kind": "none"}
        return {"kind": "smart_backend", "client_id": self.client_id, "private_key": f"file:{self.private_key}", "alg": self.alg}


HEAD = """\
# The configuration of emr-sync. Check it with: emr-sync check-config
# Relative paths are relative to this file. Write secrets as ${{ENV_NAME}} or file:PATH, never as plain text.

# Where all data is stored: SQLite, or postgresql+psycopg://user:${{DB_PASSWORD}}@host/emr_sync?sslmode=verify-full&sslrootcert=FILE
database: sqlite:///emr-sync.db

# Pages, API, health and metrics. Beyond this machine it needs 'tls', or a proxy in front of it
api: {{listen: 127.0.0.1:8080}}

enterprises:
  {enterprise}:
    # true: the EMR masters contact preferences, and they are locked here
    sync_contact_preferences: true
    # for phone numbers without a country code
    default_region: {region}
    # for times without an offset, and for cron lines
    time_zone: {time_zone}

sources:
  {source}:
    enterprise: {enterprise}
    adapter: {adapter}
    preset: {preset}
"""

HL7_SOURCE = """\
    # the address that the EMR sends to by MLLP. Beyond this machine it needs 'tls', or 'plain: true' on a private network
    listen: {listen}
    # the identifier in PID-3 that identifies a patient: its assigning authority and type
    patient_id: {patient_id}
    # report the source if no message arrives for this long, or 'never'
    freshness: 26h
    # Standard fields (phones, e-mail, language, death, merges) need no rule. Add where this EMR keeps preferences and what its codes mean.
    # Ask those who run the EMR, never guess. 'emr-sync map {source} FILE' lists the codes in sample messages.
    # mapping:
    #   do_not_contact: {{from: ZCP-2, values: {{DNC: yes, OK: no}}}}
    #   preferred_method: {{from: ZCP-3, values: {{T: sms, P: voice, E: email, L: mail}}}}
    #   consent.sms: {{from: ZCP-4, values: {{Y: granted, N: denied}}}}
"""

FHIR_SOURCE = """\
    base_url: {base_url}
    # none | smart_backend (client_id, private_key, alg) | basic | bearer
    auth: {auth}
    # how often changes are read, and when everything is read again
    schedule: {{every: 15m}}
    full_resync: {{cron: "0 3 * * 0"}}
    # report the source if it could not be read for this long, or 'never'
    freshness: 2h
    # the identifier in Patient.identifier that identifies a patient: its system and type
    patient_id: {patient_id}
    # Standard elements (telecom, language, death, links) need no rule. Add where this EMR keeps preferences and what its codes mean.
    # Ask those who run the EMR, never guess. 'emr-sync map {source} FILE' lists the codes in sample resources.
    # mapping:
    #   do_not_contact: {{from: "Patient.extension('https://ehr.example/do-not-contact').valueBoolean", values: {{true: yes, false: no}}}}
    # Consents count only if you say which ones are about messages, and what they decide:
    # consent: {{attribute: consent.sms, category: ["https://ehr.example/consents|TEXTING"]}}
"""
