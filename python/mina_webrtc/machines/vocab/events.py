"""What happened."""

from __future__ import annotations

from enum import Enum

from mina_webrtc.identity import PeerId
from mina_webrtc.machines.keeping import Known
from mina_webrtc.machines.vocab.base import Event, IcePath, Timer
from mina_webrtc.wire.address import DialAddress
from mina_webrtc.wire.signal import Offer, P2pConnectionResponse

# ================================================================ the application


class DialRequested(Event, frozen=True):
    """`node.dial(address)`; the answer is `DialSucceeded` or `DialFailed` with the same `dial`."""

    dial: int
    address: DialAddress


class DialCancelled(Event, frozen=True):
    """The caller of `dial` went away."""

    dial: int


class AddressesGiven(Event, frozen=True):
    """Seeds of the configuration, or what the store remembers from an earlier run."""

    known: tuple[Known, ...]


class CloseRequested(Event, frozen=True):
    """The application closes a peer."""

    peer: PeerId


class RequestMade(Event, frozen=True):
    """`peer.request(kind, body)`: `request` is the caller's handle, `body` the bin_prot fields of the rpc variant."""

    request: int
    conn: int
    kind: int
    body: bytes
    timeout: float


class RequestCancelled(Event, frozen=True):
    """The caller went away: its answer, which the peer still owes, is ignored when it comes."""

    conn: int
    request: int


class RequestHandled(Event, frozen=True):
    """The application's handler answered the peer's request `rpc_id`; None means "I do not have it"."""

    conn: int
    rpc_id: int
    body: bytes | None


# ================================================================ signaling


class OfferReceived(Event, frozen=True):
    """An offer came in. `signal` names the exchange that waits for the answer; `source` is the IP it came from."""

    signal: int
    offer: Offer
    source: str
    own_fingerprint: bool
    """Whether its SDP carries a DTLS fingerprint of this process (§3 Reflection)."""


class OfferWithdrawn(Event, frozen=True):
    """Whoever posted the offer of exchange `signal` hung up before we answered; a no-op when it was answered."""

    signal: int


class OfferPrepared(Event, frozen=True):
    """The offer is serialised (and sealed, for a relay)."""

    conn: int
    body: bytes


class OfferSent(Event, frozen=True):
    """The offer has left this machine."""

    conn: int


class AnswerReceived(Event, frozen=True):
    """The signaling exchange brought a response."""

    conn: int
    response: P2pConnectionResponse
    own_fingerprint: bool


class AnswerSent(Event, frozen=True):
    """Our answer has left this machine."""

    conn: int


class SignalingFailed(Event, frozen=True):
    """The exchange failed: no route, TLS, HTTP, unreadable body, or the asker hung up before our answer."""

    conn: int
    reason: str
    detail: str


class OfferOpened(Event, frozen=True):
    """A relayed offer was decrypted; None when that or its reading failed."""

    signal: int
    offer: Offer | None
    own_fingerprint: bool


class AnswerSealed(Event, frozen=True):
    """Our answer to a relayed offer is encrypted; None when the offerer's key is none to encrypt to (§2)."""

    signal: int
    sealed: bytes | None


# ================================================================ transport and keys


class OfferSdpCreated(Event, frozen=True):
    """Gathering is over and this is our offer's SDP."""

    conn: int
    sdp: str


class AnswerSdpCreated(Event, frozen=True):
    """Gathering is over and this is our answer's SDP."""

    conn: int
    sdp: str


class SdpFailed(Event, frozen=True):
    """The transport could not make an SDP or refused the remote one (`remote` says which)."""

    conn: int
    remote: bool
    detail: str


class IceConnected(Event, frozen=True):
    """A candidate pair works."""

    conn: int
    path: IcePath | None = None


class DtlsConnected(Event, frozen=True):
    """The DTLS handshake is complete."""

    conn: int


class ChannelOpened(Event, frozen=True):
    """A pre-negotiated channel can be used."""

    conn: int
    channel: int


class ChannelClosed(Event, frozen=True):
    """The peer closed a channel, or our closing of it is complete."""

    conn: int
    channel: int


class MessageReceived(Event, frozen=True):
    """A whole message: raw on channel 0, without its frame on 1–8."""

    conn: int
    channel: int
    payload: bytes


class MessagesSent(Event, frozen=True):
    """The transport has put the next `count` messages on the wire, oldest first."""

    conn: int
    count: int


class TransportFailed(Event, frozen=True):
    """The connection was lost or never came up. `remote_fault`: the peer broke a rule of the layers below."""

    conn: int
    reason: str
    detail: str
    remote_fault: bool = False


class AuthSealed(Event, frozen=True):
    """Our 92 bytes are ready."""

    conn: int
    sealed: bytes


class AuthVerdict(Enum):
    """What `OpenAuth` found."""

    PASSED = "passed"
    LENGTH = "length"
    UNDECRYPTABLE = "undecryptable"
    MISMATCH = "mismatch"
    REFLECTED = "reflected"


class AuthOpened(Event, frozen=True):
    """The peer's 92 bytes were examined."""

    conn: int
    verdict: AuthVerdict


class TimerFired(Event, frozen=True):
    """A deadline passed."""

    timer: Timer
    conn: int
    key: int
