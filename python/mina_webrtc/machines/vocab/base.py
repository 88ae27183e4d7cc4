"""What events and effects are, the deadlines, and how an ending is told."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Stage(Enum):
    """Where an attempt was when it ended; the words of `DialError.stage`."""

    ADDRESS = "address"
    GATHERING = "gathering"
    SIGNALING = "signaling"
    ANSWER = "answer"
    ICE = "ice"
    DTLS = "dtls"
    AUTHENTICATION = "authentication"
    READY = "ready"
    CLOSED = "closed"


class Fault(Enum):
    """Whose fault a failure is: decides whom misbehaviour counts against (§4)."""

    NONE = "none"
    """Circumstances: network, time, capacity."""
    LOCAL = "local"
    SOURCE = "source"
    """A party that has not authenticated: counts against its source address only."""
    PEER = "peer"
    """An authenticated peer."""


class Failure(Struct, frozen=True):
    """Why an attempt or a connection ended. `reason` is a short stable word, `detail` is for people."""

    stage: Stage
    reason: str
    detail: str = ""
    fault: Fault = Fault.NONE


class Timer(Enum):
    """Every deadline there is. A timer is named by (kind, conn, key)."""

    ATTEMPT = "attempt"
    """The whole attempt, from the dial or the offer to ready, must be over (§6: 15 s out, 30 s in)."""
    YIELD = "yield"
    """Our dial `conn` gave way to a connection that the peer offers; that one should be ready by now (§4)."""
    CAUTION = "caution"
    """A channel to a peer without our mark has been open long enough to send first (§6)."""
    RPC_REPLY = "rpc_reply"
    """The peer owes the answer to our request `key` (§7), whether or not somebody still waits for it."""
    HANDLER = "handler"
    """Our application owes the answer to the peer's request `key`."""
    STREAM_PART = "stream_part"
    """The peer owes a part of what we asked for (§7)."""
    STREAM_MADE = "stream_made"
    """Our application owes a part of what the peer asked for."""
    STREAM_NEXT = "stream_next"
    """The peer should have taken the last part and asked for the next one by now."""
    OFFER_MEMORY = "offer_memory"
    """The hash of an old offer may be forgotten: a replay of it would find no pending attempt (§4)."""
    DISCOVERED = "discovered"
    """We are the relay and the asker owes its word on the target that it was told of (§9)."""
    EXCHANGED = "exchanged"
    """We are the relay and the target owes its answer (§9)."""
    REST = "rest"
    """We are the relay, and the asker that refused may be asked again (§9)."""
    PAIRS = "pairs"
    """We are the relay, and the oldest introduction may be repeated (§9)."""
    SEEK = "seek"
    """Relays that we asked for a peer have not named any: others are asked (§9)."""
    ITEMS = "items"
    """The peer owes items that it has announced on channel `key` (§7)."""
    ITEM_HANDLER = "item_handler"
    """Our application owes its judgement of item `key`; belongs to no connection."""
    UPKEEP = "upkeep"
    """A known address may be dialled again, a peer asked again, or room is to be made (§6)."""


class IcePath(Struct, frozen=True):
    """The candidate pair that a connection runs over. Types are `host`, `srflx`, `prflx`, `relay`; addresses are
    `ip:port`; `server` is the TURN server of a local relay; `round_trip` in seconds, None when not measured yet."""

    local: str
    remote: str
    local_address: str = ""
    remote_address: str = ""
    server: str | None = None
    round_trip: float | None = None

    @property
    def relayed(self) -> bool:
        """Whether a TURN server of either side carries the traffic."""
        return "relay" in (self.local, self.remote)


class Event(Struct, frozen=True):
    """Something that happened."""


class Effect(Struct, frozen=True):
    """Something to do."""
