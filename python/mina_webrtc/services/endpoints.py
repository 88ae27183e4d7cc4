"""The sockets of ICE: aioice's, hardened against what strangers send, with our own repetition and measuring."""

from __future__ import annotations

import contextlib
import socket
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from aioice import stun
from aioice.ice import StunProtocol

if TYPE_CHECKING:
    from mina_webrtc.services.ice import IceAgent

Address = tuple[str, int]

RECEIVE_BUFFER = 4 << 20
"""Bytes that the kernel is asked to keep per socket (used as needed); with aioice's 256 KiB it drops packets on
loopback."""

PACKET_COST = 2304
"""What Linux charges to that buffer for a packet of SCTP's size."""

RTO = 0.1
"""Seconds until a check or a query is repeated for the first time; then it doubles, seven times in all. RFC 8445 §14.3
says 500 ms; but where a NAT lets our check in only after the peer's own has passed, that is what connecting takes."""


class Endpoint(StunProtocol):
    """One socket. aioice parses every datagram as STUN first, lets malformed attributes raise out of the callback, and
    sends on closed sockets."""

    receiver: IceAgent
    server: str | None = None
    """The TURN server, for a relay."""
    heard = False
    """Whether a check or data of the peer came lately; see `unused`."""

    def __init__(self, receiver: IceAgent) -> None:
        super().__init__(receiver)
        self.round_trips: dict[Address, float] = {}
        """The latest one by remote address, in seconds; of answers that can only be to one packet (Karn's rule)."""
        self._repeated: set[bytes] = set()
        """Transactions that were repeated out of their turn."""
        self.mapped: dict[Address, Address] = {}
        """As what each remote address sees us."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        if not data:
            return  # legal for UDP, an IndexError further up
        if cast(bytes, data)[0] > 3:  # RFC 7983 §7
            if self.receiver.knows((addr[0], addr[1])):
                self.heard = True
                self.receiver.data_received(cast(bytes, data), 1)
            return
        # An attribute that is too short raises struct.error or IndexError in aioice, one that is missing a KeyError.
        with contextlib.suppress(Exception):
            super().datagram_received(data, addr)

    def send_stun(self, message: stun.Message, addr: Address) -> None:
        if not self.transport.is_closing():
            super().send_stun(message, addr)

    async def request(
        self,
        request: stun.Message,
        addr: Address,
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, Address]:
        """As aioice's, which offers no way to say when to repeat."""
        if integrity_key is not None:
            request.add_message_integrity(integrity_key)
        transaction = stun.Transaction(
            request, addr, self, retransmissions=retransmissions, integrity_key=integrity_key
        )
        return await self._run(transaction, request, addr, RTO)

    async def ask(self, request: stun.Message, addr: Address, key: bytes, patience: float) -> None:
        """Sends a request once and waits `patience` seconds for its answer. Raises `stun.TransactionError`."""
        request.add_message_integrity(key)
        transaction = stun.Transaction(request, addr, self, retransmissions=0, integrity_key=key)
        await self._run(transaction, request, addr, patience)

    async def _run(
        self, transaction: stun.Transaction, request: stun.Message, addr: Address, delay: float
    ) -> tuple[stun.Message, Address]:
        parts, identity = vars(transaction), request.transaction_id
        parts["_Transaction__timeout_delay"] = delay
        self.transactions[identity] = transaction
        begin = perf_counter()  # uvloop's own clock counts whole milliseconds
        try:
            response, source = await transaction.run()
            if parts["_Transaction__tries"] == 1 and identity not in self._repeated:
                self.round_trips[addr] = perf_counter() - begin
        finally:
            del self.transactions[identity]
            self._repeated.discard(identity)
        if "XOR-MAPPED-ADDRESS" in response.attributes:
            self.mapped[addr] = response.attributes["XOR-MAPPED-ADDRESS"]
        return response, source

    def repeat(self, addr: Address) -> None:
        """Sends what is unanswered at `addr` once more, now."""
        for identity, transaction in list(self.transactions.items()):
            parts = vars(transaction)
            if parts["_Transaction__addr"] == addr:
                self._repeated.add(identity)
                self.send_stun(parts["_Transaction__request"], addr)


def widen(sock: socket.socket) -> int:
    """Asks the kernel for a large receive buffer, and says how many packets it will keep: granted may be much less."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return int(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)) // PACKET_COST
