"""The sender's client: it returns the service's decision; anything else means "do not send"."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from emr_sync_client import Appointment, Ask, AsyncSenderClient, SenderClient, Who
from tests.store.web.conftest import CELL, HOME, LINE, NOW, Service

PAT = Who("MRN1", authority="GENHOSP")
SENT = {"decision": "send", "channel": "sms", "address": CELL}


def client(service: Service, key: str | None = None) -> SenderClient:
    return SenderClient(f"http://127.0.0.1:{service.port}", key or service.token("general", "sender"))


def test_it_works(service: Service) -> None:
    asking = client(service)
    decision = asking.decide(Ask(PAT, "broadcast", ["sms", "voice"], line=LINE, topic="recall", at=NOW))
    assert (decision.decision, decision.channel, decision.address, decision.language) == ("send", "sms", CELL, "en")
    assert decision.raw["evidence"][0]["id"] == "M1"
    asking.close()


def test_an_appointment_is_passed_on(service: Service) -> None:
    asking = client(service)
    decision = asking.decide(Ask(PAT, "automation", ["sms", "voice"], appointment=Appointment("voice", HOME)))
    assert (decision.channel, decision.address) == ("voice", HOME)
    asking.close()


def test_a_batch_is_answered_in_order(service: Service) -> None:
    asking = client(service)
    who = [PAT, Who("nobody"), Who("MRN2"), Who(id="pt_0000000000000")]
    pairs = list(asking.decide_many(Ask(one, "automation", ["sms"]) for one in who))
    assert [question.who for question, _ in pairs] == who
    assert [decision.reasons for _, decision in pairs] == [(), ("patient_unknown",), ("do_not_contact",), ("patient_unknown",)]
    asking.close()


def test_a_batch_split_over_several_requests_is_answered_completely(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emr_sync_client.client.IN_ONE_REQUEST", 3)
    asking = client(service)
    assert [decision.decision for _, decision in asking.decide_many([Ask(PAT, "manual", ["sms"])] * 8)] == ["send"] * 8
    asking.close()


@pytest.mark.parametrize("number", [0, 1, 100, 350])
def test_a_stream_is_answered_in_order_and_completely(service: Service, number: int) -> None:
    asking = client(service)
    who = [(PAT, Who("nobody"), Who("MRN2"))[place % 3] for place in range(number)]
    pairs = list(asking.decide_stream(Ask(one, "automation", ["sms"]) for one in who))
    assert [question.who for question, _ in pairs] == who
    assert {decision.reasons for _, decision in pairs} <= {(), ("patient_unknown",), ("do_not_contact",)}
    assert [decision.may_send for _, decision in pairs] == [one == PAT for one in who]


def test_decisions_of_a_stream_come_while_the_questions_go_on(service: Service) -> None:
    asked, asking = [], client(service)

    def asks() -> Iterator[Ask]:
        for _ in range(1_000):
            asked.append(1)
            yield Ask(PAT, "manual", ["sms"])

    pairs = asking.decide_stream(asks())
    assert next(pairs)[1].may_send
    assert len(asked) == 100
    pairs.close()


def test_a_wrong_question_in_a_stream_affects_only_itself(service: Service) -> None:
    kinds = ["manual", "newsletter", "manual"]
    pairs = list(client(service).decide_stream(Ask(PAT, kind, ["sms"]) for kind in kinds))
    assert [decision.may_send for _, decision in pairs] == [True, False, True]


def test_a_stream_that_is_refused_or_reaches_nobody_permits_nothing(service: Service) -> None:
    for asking in (client(service, "wrong"), SenderClient("http://127.0.0.1:9", "key", timeout=0.5)):
        pairs = list(asking.decide_stream([Ask(PAT, "manual", ["sms"])] * 250))
        assert [decision.reasons for _, decision in pairs] == [("no_answer",)] * 250


@pytest.mark.parametrize("ending", [b"", b"0\r\n\r\n", b"3\r\n{}\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"])
def test_a_stream_that_is_cut_off_permits_only_what_was_answered(ending: bytes) -> None:
    line = json.dumps(SENT).encode() + b"\n"
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%s\r\n" % (len(line) * 100, line * 100)

    def answering() -> None:
        peer, _ = listening.accept()
        with peer:
            peer.recv(65536)
            peer.sendall(answer + ending)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answering)
        thread.start()
        asking = SenderClient(f"http://127.0.0.1:{listening.getsockname()[1]}", "key", timeout=10)
        pairs = list(asking.decide_stream([Ask(PAT, "manual", ["sms"])] * 350))
        thread.join()
    assert [decision.may_send for _, decision in pairs] == [True] * 100 + [False] * 250


def test_the_asyncio_client_streams_too(service: Service) -> None:
    async def ask() -> list[bool]:
        asking = AsyncSenderClient(f"http://127.0.0.1:{service.port}", service.token("general", "sender"))
        try:
            return [decision.may_send async for _, decision in asking.decide_stream([Ask(PAT, "manual", ["sms"])] * 250)]
        finally:
            await asking.aclose()

    assert asyncio.run(ask()) == [True] * 250


@pytest.mark.parametrize("key", ["", "wrong", "esk.key_0.secret"])
def test_a_bad_key_means_do_not_send(service: Service, key: str) -> None:
    asking = client(service, key or "x")
    assert asking.decide(Ask(PAT, "manual", ["sms"])).reasons == ("no_answer",)
    asking.close()


def test_a_refused_request_means_do_not_send(service: Service) -> None:
    asking = client(service)
    decision = asking.decide(Ask(PAT, "newsletter", ["sms"]))
    assert (decision.decision, decision.reasons) == ("do_not_send", ("no_answer",))
    asking.close()


def test_an_unreachable_service_means_do_not_send() -> None:
    asking = SenderClient("http://127.0.0.1:9", "key", timeout=0.5)
    assert asking.decide(Ask(PAT, "manual", ["sms"])).reasons == ("no_answer",)
    assert [decision.reasons for _, decision in asking.decide_many([Ask(PAT, "manual", ["sms"])] * 2)] == [("no_answer",)] * 2


@pytest.mark.parametrize("url", ["contact.example", "ftp://contact.example", "http://"])
def test_an_invalid_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        SenderClient(url, "key")


class StubService(ThreadingHTTPServer):
    """A service with responses set by the test."""

    daemon_threads = True
    status, body = 200, b""
    requests = 0


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StubService

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.requests += 1
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)
        self.close_connection = self.server.requests == 1  # without notice, like a proxy with an idle limit

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[StubService]:
    server = StubService(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not json",
        b"{}",
        b"[]",
        b"null",
        json.dumps({"decision": "yes"}).encode(),
        json.dumps({**SENT, "decision": "SEND"}).encode(),
        json.dumps({**SENT, "address": None}).encode(),
        json.dumps({**SENT, "address": ""}).encode(),
        json.dumps({**SENT, "channel": "voice"}).encode(),  # not requested
        json.dumps({**SENT, "channel": None}).encode(),
        json.dumps({**SENT, "reasons": "none"}).encode(),
        json.dumps({**SENT, "address": 12175550101}).encode(),
        b"[" * 100_000,
    ],
)
def test_an_invalid_response_means_do_not_send(stub: StubService, answer: bytes) -> None:
    stub.body = answer
    asking = SenderClient(f"http://127.0.0.1:{stub.server_port}", "key")
    decision = asking.decide(Ask(PAT, "manual", ["sms"]))
    assert (decision.decision, decision.reasons) == ("do_not_send", ("no_answer",))
    asking.close()


@pytest.mark.parametrize("status", [201, 204, 302, 401, 404, 429, 500, 503])
def test_any_other_status_means_do_not_send_whatever_its_body(stub: StubService, status: int) -> None:
    stub.status, stub.body = status, b"" if status == 204 else json.dumps(SENT).encode()
    asking = SenderClient(f"http://127.0.0.1:{stub.server_port}", "key")
    assert asking.decide(Ask(PAT, "manual", ["sms"])).reasons == ("no_answer",)
    asking.close()


def test_a_batch_response_with_too_few_decisions_means_do_not_send_for_all(stub: StubService) -> None:
    stub.body = json.dumps([SENT]).encode()
    asking = SenderClient(f"http://127.0.0.1:{stub.server_port}", "key")
    decisions = [decision for _, decision in asking.decide_many([Ask(PAT, "manual", ["sms"])] * 2)]
    assert [decision.reasons for decision in decisions] == [("no_answer",)] * 2
    asking.close()


def test_a_closed_connection_is_reopened(stub: StubService) -> None:
    stub.body = json.dumps(SENT).encode()
    asking = SenderClient(f"http://127.0.0.1:{stub.server_port}", "key")
    assert [asking.decide(Ask(PAT, "manual", ["sms"])).decision for _ in range(3)] == ["send"] * 3
    assert stub.requests == 3
    asking.close()


def test_the_asynchronous_client_answers_the_same(service: Service) -> None:
    async def decided() -> list[str]:
        asking = AsyncSenderClient(f"http://127.0.0.1:{service.port}", service.token("general", "sender"), parallel=2)
        asks = [Ask(Who(value), "automation", ["sms"]) for value in ("MRN1", "MRN2", "nobody")]
        alone = await asyncio.gather(*map(asking.decide, asks))
        together = [decision async for _, decision in asking.decide_many(asks)]
        await asking.aclose()
        assert [one.reasons for one in alone] == [one.reasons for one in together]
        return [one.decision for one in alone]

    assert asyncio.run(decided()) == ["send", "do_not_send", "do_not_send"]


def test_it_passes_a_reply_on_and_says_if_it_could_not(fresh: Service) -> None:
    asking = client(fresh)
    found = asking.report_reply(LINE, CELL, "STOP", NOW, category="marketing")
    assert found is not None
    assert (found["recognised"], found["patients"]) == ("opt_out", 2)
    assert asking.decide(Ask(PAT, "broadcast", ["sms"], line=LINE)).raw["skipped"][0]["reason"] == "sms_opted_out"
    assert asking.report_reply("no line", CELL, "STOP") is None
    asking.close()
    assert SenderClient("http://127.0.0.1:9", "key", timeout=0.5).report_reply(LINE, CELL, "STOP") is None
