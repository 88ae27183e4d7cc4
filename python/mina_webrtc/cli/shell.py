"""What stands around a command: standard input, logging, the event loop, output."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import typer

from mina_webrtc.cli.options import Level, Loop
from mina_webrtc.errors import InvalidInput

if TYPE_CHECKING:
    from mina_webrtc.machines.vocab import IcePath, PeerReady

T = TypeVar("T")


def standard_input() -> TextIO:
    """Raises `InvalidInput` when the program was started without one."""
    stream: TextIO | None = sys.stdin
    if stream is None:
        raise InvalidInput("standard input is closed")
    return stream


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the record's `details` as fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        details = getattr(record, "details", None)
        if isinstance(details, dict):
            line["details"] = details
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """The usual line, with the record's `details` as `name=value` at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        details = getattr(record, "details", None)
        if isinstance(details, dict):
            text += "".join(f" {name}={quoted(value)}" for name, value in details.items())
        return text


def quoted(value: object) -> str:
    """For `name=value`: in quotes when there is a space in it."""
    text = str(value)
    return f'"{text}"' if " " in text else text


def set_up_logging(level: Level, as_json: bool) -> None:
    """Logs of this package go to stderr at `level`; those of its dependencies only when they warn."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("mina_webrtc").setLevel(level.value.upper())
    # These say at warning level what the node reports as events.
    for name in ("aioice", "aiortc", "asyncio"):
        logging.getLogger(name).setLevel(logging.ERROR)


def run(main: Callable[[], Coroutine[Any, Any, T]], loop: Loop) -> T:
    """Runs `main()` on a new event loop: uvloop where it is there, unless asked for another."""
    with asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
        return runner.run(main())


def _loop_factory(loop: Loop) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if loop is Loop.asyncio:
        return None
    try:
        import uvloop
    except ImportError:
        if loop is Loop.uvloop:
            raise typer.BadParameter("uvloop is not installed here", param_hint="'--loop'") from None
        return None
    return uvloop.new_event_loop


def say(text: str) -> None:
    """One line on stdout, at once, so that a program that reads it need not wait."""
    print(text, flush=True)


def say_json(**fields: Any) -> None:
    """One JSON object on stdout, at once."""
    print(json.dumps(fields, default=str, separators=(",", ":")), flush=True)


def note(text: str) -> None:
    """A line for people, on stderr, so that it never mixes with results."""
    print(f"mina-webrtc: {text}", file=sys.stderr, flush=True)


def path_text(path: IcePath) -> str:
    """A candidate pair for people: `host 10.0.0.1:4000 -> srflx 192.0.2.1:5000, 12.3 ms`."""
    text = f"{path.local} {path.local_address} -> {path.remote} {path.remote_address}"
    if path.round_trip is not None:
        text += f", {milliseconds(path.round_trip):.1f} ms"
    return text + (f", through {path.server}" if path.server else "")


def path_json(path: IcePath) -> dict[str, Any]:
    """A candidate pair for machines."""
    trip = None if path.round_trip is None else milliseconds(path.round_trip)
    fields = {name: getattr(path, name) for name in path.__struct_fields__ if name != "round_trip"}
    return {**fields, "relayed": path.relayed, "round_trip_ms": trip}


def found_json(ready: PeerReady) -> dict[str, str]:
    """How a peer was found: `found` (`relay`, the origin of the address that was dialled, `dialled` for one that the
    application gave, or `incoming`), who introduced it (`relay`) or told of it (`teller`), and where its offer came
    from (`source`). What is absent is left out."""
    if ready.relay is not None:
        return {"found": "relay", "relay": str(ready.relay)}
    if not ready.outgoing:
        return {"found": "incoming"} | ({"source": ready.source} if ready.source else {})
    found = {"found": "dialled" if ready.origin is None else ready.origin.value}
    return found | ({"teller": str(ready.teller)} if ready.teller is not None else {})


def milliseconds(seconds: float) -> float:
    """Seconds as milliseconds with the digits that mean something."""
    return round(seconds * 1000, 3)
