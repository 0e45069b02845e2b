"""Transcript hashes and the confirmation tag, as §8.2 and §6.1 write them; the official vectors hold them too."""

from __future__ import annotations

import hashlib
import hmac

from mls.making import SUITE
from tacit.crypto.secret import Secret
from tacit.mls import transcript
from tacit.mls.commit import Commit
from tacit.mls.framing import AuthenticatedContent, FramedContent, Member, WireFormat
from tacit.wire.codec import encode

CONTENT = FramedContent(b"id", 7, Member(1), b"", Commit((), None))


def test_a_hash_holds_all_that_was_before_and_the_commit_without_its_tag() -> None:
    commit = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, CONTENT, b"sign", b"tag")
    other = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, CONTENT, b"sign", b"another")
    confirmed = transcript.confirmed(SUITE, b"before", commit)
    assert confirmed == hashlib.sha256(b"before" + b"\0\1" + encode(CONTENT) + b"\4sign").digest()
    assert transcript.confirmed(SUITE, b"before", other) == confirmed
    assert transcript.interim(SUITE, confirmed, b"tag") == hashlib.sha256(confirmed + b"\3tag").digest()


def test_the_tag_is_a_mac_of_the_hash() -> None:
    key = Secret(bytes(32))
    assert transcript.confirmation_tag(SUITE, key, b"hash") == hmac.digest(bytes(32), b"hash", "sha256")
