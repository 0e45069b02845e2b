from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mnemonic import Mnemonic

from tacit import errors
from tacit.crypto.secret import Secret
from tacit.identity.words import from_words, to_words, wordlist

# The vectors of 256 bits of BIP39's reference implementation (trezor/python-mnemonic, vectors.json).
VECTORS = [
    ("00" * 32, "abandon " * 23 + "art"),
    (
        "7f" * 32,
        "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful legal "
        "winner thank year wave sausage worth title",
    ),
    (
        "80" * 32,
        "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic "
        "avoid letter advice cage absurd amount doctor acoustic bless",
    ),
    ("ff" * 32, "zoo " * 23 + "vote"),
    (
        "68a79eaca2324873eacc50cb9c6eca8cc68ea5d936f98787c60c7ebc74e6ce7c",
        "hamster diagram private dutch cause delay private meat slide toddler razor book happy fancy gospel tennis "
        "maple dilemma loan word shrug inflict delay length",
    ),
    (
        "9f6a2878b2520799a44ef18bc7df394e7061a224d2c33cd015b157d746869863",
        "panda eyebrow bullet gorilla call smoke muffin taste mesh discover soft ostrich alcohol speed nation flash "
        "devote level hobby quick inner drive ghost inside",
    ),
    (
        "066dca1a2bb7e8a1db2832148ce9933eea0f3ac9548d793112d9a95c9407efad",
        "all hour make first leader extend hole alien behind guard gospel lava path output census museum junior mass "
        "reopen famous sing advance salt reform",
    ),
    (
        "f585c11aec520db57dd353c69554b21a89b20fb0650966fa0a9d6f74fd989d8f",
        "void come effort suffer camp survey warrior heavy shoot primary clutch crush open amazing screen patrol "
        "group space point ten exist slush involve unfold",
    ),
]
KEY = Secret(bytes.fromhex(VECTORS[4][0]))
WORDS = VECTORS[4][1].split()


def replaced(place: int, word: str) -> list[str]:
    return [*WORDS[:place], word, *WORDS[place + 1 :]]


@pytest.mark.parametrize(("entropy", "words"), VECTORS, ids=[words.split()[-1] for _, words in VECTORS])
def test_the_official_vectors(entropy: str, words: str) -> None:
    assert " ".join(to_words(Secret(bytes.fromhex(entropy)))) == words
    assert from_words(words.split()).reveal().hex() == entropy


@given(st.binary(min_size=32, max_size=32))
def test_the_words_are_those_of_the_reference_implementation(raw: bytes) -> None:
    words = to_words(Secret(raw))
    assert " ".join(words) == Mnemonic("english").to_mnemonic(raw)
    assert from_words(words) == Secret(raw)


def test_the_word_list_is_the_english_one_of_bip39() -> None:
    text = "".join(f"{word}\n" for word in wordlist())
    official = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
    assert hashlib.sha256(text.encode()).hexdigest() == official


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_recovery_key_has_32_bytes(length: int) -> None:
    with pytest.raises(errors.WrongLength):
        to_words(Secret(bytes(length)))


@pytest.mark.parametrize(
    "typed",
    [
        [word.upper() for word in WORDS],
        [f"  {word.title()}\t" for word in WORDS],
        [f"{word}\n" for word in WORDS],
        [word.translate({ord(each): ord(each) + 0xFEE0 for each in word}) for word in WORDS],  # full width
    ],
    ids=["capitals", "spaces", "lines", "full width"],
)
def test_words_are_read_in_any_case_and_spacing(typed: list[str]) -> None:
    assert from_words(typed) == KEY


@pytest.mark.parametrize("count", [0, 1, 12, 23, 25, 48])
def test_there_are_24_words(count: int) -> None:
    with pytest.raises(errors.InvalidArgument) as refusal:
        from_words((WORDS * 2)[:count])
    assert refusal.value.detail == f"a recovery key has 24 words, not {count}"


@pytest.mark.parametrize("place", range(24))
def test_an_unknown_word_is_named_by_its_position(place: int) -> None:
    with pytest.raises(errors.InvalidArgument) as refusal:
        from_words(replaced(place, "secretword"))
    assert refusal.value.detail == f"no such word at position {place + 1}"


def test_all_unknown_words_are_named_at_once_and_none_is_repeated() -> None:
    typed = replaced(2, "hunter2")
    typed[23] = ""
    typed[10] = "ham ster"
    with pytest.raises(errors.InvalidArgument) as refusal:
        from_words(typed)
    assert refusal.value.detail == "no such word at position 3, 11, 24"
    assert not refusal.value.facts
    assert "hunter2" not in str(refusal.value)


def test_two_words_that_changed_places_are_found() -> None:
    typed = [WORDS[1], WORDS[0], *WORDS[2:]]
    with pytest.raises(errors.InvalidArgument) as refusal:
        from_words(typed)
    assert refusal.value.detail == "checksum wrong: a word is in the wrong place or is another"


def test_the_checksum_lets_one_word_in_256_pass() -> None:
    passed = []
    for word in wordlist():
        try:
            passed.append(from_words(replaced(23, word)).reveal())
        except errors.InvalidArgument as error:
            assert error.detail.startswith("checksum wrong")
    assert len(passed) == len(set(passed)) == 2048 // 256
    assert KEY.reveal() in passed
