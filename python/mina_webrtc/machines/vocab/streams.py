"""Channel 8: what is asked for in parts, of us and by us (protocol.md §7)."""

from __future__ import annotations

from mina_webrtc.identity import PeerId
from mina_webrtc.machines.vocab.base import Effect, Event
from mina_webrtc.wire.messages import Part

# ================================================================ we ask


class StreamAsked(Event, frozen=True):
    """`peer.stream_staged_ledger(state_hash)`: `request` is the caller's handle, `timeout` seconds are for each part;
    answered by `DeliverPart` or `FailStream`."""

    request: int
    conn: int
    state_hash: bytes
    timeout: float


class PartWanted(Event, frozen=True):
    """The caller has taken the last part and wants the next one; answered as `StreamAsked`."""

    conn: int
    request: int


class StreamCancelled(Event, frozen=True):
    """The caller went away: what the peer still sends is ignored."""

    conn: int
    request: int


class DeliverPart(Effect, frozen=True):
    """A part came; None: the peer does not have it. After the `last` one nothing follows."""

    request: int
    part: Part | None
    last: bool


class FailStream(Effect, frozen=True):
    """No part follows; `reason` is a word of `RequestError`."""

    request: int
    reason: str
    detail: str = ""


# ================================================================ the peer asks


class OpenStream(Effect, frozen=True):
    """The peer asks for the staged ledger at a block: get the application's producer ready; `PullPart` follows."""

    conn: int
    peer: PeerId
    stream: int
    state_hash: bytes


class PullPart(Effect, frozen=True):
    """Get the next part from the producer; answered by `PartMade`."""

    conn: int
    stream: int


class PartMade(Event, frozen=True):
    """The producer's next part; None: it has no more, or none at all."""

    conn: int
    stream: int
    part: Part | None


class CloseStream(Effect, frozen=True):
    """The stream is over: close the producer, if it is not over too. `fault`: what the application did wrong."""

    conn: int
    stream: int
    fault: str = ""
