"""What is to be done."""

from __future__ import annotations

from mina_webrtc.identity import PeerId, PublicKey
from mina_webrtc.machines.keeping import Known
from mina_webrtc.machines.vocab.base import Effect, Failure, Timer
from mina_webrtc.wire.address import DialAddress, SignalingMethod
from mina_webrtc.wire.auth import ConnectionAuth
from mina_webrtc.wire.signal import Offer, P2pConnectionResponse

# ================================================================ transport


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


# ================================================================ signaling and keys


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


# ================================================================ timers


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


# ================================================================ known addresses


class KeepAddress(Effect, frozen=True):
    """Store what is known of an address."""

    known: Known


class DropAddress(Effect, frozen=True):
    """Remove an address from the store."""

    address: DialAddress


# ================================================================ the application


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
