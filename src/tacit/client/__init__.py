"""The client SDK: an account on this device, its conversations and their messages."""

from tacit.client.client import Client
from tacit.client.conversation import Conversation
from tacit.client.keystore import SecureKeyStore
from tacit.client.transport import EncryptionAPIClient
from tacit.client.view import Alarm, Member, Message, PendingRecord
from tacit.conversation.timeline import Gaps

__all__ = [
    "Alarm",
    "Client",
    "Conversation",
    "EncryptionAPIClient",
    "Gaps",
    "Member",
    "Message",
    "PendingRecord",
    "SecureKeyStore",
]
