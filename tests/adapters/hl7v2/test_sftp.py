"""The remote drop folder, against a real SSH server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from adapters.base import AdapterError, Batch, Fetch
from adapters.hl7v2.sftp import SftpAdapter
from adapters.locators import opaque
from store.preference import PatientStatements
from tests.adapters.hl7v2.messages import adt, settings
from tests.adapters.hl7v2.sftp_server import PASSWORD, USER, Server, serving
from tests.adapters.hl7v2.test_files import names


def private_key(passphrase: str = "") -> tuple[str, paramiko.PKey]:
    """A key as text and as a paramiko object."""
    plain = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    openssh = serialization.PrivateFormat.OpenSSH
    text = ed25519.Ed25519PrivateKey.generate().private_bytes(serialization.Encoding.PEM, openssh, plain).decode()
    return text, paramiko.Ed25519Key.from_private_key(io.StringIO(text), passphrase or None)


HOST_KEY, OTHER_KEY = private_key()[1], private_key()[1]
USER_TEXT, USER_KEY = private_key()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "out").mkdir()
    with serving(tmp_path, HOST_KEY, USER_KEY) as one:
        yield one


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


def adapter(server: Server, **changes: Any) -> SftpAdapter:
    options = {"host": "127.0.0.1", "port": server.port, "user": USER, "password": PASSWORD, "host_key": server.line}
    options |= {"path": "/out", "settle": 0, "timeout": 10}
    return SftpAdapter(settings(adapter="hl7v2.sftp", options=options | changes))


def read_all(server: Server, cursor: str | None = None, **changes: Any) -> list[Batch]:
    return list(adapter(server, **changes).fetch(Fetch(cursor=cursor)))


def refused(server: Server, **changes: Any) -> AdapterError:
    with pytest.raises(AdapterError) as error:
        read_all(server, **changes)
    return error.value


def test_it_works(server: Server, folder: Path) -> None:
    (folder / "b.hl7").write_bytes(adt() * 2)
    (folder / "a.hl7").write_bytes(adt("A31"))
    for name in (".hidden", "upload.part"):
        (folder / name).write_bytes(adt())
    batches = read_all(server)
    assert [[item.locator for item in batch.items] for batch in batches] == [
        [f"{opaque('a.hl7')}#1"],
        [f"{opaque('b.hl7')}#1", f"{opaque('b.hl7')}#2"],
    ]
    assert all(isinstance(item, PatientStatements) for batch in batches for item in batch.items)
    assert names(folder / "done") == ["a.hl7", "b.hl7"]
    assert names(folder) == [".hidden", "upload.part"]
    assert read_all(server) == []


def test_login_with_a_key_works(server: Server, folder: Path) -> None:
    (folder / "a.hl7").write_bytes(adt())
    assert len(read_all(server, password="", private_key=USER_TEXT)) == 1


def test_an_encrypted_key_is_decrypted_with_its_passphrase(tmp_path: Path) -> None:
    text, key = private_key("an invented passphrase")
    with serving(tmp_path, HOST_KEY, key) as server:
        assert read_all(server, private_key=text, password="an invented passphrase", path="/") == []
    with pytest.raises(ValueError, match="private_key"):
        adapter(server, private_key=text, password="")


def test_a_server_with_another_host_key_gets_no_data(server: Server, folder: Path) -> None:
    (folder / "a.hl7").write_bytes(adt())
    error = refused(server, host_key=f"{OTHER_KEY.get_name()} {OTHER_KEY.get_base64()}")
    assert error.permanent
    assert "host_key" in str(error)
    assert names(folder) == ["a.hl7"]


def test_two_host_keys_are_accepted_during_a_change(server: Server) -> None:
    both = [f"{OTHER_KEY.get_name()} {OTHER_KEY.get_base64()}", f"sftp.example {server.line} a comment"]
    assert read_all(server, host_key=both) == []


def test_a_server_without_a_key_of_the_pinned_type_is_refused(server: Server) -> None:
    key = paramiko.ECDSAKey.generate()
    assert refused(server, host_key=f"{key.get_name()} {key.get_base64()}").permanent


@pytest.mark.parametrize("changes", [{"password": "wrong"}, {"user": "nobody"}, {"private_key": private_key()[0]}])
def test_a_failed_login_is_permanent_and_names_the_settings(server: Server, changes: dict[str, str]) -> None:
    error = refused(server, **changes)
    assert error.permanent
    assert PASSWORD not in str(error)


def test_a_missing_folder_stops_the_source(server: Server) -> None:
    assert refused(server, path="/nowhere").permanent


def test_an_unreachable_server_is_retried_later(server: Server) -> None:
    server.close()
    assert not refused(server).permanent
    assert [finding.ok for finding in adapter(server).check()] == [False]


def test_a_connection_that_breaks_leaves_the_file_for_the_next_run(server: Server, folder: Path) -> None:
    (folder / "a.hl7").write_bytes(adt() * 2500)
    fetching = adapter(server).fetch(Fetch())
    next(fetching)
    server.cut()
    with pytest.raises(AdapterError) as error:
        list(fetching)
    assert not error.value.permanent
    assert names(folder) == ["a.hl7"]
    assert sum(len(batch.items) for batch in read_all(server)) == 2500


def test_a_file_is_moved_only_when_its_messages_are_committed(server: Server, folder: Path) -> None:
    (folder / "a.hl7").write_bytes(adt())
    fetching = adapter(server).fetch(Fetch())
    next(fetching)
    assert names(folder) == ["a.hl7"]
    fetching.close()
    assert names(folder) == ["a.hl7"]


def test_a_moved_file_does_not_overwrite_another_of_the_same_name(server: Server, folder: Path) -> None:
    for _ in range(3):
        (folder / "a.hl7").write_bytes(adt())
        read_all(server)
    assert names(folder / "done") == ["a.hl7", "a.hl7.1", "a.hl7.2"]


def test_a_file_that_grows_between_two_listings_is_not_read(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def grow(seconds: float) -> None:
        with (folder / "new.hl7").open("ab") as stream:
            stream.write(adt())

    (folder / "new.hl7").write_bytes(adt())
    (folder / "old.hl7").write_bytes(adt())
    monkeypatch.setattr("adapters.folders.sftp.pause", grow)
    read = read_all(server)
    assert [item.locator for batch in read for item in batch.items] == [f"{opaque('old.hl7')}#1"]
    assert names(folder) == ["new.hl7"]


def test_files_on_a_read_only_server_are_read_once(server: Server, folder: Path) -> None:
    (folder / "a.hl7").write_bytes(adt() * 1500)
    first = read_all(server, after="keep")
    assert [len(batch.items) for batch in first] == [1000, 500]
    assert names(folder) == ["a.hl7"]
    assert read_all(server, first[-1].cursor, after="keep") == []


def test_check_reports_waiting_files(server: Server, folder: Path) -> None:
    (folder / "a.hl7").write_bytes(adt())
    findings = list(adapter(server).check())
    assert all(finding.ok for finding in findings)
    assert findings[-1].detail.startswith("1 ")


@pytest.mark.parametrize("changes", [{"host_key": ""}, {"host_key": "AAAA"}, {"password": ""}, {"user": ""}, {"private_key": "no key"}])
def test_invalid_settings_fail_when_the_adapter_is_built(server: Server, changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        adapter(server, **changes)
