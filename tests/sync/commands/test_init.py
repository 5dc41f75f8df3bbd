from __future__ import annotations

import os
import pty
import select
import sys
from pathlib import Path
from subprocess import Popen

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sync.config import load, presets
from tests.sync.clinic import adt
from tests.sync.conftest import EmrSync

HL7 = ("init", "hl7v2", "--enterprise", "lake", "--authority", "CLINIC")
FILES = ("init", "hl7v2.files", "--enterprise", "lake", "--authority", "CLINIC")
SFTP = ("init", "hl7v2.sftp", "--enterprise", "lake", "--authority", "CLINIC", "--host", "sftp.ehr.example", "--user", "us")
HOST_KEY = ("--host-key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExhbXBsZSBob3N0IGtleSwgaW52ZW50ZWQgMDAw")
EXTRACT = ("init", "files.delimited", "--enterprise", "lake", "--authority", "CLINIC")
BULK = ("init", "fhir.bulk", "--enterprise", "lake", "--authority", "urn:oid:1.2.3", "--base-url", "https://ehr.example/r4")
FHIR = ("init", "fhir", "--enterprise", "lake", "--authority", "urn:oid:1.2.3", "--base-url", "https://ehr.example/r4")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMR_SYNC_CONFIG", raising=False)
    return tmp_path


def key_file(folder: Path, form: PrivateFormat = PrivateFormat.PKCS8) -> Path:
    key = ec.generate_private_key(ec.SECP384R1())
    file = folder / "client.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))
    return file


def test_a_first_configuration_for_hl7_is_valid_and_reads_a_message(emr_sync: EmrSync, empty_folder: Path) -> None:
    made = emr_sync(*HL7)
    assert (made.code, made.err) == (0, "")
    assert "emr-sync check-config" in made.out
    assert emr_sync("check-config", "--json").value["mistakes"] == []
    (empty_folder / "a08.hl7").write_text(adt())
    (one,) = emr_sync("explain", "lake-adt", "a08.hl7", "--json").value["payloads"]
    assert {row["attribute"] for row in one["stated"]} >= {"identifier", "phones#PID-13"}


def test_a_first_configuration_for_fhir_signs_with_the_given_key(emr_sync: EmrSync, empty_folder: Path) -> None:
    (empty_folder / "deeper").mkdir()
    key_file(empty_folder)
    made = emr_sync("-c", "deeper/fhir.yaml", *FHIR, "--client-id", "us", "--private-key", "client.pem", "--json")
    assert made.value == {"file": "deeper/fhir.yaml", "enterprise": "lake", "source": "lake-fhir", "adapter": "fhir.rest"}
    assert emr_sync("-c", "deeper/fhir.yaml", "check-config", "--json").value["mistakes"] == []
    options = load(Path("deeper/fhir.yaml")).feeds["lake-fhir"].settings.options
    assert (options["auth"]["client_id"], options["auth"]["alg"]) == ("us", "ES384")


def test_a_first_configuration_for_a_folder_is_valid_and_reads_a_file(emr_sync: EmrSync, empty_folder: Path) -> None:
    (empty_folder / "incoming files").mkdir()
    (empty_folder / "deeper").mkdir()
    made = emr_sync("-c", "deeper/files.yaml", *FILES, "--path", "incoming files")
    assert (made.code, made.err) == (0, "")
    assert emr_sync("-c", "deeper/files.yaml", "check-config", "--json").value["mistakes"] == []
    (empty_folder / "a08.hl7").write_text(adt())
    (one,) = emr_sync("-c", "deeper/files.yaml", "explain", "lake-files", "a08.hl7", "--json").value["payloads"]
    assert {row["attribute"] for row in one["stated"]} >= {"identifier", "phones#PID-13"}


@pytest.mark.parametrize(("option", "name"), [("--password-file", "password"), ("--private-key", "private_key")])
def test_a_first_configuration_for_sftp_names_the_file_of_the_secret(emr_sync: EmrSync, empty_folder: Path, option: str, name: str) -> None:
    secret = key_file(empty_folder, PrivateFormat.OpenSSH).read_text().strip() if name == "private_key" else "tulip hammer river"
    (empty_folder / "secret.txt").write_text(secret)
    (empty_folder / "deeper").mkdir()
    made = emr_sync("-c", "deeper/sftp.yaml", *SFTP, *HOST_KEY, option, "secret.txt")
    assert (made.code, made.err) == (0, "")
    assert emr_sync("-c", "deeper/sftp.yaml", "check-config", "--json").value["mistakes"] == []
    options = load(Path("deeper/sftp.yaml")).feeds["lake-sftp"].settings.options
    assert (options["host"], options["user"], options["path"]) == ("sftp.ehr.example", "us", "/outgoing")
    assert options[name].strip() == secret
    assert secret not in (empty_folder / "deeper" / "sftp.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "export"),
    [
        ((), {"level": "patient"}),
        (("--level", "system"), {"level": "system"}),
        (("--level", "group", "--group", "reminders"), {"level": "group", "group": "reminders"}),
    ],
)
def test_a_first_configuration_for_bulk_exports_is_valid(emr_sync: EmrSync, arguments: tuple[str, ...], export: dict[str, str]) -> None:
    made = emr_sync(*BULK, *arguments, "--json")
    assert made.value == {"file": "config.yaml", "enterprise": "lake", "source": "lake-bulk", "adapter": "fhir.bulk"}
    assert emr_sync("check-config", "--json").value["mistakes"] == []
    assert load(Path("config.yaml")).feeds["lake-bulk"].settings.options["export"] == export


