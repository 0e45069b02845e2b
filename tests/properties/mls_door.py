"""How a group is kept and comes back."""

from __future__ import annotations

from tacit.mls import snapshot
from tacit.mls.group import Group
from tacit.mls.state import PendingCommit, State


class Disk:
    """What somebody keeps: the records of a state, of which each change writes only what it has to."""

    def __init__(self) -> None:
        self._records: dict[str, bytes] = {}
        self._state: State | None = None

    def keep(self, state: State) -> None:
        """Write what changed since the last time."""
        if self._state is None:
            self._records = snapshot.records(state)
        else:
            for name, record in snapshot.changed(self._state, state).items():
                if record is None:
                    del self._records[name]
                else:
                    self._records[name] = record
        self._state = state
        assert self._records == snapshot.records(state), "what is written after a change is not all of it"

    def restored(self, group: Group) -> Group:
        """The group after its process ended."""
        self._state = snapshot.load(self._records)
        return Group(self._state, group.policy)


def restored_pending(pending: PendingCommit) -> PendingCommit:
    """A commit on its way, after the process ended."""
    return snapshot.load_pending(snapshot.save_pending(pending))
