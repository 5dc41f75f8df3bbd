"""MLLP over TLS and mutual TLS, over real sockets."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from adapters.hl7v2 import tls
from adapters.hl7v2.client import MllpClient
from adapters.hl7v2.framing import frame
from adapters.hl7v2.mllp import MllpListener
from tests.adapters.hl7v2.certificates import Authority
from tests.adapters.hl7v2.test_mllp import WAIT, Keeper, listening, message, outcome, served

AUTHORITY, OTHER_AUTHORITY = Authority(), Authority("Another authority")
CERTIFICATE, KEY = AUTHORITY.issue("listener.example")
SECURED = {"certificate": CERTIFICATE, "key": KEY}
MUTUAL = SECURED | {"client_ca": AUTHORITY.pem}


def sender_context(authority: Authority | None = None) -> ssl.SSLContext:
    """The TLS context of a sender that trusts our authority and has a certificate from ``authority``."""
    certificate = dict(zip(("certificate", "key"), authority.issue("sender.example"), strict=True)) if authority else {}
    context = tls.connecting({"ca": AUTHORITY.pem} | certificate)
    assert context is not None
    return context


def connected(listener: MllpListener, context: ssl.SSLContext | None) -> MllpClient:
    assert listener.address is not None
    return MllpClient(*listener.address, timeout=WAIT, tls=context)


def test_it_works() -> None:
    keeper = Keeper()
    with served(keeper, tls=SECURED) as listener, connected(listener, sender_context()) as connection:
        connection.write(b"".join(frame(message(number)) for number in range(30)))
        assert [outcome(connection.receive()) for _ in range(30)] == [("AA", f"MSG{number:05d}") for number in range(30)]
    assert keeper.bodies == [message(number) for number in range(30)]


def test_a_sender_with_a_certificate_of_the_authority_is_accepted() -> None:
    with served(Keeper(), tls=MUTUAL) as listener, connected(listener, sender_context(AUTHORITY)) as connection:
        assert outcome(connection.send(message(1))) == ("AA", "MSG00001")


@pytest.mark.parametrize("authority", [None, OTHER_AUTHORITY], ids=["none", "of another authority"])
def test_a_sender_without_a_certificate_of_the_authority_is_refused(authority: Authority | None) -> None:
    keeper = Keeper()
    with served(keeper, tls=MUTUAL) as listener:
        # TLS 1.3 reports it at the first read.
        with pytest.raises(OSError, match=r"."), connected(listener, sender_context(authority)) as connection:
            connection.send(message(1))
        with connected(listener, sender_context(AUTHORITY)) as good:
            assert outcome(good.send(message(2))) == ("AA", "MSG00002")
    assert keeper.bodies == [message(2)]


def test_an_untrusted_listener_gets_no_message() -> None:
    keeper = Keeper()
    stranger = tls.connecting({"ca": OTHER_AUTHORITY.pem})
    with served(keeper, tls=SECURED) as listener, pytest.raises(ssl.SSLCertVerificationError):
        connected(listener, stranger)
    assert keeper.bodies == []


def test_plain_text_on_a_tls_port_is_disconnected_and_harms_nobody() -> None:
    keeper = Keeper()
    with served(keeper, tls=SECURED) as listener:
        assert listener.address is not None
        with socket.create_connection(listener.address, WAIT) as plain:
            plain.sendall(frame(message(1)))
            while plain.recv(4096):  # at most a TLS alert, then the end
                pass
        with connected(listener, sender_context()) as good:
            assert outcome(good.send(message(2))) == ("AA", "MSG00002")
    assert keeper.bodies == [message(2)]


def test_versions_before_tls_1_2_are_refused() -> None:
    for context in (tls.listening(SECURED), tls.connecting({"ca": AUTHORITY.pem}), tls.connecting({"server_name": "x"})):
        assert context is not None
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_certificates_and_keys_may_be_file_paths(tmp_path: Path) -> None:
    for name, text in (("certificate", CERTIFICATE), ("key", KEY), ("client_ca", AUTHORITY.pem)):
        (tmp_path / name).write_text(text)
    files = {name: str(tmp_path / name) for name in ("certificate", "key", "client_ca")}
    with served(Keeper(), tls=files) as listener, connected(listener, sender_context(AUTHORITY)) as connection:
        assert outcome(connection.send(message(1))) == ("AA", "MSG00001")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"key": KEY}, "tls.certificate"),
        ({"certificate": CERTIFICATE, "key": OTHER_AUTHORITY.issue("x")[1]}, "tls.key"),
        ({"certificate": "nowhere.pem", "key": "nowhere.key"}, "tls.certificate"),
        (SECURED | {"client_ca": "nowhere.pem"}, "tls.client_ca"),
        (SECURED | {"client_ca": "-----BEGIN NOTHING"}, "tls.client_ca"),
    ],
)
def test_unusable_tls_settings_fail_when_the_listener_is_built(options: dict[str, str], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        MllpListener(listening(tls=options))
