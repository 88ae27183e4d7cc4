"""The signaling messages (protocol.md §4): every name of `offer`, `response` and `sealed` that others need."""

from __future__ import annotations

from mina_webrtc.wire.offer import LOCALHOST, Answer, Offer, Signal
from mina_webrtc.wire.response import P2pConnectionResponse, RejectionReason
from mina_webrtc.wire.sealed import (
    MAX_GET,
    MAX_SEALED,
    EncryptedAnswer,
    EncryptedOffer,
    offer_from_get,
    offer_to_get,
)

__all__ = [
    "LOCALHOST",
    "MAX_GET",
    "MAX_SEALED",
    "Answer",
    "EncryptedAnswer",
    "EncryptedOffer",
    "Offer",
    "P2pConnectionResponse",
    "RejectionReason",
    "Signal",
    "offer_from_get",
    "offer_to_get",
]
