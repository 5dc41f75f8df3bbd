"""Clients of other projects send to the listener and read its acknowledgements."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.program import emr_sync, free_port, hospital, serving, written

NODE_CLIENT = "node-hl7-client@3.2.0"
MESSAGE = (
    "MSH|^~\\&|PEER|TEST|SYNC|HERE|20261101083000||ADT^A08|PEER1|P|2.5.1\r"
    "EVN|A08|20261101083000\r"
    "PID|1||PEER100^^^GENHOSP^MR||Invented^Person||19700101|F|||||(217)555-0123^PRN^CP\r"
    "ZCP|1|DNC\r"
)


@pytest.fixture
def node_client(tmp_path: Path) -> Path:
    """A folder with node-hl7-client in it. Where npm cannot bring it the test skips; ``CI`` does not let it."""
    if shutil.which("npm"):
        done = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", NODE_CLIENT], cwd=tmp_path, capture_output=True, timeout=110, check=False
        )
        if done.returncode == 0:
            return tmp_path
    if os.environ.get("CI"):
        pytest.fail(f"{NODE_CLIENT} could not be installed")
    pytest.skip("npm or its registry is not here")


def test_python_hl7s_mllp_send_is_acknowledged(tmp_path: Path) -> None:
    port = free_port()
    config = written(tmp_path, hospital(f"sqlite:///{tmp_path / 'peer.db'}", port))
    (tmp_path / "message.hl7").write_text(MESSAGE, newline="")
    with serving(config, port, "--only", "listen"):
        command = [
            str(Path(sys.executable).parent / "mllp_send"),
            "--loose",
            "--port",
            str(port),
            "--file",
            str(tmp_path / "message.hl7"),
            "127.0.0.1",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "MSA|AA|PEER1" in done.stdout
    stored = emr_sync(config, "patient", "GENHOSP|PEER100")
    assert stored["preferences"]["do_not_contact"]["value"] == "yes"
    assert stored["preferences"]["phones"]["value"][0]["number"] == "+12175550123"


def test_node_hl7_client_is_acknowledged(tmp_path: Path, node_client: Path) -> None:
    port = free_port()
    config = written(tmp_path, hospital(f"sqlite:///{tmp_path / 'peer.db'}", port))
    script = node_client / "node_peer.js"
    shutil.copyfile(Path(__file__).parent / "node_peer.js", script)
    with serving(config, port, "--only", "listen"):
        done = subprocess.run(["node", str(script), str(port)], cwd=node_client, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [["AA", "NODE0"], ["AA", "NODE1"], ["AA", "NODE2"]]
    assert emr_sync(config, "patient", "GENHOSP|NODE102")["version"] == 1
