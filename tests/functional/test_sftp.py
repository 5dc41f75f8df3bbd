"""From a file on an SFTP server to the store, as an operator runs it."""

from __future__ import annotations

from pathlib import Path

import paramiko
import pytest

from tests.adapters.hl7v2.messages import adt
from tests.adapters.hl7v2.sftp_server import PASSWORD, USER, Server, serving
from tests.sync.conftest import EmrSync, emr_sync  # noqa: F401 (a fixture)

HOST_KEY = paramiko.ECDSAKey.generate()
CONFIG = """\
database: sqlite:///sftp.db
enterprises:
  hospital: {{sync_contact_preferences: true, default_region: US}}
sources:
  outgoing:
    enterprise: hospital
    adapter: hl7v2.sftp
    host: 127.0.0.1
    port: {port}
    user: {user}
    password: ${{SFTP_PASSWORD}}
    host_key: {line}
    path: /out
    settle: 0.01s
    after: {after}
    patient_id: {{authority: GENHOSP, type: MR}}
    mapping:
      do_not_contact: {{from: ZCP-2, values: {{DNC: yes, OK: no}}}}
"""


@pytest.fixture(params=["move", "keep"])
def after(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server, after: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.format(port=server.port, user=USER, line=server.line, after=after))
    monkeypatch.setenv("EMR_SYNC_CONFIG", str(file))
    monkeypatch.setenv("SFTP_PASSWORD", PASSWORD)


def test_files_on_an_sftp_server_are_read_once(emr_sync: EmrSync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str) -> None:  # noqa: F811
    out = tmp_path / "served" / "out"
    out.mkdir(parents=True)
    (out / "a.hl7").write_bytes(adt("A08", "ZCP|1|DNC"))
    (out / "b.hl7").write_bytes(b"BHS|^~\\&|A\r" + adt("A08", "ZCP|1|DNC", f3="MRN2^^^GENHOSP^MR") + b"BTS|2\r")
    with serving(tmp_path / "served", HOST_KEY) as server:
        configured(tmp_path, monkeypatch, server, after)
        assert emr_sync("check", "outgoing").code == 0
        first = emr_sync("resync", "outgoing", "--json").value
        again = emr_sync("resync", "outgoing", "--json").value
    assert (first["status"], first["counts"]["applied"], first["counts"]["rejected"]) == ("done", 2, 1)
    assert (again["status"], sum(again["counts"].values())) == ("done", 0)
    assert emr_sync("patient", "MRN2", "--json").value["preferences"]["do_not_contact"]["value"] == "yes"
    (rejection,) = emr_sync("rejections", "outgoing", "--json").value
    assert rejection["reason"] == "batch_count_mismatch"
    assert sorted(path.name for path in out.glob("*.hl7")) == ([] if after == "move" else ["a.hl7", "b.hl7"])
