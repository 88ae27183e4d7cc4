"""What runs on top of a node of the small world: it answers at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from hashlib import sha256

from mina_webrtc.machines import vocab as v
from mina_webrtc.wire.messages import Part, PartKind


class Application:
    """The effects that are for it. `local` gives an event back to the same node, later in its turn; `give` at once."""

    local: Callable[[v.Event], None]
    give: Callable[[v.Event], list[v.Effect]]

    def __init__(self) -> None:
        self.handlers: dict[int, Callable[[bytes], bytes | None]] = {}
        self.examine: Callable[[v.HandleItem], bool | None] | None = lambda effect: True
        """None: nobody answers."""
        self.streams: dict[int, int] = {}
        """Connections by the number of the stream that is read there."""
        self._pulled: Counter[tuple[int, int]] = Counter()

    def stream(self, request: int, conn: int) -> None:
        """Asks for a staged ledger and reads it to its end."""
        self.streams[request] = conn
        self.give(v.StreamAsked(request, conn, bytes(32), 30.0))

    def _HandleRequest(self, effect: v.HandleRequest) -> None:
        handler = self.handlers.get(effect.kind)
        body = handler(effect.body) if handler else None
        self.local(v.RequestHandled(effect.conn, effect.rpc_id, body))

    def _NameItem(self, effect: v.NameItem) -> None:
        self.local(v.ItemNamed(effect.item, sha256(effect.payload).digest()))

    def _HandleItem(self, effect: v.HandleItem) -> None:
        if self.examine is not None:
            self.local(v.ItemHandled(effect.item, self.examine(effect)))

    def _PullPart(self, effect: v.PullPart) -> None:
        """A ledger of two trees."""
        at = self._pulled[effect.conn, effect.stream]
        self._pulled[effect.conn, effect.stream] += 1
        self.local(v.PartMade(effect.conn, effect.stream, Part(PartKind(min(at, 3)), b"\x02")))

    def _DeliverPart(self, effect: v.DeliverPart) -> None:
        if not effect.last:
            self.local(v.PartWanted(self.streams[effect.request], effect.request))
