"""A small configuration to start from: the answers of an engineer in, YAML with comments out. Pure."""

from __future__ import annotations

from typing import NamedTuple

from adapters.files.options import column_name
from sync.config.writing import inline, scalar

HL7, FHIR = "hl7v2", "fhir"
HL7_FILES, HL7_SFTP, BULK, DELIMITED = "hl7v2.files", "hl7v2.sftp", "fhir.bulk", "files.delimited"
ADAPTERS = {HL7: "hl7v2.mllp", FHIR: "fhir.rest"} | {one: one for one in (HL7_FILES, HL7_SFTP, BULK, DELIMITED)}
"""What ``init`` can write -> the adapter. The usual one of a protocol has its name."""
SUFFIX = {HL7: "adt", FHIR: "fhir", HL7_FILES: "files", HL7_SFTP: "sftp", BULK: "bulk", DELIMITED: "extract"}


class Starter(NamedTuple):
    """What differs from site to site. What a kind of source does not have stays empty.

    ``private_key`` and ``password_file`` are files as the configuration names them; ``alg`` is for FHIR.
    """

    protocol: str
    enterprise: str
    source: str
    region: str
    time_zone: str
    authority: str
    identifier_type: str
    preset: str = ""
    listen: str = ""
    path: str = ""
    host: str = ""
    user: str = ""
    host_key: str = ""
    password_file: str = ""
    base_url: str = ""
    client_id: str = ""
    private_key: str = ""
    alg: str = ""
    level: str = ""
    group: str = ""
    file: str = ""
    patient_column: str = ""

    @property
    def text(self) -> str:
        """The configuration."""
        preset = PRESET if self.preset else ""
        return (HEAD + preset + SOURCES[self.protocol]).format(**self._words)

    @property
    def _words(self) -> dict[str, str]:
        words = {name: scalar(value) for name, value in self._asdict().items()}
        known_by = {"authority": self.authority, "type": self.identifier_type}
        export = {"level": self.level} | ({"group": self.group} if self.group else {})
        parts = {"patient_id": known_by, "auth": self._auth, "export": export, "record": {"id": column_name(self.patient_column)}}
        secret = (
            f"private_key: {scalar(f'file:{self.private_key}')}"
            if self.private_key
            else f"password: {scalar(f'file:{self.password_file}')}"
        )
        return (
            words
            | {name: inline(part) for name, part in parts.items()}
            | {"adapter": ADAPTERS[self.protocol], "column": scalar(column_name(self.patient_column)), "secret": secret}
        )

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
"""
PRESET = "    preset: {preset}\n"

MLLP_PART = """\
    # the address that the EMR sends to by MLLP. Beyond this machine it needs 'tls', or 'plain: true' on a private network
    listen: {listen}
"""

FOLDER_PART = """\
    # the folder with the files; files that were read move to its subfolders done/ and error/
    path: {path}
    # how often the folder is checked; a file is read when it has not changed for 'settle'
    schedule: {{every: 1m}}
    settle: 2s
"""

SFTP_PART = """\
    host: {host}
    user: {user}
    # either a password ('password: file:PATH') or a key ('private_key: file:PATH')
    {secret}
    # the server's host key, as ssh-keyscan shows it; ask the server's administrator to confirm it
    host_key: {host_key}
    # the folder on the server; files that were read move to its subfolders done/ and error/
    path: {path}
    # how often the folder is checked
    schedule: {{every: 5m}}
"""

HL7_PART = """\
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

SERVER_PART = """\
    base_url: {base_url}
    # none | smart_backend (client_id, private_key, alg) | basic | bearer
    auth: {auth}
"""

REST_PART = """\
    # how often changes are read, and when everything is read again
    schedule: {{every: 15m}}
    full_resync: {{cron: "0 3 * * 0"}}
    # report the source if it could not be read for this long, or 'never'
    freshness: 2h
"""

BULK_PART = """\
    # what is exported: level patient, system, or group with the id of the group
    export: {export}
    # at most one export in this time: ask those who run the server what they allow
    budget: {{bulk_every: 24h}}
    # when changes since the last export are requested
    schedule: {{cron: "0 1 * * *"}}
    # report the source if no export was read for this long, or 'never'
    freshness: 2d
"""

FHIR_PART = """\
    # the identifier in Patient.identifier that identifies a patient: its system and type
    patient_id: {patient_id}
    # Standard elements (telecom, language, death, links) need no rule. Add where this EMR keeps preferences and what its codes mean.
    # Ask those who run the EMR, never guess. 'emr-sync map {source} FILE' lists the codes in sample resources.
    # mapping:
    #   do_not_contact: {{from: "Patient.extension('https://ehr.example/do-not-contact').valueBoolean", values: {{true: yes, false: no}}}}
    # Consents count only if you say which ones are about messages, and what they decide:
    # consent: {{attribute: consent.sms, category: ["https://ehr.example/consents|TEXTING"]}}
"""

EXTRACT_PART = """\
    # delta: a file contains the patients that changed; snapshot: it contains every patient
    semantics: delta
    tables:
      patients:
        # the name of a file; %Y %m %d %H %M are the time of its data, * is any text
        file: {file}
        # the column that identifies the patient
        patient: {patient_column}
    # which column contains what; add the other columns of this extract, for example:
    # record: {{id: {column}, phones: [{{number: CELL_PHONE, kind: cell}}], emails: [EMAIL], updated: CHANGED}}
    record: {record}
    # Ask for a last line that counts the rows, or for a marker file: nothing else shows that a file is complete
    # trailer: {{starts: TRL, field: 2}}
    # done: "{{file}}.done"
    # the column with the identifier by which others know the patient, and its issuer and type
    patient_id_from: {column}
    patient_id: {patient_id}
    # report the source if no file arrives for this long, or 'never'
    freshness: 26h
    # Add the columns with preferences and what their codes mean. Ask those who make the extract, never guess.
    # 'emr-sync explain {source} FILE' shows what is read, and 'emr-sync map {source} FILE' the codes that no rule knows.
    # mapping:
    #   consent.sms: {{from: TEXT_OK, values: {{Y: granted, N: denied}}}}
"""

SOURCES = {
    HL7: MLLP_PART + HL7_PART,
    HL7_FILES: FOLDER_PART + HL7_PART,
    HL7_SFTP: SFTP_PART + HL7_PART,
    FHIR: SERVER_PART + REST_PART + FHIR_PART,
    BULK: SERVER_PART + BULK_PART + FHIR_PART,
    DELIMITED: FOLDER_PART + EXTRACT_PART,
}
