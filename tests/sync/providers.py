"""A clinic with an account at every messaging provider: its service on a real socket, and signatures as the providers make them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jwt
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from store import times
from store.domain.decision import decide
from store.domain.decision_request import DecisionRequest, KnownPatient
from store.domain.patient import PatientRef
from store.domain.policies import Policy
from store.preference import Identifier, PatientStatements, Phone, Statement
from store.runs.encryption import new_key
from store.web.app import create_app
from sync.config import load
from sync.inbound import Inbound
from sync.measuring import measured
from sync.runtime import Runtime
from tests.store.web.conftest import Reply, exchange, running

FIXTURES = Path(__file__).parent.parent / "fixtures" / "providers"
PUBLIC = "https://contact.genhosp.example"
LINE, OTHER_LINE, SHORT_CODE = "+12175550190", "+12175550191", "72975"
PATIENT = "12175550101"
"""The patient's number in the fixtures, without the plus."""
SECRET, SHARED = "a secret of the clinic", "a shared key"
TOPIC = "arn:aws:sns:us-east-1:123456789012:replies"
CERTIFICATE = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
TELNYX_KEY = Ed25519PrivateKey.generate()
SNS_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
PROVIDERS = ("twilio", "aws-sns", "telnyx", "bandwidth", "sinch", "vonage", "infobip", "plivo", "messagebird", "bird")
REFUSALS = ("twilio", "telnyx", "vonage", "plivo")
numbers, ids = itertools.count(2175560000), itertools.count(1000)


def public_key() -> str:
    raw = TELNYX_KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()


OWN: dict[str, dict[str, Any]] = {
    "twilio": {"secret": ["an older secret", SECRET], "shared_secret": SHARED},
    "aws-sns": {"topics": [TOPIC], "lines": [LINE, OTHER_LINE]},
    "telnyx": {"public_key": public_key(), "lines": [LINE, OTHER_LINE]},
    "bandwidth": {"user": "bw", "password": SECRET},
    "sinch": {"secret": SECRET},
    "vonage": {"secret": SECRET, "signature_method": "sha256"},
    "infobip": {"user": "ib", "password": SECRET},
    "plivo": {"secret": SECRET},
    "messagebird": {"secret": SECRET},
    "bird": {"secret": SECRET, "line_of": {"channel-1": LINE}},
}


def certificate(name: str = "sns.amazonaws.com", days: int = 30) -> bytes:
    """A certificate of SNS's key, as SNS serves it."""
    subject, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(SNS_KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(days=60)).not_valid_after(now + timedelta(days=days))
    return builder.sign(SNS_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@dataclass
class Webhook:
    """A webhook that is ready to be sent."""

    provider: str
    body: bytes
    headers: dict[str, str]
    query: str = ""


@dataclass
class Clinic:
    """The running service."""

    runtime: Runtime
    inbound: Inbound
    port: int = 0
    fetched: list[str] = field(default_factory=list)

    def send(self, webhook: Webhook, method: str = "POST") -> Reply:
        """Sends it on a new connection, as a proxy would pass it on."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            return exchange(connection, method, f"/v1/inbound/{webhook.provider}{webhook.query}", webhook.body, webhook.headers)

    def patient(self) -> str:
        """A new patient with a number of their own; the number."""
        number = f"+1{next(numbers)}"
        stated = {"phones": Statement((Phone(number, "cell", number, textable=True),), "PID-13")}
        earlier = datetime(2026, 1, 2, tzinfo=UTC)
        item = PatientStatements((Identifier("GENHOSP", "MR", number),), stated, times.at(earlier), f"M{number}")
        with self.runtime.database.write("general") as transaction:
            self.runtime.preferences.apply_many(transaction, "general", "adt", [item], now=earlier)
        return number

    def may_text(self, number: str, line: str = LINE) -> bool:
        """Whether the patient may be texted from a line."""
        now = datetime.now(UTC)
        (known,) = self.runtime.preferences.known("general", [PatientRef(value=number)], now)
        assert isinstance(known, KnownPatient)
        return decide(DecisionRequest(message_type="broadcast", channels=("sms",), line=line), known, Policy(), now).channel == "sms"

    def kept(self) -> tuple[int, ...]:
        """How many rows there are of everything that a webhook may write."""
        tables = ("sms_words", "sms_bindings", "sms_consent_events", "sms_replies", "rejections", "provider_messages", "changes")
        with self.runtime.database.read() as connection:
            return tuple(self.runtime.database.select(connection, f"SELECT count(*) FROM {name}", [])[0][0] for name in tables)

    def rejections(self, provider: str) -> list[str]:
        """The reasons of a provider's open rejections, newest first."""
        return [one.reason for one in self.runtime.journal.rejections(source=provider)]

    def metrics(self) -> str:
        return self.runtime.metrics.text(measured(self.runtime)).decode()

    @contextlib.contextmanager
    def database_down(self) -> Iterator[None]:
        """The database cannot be reached: its file is away, or its server accepts no connection to it."""
        url = self.runtime.settings.database
        if self.runtime.database.is_sqlite:
            file = Path(url.removeprefix("sqlite:///"))
            file.rename(file.with_suffix(".away"))
            try:
                yield
            finally:
                file.with_suffix(".away").rename(file)
            return
        plain, name = url.replace("postgresql+psycopg://", "postgresql://"), self.runtime.database.engine.url.database
        server = plain.replace(f"/{name}", "/postgres", 1)
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            connection.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [name])
            try:
                yield
            finally:
                connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


