"""Checks the signature of a provider's webhook by the recipe of its preset. Pure: time and secrets are passed in.

Every comparison of a secret takes constant time. A reason is a stable code that reveals nothing about the secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from adapters.providers.format import EITHER, Recipe
from adapters.providers.reading import value_at
from adapters.providers.request import BodyUnreadable, Fields, ProviderRequest

if TYPE_CHECKING:
    from jwt.types import Options

MISSING, WRONG, LATE, PEER = "signature_missing", "signature_wrong", "signature_outside_tolerance", "address_not_allowed"
ALGORITHMS = ("HS256", "HS384", "HS512")
PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class ProviderCredentials:
    """What a site has agreed with its provider. Several secrets are valid at once while one is replaced by the next.

    ``shared_secrets``: those of Twilio's webhook rules. ``method``: Vonage's signature method. ``allow_from``: addresses and networks.
    """

    secrets: tuple[str, ...] = field(default=(), repr=False)
    shared_secrets: tuple[str, ...] = field(default=(), repr=False)
    user: str = ""
    topics: tuple[str, ...] = ()
    allow_from: tuple[str, ...] = ()
    method: str = ""


Check = Callable[[ProviderRequest, Recipe, ProviderCredentials], str]
"""Returns why the request is not the provider's; empty if it is."""


def refusal(request: ProviderRequest, recipe: Recipe, credentials: ProviderCredentials, more: Mapping[str, Check] | None = None) -> str:
    """Why the request must be refused; empty if it is the provider's. ``more``: schemes that need a connection (``sns``)."""
    if credentials.allow_from and not is_allowed(request.peer, credentials.allow_from):
        return PEER
    check = SCHEMES.get(recipe.scheme) or (more or {})[recipe.scheme]
    try:
        return check(request, recipe, credentials)
    except BodyUnreadable:
        return WRONG


def is_allowed(peer: str, networks: Iterable[str]) -> bool:
    """Whether an address is in one of the networks."""
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    return any(address in ip_network(one, strict=False) for one in networks)


def by_hmac(request: ProviderRequest, recipe: Recipe, credentials: ProviderCredentials) -> str:
    """An HMAC of the parts that the recipe names."""
    if not (given := _given(request, recipe)):
        return MISSING
    if why := _age(request.headers.get(recipe.timestamp, ""), recipe, request.at):
        return why
    algorithm, secrets = recipe.algorithm, credentials.secrets
    if recipe.key_header and (settings := request.headers.get(recipe.key_header)):
        algorithm, secrets = _named_algorithm(settings), credentials.shared_secrets
    if recipe.body_hash_parameter and not _body_hash_fits(request, recipe.body_hash_parameter):
        return WRONG
    for url in with_and_without_port(request.url):
        signed = _signed(request, recipe, url)
        for secret in secrets if algorithm else ():
            expected = _encoded(hmac.new(secret.encode(), signed, algorithm).digest(), recipe.encoding)
            if any(hmac.compare_digest(expected, one) for one in given):
                return ""
    return WRONG


def by_ed25519(request: ProviderRequest, recipe: Recipe, credentials: ProviderCredentials) -> str:
    """A signature by the provider's Ed25519 key, whose public half is in base64."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not (given := _given(request, recipe)):
        return MISSING
    if why := _age(request.headers.get(recipe.timestamp, ""), recipe, request.at):
        return why
    signed = _signed(request, recipe, request.url)
    for key in credentials.secrets:
        for one in given:
            try:
                Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(base64.b64decode(one, validate=True), signed)
            except (InvalidSignature, binascii.Error, ValueError):
                continue
            return ""
    return WRONG


def by_token(request: ProviderRequest, recipe: Recipe, credentials: ProviderCredentials) -> str:
    """A JSON Web Token (RFC 7519) by a shared secret, which holds the hashes of the URL and of the body."""
    import jwt

    given = request.headers.get(recipe.header[0], "")
    token = given[len(recipe.prefix) :].strip() if given.lower().startswith(recipe.prefix.lower()) else ""
    if not token:
        return MISSING
    required = ["exp", "nbf"] if recipe.tolerance is None else ["iat"]
    for secret in credentials.secrets:
        try:
            found = jwt.decode(token, secret, ALGORITHMS, options=_jwt_options(required), issuer=recipe.issuer or None)
        except jwt.InvalidTokenError:
            continue
        return _claims(found, request, recipe)
    return WRONG


def _jwt_options(required: list[str]) -> Options:
    """The claims that must be there. Their times are compared with the time of the request, not with that of the library."""
    return {"require": required, "verify_iat": False, "verify_exp": False, "verify_nbf": False, "verify_aud": False}


def by_sorted_parameters(request: ProviderRequest, recipe: Recipe, credentials: ProviderCredentials) -> str:
    """Vonage's ``sig``: a hash of all other parameters, sorted by name."""
    content = request.content(EITHER)
    if not isinstance(content, dict):
        return WRONG
    parameters = {name: value_at(content, name) if not isinstance(value, str) else value for name, value in content.items()}
    given = parameters.pop(recipe.header[0], "").lower()
    if not given:
        return MISSING
    if why := _age(parameters.get(recipe.timestamp, ""), recipe, request.at):
        return why
    text = "".join(f"&{name}={_safe(parameters[name])}" for name in sorted(parameters))
    method = credentials.method or recipe.algorithm
    expected = [_vonage(text, secret, method) for secret in credentials.secrets]
    return "" if any(hmac.compare_digest(one.encode(), given.encode()) for one in expected) else WRONG


