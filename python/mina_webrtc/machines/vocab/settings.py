"""What the machines need to know about this node."""

from __future__ import annotations

from msgspec import Struct

from mina_webrtc.identity import ChainId, PublicKey
from mina_webrtc.machines.keeping import Keeping
from mina_webrtc.machines.vocab.items import Spreading
from mina_webrtc.wire.address import Host


class Settings(Struct, frozen=True, kw_only=True):
    """What the machines need to know about this node. Times in seconds; the defaults stand in `config.py`."""

    public_key: PublicKey
    chain_id: ChainId
    advertised_host: Host
    """Goes into offers (§4); 127.0.0.1 when nothing is advertised."""
    advertised_port: int | None
    max_peers: int
    min_peers: int
    """Below this many peers the node looks for more (§6); 0 for one that looks for none."""
    seed: int
    """Of every choice and every spread of a waiting time in the core; recorded in the snapshot."""
    max_pending_incoming: int
    max_pending_per_source: int
    """A source is an IPv4 address or an IPv6 /64 (§4)."""
    max_pending_outgoing: int
    max_pending_requests: int
    """Unanswered requests per peer on channel 7, in each direction, timed-out ones included (§7)."""
    outgoing_timeout: float
    incoming_timeout: float
    yield_timeout: float
    """Both dialled at once and the peer's own dial wins (§4): how long its offer may take to come (its gathering, 3 s,
    and the way here) before our dial fails with `AlreadyConnected`."""
    caution: float
    """How long first messages wait on channels 1–8 towards a peer without our mark (§6)."""
    handler_timeout: float
    """How long the application may take to answer a request."""
    stalled: float
    """How long a peer may take that owes an answer, or a part, that nobody waits for any more."""
    stream_idle: float
    """How long a peer may take to receive a part that it asked for, and to ask for the next one."""
    max_trees: int
    """Trees that a stream may end with (§7)."""
    max_initial_peers: int
    max_through_relay: int
    """Peers that are found or offer themselves through any one relay, connected or under way (§9)."""
    relay_timeout: float
    """As a relay: how long asker or target may take to answer."""
    relay_rest: float
    """As a relay: how long an asker that refuses is left alone at most; a twelfth of it at first."""
    pair_memory: float
    """As a relay: how long the same two peers are not introduced again."""
    allow_loopback: bool
    allow_link_local: bool
    """Whether such candidates of a remote SDP are used (§6)."""
    keeping: Keeping
    spreading: Spreading
