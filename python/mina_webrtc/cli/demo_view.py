"""What the demonstration shows: a live picture on a terminal, plain lines elsewhere, JSON lines on request."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mina_webrtc.cli.shell import note, say, say_json

Told = Mapping[str, Any]
MIB = 1024 * 1024


def make_view(names: Sequence[str], as_json: bool) -> View:
    """The view that fits where stdout goes."""
    if as_json:
        return JsonView()
    console = Console()
    return LiveView(console, names) if console.is_terminal else LineView()


def how(found: Told) -> str:
    """How a peer was found, in at most fifteen letters."""
    match found["found"]:
        case "relay":
            return f"through {found['relay']}"
        case "configured":
            return "dialled seed"
        case "learnt":
            return f"told by {found['teller']}"
        case "incoming":
            return "incoming"
    return "dialled"


class View:
    """Who is told what happens in the demonstration, and knows how long ago it began."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the view was made."""
        return time.monotonic() - self._began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def started(self, name: str, hello: Told) -> None:
        """A node runs; it has an address if it can be dialled."""

    def ready(self, name: str, peer: str, found: Told) -> None:
        """The node `name` has a peer, and says how it was found."""

    def closed(self, name: str, peer: str, reason: str) -> None:
        """It lost one."""

    def fetching(self, count: int) -> None:
        """So many blocks are asked for."""

    def received(self, asker: str, giver: str, size: int) -> None:
        """So much of a block has come."""

    def fetched(self, asker: str, giver: str, size: int, milliseconds: float) -> None:
        """A block has come and its hash is right."""

    def killed(self, name: str) -> None:
        """A node was killed."""

    def step(self, words: str) -> None:
        """Something that was to be shown has happened."""

    def failed(self, message: str) -> None:
        """The demonstration is over: something failed."""

    def done(self) -> None:
        """The demonstration is over: everything worked."""


class LineView(View):
    """One line for each step."""

    def started(self, name: str, hello: Told) -> None:
        """Its first line."""
        where = f"listens at {hello['address']}" if hello["address"] else "cannot be dialled and knows one address"
        self._say(f"{name}: process {hello['pid']}, {where}")

    def ready(self, name: str, peer: str, found: Told) -> None:
        """Both ends say how, the one that dialled also how quickly."""
        words = how(found) if found["outgoing"] or found["found"] != "relay" else f"incoming {how(found)}"
        self._say(f"{name}: {peer} is ready, {words}" + (f", {found['ms']:.0f} ms" if found["outgoing"] else ""))

    def closed(self, name: str, peer: str, reason: str) -> None:
        """With the reason."""
        self._say(f"{name}: {peer} is gone ({reason})")

    def killed(self, name: str) -> None:
        """On purpose."""
        self._say(f"{name}: killed")

    def step(self, words: str) -> None:
        """Set off by the dashes."""
        self._say(f"-- {words}")

    def failed(self, message: str) -> None:
        """The reason goes to stderr."""
        note(f"the demonstration failed: {message}")

    def done(self) -> None:
        """The last line."""
        self._say("-- done: everything was seen")

    def _say(self, words: str) -> None:
        say(f"{self.seconds:5.2f} s  {words}")


class JsonView(View):
    """One JSON object for each step."""

    def started(self, name: str, hello: Told) -> None:
        """`address` is null for one that cannot be dialled."""
        self._say("started", node=name, peer_id=hello["peer"], address=hello["address"], pid=hello["pid"])

    def ready(self, name: str, peer: str, found: Told) -> None:
        """`found` as in `mina-webrtc node`; nodes go by their names."""
        words = {word: found[word] for word in ("outgoing", "ms", "found", "relay", "teller") if word in found}
        self._say("ready", node=name, peer=peer, **words)

    def closed(self, name: str, peer: str, reason: str) -> None:
        """With the reason."""
        self._say("closed", node=name, peer=peer, reason=reason)

    def fetched(self, asker: str, giver: str, size: int, milliseconds: float) -> None:
        """Each block by itself."""
        self._say("fetched", node=asker, peer=giver, bytes=size, ms=milliseconds, hash_correct=True)

    def killed(self, name: str) -> None:
        """On purpose."""
        self._say("killed", node=name)

    def step(self, words: str) -> None:
        """For people; the objects before it say the same."""
        self._say("step", message=words)

    def failed(self, message: str) -> None:
        """The last object."""
        self._say("done", ok=False, error=message)

    def done(self) -> None:
        """The last object."""
        self._say("done", ok=True)

    def _say(self, event: str, **fields: Any) -> None:
        say_json(event=event, **fields, seconds=round(self.seconds, 3))


class LiveView(LineView):
    """The nodes, who is connected to whom and how, the blocks, and the steps, redrawn in place."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        super().__init__()
        self._names = names
        self._nodes = dict.fromkeys(names, "starting")
        self._links: dict[tuple[str, str], str] = {}
        self._bytes: dict[tuple[str, str], int] = {}
        self._total = 0
        self._steps: list[str] = []
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=10)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def started(self, name: str, hello: Told) -> None:
        """The node with its peer id."""
        self._nodes[name] = hello["peer"]

    def ready(self, name: str, peer: str, found: Told) -> None:
        """A cell of the table: an arrow says who dialled."""
        self._links[name, peer] = f"[green]{'→' if found['outgoing'] else '←'} {how(found)}[/green]"

    def closed(self, name: str, peer: str, reason: str) -> None:
        """The cell says so."""
        self._links[name, peer] = "[red]gone[/red]"

    def fetching(self, count: int) -> None:
        """A new bar."""
        self._bytes.clear()
        self._total = count * MIB

    def received(self, asker: str, giver: str, size: int) -> None:
        """The bar grows."""
        self._bytes[asker, giver] = size

    def fetched(self, asker: str, giver: str, size: int, milliseconds: float) -> None:
        """The bar grows."""
        self._bytes[asker, giver] = size

    def killed(self, name: str) -> None:
        """Its row is empty until it is back."""
        self.step(f"{name} was killed")
        self._nodes[name] = "[red]killed[/red]"
        self._links = {link: words for link, words in self._links.items() if link[0] != name}

    def step(self, words: str) -> None:
        """A line below the table."""
        self._steps.append(f"{self.seconds:5.2f} s  {words}")

    def failed(self, message: str) -> None:
        """The reason stands below the picture."""
        self._live.stop()
        super().failed(message)

    def done(self) -> None:
        """The last line stands below the picture."""
        self._live.stop()
        super().done()

    def _render(self) -> Group:
        nodes = Table("node", "peer id", box=None, pad_edge=False)
        for name, state in self._nodes.items():
            nodes.add_row(name, state)
        links = Table("", *self._names, box=None, pad_edge=False)
        for name in self._names:
            links.add_row(name, *(self._links.get((name, peer), "·") for peer in self._names))
        parts: list[Any] = [nodes, "", links, ""]
        if self._total:
            have = sum(self._bytes.values())
            bar = Table.grid(padding=(0, 1))
            amount = f"{have / MIB:.1f}/{self._total / MIB:.0f} MiB"
            bar.add_row("blocks", ProgressBar(self._total, have, width=50), amount)
            parts += [bar, ""]
        return Group(*parts, *map(Text, self._steps))
