"""Amazon SNS: signatures by a certificate that must be fetched, and the confirmation of a subscription.

The URL of the certificate is in the message, so nothing is fetched for a topic that is not configured, from another host than that
topic's SNS, or by plain HTTP. SNS serves its certificate without the issuer's: the TLS connection to the SNS host vouches for it. Where
it comes with its chain, the chain is verified too.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from adapters.base import AdapterError
from adapters.http.retry import Retryable
from adapters.providers.format import Recipe
from adapters.providers.reading import value_at
from adapters.providers.request import ProviderRequest, json_value
from adapters.providers.signatures import LATE, MISSING, WRONG, ProviderCredentials

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

TOPIC, CERTIFICATE = "topic_not_allowed", "certificate_not_trusted"
ARN = re.compile(r"arn:(aws|aws-cn|aws-us-gov):sns:([a-z]{2}(?:-[a-z]+)+-\d):\d{12}:[\w-]{1,256}(?:\.fifo)?", re.ASCII)
CERTIFICATE_PATH = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]{1,64}\.pem", re.ASCII)
SIGNER = re.compile(r"sns(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?", re.ASCII)
SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
"""The signed fields of each type, in order (Amazon SNS developer guide, "Verifying the signatures of Amazon SNS messages")."""
CONFIRMATION = "SubscriptionConfirmation"
MOST_KEPT, FETCHES, A_MINUTE = 16, 10, timedelta(minutes=1)

Fetch = Callable[[str], bytes]
"""The body at an https URL, within bounds and without redirects. Raises ``AdapterError``."""


class SnsUnreachable(Exception):
    """SNS did not answer; the provider must send again."""


class SnsSignatures:
    """Checks SNS messages. Certificates are kept, and only a few are fetched in a minute: the message that names one may be anybody's."""

    def __init__(self, fetch: Fetch) -> None:
        self.fetch = fetch
        self._kept: dict[str, Certificate] = {}
        self._fetches: deque[datetime] = deque(maxlen=FETCHES)
        self._lock = threading.Lock()

    def check(self, request: ProviderRequest, recipe: Recipe, credentials: ProviderCredentials) -> str:
        """As ``adapters.providers.signatures.Check``. Raises :class:`SnsUnreachable`."""
        content = json_value(request.body)
        if not isinstance(content, dict) or not value_at(content, "Signature"):
            return MISSING
        if (topic := value_at(content, "TopicArn")) not in credentials.topics:
            return TOPIC
        if (signed := signed_text(content)) is None:
            return WRONG
        url = value_at(content, "SigningCertURL") or value_at(content, "SigningCertUrl")
        if not is_of_topic(url, topic) or CERTIFICATE_PATH.fullmatch(urlsplit(url).path) is None or urlsplit(url).query:
            return CERTIFICATE
        certificate = self._certificate(url, request.at)
        if certificate is None:
            return CERTIFICATE
        if not _is_signed_by(certificate, content, signed):
            return WRONG
        return _age(value_at(content, "Timestamp"), recipe, request.at)

    def confirm(self, request: ProviderRequest) -> bool:
        """Confirms a subscription that was asked for; whether the message was that. Only for a message whose signature is good.

        Raises :class:`SnsUnreachable`.
        """
        content = json_value(request.body)
        if value_at(content, "Type") != CONFIRMATION:
            return False
        url = value_at(content, "SubscribeURL")
        if not is_of_topic(url, value_at(content, "TopicArn")):
            raise SnsUnreachable
        self._fetched(url)
        return True

    def _certificate(self, url: str, now: datetime) -> Certificate | None:
        """The certificate at a URL; ``None`` if it cannot be trusted. One that can is kept until it ends."""
        with self._lock:  # one fetch at a time
            found = self._kept.get(url)
            if found is None:
                found = self._new_certificate(url, now)
            return found if found is not None and _is_valid(found, now) else None

    def _new_certificate(self, url: str, now: datetime) -> Certificate | None:
        if len(self._fetches) == FETCHES and now - self._fetches[0] < A_MINUTE:
            raise SnsUnreachable
        self._fetches.append(now)
        if (found := trusted(self._fetched(url), now)) is not None:
            self._kept[url] = found
            if len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        return found

    def _fetched(self, url: str) -> bytes:
        try:
            return self.fetch(url)
        except (AdapterError, Retryable):
            raise SnsUnreachable from None


def signed_text(content: Mapping[str, Any]) -> bytes | None:
    """The text that the signature covers; ``None`` for a message of another type, or without one of its fields."""
    names = SIGNED.get(value_at(content, "Type"))
    if names is None or any(not isinstance(content.get(name), str) for name in names if name != "Subject"):
        return None
    return "".join(f"{name}\n{content[name]}\n" for name in names if isinstance(content.get(name), str)).encode("utf-8", "replace")


def is_of_topic(url: str, topic: str) -> bool:
    """Whether a URL is of the SNS that a topic is in: https, its host and nothing else in the authority."""
    found = ARN.fullmatch(topic)
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if found is None or parts.scheme != "https" or parts.fragment:
        return False
    return parts.netloc == f"sns.{found[2]}.amazonaws.com" + (".cn" if found[1] == "aws-cn" else "")


def trusted(pem: bytes, now: datetime) -> Certificate | None:
    """The first certificate of a PEM file, if it is one of SNS and in its time, and signed by those behind it; else ``None``."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        chain = x509.load_pem_x509_certificates(pem)
        for certificate, issuer in pairwise(chain):
            certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return None
    leaf = chain[0]
    return leaf if _is_valid(leaf, now) and any(SIGNER.fullmatch(name) for name in _names(leaf)) else None


def _names(certificate: Certificate) -> list[str]:
    from cryptography import x509

    common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [str(one.value) for one in common]
    return [*alternative.get_values_for_type(x509.DNSName), *(str(one.value) for one in common)]


def _is_valid(certificate: Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _is_signed_by(certificate: Certificate, content: Mapping[str, Any], signed: bytes) -> bool:
    """RSA with SHA-1 (version 1, the default of a topic) or SHA-256 (version 2)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    algorithm = {"1": hashes.SHA1(), "2": hashes.SHA256()}.get(value_at(content, "SignatureVersion"))
    key = certificate.public_key()
    if algorithm is None or not isinstance(key, RSAPublicKey):
        return False
    try:
        key.verify(base64.b64decode(value_at(content, "Signature"), validate=True), signed, padding.PKCS1v15(), algorithm)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _age(text: str, recipe: Recipe, now: datetime) -> str:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return WRONG
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return LATE if recipe.tolerance is not None and abs(now - at) > recipe.tolerance else ""
