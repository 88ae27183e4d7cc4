"""The words of upkeep: what is known of an address, and the numbers by which a node keeps itself connected."""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Network, IPv6Network

from msgspec import Struct

from mina_webrtc.identity import PeerId
from mina_webrtc.wire.address import DialAddress


class Origin(Enum):
    """How an address came to us."""

    CONFIGURED = "configured"
    """A seed of the configuration; an anchor."""
    DIALLED = "dialled"
    """The application dialled it, and its peer authenticated."""
    LEARNT = "learnt"
    """An authenticated peer told us (channel 7, `InitialPeers`)."""
    CLAIMED = "claimed"
    """The offer of a peer that then authenticated says that its signaling server is there (§4)."""

    @property
    def foreign(self) -> bool:
        """Whether the network told it, so that the address policy applies (§5)."""
        return self in (Origin.LEARNT, Origin.CLAIMED)


class Known(Struct, frozen=True, kw_only=True):
    """An address and how it did. Times are on the clock of the core's `now`."""

    address: DialAddress
    origin: Origin
    teller: PeerId | None = None
    """Who told it; None for our own."""
    success: float | None = None
    """When a dial to it last authenticated."""
    failures: int = 0
    """Dials that failed since."""
    next_try: float = 0.0
    """Not dialled by ourselves before."""


class Keeping(Struct, frozen=True, kw_only=True):
    """The numbers of upkeep. Times in seconds; the defaults stand in `config.py`."""

    reconnect: float
    """From the loss of a peer, or a dial's failure, to the next dial; doubled by every further failure (§6: 30 s)."""
    reconnect_max: float
    max_dials: int
    """Dials under way that nobody but upkeep waits for."""
    max_known: int
    """Addresses remembered."""
    max_learnt_per_peer: int
    """Of these, how many untried ones from one teller."""
    ask_interval: float
    """Between two questions for addresses to one peer."""
    room_interval: float
    """Between two peers that are dropped to make room (§6: 10 s)."""
    room_age: float
    """Peers connected for less are not dropped for that (§6: 90 s)."""
    ban: float
    """How long a peer with too low a score is not dialled or accepted; also how long a source's offers are refused."""
    max_source_faults: int
    """Faults of strangers from one source within `ban` seconds that are borne."""
    learnt_networks: tuple[IPv4Network | IPv6Network, ...]
    """Networks that learnt addresses may point into although they are not global."""
