"""What a client has to take though it does not know it, and what it has to have (RFC 9420 §7.2, §10, §13, §17.1)."""

from __future__ import annotations

import dataclasses
from typing import Final

import pytest

from mls.illegal.members import (
    NOW,
    SUITE,
    Rules,
    capabilities,
    client,
    committed,
    draws,
    people,
    psk,
    repackaged,
    taken,
)
from tacit.mls import joining
from tacit.mls.extensions import Extension
from tacit.mls.group import Group
from tacit.mls.joining import KeyPackageKeys
from tacit.mls.leaf_node import Capabilities
from tacit.mls.proposals import Add, PreSharedKey
from tacit.mls.suites import suite_of

GREASE: Final = tuple(0x0A0A + 0x1010 * number for number in range(15))
FROM_THEN: Final = (0xF0F1, *GREASE)
"""Numbers that mean nothing here, some of them for ever (§13.5)."""


def added(keys: KeyPackageKeys, *, extra: tuple[Extension, ...] = ()) -> None:
    """Alice adds somebody: carol takes the commit, and whoever is added the Welcome."""
    four = people()
    alice, pending = committed(four.alice, Add(keys.package), group_info_extensions=extra)
    assert pending.welcome is not None
    new = Group.join(pending.welcome, keys, Rules())
    assert new.epoch_authenticator == alice.epoch_authenticator
    assert taken(four.carol, pending.commit).epoch_authenticator == alice.epoch_authenticator


@pytest.mark.parametrize("part", [field.name for field in dataclasses.fields(Capabilities)])
def test_capabilities_that_nobody_knows(part: str) -> None:
    plain = capabilities()
    added(client("erin", supports=dataclasses.replace(plain, **{part: (*FROM_THEN, *getattr(plain, part))})))


def test_extensions_of_a_key_package_that_nobody_knows() -> None:
    unknown = tuple(Extension(number, b"?") for number in FROM_THEN)
    keys = repackaged(client("erin"), extensions=unknown)
    assert not set(FROM_THEN) & set(keys.package.leaf_node.capabilities.extensions)
    added(keys)


def test_extensions_of_a_group_info_that_nobody_knows() -> None:
    added(client("erin"), extra=tuple(Extension(number, b"?") for number in FROM_THEN))


def test_an_external_commit_with_pre_shared_keys() -> None:
    four = people()
    names = tuple(PreSharedKey(psk(name)) for name in (b"one", b"two"))
    info = four.alice.group_info(external=True)
    new, commit = Group.join_external(info, client("erin"), Rules(), now=NOW, random=draws("outside"), proposals=names)
    assert taken(four.carol, commit).epoch_authenticator == new.epoch_authenticator


def test_the_suite_that_every_client_has() -> None:
    assert suite_of(1) is SUITE
    assert SUITE.id in joining.capabilities((1,)).cipher_suites


def test_capabilities_leave_out_what_everybody_has() -> None:
    made = joining.capabilities((1,), extensions=range(1, 8), proposals=range(1, 10))
    assert (made.extensions, made.proposals) == ((6, 7), (8, 9))


def test_a_key_packages_leaf_lists_its_extensions() -> None:
    listed = client("erin", leaf_extensions=(Extension(7, b""),), extensions=(Extension(9, b""), Extension(1, b"")))
    assert set(listed.package.leaf_node.capabilities.extensions) == {*capabilities().extensions, 7, 9}