@contextlib.contextmanager
def clinic(url: str, folder: Path, **more: Any) -> Iterator[Clinic]:
    """The clinic's service over a migrated, empty database."""
    own = {name: {"enterprise": "general", "preset": name, **settings} for name, settings in OWN.items()}
    configuration = {
        "database": url,
        "payload_keys": {"current": "k1", "keys": {"k1": new_key()}},
        "api": {"public_url": PUBLIC},
        "enterprises": {"general": {"default_region": "US", "time_zone": "America/Chicago", "revocation_scope": "line"}},
        "sources": {
            "adt": {"enterprise": "general", "adapter": "hl7v2.mllp", "listen": "127.0.0.1:0", "patient_id": {"authority": "GENHOSP"}}
        },
        "providers": own | more.pop("providers", {}),
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(configuration))
    runtime = Runtime.open(load(file, {}))
    fetched: list[str] = []

    def fetch(address: str) -> bytes:
        fetched.append(address)
        return certificate()

    inbound = Inbound(runtime, fetch)
    app = create_app(runtime.preferences, runtime.journal, runtime.keys, public_url=PUBLIC, receive=inbound.receive)
    with contextlib.closing(runtime), running(app) as port:
        yield Clinic(runtime, inbound, port, fetched)


def webhook(
    provider: str,
    number: str,
    text: str = "STOP",
    *,
    what: str = "reply",
    hint: str | None = None,
    at: datetime | None = None,
    line: str = LINE,
) -> Webhook:
    """A webhook from the provider's fixture, with this number and text, a new id and a good signature."""
    (file,) = FIXTURES.glob(f"{provider}.{what}.*")
    body = file.read_text().strip("\n").replace(PATIENT, number.removeprefix("+")).replace(LINE.removeprefix("+"), line.removeprefix("+"))
    number_of_it = next(ids)
    for old in ("message-1", "message-2", "SM00000000000000000000000000000001", "SM00000000000000000000000000000002"):
        body = body.replace(old, f"{old}-{number_of_it}")
    when = (at or datetime.now(UTC)).astimezone(UTC)
    form = file.suffix == ".form"
    old_hint = {"twilio": "OptOutType=STOP", "telnyx": '"autoresponse_type": "STOP"', "aws-sns": '"messageKeyword":"STOP"'}.get(
        provider, "STOP!"
    )
    body = body.replace(old_hint, old_hint.replace("STOP", "@hint@"))
    body = body.replace("STOP\n", "STOP").replace("keyword=STOP", "keyword=").replace('"keyword": "STOP"', '"keyword": ""')
    body = body.replace("=STOP", "=" + urlencode({"": text})[1:]) if form else body.replace('"STOP"', json.dumps(text))
    body = body.replace("@hint@", "STOP" if hint is None and text == "STOP" else hint or "")
    for old, new in times_of(when).items():
        body = body.replace(old, new)
    return signed(provider, body.encode(), FORM if form else JSON, when)


def times_of(when: datetime) -> Mapping[str, str]:
    """The times in the fixtures -> this time, in the same forms."""
    iso = when.strftime("%Y-%m-%dT%H:%M:%S")
    return {
        "2026-11-02T10:42:00": iso,
        "2026-11-02+10%3A42%3A00": when.strftime("%Y-%m-%d+%H%%3A%M%%3A%S"),
        "2026-11-02T10%3A42%3A00": when.strftime("%Y-%m-%dT%H%%3A%M%%3A%S"),
        "20261102104200": when.strftime("%Y%m%d%H%M%S"),
    }


def signed(provider: str, body: bytes, media: str, when: datetime | None = None, target: str | None = None) -> Webhook:
    """A body with the signature that the provider makes."""
    now = datetime.now(UTC)
    found = Webhook(provider, body, {"content-type": media})
    SIGNERS[provider](found, f"{PUBLIC}/v1/inbound/{target or provider}", now, when or now)
    return found


def by_hmac(secret: str, text: bytes, algorithm: str = "sha256") -> str:
    return base64.b64encode(hmac.new(secret.encode(), text, algorithm).digest()).decode()


def pairs(body: bytes) -> list[tuple[str, str]]:
    return sorted(parse_qsl(body.decode(), keep_blank_values=True))