def by_password(request: ProviderRequest, recipe: Recipe, credentials: ProviderCredentials) -> str:
    """HTTP Basic authentication (RFC 7617)."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic" or not given:
        return MISSING
    expected = [base64.b64encode(f"{credentials.user}:{secret}".encode()) for secret in credentials.secrets]
    return "" if any(hmac.compare_digest(one, given.strip().encode()) for one in expected) else WRONG


def by_address(request: ProviderRequest, recipe: Recipe, credentials: ProviderCredentials) -> str:
    """No signature: only the addresses of the provider, which :func:`refusal` has checked, may call."""
    return "" if credentials.allow_from else PEER


SCHEMES: Mapping[str, Check] = {
    "hmac": by_hmac,
    "ed25519": by_ed25519,
    "jwt": by_token,
    "sorted_parameters": by_sorted_parameters,
    "basic": by_password,
    "addresses": by_address,
}


def with_and_without_port(url: str) -> tuple[str, ...]:
    """The URL as it is, and with its default port added or removed: Twilio's documentation asks to try both."""
    parts = urlsplit(url)
    default = PORTS.get(parts.scheme)
    host = parts.netloc.removesuffix(f":{default}")
    other = host if host != parts.netloc else f"{host}:{default}"
    return (url,) if default is None or (parts.port not in (None, default)) else (url, urlunsplit(parts._replace(netloc=other)))


def _given(request: ProviderRequest, recipe: Recipe) -> list[bytes]:
    texts = [request.headers.get(name, "") for name in recipe.header]
    found = [one for text in texts for one in (text.split(recipe.separator) if recipe.separator else [text])]
    plain = [one.strip().removeprefix(recipe.prefix) for one in found if one.strip().startswith(recipe.prefix)]
    return [one.lower().encode() if recipe.encoding == "hex" else one.encode() for one in plain if one]


def _age(text: str, recipe: Recipe, now: datetime) -> str:
    """Why a signed time is not acceptable; empty if it is, or if the recipe has none."""
    if not recipe.timestamp or recipe.tolerance is None:
        return ""
    try:
        at = datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        return MISSING if not text else WRONG
    return "" if abs(now - at) <= recipe.tolerance else LATE


def _signed(request: ProviderRequest, recipe: Recipe, url: str) -> bytes:
    parts = {
        "url": url.encode(),
        "body": request.body,
        "body_hash": request.body_hash,
        "timestamp": request.headers.get(recipe.timestamp, "").encode(),
        "nonce": request.headers.get(recipe.nonce, "").encode(),
    }
    found = [FORM_PARTS[one](request, url).encode() if one in FORM_PARTS else parts[one] for one in recipe.signed]
    return recipe.joined.encode().join(found)


def _form(request: ProviderRequest) -> Fields:
    return request.form if request.has_form(EITHER) else ()


def _sorted_form(request: ProviderRequest, url: str) -> str:
    """Names and values without anything between them, sorted; each pair once."""
    return "".join(name + value for name, value in sorted(set(_form(request))))


def _plivo_url(request: ProviderRequest, url: str) -> str:
    """The URL with its query sorted, and the form behind it: ``URL?query.form`` (plivo-python, ``signature_v3.py``)."""
    parts, form = urlsplit(url), sorted(_form(request))
    query = "&".join(f"{name}={value}" for name, value in sorted(parse_qsl(parts.query, keep_blank_values=True)))
    base = urlunsplit(parts._replace(query="", fragment=""))
    mark = "?" if query or form else ""
    return base + mark + query + ("." if query and form else "") + "".join(name + value for name, value in form)


FORM_PARTS: Mapping[str, Callable[[ProviderRequest, str], str]] = {"sorted_form": _sorted_form, "plivo_url": _plivo_url}
PARTS = ("url", "body", "body_hash", "timestamp", "nonce", *FORM_PARTS)
"""What a signature may cover."""


def _named_algorithm(settings: str) -> str:
    """The hash of ``key=…,algorithm=HMAC_SHA256``; empty if we do not know it."""
    name = settings.partition("algorithm=")[2].partition(",")[0].strip().lower().removeprefix("hmac_")
    return name if name in ("sha256", "sha384", "sha512") else ""


def _body_hash_fits(request: ProviderRequest, parameter: str) -> bool:
    """A body that is no form is covered by its hash, which is in the URL."""
    if request.has_form(EITHER):
        return True
    return hmac.compare_digest(request.query.get(parameter, "").lower().encode(), request.body_hash.hex().encode())


def _encoded(digest: bytes, encoding: str) -> bytes:
    return digest.hex().encode() if encoding == "hex" else base64.b64encode(digest)


def _claims(found: Mapping[str, object], request: ProviderRequest, recipe: Recipe) -> str:
    """Checks the times and hashes of a token whose signature is good."""
    now, leeway = request.at.timestamp(), 1
    try:
        if recipe.tolerance is not None:
            in_time = abs(now - float(str(found["iat"]))) <= recipe.tolerance.total_seconds()
        else:
            in_time = float(str(found["nbf"])) - leeway <= now <= float(str(found["exp"])) + leeway
    except ValueError:
        return WRONG
    hashes = [(recipe.url_hash, hashlib.sha256(request.url.encode()).hexdigest()), (recipe.body_hash, request.body_hash.hex())]
    fits = all(not claim or hmac.compare_digest(str(found.get(claim, "")).encode(), value.encode()) for claim, value in hashes)
    return WRONG if not fits else "" if in_time else LATE


def _safe(value: str) -> str:
    return value.replace("&", "_").replace("=", "_")


def _vonage(text: str, secret: str, method: str) -> str:
    if method == "md5hash":
        return hashlib.md5(f"{text}{secret}".encode(), usedforsecurity=False).hexdigest()
    return hmac.new(secret.encode(), text.encode(), method).hexdigest()
