"""What the demonstration shows: a live table on a terminal, plain lines elsewhere, JSON lines on request."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from mina_webrtc.cli.shell import note, say, say_json


class View(Protocol):
    """Who is told what happens in the demonstration."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def started(self, name: str, hello: dict[str, Any]) -> None:
        """A node listens."""

    def connected(self, one: str, other: str, milliseconds: float) -> None:
        """A dial succeeded."""

    def received(self, asker: str, giver: str, size: int) -> None:
        """So much of a block has come."""

    def fetched(self, asker: str, giver: str, size: int, milliseconds: float) -> None:
        """A block has come and its hash is right."""

    def failed(self, message: str) -> None:
        """The demonstration is over: something failed."""

    def done(self, seconds: float) -> None:
        """The demonstration is over: everything worked."""


def make_view(names: Sequence[str], block_size: int, as_json: bool) -> View:
    """The view that fits where stdout goes."""
    if as_json:
        return JsonView()
    console = Console()
    return LiveView(console, names, block_size) if console.is_terminal else LineView()


class LineView:
    """One line for each step."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def started(self, name: str, hello: dict[str, Any]) -> None:
        """A node listens."""
        say(f"{name} (process {hello['pid']}) listens at {hello['address']}")

    def connected(self, one: str, other: str, milliseconds: float) -> None:
        """A dial succeeded."""
        say(f"{one} - {other}: connected and authenticated in {milliseconds:.0f} ms")

    def received(self, asker: str, giver: str, size: int) -> None:
        """Part of a block: not worth a line."""

    def fetched(self, asker: str, giver: str, size: int, milliseconds: float) -> None:
        """A block has come and its hash is right."""
        say(f"{asker} <- {giver}: {_amount(size, milliseconds)}, SHA-256 correct")

    def failed(self, message: str) -> None:
        """The reason goes to stderr."""
        note(f"the demonstration failed: {message}")

    def done(self, seconds: float) -> None:
        """The last line."""
        say(f"done in {seconds:.1f} s: 3 nodes, 3 connections, 6 blocks, every hash correct")


class JsonView(LineView):
    """One JSON object for each step."""

    def started(self, name: str, hello: dict[str, Any]) -> None:
        """A node listens."""
        say_json(event="started", node=name, peer_id=hello["peer"], address=hello["address"], pid=hello["pid"])

    def connected(self, one: str, other: str, milliseconds: float) -> None:
        """A dial succeeded."""
        say_json(event="connected", node=one, peer=other, ms=milliseconds)

    def fetched(self, asker: str, giver: str, size: int, milliseconds: float) -> None:
        """A block has come and its hash is right."""
        say_json(event="fetched", node=asker, peer=giver, bytes=size, ms=milliseconds, hash_correct=True)

    def failed(self, message: str) -> None:
        """The last object."""
        say_json(event="done", ok=False, error=message)

    def done(self, seconds: float) -> None:
        """The last object."""
        say_json(event="done", ok=True, seconds=round(seconds, 3))


class LiveView(LineView):
    """A table of the connections and a bar for the bytes, redrawn in place."""

    def __init__(self, console: Console, names: Sequence[str], block_size: int) -> None:
        self._console = console
        self._names = dict.fromkeys(names, "starting")
        self._links: dict[frozenset[str], str] = {}
        self._blocks: dict[tuple[str, str], str] = {}
        self._bytes: dict[tuple[str, str], int] = {}
        total = len(names) * (len(names) - 1) * block_size
        columns = (TextColumn("blocks"), BarColumn(bar_width=None), DownloadColumn(binary_units=True))
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task("blocks", total=total)
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=10)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _render(self) -> Group:
        nodes = Table("node", "peer id", box=None, pad_edge=False)
        for name, state in self._names.items():
            nodes.add_row(name, state)
        links = Table("connection", "ready in", "blocks", box=None, pad_edge=False)
        for link, text in self._links.items():
            pair = [name for name in self._names if name in link]
            blocks = [words for way, words in self._blocks.items() if set(way) == link]
            links.add_row(" - ".join(pair), text, "\n".join(blocks))
        return Group(nodes, "", links, "", self._progress)

    def started(self, name: str, hello: dict[str, Any]) -> None:
        """A node listens."""
        self._names[name] = hello["peer"]

    def connected(self, one: str, other: str, milliseconds: float) -> None:
        """A dial succeeded."""
        self._links[frozenset((one, other))] = f"{milliseconds:.0f} ms"

    def received(self, asker: str, giver: str, size: int) -> None:
        """Part of a block has come: the bar grows."""
        self._bytes[asker, giver] = size
        self._progress.update(self._task, completed=sum(self._bytes.values()))

    def fetched(self, asker: str, giver: str, size: int, milliseconds: float) -> None:
        """A block has come and its hash is right."""
        self.received(asker, giver, size)
        self._blocks[asker, giver] = f"{asker} <- {giver} {_amount(size, milliseconds)} [green]hash correct[/green]"

    def failed(self, message: str) -> None:
        """The reason stands below the table."""
        self._live.stop()
        super().failed(message)

    def done(self, seconds: float) -> None:
        """The last line stands below the table."""
        self._live.stop()
        super().done(seconds)


def _amount(size: int, milliseconds: float) -> str:
    return f"{size / 1024 / 1024:.0f} MiB in {milliseconds:.0f} ms"
