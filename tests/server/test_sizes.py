"""Sizes that one field of a request may have: one byte more is refused as too large, whatever else is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from server.bad_input import Scene
from server.people import KEYS, MESSAGES
from server.test_accounts import GENERATE
from tacit.wire import limits
from tacit.wire.text import to_base64


def above(most: int) -> str:
    """A byte more."""
    return to_base64(bytes(most + 1))


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("record", limits.RECORD_BYTES),
        ("encryptedPrivateKey", limits.VAULT_BYTES),
    ],
)
async def test_an_account_is_posted_in_sizes(scene: Scene, field: str, most: int) -> None:
    body: dict[str, Any] = {**scene.newcomer.publication(), field: above(most)}
    answer = await scene.newcomer.ask("POST", GENERATE, body)
    assert (answer.status, answer.code) == (413, "too_large")


async def test_so_is_an_outer_part(scene: Scene) -> None:
    body = {
        "userId": "alice",
        "keyId": scene.alice.publication()["keyId"],
        "encryptedPrivateKey": above(limits.VAULT_BYTES),
    }
    answer = await scene.alice.ask("POST", "/api/encryption/keys/private", body)
    assert (answer.status, answer.code) == (413, "too_large")


@pytest.mark.parametrize(("field", "most"), [("record", limits.RECORD_BYTES), ("signature", limits.SIGNATURE_BYTES)])
async def test_so_is_an_epoch(scene: Scene, field: str, most: int) -> None:
    body = {**scene.talk.next(scene.alice, keep=False), field: above(most)}
    answer = await scene.alice.ask("POST", KEYS, body)
    assert (answer.status, answer.code) == (413, "too_large")


@pytest.mark.parametrize("limit", [0, limits.PAGE + 1])
async def test_a_page_has_a_size(scene: Scene, limit: int) -> None:
    answer = await scene.alice.ask("GET", f"{MESSAGES}?conversationId={scene.talk.id}&limit={limit}")
    assert (answer.status, answer.code) == (400, "malformed")
