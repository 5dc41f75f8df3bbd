from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sync.commands import cli
from tests.sync.clinic import CONFIG, KEYS


class Ended(NamedTuple):
    """The result of a command: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The one JSON value on stdout."""
        return json.loads(self.out)


EmrSync = Callable[..., Ended]


@pytest.fixture
def emr_sync(capsys: pytest.CaptureFixture[str]) -> EmrSync:
    """Runs one command in this process."""

    def run(*arguments: str | Path) -> Ended:
        capsys.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
def config(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration over a migrated, empty database, chosen by the environment as scripts do."""
    file = tmp_path / "config.yaml"
    file.write_text(f"database: {database_url}\n{KEYS}{CONFIG}")
    monkeypatch.setenv("EMR_SYNC_CONFIG", str(file))
    return file
