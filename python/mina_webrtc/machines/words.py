"""What the machines of one core say to each other. A word is an effect that never leaves the core: `peers` hands it to
the component it is for, and its outcome takes its place."""

from __future__ import annotations

from mina_webrtc.identity import PublicKey
from mina_webrtc.machines.vocab import Effect
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.signal import EncryptedAnswer, EncryptedOffer


class Word(Effect, frozen=True):
    """Said by the machine of connection `conn`."""

    conn: int


# ---------------------------------------------------------------- channel 1, we are the relay


class PeerWanted(Word, frozen=True):
    """The peer wants another peer."""


class Declined(Word, frozen=True):
    """The peer makes no offer to the target that it was told of."""


class OfferEntrusted(Word, frozen=True):
    """The peer's offer for the target that it was told of."""

    offer: EncryptedOffer


# ---------------------------------------------------------------- channel 1, the peer is the relay


class RelayAsks(Word, frozen=True):
    """The peer would find us another peer."""


class TargetFound(Word, frozen=True):
    """The peer knows this one."""

    target: PublicKey


class AnswerCame(Word, frozen=True):
    """The answer to the offer that we entrusted to the peer; None: there will be none."""

    answer: EncryptedAnswer | None


# ---------------------------------------------------------------- channel 2, we are the relay


class TargetReady(Word, frozen=True):
    """The peer takes an offer."""


class TargetAnswered(Word, frozen=True):
    """The peer's answer to the offer that we passed on; None: there will be none."""

    answer: EncryptedAnswer | None


# ---------------------------------------------------------------- channel 2, we are the target


class OfferCame(Word, frozen=True):
    """The peer passes an offer on to us."""

    offerer: PublicKey
    offer: EncryptedOffer


class AnswerLeft(Word, frozen=True):
    """Our answer to the last offer that the peer passed on is on the wire."""


# ---------------------------------------------------------------- channels 3 to 6


class ItemCame(Word, frozen=True):
    """The peer has sent an item that we asked for."""

    channel: Channel
    payload: bytes