def test_a_first_configuration_for_an_extract_is_valid_and_reads_a_file(emr_sync: EmrSync, empty_folder: Path) -> None:
    (empty_folder / "extracts").mkdir()
    arguments = ("--path", "extracts", "--patient-column", "Medical Record", "--file", "prefs_%Y%m%d.csv")
    assert emr_sync(*EXTRACT, *arguments).code == 0
    assert emr_sync("check-config", "--json").value["mistakes"] == []
    (empty_folder / "prefs_20261123.csv").write_text("Medical Record,TEXT_OK\nMRN1,N\n")
    (one,) = emr_sync("explain", "lake-extract", "prefs_20261123.csv", "--json").value["payloads"]
    assert {"authority": "CLINIC", "type": "MR", "value": "MRN1"} in one["items"][0]["identifiers"]


@pytest.mark.parametrize("name", [name for name in presets.names() if presets.preset(name).protocol in ("hl7v2", "fhir")])
def test_each_preset_of_the_protocol_makes_a_valid_configuration(emr_sync: EmrSync, name: str) -> None:
    assert emr_sync(*(HL7 if presets.preset(name).protocol == "hl7v2" else FHIR), "--preset", name).code == 0
    assert emr_sync("check-config", "--json").value["ok"]


def test_odd_answers_are_quoted(emr_sync: EmrSync) -> None:
    assert emr_sync(*HL7[:-1], "Lake: #1 'x' \"y\" {z}\x7f!", "--region", "no", "--identifier-type", "- MR").code == 0
    settings = load(Path("config.yaml"))
    source = settings.feeds["lake-adt"].settings
    assert (source.authority, source.identifier_type) == ("Lake: #1 'x' \"y\" {z}\x7f!", ("- MR",))
    assert settings.enterprises["lake"].default_region == "NO"


