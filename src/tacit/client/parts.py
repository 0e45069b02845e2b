"""What works on an open store in a session, put together."""

from __future__ import annotations

from typing import final

from tacit.client.accounts import Directory
from tacit.client.changes import Changes
from tacit.client.handing import Handing
from tacit.client.keeping import AccountKeeper
from tacit.client.locks import Locks
from tacit.client.outbox import Outbox
from tacit.client.socket import Socket
from tacit.client.store import Store
from tacit.client.sync import Syncer
from tacit.client.timing import Clock, Sleep
from tacit.client.transport import EncryptionAPIClient
from tacit.client.vaults import VaultKeeper
from tacit.client.vouching import Vouching
from tacit.crypto.secret import Randomness
from tacit.identity.unlockers import Cost


@final
class Parts:
    """What works on an open store in a session."""

    def __init__(
        self,
        store: Store,
        api_client: EncryptionAPIClient,
        clock: Clock,
        random: Randomness,
        sleep: Sleep,
        cost: Cost | None,
    ) -> None:
        locks = Locks()
        self.directory = Directory(store, api_client, clock)
        self.syncer = Syncer(store, api_client, self.directory, clock, random)
        self.socket = Socket(api_client, self.syncer, self.settle, random, sleep)
        self.changes = Changes(store, api_client, self.directory, self.syncer, locks, clock, random, sleep)
        self.outbox = Outbox(
            store, api_client, self.directory, self.syncer, self.changes, locks, clock, random, self.socket
        )
        self.vouching = Vouching(store, self.syncer, self.changes)
        self.vault = VaultKeeper(store, api_client, self.directory, clock, random)
        self.syncer.own_account_changed = self.vault.check
        self.handing = Handing(store, self.directory, self.syncer, self.outbox, clock, random)
        self.keeper = AccountKeeper(
            store, api_client, self.directory, self.syncer, self.changes, self.vault, clock, random, cost
        )

    async def settle(self) -> None:
        """Bring interrupted changes to an end, and send what waits."""
        await self.keeper.resume()
        await self.changes.resume()
        await self.syncer.granting.settle()
        await self.vouching.settle()
        await self.outbox.flush_all()
