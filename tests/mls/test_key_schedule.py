"""The key schedule, beside its official vectors: exporting, and joining from outside."""

from __future__ import annotations

import dataclasses

import pytest

from mls.making import SUITE, Grove, group_context
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import key_schedule
from tacit.mls.suites import SUITES, CipherSuite

CONTEXT = group_context(Grove(1).tree)
ZEROS = Secret(bytes(32))
ONES = Secret(b"\1" * 32)


def epoch() -> key_schedule.Joined:
    return key_schedule.next_epoch(SUITE, ZEROS, ZEROS, ZEROS, CONTEXT)


def test_an_epochs_secrets_all_differ() -> None:
    secrets = [getattr(epoch().epoch, field.name).reveal() for field in dataclasses.fields(epoch().epoch)]
    assert len(set(secrets)) == len(secrets) == 9


def test_each_input_makes_another_epoch() -> None:
    other = dataclasses.replace(CONTEXT, epoch=2)
    made = [
        epoch(),
        key_schedule.next_epoch(SUITE, ONES, ZEROS, ZEROS, CONTEXT),
        key_schedule.next_epoch(SUITE, ZEROS, ONES, ZEROS, CONTEXT),
        key_schedule.next_epoch(SUITE, ZEROS, ZEROS, ONES, CONTEXT),
        key_schedule.next_epoch(SUITE, ZEROS, ZEROS, ZEROS, other),
    ]
    assert len({each.epoch.init_secret.reveal() for each in made}) == 5
    # A joiner gets the first secret without the keys that it has to have by itself.
    assert made[3].joiner_secret == made[0].joiner_secret


def test_a_joiner_has_the_secrets_of_the_members() -> None:
    made = key_schedule.next_epoch(SUITE, ZEROS, ONES, ONES, CONTEXT)
    assert key_schedule.epoch_secrets(SUITE, made.joiner_secret, ONES, CONTEXT) == made.epoch
    welcomed = key_schedule.welcome_secret(SUITE, made.joiner_secret, ONES)
    assert key_schedule.welcome_secret(SUITE, made.joiner_secret, ZEROS) != welcomed


def test_what_is_exported_hangs_on_label_context_and_length() -> None:
    exporter = epoch().epoch.exporter_secret

    def exported(label: str, context: bytes, length: int) -> Secret:
        return key_schedule.exported(SUITE, exporter, label, context, length)

    assert len(exported("label", b"context", 80)) == 80
    distinct = {
        exported(*each).reveal()[:16] for each in (("a", b"", 16), ("b", b"", 16), ("a", b"c", 16), ("a", b"", 17))
    }
    assert len(distinct) == 4
    for length in (-1, 0, 255 * 32 + 1, 1 << 16, (1 << 16) + 32):
        with pytest.raises(errors.WrongLength):
            exported("label", b"", length)
    assert len(exported("label", b"", 255 * 32)) == 255 * 32


@pytest.mark.parametrize("suite", SUITES.values(), ids=repr)
def test_who_joins_from_outside_and_the_group_get_one_init_secret(suite: CipherSuite) -> None:
    key = key_schedule.external_key(suite, Secret(bytes(suite.hash_bytes)))
    kem_output, secret = key_schedule.external_init(suite, key.public)
    assert len(secret) == suite.hash_bytes
    assert key_schedule.external_init_opened(suite, key, kem_output) == secret
    assert key_schedule.external_init(suite, key.public)[1] != secret
    with pytest.raises(errors.DecryptionError):
        key_schedule.external_init_opened(suite, key, kem_output[:-1])
    other = key_schedule.external_key(suite, Secret(b"\1" * suite.hash_bytes))
    assert key_schedule.external_init_opened(suite, other, kem_output) != secret


def test_an_epochs_secrets_are_not_shown() -> None:
    shown = repr(epoch())
    for field in dataclasses.fields(epoch().epoch):
        secret = getattr(epoch().epoch, field.name).reveal()
        assert secret.hex() not in shown
        assert repr(secret) not in shown
