"""What is told to whoever watches."""

from __future__ import annotations

from mina_webrtc.identity import PeerId
from mina_webrtc.machines.keeping import Origin
from mina_webrtc.machines.vocab.base import Effect, Failure, IcePath
from mina_webrtc.wire.address import DialAddress, Relayed, SignalingMethod


class Notice(Effect, frozen=True):
    """Told to whoever watches (`node.events()`, logs, metrics); nothing is done for it."""


class StateChanged(Notice, frozen=True):
    """An attempt entered a state of §6."""

    conn: int
    outgoing: bool
    state: str


class Progressed(Notice, frozen=True):
    """A milestone inside FinalizePending: `ice` (with the pair that won), `dtls`, `open` (channel 0),
    `authenticated`."""

    conn: int
    milestone: str
    path: IcePath | None = None


class OfferRejected(Notice, frozen=True):
    """We refused an offer; `reason` is the wire's word, or `Replayed`, `OwnFingerprint`, `BadSdp`, `TooManyPending`,
    `TooManyFromSource`, `TooManyThroughRelay`, `Undecryptable`, `Banned`, `SourceBarred`. The
    source of a relayed offer is `/p2p/{relay}`."""

    source: str
    claimed: PeerId
    reason: str
    bad: bool


class AttemptFailed(Notice, frozen=True):
    """An attempt ended in Error. `peer` is who we dialled or who the offer claims to come from: not authenticated.
    `address` is what was dialled; `origin`: where it came from, if the node dialled it by itself."""

    conn: int
    outgoing: bool
    peer: PeerId
    source: str | None
    failure: Failure
    address: DialAddress | None = None
    origin: Origin | None = None


class PeerReady(Notice, frozen=True):
    """A peer is authenticated and can be used. `marked`: it carries this project's mark (§6). `address` is what was
    dialled; `origin`: where that came from, if the node dialled it by itself, and `teller`: who told it. `source`:
    where the offer of an incoming peer came from, an IP or `/p2p/{relay}`."""

    conn: int
    peer: PeerId
    outgoing: bool
    marked: bool
    address: DialAddress | None
    origin: Origin | None = None
    teller: PeerId | None = None
    source: str | None = None

    @property
    def relay(self) -> PeerId | None:
        """Through whom offer and answer went."""
        method = self.address.method if self.address is not None else None
        if method is None and self.source is not None and self.source.startswith("/p2p/"):
            method = SignalingMethod.parse(self.source)
        return method.relay if isinstance(method, Relayed) else None


class PeerClosed(Notice, frozen=True):
    """A ready peer is gone. `replaced`: a newer connection to the same peer took its place."""

    conn: int
    peer: PeerId
    failure: Failure
    replaced: bool


class PeerBanned(Notice, frozen=True):
    """An authenticated peer broke the protocol too often: for `seconds` it is neither dialled nor accepted."""

    peer: PeerId
    seconds: float


class SourceBarred(Notice, frozen=True):
    """Strangers from `source` broke the protocol too often: its offers are refused for `seconds`."""

    source: str
    seconds: float


class Ignored(Notice, frozen=True):
    """A late event (timer, reply, answer) found nobody waiting; counted."""

    conn: int
    event: str
