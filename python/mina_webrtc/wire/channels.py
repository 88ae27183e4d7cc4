"""The nine data channels of a connection: ids, labels, limits (protocol.md §7)."""

from __future__ import annotations

from enum import IntEnum


class Channel(IntEnum):
    """A pre-negotiated data channel; its value is the SCTP stream id."""

    AUTH = 0
    """Carries the two authentication messages, raw, and nothing else (§3, §6)."""
    DISCOVERY = 1
    EXCHANGE = 2
    BEST_TIP = 3
    TRANSACTION = 4
    SNARK = 5
    SNARK_JOB_COMMITMENT = 6
    RPC = 7
    STREAMING = 8

    @property
    def label(self) -> str:
        """The label both sides give the channel."""
        return _LABELS[self]

    @property
    def max_message(self) -> int:
        """Largest message in bytes, inclusive, without the 4-byte length prefix."""
        return _MAX_MESSAGE[self]

    @property
    def max_unasked(self) -> int:
        """The same while no request of ours is open on the channel: who asked for nothing is sent nothing large."""
        return min(self.max_message, UNASKED)

    @property
    def framed(self) -> bool:
        """Whether messages carry a length prefix and are cut into chunks: all channels but 0."""
        return self is not Channel.AUTH


class Topic(IntEnum):
    """What is handed on from peer to peer; the values are those of the channels."""

    BEST_TIP = 3
    TRANSACTION = 4
    SNARK = 5
    SNARK_JOB_COMMITMENT = 6

    @property
    def channel(self) -> Channel:
        """Where it is handed on."""
        return Channel(self)

    @property
    def max_payload(self) -> int:
        """Bytes of the largest item: a message is that and one byte."""
        return self.channel.max_message - 1


UNASKED = 64 * 1024
"""Bytes of the largest message that comes without being asked for. §7 lets nobody send what was not asked for, so only
answers can be larger; requests, and what announces items, are far smaller."""

_LABELS = {
    Channel.AUTH: "",
    Channel.DISCOVERY: "signaling/discovery",
    Channel.EXCHANGE: "signaling/exchange",
    Channel.BEST_TIP: "best_tip/propagation",
    Channel.TRANSACTION: "transaction/propagation",
    Channel.SNARK: "snark/propagation",
    Channel.SNARK_JOB_COMMITMENT: "snark_job_commitment/propagation",
    Channel.RPC: "rpc",
    Channel.STREAMING: "rpc/streaming",
}

_KIB = 1024
_MIB = 1024 * 1024

_MAX_MESSAGE = {
    # Only 92 bytes are right here; one chunk is let through so that another length can be told apart and reported.
    Channel.AUTH: 16 * _KIB,
    Channel.DISCOVERY: 16 * _KIB,
    Channel.EXCHANGE: 16 * _KIB,
    Channel.BEST_TIP: 32 * _MIB,
    Channel.TRANSACTION: 1 * _KIB,
    Channel.SNARK: 1 * _KIB,
    Channel.SNARK_JOB_COMMITMENT: 2 * _KIB,
    Channel.RPC: 256 * _MIB,
    Channel.STREAMING: 16 * _MIB,
}
