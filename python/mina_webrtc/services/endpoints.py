"""The sockets of ICE: aioice's, hardened against what strangers send, with our own repetition and measuring."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

from aioice import stun
from aioice.ice import StunProtocol

if TYPE_CHECKING:
    from mina_webrtc.services.ice import IceAgent

RTO = 0.1
"""Seconds until a check or a query is repeated for the first time; then it doubles, seven times in all. RFC 8445 §14.3
says 500 ms; but where a NAT lets our check in only after the peer's own has passed, that is what connecting takes."""


class Endpoint(StunProtocol):
    """One socket. aioice parses every datagram as STUN first, lets malformed attributes raise out of the callback, and
    sends on closed sockets."""

    receiver: IceAgent
    server: str | None = None
    """The TURN server, for a relay."""

    def __init__(self, receiver: IceAgent) -> None:
        super().__init__(receiver)
        self.round_trips: dict[tuple[str, int], float] = {}
        """The latest one by remote address, in seconds; of answers that can only be to one packet (Karn's rule)."""
        self.mapped: dict[tuple[str, int], tuple[str, int]] = {}
        """As what each remote address sees us."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        if not data:
            return  # legal for UDP, an IndexError further up
        if cast(bytes, data)[0] > 3:  # RFC 7983 §7
            if self.receiver.knows((addr[0], addr[1])):
                self.receiver.data_received(cast(bytes, data), 1)
            return
        # An attribute that is too short raises struct.error or IndexError in aioice, one that is missing a KeyError.
        with contextlib.suppress(Exception):
            super().datagram_received(data, addr)

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        if not self.transport.is_closing():
            super().send_stun(message, addr)

    async def request(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, tuple[str, int]]:
        """As aioice's, which offers no way to say when to repeat."""
        if integrity_key is not None:
            request.add_message_integrity(integrity_key)
        transaction = stun.Transaction(
            request, addr, self, retransmissions=retransmissions, integrity_key=integrity_key
        )
        vars(transaction)["_Transaction__timeout_delay"] = RTO
        self.transactions[request.transaction_id] = transaction
        begin = asyncio.get_running_loop().time()
        try:
            response, source = await transaction.run()
        finally:
            del self.transactions[request.transaction_id]
        elapsed = asyncio.get_running_loop().time() - begin
        if elapsed < RTO:
            self.round_trips[addr] = elapsed
        if "XOR-MAPPED-ADDRESS" in response.attributes:
            self.mapped[addr] = response.attributes["XOR-MAPPED-ADDRESS"]
        return response, source

    def repeat(self, addr: tuple[str, int]) -> None:
        """Sends what is unanswered at `addr` once more, now."""
        for transaction in list(self.transactions.values()):
            parts = vars(transaction)
            if parts["_Transaction__addr"] == addr:
                self.send_stun(parts["_Transaction__request"], addr)


class Relay(Endpoint):
    """The receiving side of a TURN allocation; its transport is aioice's, which has no `is_closing`."""

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        self.transport.sendto(bytes(message), addr)
