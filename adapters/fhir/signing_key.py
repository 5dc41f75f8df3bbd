"""Checks that a private key can sign client assertions (SMART App Launch 2.2, Backend Services: RS384 or ES384). Pure."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

LEAST_BITS = 2048  # RFC 7518 3.3
CURVE = "secp384r1"


def key_problem(text: str, algorithm: str) -> str:
    """Why the key (PEM) cannot sign with the algorithm, and what to do; empty if it can. Quotes nothing of the key."""
    try:
        key = load_pem_private_key(text.encode(), None)
    except TypeError:
        return "is encrypted with a passphrase: give the key without one"
    except (ValueError, UnsupportedAlgorithm):
        public = any(word in text for word in ("PUBLIC KEY", "CERTIFICATE"))
        what = "is a public key or a certificate" if public else "is not a private key in PEM form"
        return f"{what}: give the file that begins with -----BEGIN PRIVATE KEY-----"
    if isinstance(key, RSAPrivateKey):
        return _rsa(key.key_size, algorithm)
    if isinstance(key, EllipticCurvePrivateKey):
        return _curve(key.curve.name, algorithm)
    return f"is of a kind that cannot sign with {algorithm}: RS384 needs an RSA key, ES384 one on the curve P-384"


def _rsa(bits: int, algorithm: str) -> str:
    if algorithm != "RS384":
        return f"is an RSA key, which cannot sign with {algorithm}: write 'alg: RS384', or give a key on the curve P-384"
    return "" if bits >= LEAST_BITS else f"has {bits} bits, but servers require at least {LEAST_BITS}: create a longer key"


def _curve(name: str, algorithm: str) -> str:
    if name != CURVE:
        return f"is on the curve {name}: ES384 needs P-384 ({CURVE})"
    return "" if algorithm == "ES384" else f"is an EC key, which cannot sign with {algorithm}: write 'alg: ES384', or give an RSA key"