def twilio(hook: Webhook, url: str, now: datetime, when: datetime) -> None:
    text = url + "".join(f"{name}{value}" for name, value in pairs(hook.body))
    hook.headers["X-Twilio-Signature"] = by_hmac(SECRET, text.encode(), "sha1")


def sns(hook: Webhook, url: str, now: datetime, when: datetime) -> None:
    hook.body = json.dumps(envelope(hook.body.decode(), when)).encode()
    hook.headers = {"content-type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": "Notification"}


def envelope(message: str, when: datetime, version: str = "2", **more: str) -> dict[str, str]:
    """A message of SNS, signed."""
    found = {
        "Type": "Notification", "MessageId": f"sns-{next(ids)}", "TopicArn": TOPIC, "Message": message,
        "Timestamp": when.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "SignatureVersion": version, "SigningCertURL": CERTIFICATE, **more,
    }  # fmt: skip
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{name}\n{found[name]}\n" for name in names if name in found)
    algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()
    return {**found, "Signature": base64.b64encode(SNS_KEY.sign(text.encode(), padding.PKCS1v15(), algorithm)).decode()}


def telnyx(hook: Webhook, url: str, now: datetime, when: datetime) -> None:
    stamp = str(int(now.timestamp()))
    hook.headers["telnyx-timestamp"] = stamp
    hook.headers["telnyx-signature-ed25519"] = base64.b64encode(TELNYX_KEY.sign(f"{stamp}|".encode() + hook.body)).decode()


def sinch(hook: Webhook, url: str, now: datetime, when: datetime) -> None:
    stamp, nonce = str(int(now.timestamp())), "01FJA8B4A7BM43YGWSG9GBV067"
    hook.headers |= {"x-sinch-webhook-signature-timestamp": stamp, "x-sinch-webhook-signature-nonce": nonce}
    hook.headers["x-sinch-webhook-signature"] = by_hmac(SECRET, hook.body + f".{nonce}.{stamp}".encode())


def vonage(hook: Webhook, url: str, now: datetime, when: datetime) -> None:
    body = hook.body.replace(b"timestamp=0&", f"timestamp={int(now.timestamp())}&".encode())
    text = "".join(f"&{name}={value.replace('&', '_').replace('=', '_')}" for name, value in pairs(body))
    hook.body = body + b"&sig=" + hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest().upper().encode()


def plivo(hook: Webhook, url: str, now: datetime, when: datetime) -> None:
    text = f"{url}?" + "".join(f"{name}{value}" for name, value in pairs(hook.body)) + ".nonce-1"
    hook.headers |= {"X-Plivo-Signature-V3": f"{by_hmac('another token', text.encode())},{by_hmac(SECRET, text.encode())}"}
    hook.headers["X-Plivo-Signature-V3-Nonce"] = "nonce-1"


def messagebird(hook: Webhook, url: str, now: datetime, when: datetime) -> None:
    seconds = int(now.timestamp())
    claims = {"iss": "MessageBird", "nbf": seconds, "exp": seconds + 60, "jti": str(next(ids))}
    claims |= {"url_hash": hashlib.sha256(url.encode()).hexdigest(), "payload_hash": hashlib.sha256(hook.body).hexdigest()}
    hook.headers["MessageBird-Signature-JWT"] = jwt.encode(claims, SECRET.ljust(32, "x"), "HS256")


def bird(hook: Webhook, url: str, now: datetime, when: datetime) -> None:
    stamp = str(int(time.time()))
    hook.headers["messagebird-request-timestamp"] = stamp
    text = f"{stamp}\n{url}\n".encode() + hashlib.sha256(hook.body).digest()
    hook.headers["messagebird-signature"] = by_hmac(SECRET, text)


def password(user: str) -> Callable[[Webhook, str, datetime, datetime], None]:
    def sign(hook: Webhook, url: str, now: datetime, when: datetime) -> None:
        hook.headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{SECRET}".encode()).decode()

    return sign


OWN["messagebird"]["secret"] = SECRET.ljust(32, "x")
SIGNERS: Mapping[str, Callable[[Webhook, str, datetime, datetime], None]] = {
    "twilio": twilio,
    "aws-sns": sns,
    "telnyx": telnyx,
    "bandwidth": password("bw"),
    "sinch": sinch,
    "vonage": vonage,
    "infobip": password("ib"),
    "plivo": plivo,
    "messagebird": messagebird,
    "bird": bird,
}


@contextlib.contextmanager
def shared_url(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """A migrated database of the kind in ``request.param``, for all tests of a module."""
    if request.param == "sqlite":
        (folder / "store.db").write_bytes(request.getfixturevalue("sqlite_template").read_bytes())
        yield f"sqlite:///{folder / 'store.db'}"
        return
    databases: Any = request.getfixturevalue("postgres_migrated")
    with databases.lent() as name:
        yield databases.url(name)
