"""The other configurations of deploy/scale: a service starts with them, takes a message and decides; PostgreSQL accepts every setting."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
import yaml

from adapters.hl7v2.client import MllpClient
from adapters.rehearsal import certificate
from store.db.limits import POOL
from tests.functional.callers import MESSAGE
from tests.functional.machines import SharedJournal
from tests.functional.postgres_pair import Server, folder_of_servers
from tests.functional.program import free_port, ready, serving
from tests.functional.three_machines import ROLES, SCALE, THREE

ONE, MANY = SCALE / "one-machine", SCALE / "ten-million"
PARALLEL = {"three-machines": 4, "ten-million": 8}
"""``work.parallel``: the default, and what docs/scaling.md says for ten million."""


@contextmanager
def server(files: Sequence[Path]) -> Iterator[Server]:
    with folder_of_servers() as folder:
        found = Server(folder, "a", files)
        found.create()
        try:
            yield found
        finally:
            found.stop()


def test_one_machine_takes_a_message_and_decides(tmp_path: Path) -> None:
    made, api, mllp = certificate.create(), free_port(), free_port()
    for name, text in {"server.pem": made.certificate, "server.key": made.key, "payload-key": "4b" * 32}.items():
        (tmp_path / name).write_text(text)
    with server([ONE / "postgresql.conf"]) as database:
        database.run('CREATE ROLE "emr-sync" LOGIN', 'CREATE DATABASE emr_sync OWNER "emr-sync"')
        text = (ONE / "config.yaml").read_text().replace("/etc/emr-sync/", f"{tmp_path}/").replace("8080", str(api))
        text = text.replace("/run/postgresql", f"{database.data}&port={database.port}").replace("0.0.0.0:2575", f"127.0.0.1:{mllp}")
        config = tmp_path / "config.yaml"
        config.write_text(text)
        with serving(config, mllp), closing(SharedJournal(yaml.safe_load(text)["database"])) as journal:
            ready(f"http://127.0.0.1:{api}")
            message = MESSAGE.format(at="20261101083000+0000", control="C1", mrn="MRN1", code="DNC").encode()
            with MllpClient("127.0.0.1", mllp, tls=made.client()) as emr:
                assert b"MSA|AA|C1" in emr.send(message)
            assert "do_not_contact" in reasons(api, journal.key("sender"))


def reasons(api: int, key: str) -> list[str]:
    body = {"patient": {"authority": "GENHOSP", "value": "MRN1"}, "message_type": "automation", "channels": ["sms"]}
    with closing(HTTPConnection("127.0.0.1", api, timeout=30)) as connection:
        connection.request("POST", "/v1/decisions", json.dumps(body), {"Authorization": f"Bearer {key}"})
        found: list[str] = json.loads(connection.getresponse().read())["reasons"]
        return found


@pytest.mark.parametrize("files", [[ONE], [THREE], [THREE, MANY]], ids=lambda files: files[-1].name)
def test_postgresql_accepts_every_setting(files: list[Path]) -> None:
    with server([one / "postgresql.conf" for one in files]) as database:
        wrong = {name for (name,) in database.run("SELECT name FROM pg_file_settings WHERE error IS NOT NULL")}
        assert wrong <= {"shared_buffers", "listen_addresses"}, "the tests start the server with others"
        written = re.findall(r"^(\w+) = '?([\w.]+)", (files[-1] / "postgresql.conf").read_text(), re.MULTILINE)
        known = {name for (name,) in database.run("SELECT name FROM pg_settings")}
        assert {name for name, _ in written} <= known
        assert database.run("SHOW synchronous_commit") == [("on",)]


@pytest.mark.parametrize(("files", "machines"), [([THREE], 2), ([THREE, MANY], 4)], ids=["three-machines", "ten-million"])
def test_the_servers_accept_the_connections_of_all_processes(files: list[Path], machines: int) -> None:
    allowed = int(re.findall(r"^max_connections = (\d+)", (files[-1] / "postgresql.conf").read_text(), re.MULTILINE)[-1])
    pool, queue = POOL["pool_size"] + POOL["max_overflow"], PARALLEL[files[-1].name] + 1
    assert machines * (len(ROLES) * pool + queue) < allowed - 20, "some must be left for backups and people"
