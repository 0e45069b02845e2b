"""Transcript hashes (RFC 9420 §8.2): an epoch is bound to every commit that led to it."""

from __future__ import annotations

from tacit.crypto.secret import Secret
from tacit.mls.framing import AuthenticatedContent
from tacit.mls.suites import CipherSuite, vector


def confirmed(suite: CipherSuite, interim_before: bytes, commit: AuthenticatedContent) -> bytes:
    """The confirmed transcript hash of the epoch that a commit begins."""
    return suite.digest(interim_before + commit.confirmed_transcript_input())


def interim(suite: CipherSuite, confirmed_hash: bytes, confirmation_tag: bytes) -> bytes:
    """The interim transcript hash, on which the next commit builds."""
    return suite.digest(confirmed_hash + vector(confirmation_tag))


def confirmation_tag(suite: CipherSuite, confirmation_key: Secret, confirmed_hash: bytes) -> bytes:
    """The tag of an epoch (§6.1): who has it has the same secrets and the same history."""
    return suite.mac(confirmation_key, confirmed_hash)
