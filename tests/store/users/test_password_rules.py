from __future__ import annotations

import pytest

from store.users import passwords
from store.users.passwords import LONGEST, SHORTEST, refusal

NAMES = ("robin", "general-hospital")
IN_SERVICE = passwords.COST  # before the tests lower it


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "tulip hammer river",
        "einszweidreivier",
        "Züge fahren früh weg",
        "the hospital parrot hums",
        "q8#Vz!rT0-pLm_4w",
        "ключ под ковриком",
        "x" * 20 + "tulip hammer river",
    ],
)
def test_what_nobody_tries_first_may_be_chosen(password: str) -> None:
    assert refusal(password, NAMES) is None


@pytest.mark.parametrize(
    "password",
    [
        "a" * SHORTEST,
        "abcabcabcabcabcab",
        "password12345678",
        "passwordpasswordpassword",
        "Summer2026Hospital!",
        "qwertyuiopasdfghjkl",
        "lkjhgfdsapoiuytrewq",
        "robin-general-hospital",
        "ROBIN robin ROBIN robin",
        "1qaz2wsx3edc4rfv",
        "!!!!!!!!!!!!!!!!!!!!",
    ],
)
def test_what_everybody_tries_first_may_not(password: str) -> None:
    assert "easy to guess" in (refusal(password, NAMES) or "")


def test_length_counts_characters_and_nothing_else_is_asked_of_them() -> None:
    assert f"at least {SHORTEST}" in (refusal("zwölf gänse um", NAMES) or "")
    assert refusal("zwölf gänse um8", NAMES) is None
    assert f"at most {LONGEST}" in (refusal("tulip hammer river" * 12, NAMES) or "")


def test_every_password_made_here_may_be_kept() -> None:
    assert {refusal(passwords.generate(), NAMES) for _ in range(500)} == {None}


def test_a_password_that_chance_made_easy_to_guess_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter("fgfrsqwgfvk7rsw83766" + "tk4pz9mcw2hxq6vb3nrd")
    monkeypatch.setattr(passwords.secrets, "choice", lambda _: next(drawn))
    assert passwords.generate() == "tk4pz-9mcw2-hxq6v-b3nrd"


def test_an_accent_is_the_same_on_every_keyboard() -> None:
    composed, decomposed = "z\u00fcge fahren weg", "zu\u0308ge fahren weg"
    assert composed != decomposed
    assert passwords.matches(decomposed, passwords.hashed(composed))


def test_a_hash_costs_what_rfc_9106_recommends_where_memory_is_scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COST", IN_SERVICE)
    kept = passwords.hashed("zebra under glass")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert passwords.matches("zebra under glass", kept)
    assert not passwords.matches("zebra under glasses", kept)
