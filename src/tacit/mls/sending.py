"""Sending in an epoch (RFC 9420 §6): what a member says is signed, then encrypted or MACed."""

from __future__ import annotations

from tacit import errors
from tacit.crypto.secret import Randomness
from tacit.mls import framing, limits, protection
from tacit.mls.framing import AuthenticatedContent, ContentType, WireFormat
from tacit.mls.policy import Policy
from tacit.mls.state import State
from tacit.mls.suites import vector


def application(state: State, policy: Policy, data: bytes, aad: bytes, random: Randomness) -> tuple[State, bytes]:
    """A message of the application (§6.3), and the state without its key; raises `TooLarge`.

    It is what is sent most, and so put together as bytes; `protected` makes the same from structs.
    """
    epoch, leaf, kind = state.epoch, state.me, ContentType.APPLICATION
    if len(aad) > limits.AAD_BYTES:
        raise errors.TooLarge(f"{len(aad)} bytes where {limits.AAD_BYTES} are the most")
    suite, context, body = epoch.suite, epoch.context, vector(data)
    begin, secret = framing.where(context.group_id, context.epoch), epoch.secrets.sender_data_secret
    signed = framing.members_to_be_signed(begin, leaf, aad, framing.KINDS[kind] + body, context)
    plaintext = body + vector(suite.sign_with_label(state.signer, protection.LABEL, signed))
    head = begin + framing.KINDS[kind]
    content_aad = head + vector(aad)
    tree, sender_data, ciphertext = protection.sealed_content(
        suite, state.secret_tree, secret, leaf, kind, plaintext, head, content_aad, policy.padding, random
    )
    return state.with_message_keys(tree), framing.private_to_wire(content_aad, sender_data, ciphertext)


def protected(state: State, policy: Policy, sent: AuthenticatedContent, random: Randomness) -> tuple[State, bytes]:
    """Signed content in the form that it was signed for, and the state without the key that it took (§6.2, §6.3)."""
    epoch = state.epoch
    if sent.wire_format is WireFormat.PUBLIC_MESSAGE:
        message = protection.public_message(epoch.suite, epoch.secrets.membership_key, sent, epoch.context)
        return state, framing.to_wire(message)
    tree, encrypted = protection.private_message(
        epoch.suite, state.secret_tree, epoch.secrets.sender_data_secret, sent, policy.padding, random
    )
    return state.with_message_keys(tree), framing.to_wire(encrypted)
