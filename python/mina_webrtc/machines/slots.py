"""One peer id and everything under way with it, and which of two connections to one peer survives (protocol.md §4)."""

from __future__ import annotations

from msgspec import Struct

from mina_webrtc.identity import PeerId
from mina_webrtc.machines.state import Attempt
from mina_webrtc.machines.vocab import Failure


class GivenWay(Struct, frozen=True):
    """Our dial `conn` ended while the peer's own may still connect us: the dial's callers wait for that.

    `failure` is what they hear if it does not; `until` is how long they wait when no offer of the peer has come yet,
    `deadline` how long in any case, the dial's own.
    """

    conn: int
    failure: Failure
    until: float
    deadline: float


class Slot:
    """All connections with one peer id. It exists while any of them does, and takes one place of the capacity."""

    __slots__ = ("dials", "given_way", "incoming", "outgoing", "peer", "ready", "wanted")

    def __init__(self, peer: PeerId) -> None:
        self.peer = peer
        self.ready: int | None = None
        self.outgoing: int | None = None
        """Our own attempt; one at a time, further dials join it."""
        self.incoming: list[int] = []
        """Attempts that claim to be from this peer; several, because one may be forged."""
        self.dials: list[int] = []
        """Callers that wait. Empty when there is a ready connection."""
        self.given_way: GivenWay | None = None
        self.wanted = False
        """Somebody here has dialled the peer, whichever side's offer came through then."""

    @property
    def empty(self) -> bool:
        return self.ready is None and self.outgoing is None and not self.incoming and self.given_way is None


def beats(new: Attempt, old: Attempt) -> bool:
    """Whether `new`, once authenticated, takes the place of `old`. Both sides come to the same answer by themselves:
    what the greater peer id offered wins, and of one offerer's the newer."""
    if new.outgoing == old.outgoing:
        return new.conn > old.conn
    me_greater = new.settings.public_key.peer_id > new.peer
    return new.outgoing == me_greater