def test_a_file_is_never_overwritten(emr_sync: EmrSync, empty_folder: Path) -> None:
    (empty_folder / "config.yaml").write_text("mine")
    refused = emr_sync(*HL7)
    assert (refused.code, refused.out) == (2, "")
    assert "never overwritten" in refused.err
    assert (empty_folder / "config.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("init",), "--enterprise is missing"),
        (("init", "hl7v2", "--enterprise", "lake"), "--authority is missing"),
        (("init", "hl7", "--enterprise", "lake"), "unknown protocol. Did you mean 'hl7v2'?"),
        (("init", "hl7v2", "--enterprise", "a b"), "--enterprise: not a short name"),
        ((*HL7, "--authority", " "), "--authority: missing"),
        ((*HL7, "--region", "USA"), "--region: not a country code"),
        ((*HL7, "--region", "UK"), "--region: no phone numbers are known for 'UK'; use an ISO 3166-1 code, like US or GB"),
        ((*HL7, "--time-zone", "Springfield"), "--time-zone: unknown time zone"),
        ((*HL7, "--listen", "2575"), "--listen: not an address"),
        ((*HL7, "--listen", "127.0.0.1:8080"), "port 8080 is already used by api.listen"),
        ((*HL7, "--listen", "0.0.0.0:2575"), "patient data would leave this machine unencrypted"),
        ((*HL7, "--preset", "epic"), "--preset: unknown preset. Use one of: hl7v2-immunization, hl7v2-standard"),
        ((*HL7, "--base-url", "https://ehr.example"), "--base-url is not for hl7v2"),
        ((*HL7, "--client-id", "us"), "--client-id is not for hl7v2"),
        ((*FHIR, "--listen", "127.0.0.1:2575"), "--listen is not for fhir"),
        ((*FHIR, "--base-url", "ehr.example"), "--base-url: not a server address"),
        ((*FHIR, "--base-url", "http://ehr.example"), "unencrypted"),
        ((*FHIR, "--client-id", "us"), "--private-key is missing"),
        ((*FHIR, "--private-key", __file__), "--private-key is not for fhir without --client-id"),
        ((*FHIR, "--client-id", "us", "--private-key", "none.pem"), "--private-key: the file cannot be read"),
        ((*FHIR, "--client-id", "us", "--private-key", __file__), "--private-key: it is not a private key"),
        (("-c", "no/such/folder.yaml", *HL7), "does not exist; create it"),
        ((*FILES, "--path", " "), "--path: missing"),
        ((*FILES, "--path", "none"), "--path: the folder does not exist; create it"),
        ((*EXTRACT, "--path", ".", "--file", "%Q.csv"), "cannot be read at '%Q.csv'"),
        ((*FILES, "--path", ".", "--listen", "127.0.0.1:2575"), "--listen is not for hl7v2.files"),
        ((*SFTP, *HOST_KEY), "--password-file is missing"),
        ((*SFTP, *HOST_KEY, "--password-file", "none"), "--password-file: the file cannot be read"),
        ((*SFTP, *HOST_KEY, "--private-key", __file__, "--password-file", __file__), "not for hl7v2.sftp beside --private-key"),
        ((*SFTP, "--password-file", __file__), "--host-key is missing"),
        ((*BULK, "--level", "everybody"), "--level: unknown level. Use one of: group, patient, system"),
        ((*BULK, "--level", "group"), "--group is missing"),
        ((*BULK, "--group", "reminders"), "--group is not for fhir.bulk without --level group"),
        ((*EXTRACT, "--path", ".", "--preset", "epic-ehi"), "--preset is not for files.delimited"),
        ((*EXTRACT, "--file", "%Q.csv"), "--path is missing"),
    ],
)
def test_a_wrong_answer_is_one_line_and_writes_nothing(
    emr_sync: EmrSync, empty_folder: Path, arguments: tuple[str, ...], line: str
) -> None:
    ended = emr_sync(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert line in ended.err
    assert ended.err.count("\n") == 1
    assert list(empty_folder.iterdir()) == []


def test_in_a_terminal_it_asks_until_an_answer_can_be_used(empty_folder: Path) -> None:
    answers = ["hl7v2", "my clinic", "lake", "", "us", "America/Chicago", "", "", "", "CLINIC", ""]
    asked = in_a_terminal(["init"], answers)
    assert [number for number, one in enumerate(asked) if "not a short name" in one] == [2]
    source = load(empty_folder / "config.yaml").feeds["lake-adt"].settings
    assert (source.authority, source.default_region, source.time_zone) == ("CLINIC", "US", "America/Chicago")


def test_in_a_terminal_the_key_is_asked_for_only_with_a_client_id(empty_folder: Path) -> None:
    key_file(empty_folder)
    common = ["lake", "", "us", "America/Chicago", "", "https://ehr.example/r4"]
    for name, answers in {"with.yaml": ["us", "none.pem", "client.pem", "urn:x", ""], "without.yaml": ["", "urn:x", ""]}.items():
        in_a_terminal(["-c", name, "init", "fhir"], [*common, *answers])
    auth = {name: load(empty_folder / name).feeds["lake-fhir"].settings.options["auth"] for name in ("with.yaml", "without.yaml")}
    assert (auth["with.yaml"]["alg"], auth["without.yaml"]["kind"]) == ("ES384", "none")


def test_in_a_terminal_a_password_is_asked_for_only_without_a_key(empty_folder: Path) -> None:
    (empty_folder / "secret.txt").write_text("tulip hammer river")
    common = ["lake", "", "us", "America/Chicago", "", "sftp.ehr.example", "us"]
    in_a_terminal(["init", "hl7v2.sftp"], [*common, "", "none.txt", "secret.txt", HOST_KEY[1], "", "CLINIC", ""])
    assert load(empty_folder / "config.yaml").feeds["lake-sftp"].settings.options["password"] == "tulip hammer river"


def test_in_a_terminal_a_group_is_asked_for_only_if_a_group_is_exported(empty_folder: Path) -> None:
    common = ["lake", "", "us", "America/Chicago", "", "https://ehr.example/r4", ""]
    for name, answers in {"group.yaml": ["everybody", "group", "reminders"], "patient.yaml": [""]}.items():
        in_a_terminal(["-c", name, "init", "fhir.bulk"], [*common, *answers, "urn:x", ""])
    exports = [load(empty_folder / name).feeds["lake-bulk"].settings.options["export"] for name in ("group.yaml", "patient.yaml")]
    assert exports == [{"level": "group", "group": "reminders"}, {"level": "patient"}]


def in_a_terminal(arguments: list[str], answers: list[str]) -> list[str]:
    """Answers each question of the program in a terminal. Returns what it showed before each answer."""
    terminal, its = pty.openpty()
    program = Popen([sys.executable, "-c", "from sync.commands.cli import main; main()", *arguments], stdin=its, stdout=its, stderr=its)
    os.close(its)
    asked = []
    try:
        for answer in answers:
            asked.append(_question(terminal))
            os.write(terminal, f"{answer}\n".encode())
        assert program.wait(60) == 0
    finally:
        program.kill()
        program.wait()
        os.close(terminal)
    return asked


def _question(terminal: int) -> str:
    """What is shown until the program waits for an answer."""
    shown = b""
    while not shown.endswith(b": "):
        assert select.select([terminal], [], [], 60)[0], shown
        shown += os.read(terminal, 4096)
    return shown.decode()
