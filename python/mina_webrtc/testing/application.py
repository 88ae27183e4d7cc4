"""What runs on top of a simulated node: it answers requests, makes the parts of streams, and reads those of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mina_webrtc.machines import vocab as v
from mina_webrtc.wire.messages import Part

if TYPE_CHECKING:
    from mina_webrtc.testing.shell import SimNode

Handler = Callable[[int, bytes], tuple[float, bytes | None]]
"""(kind, body) → seconds until the answer, and the answer."""
Maker = Callable[[bytes, int], tuple[float, Part | None]]
"""(state hash, how many parts came before) → seconds until the next one, and the part; None: there is none."""
Appetite = Callable[[], float | None]
"""Seconds until the next part is wanted, after each that came; None: no more."""


class Application:
    """Of one node. It has nothing and takes everything at once, until it is told otherwise."""

    def __init__(self, node: SimNode) -> None:
        self._node = node
        self.handler: Handler = lambda kind, body: (0.0, None)
        self.maker: Maker = lambda state_hash, at: (0.0, None)
        self.appetite: Appetite = lambda: 0.0
        self._handling: set[tuple[int, int]] = set()
        self._reading: dict[int, int] = {}
        """Connections by the number of the stream that is read there."""
        self._making: dict[tuple[int, int], tuple[bytes, int]] = {}
        """State hash and parts so far, by connection and stream."""
        self.performers: dict[type[v.Effect], Callable[[Any], None]] = {
            v.DialSucceeded: self._told,
            v.DialFailed: self._told,
            v.CompleteRequest: self._told,
            v.FailRequest: self._told,
            v.HandleRequest: self._handle_request,
            v.AbandonRequest: self._abandon_request,
            v.DeliverPart: self._deliver_part,
            v.FailStream: self._fail_stream,
            v.OpenStream: self._open_stream,
            v.PullPart: self._pull_part,
            v.CloseStream: self._close_stream,
        }

    def _told(self, effect: v.Effect) -> None:
        """In a simulation that is for whoever watches."""

    # ------------------------------------------------------------ requests

    def _handle_request(self, effect: v.HandleRequest) -> None:
        wait, body = self.handler(effect.kind, effect.body)
        name = (effect.conn, effect.rpc_id)
        self._handling.add(name)
        self._node.network.clock.after(wait, self._handled, name, body)

    def _abandon_request(self, effect: v.AbandonRequest) -> None:
        self._handling.discard((effect.conn, effect.rpc_id))

    def _handled(self, name: tuple[int, int], body: bytes | None) -> None:
        if name in self._handling:
            self._handling.discard(name)
            self._node.give(v.RequestHandled(*name, body))

    # ------------------------------------------------------------ streams of others

    def reads(self, request: int, conn: int) -> None:
        """A stream is asked for."""
        self._reading[request] = conn

    def give_up(self, request: int) -> None:
        """Reads no further, if it still does."""
        conn = self._reading.pop(request, None)
        if conn is not None:
            self._node.give(v.StreamCancelled(conn, request))

    def _deliver_part(self, effect: v.DeliverPart) -> None:
        wait = self.appetite()
        if effect.last:
            del self._reading[effect.request]
        elif wait is None:
            self._node.network.clock.after(0.0, self.give_up, effect.request)
        else:
            self._node.network.clock.after(wait, self._want, effect.request)

    def _want(self, request: int) -> None:
        conn = self._reading.get(request)
        if conn is not None:
            self._node.give(v.PartWanted(conn, request))

    def _fail_stream(self, effect: v.FailStream) -> None:
        self._reading.pop(effect.request, None)

    # ------------------------------------------------------------ streams of ours

    def _open_stream(self, effect: v.OpenStream) -> None:
        self._making[effect.conn, effect.stream] = effect.state_hash, 0

    def _pull_part(self, effect: v.PullPart) -> None:
        name = (effect.conn, effect.stream)
        state_hash, at = self._making[name]
        self._making[name] = state_hash, at + 1
        wait, part = self.maker(state_hash, at)
        self._node.network.clock.after(wait, self._made, name, part)

    def _made(self, name: tuple[int, int], part: Part | None) -> None:
        if name in self._making:
            self._node.give(v.PartMade(*name, part))

    def _close_stream(self, effect: v.CloseStream) -> None:
        del self._making[effect.conn, effect.stream]
