"""What must hold of streams (protocol.md §7): every part that is wanted comes, or fails, in time; parts come in their
order; a producer is asked for one part at a time, and closed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.streaming import START, Course

if TYPE_CHECKING:
    from mina_webrtc.testing.shell import SimNode


class Reading:
    """A stream of ours. `due`: when its next part must have come; None while it is not wanted."""

    def __init__(self, due: float, timeout: float) -> None:
        self.due: float | None = due
        self.timeout = timeout
        self.course = START


class StreamWatch:
    """The streams of one node. Each method returns what is wrong, or nothing."""

    def __init__(self, node: SimNode) -> None:
        self._node = node
        self.reading: dict[int, Reading] = {}
        self._making: dict[tuple[int, int], Course] = {}
        self._pulled: set[tuple[int, int]] = set()

    # ------------------------------------------------------------ ours

    def asked(self, event: v.StreamAsked) -> None:
        """A stream begins."""
        due = self._node.now + event.timeout + self._node.settings.caution
        self.reading[event.request] = Reading(due, event.timeout)

    def wanted(self, event: v.PartWanted) -> None:
        """The application is ready for the next part."""
        stream = self.reading.get(event.request)
        if stream is not None:
            stream.due = self._node.now + stream.timeout

    def cancelled(self, event: v.StreamCancelled) -> None:
        """The application reads no further."""
        self.reading.pop(event.request, None)

    def delivered(self, effect: v.DeliverPart) -> str:
        """A part came."""
        stream = self.reading.get(effect.request)
        if stream is None or stream.due is None:
            return f"a part that nobody wanted, of stream {effect.request}"
        stream.due = None
        if effect.part is not None:
            stream.course = stream.course.after(effect.part, self._node.settings.max_trees)
        if effect.last:
            del self.reading[effect.request]
        elif stream.course.over or effect.part is None:
            return f"stream {effect.request} goes on after its end"
        return ""

    def failed(self, effect: v.FailStream) -> str:
        """No more parts."""
        return "" if self.reading.pop(effect.request, None) else f"stream {effect.request} failed twice"

    # ------------------------------------------------------------ theirs

    def opened(self, effect: v.OpenStream) -> str:
        """A peer asks."""
        if any(conn == effect.conn for conn, _ in self._making):
            return f"two streams at once on connection {effect.conn}"
        self._making[effect.conn, effect.stream] = START
        return ""

    def pulled(self, effect: v.PullPart) -> str:
        """It wants a part."""
        name = (effect.conn, effect.stream)
        if name in self._pulled or name not in self._making:
            return f"stream {name} is asked for a part out of turn"
        self._pulled.add(name)
        return ""

    def made(self, event: v.PartMade) -> None:
        """The application made it, or has none."""
        self._pulled.discard((event.conn, event.stream))

    def closed(self, effect: v.CloseStream) -> str:
        """It is over."""
        name = (effect.conn, effect.stream)
        self._pulled.discard(name)
        return "" if self._making.pop(name, None) else f"stream {name} was closed twice"

    # ------------------------------------------------------------ the snapshot

    def examine(self, ready: list[dict[str, Any]], late: float) -> str:
        """The books against what was told; `late`: what should have been answered by then."""
        producers = {entry["conn"] for entry in ready if entry["their_stream"] not in ("silent", "ending")}
        if producers != {conn for conn, _ in self._making}:
            return f"producers {list(self._making)} for connections {producers}"
        overdue = [number for number, stream in self.reading.items() if stream.due is not None and stream.due < late]
        return f"parts of streams {overdue} are overdue" if overdue else ""
