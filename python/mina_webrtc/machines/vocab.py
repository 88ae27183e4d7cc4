"""The words all machines share: what happened (events), what is to be done (effects), what is waited for (timers).

Events are named in the past tense and are facts, effects in the imperative and are orders to the shell. Both are
frozen values, carry public data only (no secret key, no shared key), and repeat the id of what they belong to.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from mina_webrtc.identity import ChainId, PeerId, PublicKey
from mina_webrtc.machines.keeping import Keeping, Known, Origin
from mina_webrtc.wire.address import DialAddress, Host, SignalingMethod
from mina_webrtc.wire.auth import ConnectionAuth
from mina_webrtc.wire.signal import Offer, P2pConnectionResponse


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
    max_initial_peers: int
    max_through_relay: int
    """Peers that are found or offer themselves through any one relay, connected or under way (§9)."""
    relay_timeout: float
    """As a relay: how long asker or target may take to answer."""
    relay_rest: float
    """As a relay: how long an asker that refused is left alone."""
    pair_memory: float
    """As a relay: how long the same two peers are not introduced again."""
    allow_loopback: bool
    allow_link_local: bool
    """Whether such candidates of a remote SDP are used (§6)."""
    keeping: Keeping


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
    """The peer owes the answer to our request `key` (§7)."""
    HANDLER = "handler"
    """Our application owes the answer to the peer's request `key`."""
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


# ================================================================ events: the application


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


# ================================================================ events: signaling


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


# ================================================================ events: transport and keys


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


# ================================================================ effects: transport


class CreateOffer(Effect, frozen=True):
    """Open a peer connection and make an offer; answered by `OfferSdpCreated` or `SdpFailed`."""

    conn: int


class CreateAnswer(Effect, frozen=True):
    """Open a peer connection for this remote offer; answered by `AnswerSdpCreated` or `SdpFailed`."""

    conn: int
    offer_sdp: str


class SetAnswer(Effect, frozen=True):
    """Give the remote answer to the peer connection; the transport's events follow, or `SdpFailed`."""

    conn: int
    answer_sdp: str


class Send(Effect, frozen=True):
    """Send one message; answered by `MessagesSent`."""

    conn: int
    channel: int
    payload: bytes


class Expect(Effect, frozen=True):
    """Receive large messages (above 64 KiB) on a channel, or none any more: `large` says whether a request of ours is
    open there (§7: nobody sends what was not asked for)."""

    conn: int
    channel: int
    large: bool


class Admit(Effect, frozen=True):
    """Authentication has passed: deliver what came early, and everything from now on."""

    conn: int


class CloseChannel(Effect, frozen=True):
    """Close one channel once its messages are sent."""

    conn: int
    channel: int


class CloseConnection(Effect, frozen=True):
    """Close the peer connection, abort its signaling exchange, and free all that belongs to `conn`."""

    conn: int


# ================================================================ effects: signaling and keys


class PrepareOffer(Effect, frozen=True):
    """Serialise the offer (seal it for a relay); answered by `OfferPrepared`, or `SignalingFailed` when nothing can be
    sealed for the target's key (§2)."""

    conn: int
    method: SignalingMethod
    target: PeerId
    offer: Offer


class SendOffer(Effect, frozen=True):
    """Send the offer; answered by `OfferSent`, then `AnswerReceived` or `SignalingFailed`. `learnt`: the address came
    from the network, so the policy for resolved addresses applies (§5)."""

    conn: int
    method: SignalingMethod
    body: bytes
    timeout: float
    learnt: bool


class Respond(Effect, frozen=True):
    """Answer the exchange `signal`. With `conn`, `AnswerSent` or `SignalingFailed` follows; without, nothing does.
    `overloaded`: one of our own caps was hit, which the HTTP status says."""

    signal: int
    response: P2pConnectionResponse
    conn: int | None
    overloaded: bool = False


class OpenAnswer(Effect, frozen=True):
    """Decrypt a relayed answer; answered by `AnswerReceived` or `SignalingFailed`."""

    conn: int
    peer: PublicKey
    sealed: bytes


class OpenOffer(Effect, frozen=True):
    """Decrypt a relayed offer; answered by `OfferOpened`."""

    signal: int
    offerer: PublicKey
    sealed: bytes


class SealAnswer(Effect, frozen=True):
    """Encrypt our answer to a relayed offer; answered by `AnswerSealed`."""

    signal: int
    offerer: PublicKey
    response: P2pConnectionResponse


class SealAuth(Effect, frozen=True):
    """Encrypt our auth for the peer; remember its nonce as long as `conn` lives; answered by `AuthSealed`."""

    conn: int
    peer: PublicKey
    auth: ConnectionAuth


class OpenAuth(Effect, frozen=True):
    """Decrypt and compare the peer's auth; answered by `AuthOpened`."""

    conn: int
    peer: PublicKey
    auth: ConnectionAuth
    received: bytes


# ================================================================ effects: timers


class SetTimer(Effect, frozen=True):
    """Arm a deadline, replacing one of the same name. `at` is on the clock that `now` is read from."""

    timer: Timer
    conn: int
    key: int
    at: float


class CancelTimer(Effect, frozen=True):
    """Disarm a deadline; one that is not armed is no error."""

    timer: Timer
    conn: int
    key: int


# ================================================================ effects: known addresses


class KeepAddress(Effect, frozen=True):
    """Store what is known of an address."""

    known: Known


class DropAddress(Effect, frozen=True):
    """Remove an address from the store."""

    address: DialAddress


# ================================================================ effects: the application


class DialSucceeded(Effect, frozen=True):
    """The dialled peer is ready on connection `conn`."""

    dial: int
    conn: int
    peer: PeerId


class DialFailed(Effect, frozen=True):
    """The dial ended without a ready peer."""

    dial: int
    failure: Failure


class HandleRequest(Effect, frozen=True):
    """The peer asks: call the application's handler for `kind`; answered by `RequestHandled`."""

    conn: int
    peer: PeerId
    rpc_id: int
    kind: int
    body: bytes


class AbandonRequest(Effect, frozen=True):
    """Nobody waits for this handler any more: cancel it."""

    conn: int
    rpc_id: int


class CompleteRequest(Effect, frozen=True):
    """The peer answered our request; None means that it does not have it."""

    request: int
    body: bytes | None


class FailRequest(Effect, frozen=True):
    """Our request got no answer; `reason` is a word of `RequestError`."""

    request: int
    reason: str
    detail: str = ""


# ================================================================ effects: notices


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
    """An attempt ended in Error. `peer` is who we dialled or who the offer claims to come from: not authenticated."""

    conn: int
    outgoing: bool
    peer: PeerId
    source: str | None
    failure: Failure


class PeerReady(Notice, frozen=True):
    """A peer is authenticated and can be used. `marked`: it carries this project's mark (§6). `origin`: where its
    address came from, if the node dialled it by itself."""

    conn: int
    peer: PeerId
    outgoing: bool
    marked: bool
    address: DialAddress | None
    origin: Origin | None = None


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
