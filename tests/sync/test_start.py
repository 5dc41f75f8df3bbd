"""Commands import only what they need. Checked by modules, because time depends on the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sync.commands.cli import COMMANDS
from sync.commands.lazy import loaded
from tests.sync.clinic import CONFIG, adt

PRINTS_MODULES = """
import sys, json
from sync.commands import cli
sys.stdout = sys.stderr
code = cli.run(sys.argv[1:])
sys.__stdout__.write(json.dumps({"code": code, "modules": sorted(sys.modules)}))
"""
SLOW = {
    "alembic",
    "argon2",
    "authlib",
    "fhir",
    "hl7apy",
    "jinja2",
    "jwt",
    "langcodes",
    "litestar",
    "paramiko",
    "phonenumbers",
    "procrastinate",
    "prometheus_client",
    "psycopg",
    "requests",
    "sqlalchemy.orm",
    "structlog",
    "uvicorn",
}
STORE = SLOW | {"sqlalchemy", "store.patients.preferences"}
EVERYTHING = STORE | {"pydantic", "yaml", "rich", "store.db.tables", "adapters.fhir", "adapters.hl7v2"}
FHIR = """\
  ehr:
    enterprise: clinic
    adapter: fhir.rest
    base_url: https://ehr.example/r4
    schedule: {every: 1h}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration, and a message of its ADT source."""
    folder = tmp_path_factory.mktemp("start")
    file = folder / "config.yaml"
    file.write_text(f"database: sqlite:///start.db\n{CONFIG}{FHIR}")
    (folder / "a08.hl7").write_text(adt())
    return file


@pytest.fixture(scope="module")
def used(config: Path) -> Path:
    """The same configuration, with a patient in its database."""
    imported("-c", config, "ingest", "adt", "a08.hl7")
    return config


def imported(*arguments: str | Path) -> set[str]:
    """The modules that a command imports, in its own process."""
    command = [sys.executable, "-c", PRINTS_MODULES, *map(str, arguments)]
    folder = next(Path(one).parent for one in arguments if str(one).endswith(".yaml"))
    ended = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout)
    assert ended["code"] == 0
    return set(ended["modules"])


@pytest.mark.parametrize(
    ("arguments", "without"),
    [
        (("--help",), EVERYTHING),
        (("check-config",), STORE | {"cryptography.hazmat.bindings._rust"}),
        (("explain", "adt", "a08.hl7"), STORE),
        (("explain-reply", "STOP"), STORE),
    ],
)
def test_a_command_imports_what_it_needs(config: Path, arguments: tuple[str, ...], without: set[str]) -> None:
    assert imported("-c", config, *arguments) & without == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ("patient", "MRN1"),
        ("decide", "MRN1", "--type", "automation", "--channels", "sms"),
        ("runs",),
        ("rejections",),
        ("keys", "list"),
        ("opt-outs",),
        ("replies",),
        ("migrate",),
        ("check-identities",),
        ("rejections", "replay", "--all"),
        ("audit",),
        ("check-config",),
        ("ingest", "adt", "a08.hl7"),
    ],
)
def test_a_command_with_a_database_imports_what_it_needs(used: Path, arguments: tuple[str, ...]) -> None:
    assert imported("-c", used, *arguments) & (SLOW | {"rich"}) == set()


@pytest.mark.parametrize("arguments", [("patient", "MRN1"), ("runs",)])
def test_read_only_commands_import_no_adapter(used: Path, arguments: tuple[str, ...]) -> None:
    found = {name for name in imported("-c", used, *arguments) if name.startswith(("adapters.fhir.", "adapters.hl7v2."))}
    assert found <= {"adapters.fhir.schema", "adapters.hl7v2.schema"}


def test_every_listed_command_exists_in_its_module() -> None:
    assert all(loaded(one.name, one.place).name == one.name for one in COMMANDS)


def test_the_list_of_commands_fits_a_terminal() -> None:
    assert all(len(one.line) <= 64 and one.line.endswith((".", "?")) for one in COMMANDS)
