"""The client SDK: an account on this device, its conversations and their messages."""

from tacit.client.client import Client
from tacit.client.conversation import Conversation
from tacit.client.handing import KeyInfo
from tacit.client.keychain import Keychain
from tacit.client.keystore import KeyPair, SecureKeyStore
from tacit.client.service import EncryptedMessage, EncryptionService, PublicKey, UserKeys
from tacit.client.transport import EncryptionAPIClient
from tacit.client.view import Alarm, Member, Message, PendingRecord
from tacit.conversation.timeline import Gaps

__all__ = [
    "Alarm",
    "Client",
    "Conversation",
    "EncryptedMessage",
    "EncryptionAPIClient",
    "EncryptionService",
    "Gaps",
    "KeyInfo",
    "KeyPair",
    "Keychain",
    "Member",
    "Message",
    "PendingRecord",
    "PublicKey",
    "SecureKeyStore",
    "UserKeys",
]
