"""What ``check-config`` finds in settings that are valid by themselves, and its advice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.sync.conftest import Ended

TOP = "database: sqlite:///x.db\n"
CLINIC = "enterprises:\n  clinic:\n    sync_contact_preferences: true\n    default_region: US\n"
FRESH = "    freshness: 26h\n"
KNOWN_BY = "    patient_id: {authority: CLINIC, type: MR}\n"
ADT = f"  adt:\n    enterprise: clinic\n    adapter: hl7v2.mllp\n    listen: 127.0.0.1:2575\n{FRESH}{KNOWN_BY}"
EHR = "  ehr:\n    enterprise: clinic\n    adapter: fhir.rest\n    base_url: https://ehr.example/r4\n    schedule: {every: 1h}\n"
EHR += f"{FRESH}{KNOWN_BY}"
MAPPING = "mapping:\n{indent}  do_not_contact: {{from: ZCP-2, values: {{DNC: yes, OK: no}}}}\n"

Check = Callable[[str], list[tuple[str, str, str]]]


@pytest.fixture
def check(emr_sync: Callable[..., Ended], tmp_path: Path) -> Check:
    """Severity, location and message of each finding; the exit code is 2 if one is an error."""

    def run(text: str) -> list[tuple[str, str, str]]:
        file = tmp_path / "config.yaml"
        file.write_text(text)
        ended = emr_sync("-c", file, "check-config", "--json")
        found = [(one["severity"], one["where"], one["message"]) for one in ended.value["mistakes"]]
        assert ended.code == (2 if any(severity == "error" for severity, _, _ in found) else 0)
        assert ended.value["ok"] is (ended.code == 0)
        return found

    return run


def only(check: Check, text: str) -> tuple[str, str]:
    """The one error."""
    ((where, message),) = [(where, message) for severity, where, message in check(text) if severity == "error"]
    return where, message


def test_a_valid_configuration_has_no_findings(check: Check) -> None:
    assert check(f"{TOP}{CLINIC}sources:\n{ADT}{EHR}") == []


def test_a_source_without_patient_identifiers_is_a_warning(check: Check) -> None:
    found = check(f"{TOP}{CLINIC}sources:\n{ADT}{EHR}".replace(KNOWN_BY, ""))
    assert [(severity, where) for severity, where, _ in found] == [("warning", "sources.adt"), ("warning", "sources.ehr")]
    assert "MR identifier in PID-3" in found[0][2]
    assert "FHIR resource id" in found[1][2]
    assert check(f"{TOP}{CLINIC}sources:\n{ADT}".replace("authority: CLINIC, ", ""))[0][1] == "sources.adt.patient_id"


@pytest.mark.parametrize("source", [ADT, EHR])
def test_a_source_that_may_be_silent_forever_is_a_warning_with_its_line_unless_that_is_written(check: Check, source: str) -> None:
    text = f"{TOP}{CLINIC}sources:\n{source}"
    ((severity, where, message),) = check(text.replace(FRESH, ""))
    assert (severity, where) == ("warning", f"sources.{source.split(':')[0].strip()}")
    assert "write 'freshness: 26h', or 'freshness: never'" in message
    assert check(text.replace("26h", "never")) == []


def test_a_source_that_only_people_read_needs_no_freshness(check: Check) -> None:
    assert check(f"{TOP}{CLINIC}sources:\n{EHR}".replace(FRESH, "").replace("{every: 1h}", "never")) == []


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("emr-sync.db", "write sqlite:///emr-sync.db"),
        ("/var/lib/emr-sync.db", "write sqlite:////var/lib/emr-sync.db"),
        ("postgres://me@db/emr", "write postgresql+psycopg://"),
        ("postgresql://me@db/emr", "write postgresql+psycopg://"),
        ("postgresql+psycopg2://me@db/emr", "write postgresql+psycopg://"),
        ("postgresql+psycopg://me@db", "no database name"),
        ("postgresql+psycopg://me@db:fivefour/emr", "USER@HOST:PORT/NAME"),
        ("postgresql+psycopg://me@a:5432,b:5433/emr", "postgresql+psycopg://USER@/NAME?host=a:5432&host=b:5433"),
        ("postgresql+psycopg://me@d b/emr", "contains a space"),
        ("mysql://me@db/emr", "mysql:// is not supported"),
        ("mssql+pyodbc://me@db/emr", "is not supported"),
        ("sqlite://emr-sync.db", "three slashes"),
        ("sqlite:emr-sync.db", "not a database address"),
        ("sqlite+aiosqlite:///emr-sync.db", "not an SQLite address"),
        ("sqlite:///:memory:", "no file name"),
        ("sqlite:///", "no file name"),
        ("sqlite:///nowhere/emr-sync.db", "does not exist; create it, or correct the path"),
        ("sqlite:///.", "this is a folder"),
    ],
)
def test_an_invalid_database_url_is_an_error(check: Check, address: str, advice: str) -> None:
    where, message = only(check, f"database: '{address}'\n{CLINIC}")
    assert where == "database"
    assert advice in message
    assert "me@db" not in message


def test_a_command_reports_an_invalid_database_url_in_one_line(emr_sync: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"database: postgres://me:hunter2@db/emr\n{CLINIC}")
    ended = emr_sync("-c", tmp_path / "config.yaml", "runs")
    assert (ended.code, "write postgresql+psycopg://" in ended.err, "hunter2" in ended.err) == (2, True, False)


def test_postgresql_without_payload_keys_is_a_warning(check: Check) -> None:
    ((severity, where, message),) = check(f"database: postgresql+psycopg://me@127.0.0.1:1/emr\n{CLINIC}")
    assert (severity, where) == ("warning", "payload_keys")
    assert "cannot be replayed" in message


@pytest.mark.parametrize(
    "address",
    [
        '"http://ehr .example"',
        '"https://ehr.example/r4 "',
        "https//ehr.example/r4",
        "ehr.example/r4",
        "https:///r4",
        "https://ehr.example:port/r4",
        "https://ehr.example:99999/r4",
        "https://me:hunter2@ehr.example/r4",
        "https://ehr.example/r4?_format=json",
        "https://ehr,example/r4",
        "ftp://ehr.example/r4",
    ],
)
def test_an_invalid_server_url_is_an_error(check: Check, address: str) -> None:
    where, message = only(check, f"{TOP}{CLINIC}sources:\n{EHR}".replace("https://ehr.example/r4", address))
    assert where == "sources.ehr.base_url"
    assert "hunter2" not in message


@pytest.mark.parametrize("address", ["https://ehr.example:8443/r4/", "http://[::1]:8080/fhir", "https://EHR_1.example", "http://127.0.0.1"])
def test_valid_server_urls_are_accepted(check: Check, address: str) -> None:
    assert check(f"{TOP}{CLINIC}sources:\n{EHR}".replace("https://ehr.example/r4", f'"{address}"')) == []


@pytest.mark.parametrize("address", ['"127.0.0.1 :2575"', "127.0.0.1:70000", "2575", "'127.0.0.1:'", '"127.0.0.1:٣"'])
def test_an_invalid_listen_address_is_an_error(check: Check, address: str) -> None:
    where, message = only(check, f"{TOP}{CLINIC}sources:\n{ADT}".replace("127.0.0.1:2575", address))
    assert (where, "write host:port" in message) == ("sources.adt.listen", True)


@pytest.mark.parametrize(
    ("settings", "where", "words"),
    [
        ("    peers: [10.1.2.3, emr.example]\n", "peers.1", "write it like 10.1.2.3 or 10.1.2.0/24"),
        ("    peers: [10.1.2.3/24]\n", "peers.0", "write it like 10.1.2.3 or 10.1.2.0/24"),
        ("    frame_timeout: soon\n", "frame_timeout", "not a duration"),
        ("    answer_within: 1h\n", "", "use a number from 0.1 to 60"),
        ("    max_connections_per_address: 0\n", "max_connections_per_address", ""),
    ],
)
def test_invalid_listener_limits_are_errors(check: Check, settings: str, where: str, words: str) -> None:
    found, message = only(check, f"{TOP}{CLINIC}sources:\n{ADT}{settings}")
    assert found == f"sources.adt.{where}".rstrip(".")
    assert words in message


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ("    download: {max_page_bytes: 0}\n", "download.max_page_bytes"),
        ("    download: {page_deadline: 5}\n", "download.page_deadline"),
        ("    download: {max_line_bytes: 100}\n", "download.max_line_bytes"),
    ],
)
def test_invalid_download_limits_are_errors(check: Check, settings: str, where: str) -> None:
    found, _ = only(check, f"{TOP}{CLINIC}sources:\n{EHR}{settings}")
    assert found == f"sources.ehr.{where}"


@pytest.mark.parametrize("name", ["rows_per_hour", "bytes_per_hour"])
def test_the_space_for_rejections_must_be_positive(check: Check, name: str) -> None:
    found, _ = only(check, f"{TOP}rejections: {{{name}: 0}}\n{CLINIC}sources:\n{ADT}")
    assert found == f"rejections.{name}"


@pytest.mark.parametrize("host", ["sftp host.example", "sftp://sftp.example", "sftp.example/outgoing"])
def test_an_invalid_host_name_is_an_error(check: Check, host: str) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExhbXBsZSBob3N0IGtleSwgaW52ZW50ZWQgMDAw"
    source = (
        f"  s:\n    enterprise: clinic\n    adapter: hl7v2.sftp\n    host: '{host}'\n    user: us\n    password: x\n    host_key: {key}\n"
    )
    where, message = only(check, f"{TOP}{CLINIC}sources:\n{source}    schedule: {{every: 1h}}\n")
    assert (where, "not a host name" in message) == ("sources.s.host", True)


def test_every_server_url_of_a_source_is_checked(check: Check) -> None:
    where, message = only(check, f"{TOP}{CLINIC}sources:\n{EHR}    other_base_urls: [https://old.example, 'https://o ld.example']\n")
    assert (where, "contains a space" in message) == ("sources.ehr.other_base_urls.1", True)


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("127.0.0.1:2575", "127.0.0.1:2575", True),
        ("127.0.0.1:2575", "localhost:2575", True),
        ("127.0.0.1:2575", "0.0.0.0:2575", True),
        ('"[::]:2575"', "127.0.0.1:2575", True),
        ("127.0.0.1:2575", "127.0.0.2:2575", False),
        ("127.0.0.1:2575", "127.0.0.1:2576", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_two_sources_cannot_share_a_port(check: Check, first: str, second: str, clash: bool) -> None:
    plain = ADT + "    plain: true\n"
    other = plain.replace("adt:", "lab:").replace("127.0.0.1:2575", second)
    found = check(f"{TOP}{CLINIC}sources:\n{plain.replace('127.0.0.1:2575', first)}{other}")
    assert [where for _, where, _ in found] == (["sources.lab.listen"] if clash else [])
    assert all("port 2575 is already used by sources.adt.listen" in message for _, _, message in found)


@pytest.mark.parametrize(("api", "port"), [("", 8080), ("api: {listen: 0.0.0.0:2575, plain: true}\n", 2575)])
def test_a_source_cannot_use_the_port_of_the_api(check: Check, api: str, port: int) -> None:
    where, message = only(check, f"{TOP}{api}{CLINIC}sources:\n{ADT.replace('2575', str(port))}")
    assert where == "sources.adt.listen"
    assert "already used by api.listen" in message


def test_a_connecting_source_uses_no_port(check: Check) -> None:
    assert check(f"{TOP}{CLINIC}sources:\n{ADT}{ADT.replace('adt:', 'lab:').replace('listen', 'connect')}") == []


def test_a_polled_source_without_a_schedule_is_reported(check: Check) -> None:
    where, message = only(check, f"{TOP}{CLINIC}sources:\n{EHR}".replace("    schedule: {every: 1h}\n", ""))
    assert where == "sources.ehr"
    assert "schedule: {every: 15m}" in message
    assert "schedule: never" in message


@pytest.mark.parametrize("line", ["schedule: never", "full_resync: {cron: '0 3 * * *'}"])
def test_a_polled_source_with_a_schedule_or_an_explicit_opt_out_is_valid(check: Check, line: str) -> None:
    assert check(f"{TOP}{CLINIC}sources:\n{EHR}".replace("schedule: {every: 1h}", line)) == []


def test_a_relative_drop_folder_starts_at_the_configuration_folder(check: Check, tmp_path: Path) -> None:
    text = (
        f"{TOP}{CLINIC}sources:\n  drop:\n    enterprise: clinic\n    adapter: hl7v2.files\n    path: drop\n    schedule: {{every: 1m}}\n"
        f"{FRESH}{KNOWN_BY}"
    )
    where, message = only(check, text)
    assert (where, "does not exist" in message) == ("sources.drop.path", True)
    (tmp_path / "drop").mkdir()
    assert check(text) == []


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, *, secret: bytes = b"") -> str:
    encryption = BestAvailableEncryption(secret) if secret else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


RSA, P384 = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())
KEYS = {
    "rsa": pem(RSA),
    "p384": pem(P384),
    "p256": pem(ec.generate_private_key(ec.SECP256R1())),
    "short": pem(rsa.generate_private_key(65537, 1024)),  # that is the point
    "ed25519": pem(ed25519.Ed25519PrivateKey.generate()),
    "locked": pem(RSA, secret=b"secret"),
    "public": RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    "text": "this is no key",
    "jwk": '{"kty": "RSA"}',
}


@pytest.mark.parametrize(
    ("key", "algorithm", "advice"),
    [
        ("rsa", "RS384", ""),
        ("rsa", "", ""),
        ("p384", "ES384", ""),
        ("p384", "RS384", "write 'alg: ES384'"),
        ("p384", "", "write 'alg: ES384'"),
        ("rsa", "ES384", "write 'alg: RS384'"),
        ("p256", "ES384", "needs P-384"),
        ("short", "RS384", "has 1024 bits"),
        ("ed25519", "ES384", "cannot sign with ES384"),
        ("locked", "RS384", "is encrypted"),
        ("public", "RS384", "is a public key"),
        ("text", "RS384", "is not a private key"),
        ("jwk", "RS384", "is not a private key"),
    ],
)
@pytest.mark.parametrize("adapter", ["fhir.rest", "fhir.bulk"])
def test_a_key_that_cannot_sign_is_an_error(check: Check, tmp_path: Path, key: str, algorithm: str, advice: str, adapter: str) -> None:
    (tmp_path / "key.pem").write_text(KEYS[key])
    alg = f", alg: {algorithm}" if algorithm else ""
    auth = f"    auth: {{kind: smart_backend, client_id: us, private_key: 'file:key.pem'{alg}}}\n"
    found = check(f"{TOP}{CLINIC}sources:\n{EHR.replace('fhir.rest', adapter)}{auth}")
    assert [where for _, where, _ in found] == (["sources.ehr.auth.private_key"] if advice else [])
    assert all(advice in message and (KEYS[key][40:60] or "?") not in message for _, _, message in found)


@pytest.mark.parametrize(
    ("text", "where", "advice"),
    [
        (f"sources:\n{ADT}  {MAPPING.format(indent='  ')}", "sources.mapping", "belongs to sources.adt; indent it"),
        (f"sources:\n{ADT}{EHR}  {MAPPING.format(indent='  ')}", "sources.mapping", "belongs to sources.ehr; indent it"),
        (f"sources:\n{ADT}  patient_id: {{authority: A}}\n", "sources.patient_id", "belongs to sources.adt"),
        (f"sources:\n{EHR}  auth: {{kind: none}}\n", "sources.auth", "belongs to sources.ehr"),
        (f"sources:\n{ADT}  freshness: 26h\n", "sources.freshness", "belongs to sources.adt"),
        (f"sources:\n{ADT}{MAPPING.format(indent='')}", "mapping", "belongs to a source (indented like"),
        (f"sources:\n{ADT}    mapping: {{}}\n    do_not_contact: {{from: ZCP-2}}\n", "sources.adt.do_not_contact", "in the 'mapping'"),
        (
            f"sources:\n{ADT.replace(KNOWN_BY, '')}    patient_id:\n      authority: A\n      mapping: {{}}\n",
            "sources.adt.patient_id.mapping",
            "belongs to a source",
        ),
        ("  policy: {when_stale: refuse}\n", "enterprises.policy", "belongs to enterprises.clinic"),
        ("    when_stale: refuse\n", "enterprises.clinic.when_stale", "in the 'policy' of an enterprise"),
        ("    batch_size: 5\n", "enterprises.clinic.batch_size", "at the top of the file"),
        ("policy: {when_stale: refuse}\n", "policy", "belongs to an enterprise"),
        (f"sources:\n{ADT}    base_url: https://ehr.example\n", "sources.adt.base_url", "Use one of"),
    ],
)
def test_a_misplaced_setting_is_an_error_that_names_the_right_place(check: Check, text: str, where: str, advice: str) -> None:
    found, message = only(check, f"{TOP}{CLINIC}{text}")
    assert found == where
    assert advice in message


def test_all_findings_are_reported_at_once(check: Check, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(KEYS["text"])
    auth = "    auth: {kind: smart_backend, client_id: us, private_key: 'file:key.pem'}\n"
    ehr = EHR.replace("    schedule: {every: 1h}\n", auth)
    found = check(f"database: emr-sync.db\n{CLINIC}sources:\n{ADT}{ADT.replace('adt', 'lab')}{ehr}")
    assert [where for _, where, _ in found] == ["database", "sources.lab.listen", "sources.ehr", "sources.ehr.auth.private_key"]


def test_a_keyword_for_both_opt_in_and_opt_out_is_an_error(check: Check) -> None:
    where, message = only(check, f"{TOP}{CLINIC}    opt_out_words: [start, ALTO]\nsources:\n{ADT}")
    assert where.startswith("enterprises.clinic")
    assert "both an opt-in and an opt-out word" in message
