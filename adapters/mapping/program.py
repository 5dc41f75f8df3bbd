"""What tells this program's way of reading payloads from that of another release. Reads its own files, nothing else."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

from store import preference


@cache
def program() -> str:
    """A digest of all code and data by which payloads are read and compared, and of the library of numbering plans.

    A record that an older release read may mean something else to this one. Whatever changed, it is then read again.
    """
    digest, adapters, vocabulary = blake2b(digest_size=8), Path(__file__).parents[1], Path(preference.__file__)
    for folder in (adapters, vocabulary.parent / "domain"):
        for file in sorted(folder.rglob("*.*")):
            if file.is_file() and file.suffix != ".pyc":
                digest.update(file.read_bytes())
    for single in (vocabulary, vocabulary.with_name("times.py"), _numbering_plans()):
        digest.update(single.read_bytes())
    return digest.hexdigest()


def _numbering_plans() -> Path:
    """The file that holds the version of the library, which need not be imported for that."""
    found = find_spec("phonenumbers")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("phonenumbers")
    return Path(found.origin)
