"""What ``init`` needs to know for each kind of source, and how an answer is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from adapters.address import address
from adapters.schema import web_address
from sync.config.loading import NAME
from sync.config.presets import names, preset
from sync.config.problems import one_of
from sync.config.scalars import region, time_zone
from sync.config.starter import ADAPTERS, BULK, DELIMITED, FHIR, HL7, HL7_FILES, HL7_SFTP, SUFFIX

LOCAL_TIME = Path("/etc/localtime")
ALGORITHMS = ("RS384", "ES384")
LEVELS = ("patient", "group", "system")
STANDARD = {"hl7v2": "hl7v2-standard", "fhir": "fhir-standard"}
"""The preset of a protocol. Delimited files have none: each extract is different."""


class AskedSetting(NamedTuple):
    """What ``init`` needs to know: the option, the question, the check of an answer (``ValueError`` says how to fix it), and a default.

    ``may_be_empty``: no answer is an answer, too.
    """

    option: str
    text: str
    check: Callable[[str], str]
    default: str = ""
    may_be_empty: bool = False


def known(text: str) -> str:
    """A kind of source that ``init`` can write."""
    if text not in ADAPTERS:
        raise ValueError(f"unknown protocol. {one_of(text, list(ADAPTERS))}")
    return text


def questions(kind: str, answers: Mapping[str, str]) -> tuple[AskedSetting, ...]:
    """The questions after the protocol. One may depend on an earlier answer."""
    family = kind.partition(".")[0]
    standard = STANDARD.get(family)
    return (
        AskedSetting("enterprise", "Short name of your organization", _named),
        AskedSetting("source", "Short name of this source", _named, f"{answers.get('enterprise', '')}-{SUFFIX[kind]}"),
        AskedSetting("region", "Country of phone numbers without a country code", region, "US"),
        AskedSetting("time-zone", "Time zone of the EMR", time_zone, _local_zone()),
        *((AskedSetting("preset", "Preset of the EMR", lambda text: _preset(text, kind), standard),) if standard else ()),
        *_OF_KIND[kind](answers),
        AskedSetting("authority", _AUTHORITY[family], _given),
        AskedSetting("identifier-type", "Type of that identifier", _given, "MR"),
    )


_AUTHORITY = {
    "hl7v2": "Assigning authority of the patients' identifier, as in PID-3.4",
    "fhir": "System of the patients' identifier in Patient.identifier",
    "files": "Issuer of the identifier in that column",
}


def _of_mllp(_: Mapping[str, str]) -> tuple[AskedSetting, ...]:
    return (AskedSetting("listen", "Address to listen on for MLLP", _listen, "127.0.0.1:2575"),)


def _of_folder(_: Mapping[str, str]) -> tuple[AskedSetting, ...]:
    return (_FOLDER,)


def _of_sftp(answers: Mapping[str, str]) -> tuple[AskedSetting, ...]:
    password = AskedSetting("password-file", "File with the password", _file)
    return (
        AskedSetting("host", "SFTP server", _given),
        AskedSetting("user", "User there", _given),
        AskedSetting(
            "private-key", "File with the private key (OpenSSH or PEM), or nothing for a password", _file_or_nothing, may_be_empty=True
        ),
        *(() if answers.get("private-key", "?") else (password,)),
        AskedSetting("host-key", "Host key of the server, as ssh-keyscan shows it", _given),
        AskedSetting("path", "Folder on the server", _given, "/outgoing"),
    )


def _of_server(answers: Mapping[str, str]) -> tuple[AskedSetting, ...]:
    key = AskedSetting("private-key", "File with the client's private key, PEM", _key_file)
    return (
        AskedSetting("base-url", "Base URL of the FHIR server", web_address),
        AskedSetting("client-id", "Client id for SMART Backend Services, or nothing", str.strip, may_be_empty=True),
        *((key,) if answers.get("client-id") else ()),
    )


def _of_bulk(answers: Mapping[str, str]) -> tuple[AskedSetting, ...]:
    group = AskedSetting("group", "Id of the group", _given)
    return (
        *_of_server(answers),
        AskedSetting("level", f"What is exported ({', '.join(LEVELS)})", _level, LEVELS[0]),
        *((group,) if answers.get("level") == "group" else ()),
    )


def _of_extract(_: Mapping[str, str]) -> tuple[AskedSetting, ...]:
    return (
        _FOLDER,
        AskedSetting("file", "Name of a file, with %Y %m %d for its date", _given, "patients_%Y%m%d.csv"),
        AskedSetting("patient-column", "Column with the patients' identifier", _given, "PATIENT_ID"),
    )


def _named(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError("not a short name; use letters, digits, '-', '_' and '.', at most 63")
    return text


def _listen(text: str) -> str:
    return str(address(text))


def _given(text: str) -> str:
    if not text.strip():
        raise ValueError("missing; it cannot be empty")
    return text.strip()


def _level(text: str) -> str:
    if text not in LEVELS:
        raise ValueError(f"unknown level. {one_of(text, LEVELS)}")
    return text


def _folder(text: str) -> str:
    if not Path(_given(text)).is_dir():
        raise ValueError("the folder does not exist; create it, or name another")
    return text.strip()


def _file(text: str) -> str:
    try:
        Path(text).read_bytes()
    except (OSError, ValueError) as error:
        raise ValueError("the file cannot be read; name an existing file") from error
    return text


def _file_or_nothing(text: str) -> str:
    return _file(text) if text.strip() else ""


def _key_file(text: str) -> str:
    if problem := algorithm(Path(text))[1]:
        raise ValueError(problem)
    return text


def algorithm(file: Path) -> tuple[str, str]:
    """The algorithm of the key in a file, and why it cannot be used; one of them is empty."""
    from adapters.fhir.signing_key import key_problem  # its library is slow to import

    try:
        text = file.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return "", "the file cannot be read; name the file with the private key, PEM"
    fitting = next((one for one in ALGORITHMS if not key_problem(text, one)), "")
    return fitting, "" if fitting else f"it {key_problem(text, ALGORITHMS[0])}"


def _preset(text: str, kind: str) -> str:
    family = kind.partition(".")[0]
    fitting = [name for name in names() if preset(name).protocol == family and preset(name).adapter in (None, ADAPTERS[kind])]
    if text not in fitting:
        raise ValueError(f"unknown preset. {one_of(text, fitting)}")
    return text


def _local_zone() -> str:
    """The time zone of this machine, if it tells."""
    _, _, name = str(LOCAL_TIME.resolve()).partition("/zoneinfo/")
    return name or "UTC"


_FOLDER = AskedSetting("path", "Folder with the files", _folder)
_OF_KIND: dict[str, Callable[[Mapping[str, str]], tuple[AskedSetting, ...]]] = {
    HL7: _of_mllp,
    HL7_FILES: _of_folder,
    HL7_SFTP: _of_sftp,
    FHIR: _of_server,
    BULK: _of_bulk,
    DELIMITED: _of_extract,
}
