"""Pre-shared keys in one secret, as §8.4 draws it."""

from __future__ import annotations

from mls.making import SUITE
from tacit.crypto.secret import Secret
from tacit.mls.psk import ExternalPsk, PreSharedKeyID, PSKLabel, ResumptionPsk, ResumptionPskUsage, psk_secret
from tacit.wire.codec import decode, encode

NONCE = bytes(range(32))
EXTERNAL = PreSharedKeyID(ExternalPsk(b"name"), NONCE)
RESUMPTION = PreSharedKeyID(ResumptionPsk(ResumptionPskUsage.BRANCH, b"group", 7), NONCE)
ONE, TWO = Secret(b"one"), Secret(b"two")


def test_names_are_as_the_standard_writes_them() -> None:
    assert encode(EXTERNAL) == b"\1\4name\x20" + NONCE
    assert encode(RESUMPTION) == b"\2\3\5group" + bytes(7) + b"\7\x20" + NONCE
    assert [decode(PreSharedKeyID, encode(each)) for each in (EXTERNAL, RESUMPTION)] == [EXTERNAL, RESUMPTION]


def test_no_key_is_zeros() -> None:
    assert psk_secret(SUITE, ()) == Secret(bytes(32))


def test_two_keys_are_chained_with_their_labels() -> None:
    expected = Secret(bytes(32))
    for index, (name, psk) in enumerate(((EXTERNAL, ONE), (RESUMPTION, TWO))):
        label = encode(PSKLabel(name, index, 2))
        assert label == encode(name) + bytes((0, index, 0, 2))
        extracted = SUITE.extract(bytes(32), psk)
        derived = SUITE.expand_with_label(extracted, "derived psk", label, 32)
        expected = SUITE.extract(derived.reveal(), expected)
    assert psk_secret(SUITE, ((EXTERNAL, ONE), (RESUMPTION, TWO))) == expected


def test_each_part_counts() -> None:
    other = PreSharedKeyID(ExternalPsk(b"name"), bytes(32))
    made = [
        ((EXTERNAL, ONE),),
        ((EXTERNAL, TWO),),
        ((other, ONE),),
        ((RESUMPTION, ONE),),
        ((EXTERNAL, ONE), (RESUMPTION, TWO)),
        ((RESUMPTION, TWO), (EXTERNAL, ONE)),
    ]
    assert len({psk_secret(SUITE, each).reveal() for each in made}) == len(made)
