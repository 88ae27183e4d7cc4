"""The answer to an offer: accepted, rejected with a reason, or failed (protocol.md §4)."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from mina_webrtc.errors import SignalError
from mina_webrtc.wire.json import UNIT, Bytes, Json, parse_json, read_variant
from mina_webrtc.wire.offer import Answer, read_answer_json


class RejectionReason(Enum):
    """Why a listener refuses an offer, in the order of the checks (§4); values are the wire's words."""

    CHAIN_ID_MISMATCH = "ChainIdMismatch"
    PEER_ID_AND_PUBLIC_KEY_MISMATCH = "PeerIdAndPublicKeyMismatch"
    TARGET_PEER_ID_NOT_ME = "TargetPeerIdNotMe"
    CONNECTING_TO_SELF = "ConnectingToSelf"
    ALREADY_CONNECTED = "AlreadyConnected"
    PEER_CAPACITY_FULL = "PeerCapacityFull"

    @property
    def is_bad(self) -> bool:
        """Whether it is misbehaviour of the offerer."""
        return self in _BAD

    @property
    def display(self) -> str:
        """The reference's sentence for it."""
        return _DISPLAY[self]


_BAD = frozenset(
    {
        RejectionReason.PEER_ID_AND_PUBLIC_KEY_MISMATCH,
        RejectionReason.TARGET_PEER_ID_NOT_ME,
        RejectionReason.ALREADY_CONNECTED,
    }
)

_DISPLAY = {
    RejectionReason.CHAIN_ID_MISMATCH: "peer is on a different chain",
    RejectionReason.PEER_ID_AND_PUBLIC_KEY_MISMATCH: "peer_id does not match peer's public key",
    RejectionReason.TARGET_PEER_ID_NOT_ME: "target peer_id is not local node's peer_id",
    RejectionReason.CONNECTING_TO_SELF: "self connection detected",
    RejectionReason.ALREADY_CONNECTED: "peer already connected",
    RejectionReason.PEER_CAPACITY_FULL: "too many peers",
}


class P2pConnectionResponse(Struct, frozen=True):
    """The answer to an offer. `kind` is the wire's word: `Accepted` (with `answer`), `Rejected` (with `reason`),
    `SignalDecryptionFailed` or `InternalError`. Made by the four constructors."""

    kind: str
    answer: Answer | None = None
    reason: RejectionReason | None = None

    @staticmethod
    def accepted(answer: Answer) -> P2pConnectionResponse:
        """The offer is accepted and this is the answer."""
        return P2pConnectionResponse("Accepted", answer=answer)

    @staticmethod
    def rejected(reason: RejectionReason) -> P2pConnectionResponse:
        """The offer is refused."""
        return P2pConnectionResponse("Rejected", reason=reason)

    @staticmethod
    def signal_decryption_failed() -> P2pConnectionResponse:
        """The offer could not be read."""
        return P2pConnectionResponse("SignalDecryptionFailed")

    @staticmethod
    def internal_error() -> P2pConnectionResponse:
        """The listener failed."""
        return P2pConnectionResponse("InternalError")

    @property
    def is_bad(self) -> bool:
        """Whether the offer was refused for misbehaviour."""
        return self.reason is not None and self.reason.is_bad

    @property
    def http_status(self) -> int:
        """The status that goes with it (§5)."""
        if self.kind == "InternalError":
            return 500
        return 400 if self.is_bad or self.kind == "SignalDecryptionFailed" else 200

    def to_json(self) -> bytes:
        """As serde_json prints it."""
        if self.answer is not None:
            return f'{{"Accepted":{self.answer.json_text()}}}'.encode()
        if self.reason is not None:
            return f'{{"Rejected":"{self.reason.value}"}}'.encode()
        return f'"{self.kind}"'.encode()

    @staticmethod
    def from_json(data: Bytes) -> P2pConnectionResponse:
        """Raises `SignalError`."""
        match read_variant(parse_json(data), "response"):
            case ("Accepted", content) if content is not UNIT:
                return P2pConnectionResponse.accepted(read_answer_json(content))
            case ("Rejected", content) if content is not UNIT:
                return P2pConnectionResponse.rejected(_read_reason(content))
            case ("SignalDecryptionFailed" | "InternalError" as kind, content) if content is UNIT or content is None:
                return P2pConnectionResponse(kind)
        raise SignalError("response must be Accepted, Rejected, SignalDecryptionFailed or InternalError")


def _read_reason(value: Json) -> RejectionReason:
    name, content = read_variant(value, "rejection reason")
    if content is not UNIT and content is not None:
        raise SignalError("a rejection reason has no content")
    try:
        return RejectionReason(name)
    except ValueError:
        raise SignalError(f"unknown rejection reason {name[:40]!r}") from None
