"""A reload under load: a changed mapping and a new source come into force, and no connection and no message is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import yaml

from adapters.hl7v2.client import MllpClient
from adapters.hl7v2.reader import read
from store.db.database import Database
from store.domain.decision import KnownPatient
from store.domain.patient import PatientRef
from store.errors import StoreError
from store.patients.preferences import Preferences
from store.runs.processes import Processes
from store.runs.runs import Journal
from sync.config import load
from tests.adapters.hl7v2.messages import adt
from tests.functional.program import EMR_SYNC, emr_sync, free_port, hospital, ready, written

SENDERS, PATIENCE = 4, 60.0


class Feed:
    """EMR connections that send one message after the other, each about a patient of its own, and a sender that asks for decisions."""

    def __init__(self, port: int, api: str, key: str) -> None:
        self.port, self.api, self.key = port, api, key
        self.word, self.codes, self.sent = "DNC", list[str](), dict[str, str]()
        self.decisions = list[int]()
        self._stop, self._numbers, self._lock = threading.Event(), iter(range(1, 1_000_000)), threading.Lock()

    @contextmanager
    def running(self) -> Iterator[None]:
        with ThreadPoolExecutor(SENDERS + 1) as threads:
            work = [threads.submit(self._send) for _ in range(SENDERS)] + [threads.submit(self._ask)]
            try:
                yield
            finally:
                self._stop.set()
            for one in work:
                one.result(PATIENCE)  # a lost connection would be raised here

    def more(self, messages: int = 30) -> None:
        """Waits until that many more messages were acknowledged and as many decisions answered."""
        before, asked, deadline = len(self.codes), len(self.decisions), time.monotonic() + PATIENCE
        while len(self.codes) < before + messages or len(self.decisions) < asked + messages:
            assert time.monotonic() < deadline, "nothing moves"
            time.sleep(0.02)

    def _send(self) -> None:
        with MllpClient("127.0.0.1", self.port, timeout=PATIENCE) as connection:
            while not self._stop.is_set():
                with self._lock:
                    number, word = next(self._numbers), self.word
                code = read(connection.send(message(number, word))).field("MSA", 1)
                with self._lock:
                    self.codes.append(code)
                    self.sent[f"MRN{number}"] = word

    def _ask(self) -> None:
        connection = HTTPConnection(self.api, timeout=PATIENCE)
        connection.connect()
        own = connection.sock
        while not self._stop.is_set():
            body = {"patient": {"authority": "GENHOSP", "value": "MRN1"}, "message_type": "automation", "channels": ["sms"]}
            connection.request("POST", "/v1/decisions", json.dumps(body), {"Authorization": f"Bearer {self.key}"})
            answer = connection.getresponse()
            answer.read()
            self.decisions.append(answer.status)
            assert connection.sock is own, "the connection was closed"
        connection.close()


def message(number: int, word: str) -> bytes:
    header = f"MSH|^~\\&|ADT|GENHOSP|SYNC|HUB|20261101083000||ADT^A08|C{number}|P|2.5.1"
    return adt("A08", f"ZCP|1|{word}", header=header).replace(b"MRN10001", f"MRN{number}".encode())


def reload(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([EMR_SYNC, "-c", str(config), "reload"], capture_output=True, text=True, timeout=120, check=False)


@contextmanager
def served(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The installed program, which ``reload`` knows by its command line."""
    with (config.parent / "serve.log").open("wb") as log:
        process = subprocess.Popen([EMR_SYNC, "-c", str(config), "serve"], stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def test_a_reload_under_load_loses_no_connection_and_no_message(tmp_path: Path, database_url: str) -> None:
    port, second = free_port(), free_port()
    content = hospital(database_url, port)
    config, api = written(tmp_path, content), content["api"]["listen"]
    key = emr_sync(config, "keys", "create", "sender", "--enterprise", "general-hospital", "--role", "sender", "--grant", "patients")["key"]
    with served(config) as process:
        ready(f"http://{api}")
        _child_serves(database_url)  # it reads the file when it starts
        feed = Feed(port, api, key)
        with feed.running():
            feed.more()
            _invalid(config, content, feed)
            source: Any = content["sources"]["genhosp-adt"]
            source["mapping"]["do_not_contact"]["values"]["STOP"] = "yes"
            content["sources"]["second"] = {**source, "listen": f"127.0.0.1:{second}"}
            written(tmp_path, content)
            done = reload(config)
            assert (done.returncode, done.stderr) == (0, "")
            assert f":{process.pid}: reloaded\n" in done.stdout
            assert len(done.stdout.splitlines()) == done.stdout.count(": reloaded\n") == 2
            feed.word = "STOP"
            feed.more()
            with MllpClient("127.0.0.1", second) as other:
                assert read(other.send(message(2_000_000, "STOP"))).field("MSA", 1) == "AA"
            for _ in range(3):
                process.send_signal(signal.SIGHUP)
            feed.more()
    assert set(feed.codes) == {"AA"}
    assert set(feed.decisions) == {200}
    assert process.returncode == 0
    _all_stored(config, database_url, feed)


def _child_serves(database_url: str) -> None:
    database = Database.open(database_url)
    deadline = time.monotonic() + 60
    while not any(one.place.role == "work" for one in Processes(database).read()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    database.close()


def _invalid(config: Path, content: dict[str, Any], feed: Feed) -> None:
    """A file with an error changes nothing and says why, whoever requests the reload."""
    config.write_text(yaml.safe_dump(content, sort_keys=False).replace("hl7v2.mllp", "hl7v2.mlp"))
    done = reload(config)
    assert done.returncode == 2
    assert "unknown adapter 'hl7v2.mlp'. Did you mean 'hl7v2.mllp'?" in done.stderr
    config.write_text(yaml.safe_dump({**content, "work": {"parallel": 3}}, sort_keys=False))
    done = reload(config)
    assert done.returncode == 1
    assert done.stdout.endswith("restart the service to change work.parallel\n")
    feed.more()


def _all_stored(config: Path, url: str, feed: Feed) -> None:
    """Every acknowledged message is in the store, read by the mapping that was in force."""
    settings = load(config, {})
    database = Database.open(url)
    with closing(database):
        store = Preferences(database, settings.enterprises)
        refs = [PatientRef(authority="GENHOSP", value=patient) for patient in (*feed.sent, "MRN2000000")]
        found = store.known("general-hospital", refs, datetime.now(UTC))
        assert {one.contact.do_not_contact for one in found if isinstance(one, KnownPatient)} == {"yes"}
        assert not [one for one in found if isinstance(one, StoreError)]
        assert not Journal(database).rejections(limit=10)
    assert list(feed.sent.values()).count("STOP") >= 60


def test_without_a_serving_process_a_reload_says_so(tmp_path: Path, sqlite_url: str) -> None:
    config = written(tmp_path, hospital(sqlite_url, free_port()))
    done = reload(config)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no serving process of this database runs on this machine" in done.stderr
