"""Draws `docs/machines.md` from the tables: `python -m mina_webrtc.machines.diagram > docs/machines.md`."""

from __future__ import annotations

from mina_webrtc.machines.table import INCOMING, LANE, OUTGOING, Cause, Move, Outcome, Table, state_of
from mina_webrtc.machines.table_items import ITEMS
from mina_webrtc.machines.table_relay import RELAY
from mina_webrtc.machines.table_streams import STREAMS
from mina_webrtc.machines.vocab import Timer

HEAD = """\
# State machines

<!-- Drawn from the code by `python -m mina_webrtc.machines.diagram`; a test compares. Do not edit. -->

States have the names of [protocol.md](protocol.md) §6. One without an event on the arrow out of it waits for nothing:
it is entered, told as `StateChanged`, and left within one event. In the tables, every pair of situation and event is

- **→** a move to another state, **·** handled where it is,
- **late**: overtaken by others, ignored and counted,
- **peer**: somebody broke the protocol, the connection ends, and the fault is counted,
- **bug**: cannot happen, `LocalProtocolError`.
"""

MACHINES: tuple[tuple[str, str, str, Table], ...] = (
    (
        "Outgoing connection",
        "We dial and offer (`machines/outgoing.py`, `finalize.py`, `peer.py`).",
        "Init",
        OUTGOING,
    ),
    (
        "Incoming connection",
        "An offer was admitted (`machines/admission.py`), we answer (`incoming.py`, `finalize.py`, `peer.py`).",
        "Init",
        INCOMING,
    ),
    (
        "Channel",
        "When we may send first on one of the channels 1–8 (`machines/channel.py`).",
        "Unopened",
        LANE,
    ),
    *RELAY,
    *ITEMS,
    *STREAMS,
)


def page() -> str:
    """The whole of `docs/machines.md`."""
    parts = [HEAD]
    for title, text, start, table in MACHINES:
        parts.append(f"## {title}\n\n{text}\n\n{diagram(start, table)}\n{matrix(table)}")
    parts.append(_timers())
    return "\n".join(parts)


def diagram(start: str, table: Table) -> str:
    """One machine in Mermaid. Arrows with the same ends share a line; a chain of states is drawn arrow by arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}

    def draw(source: str, target: str, label: str) -> None:
        labels = arrows.setdefault((source, target), [])
        if label and label not in labels:
            labels.append(label)

    for situation, row in table.items():
        source = state_of(situation)
        for case, outcome in row.items():
            chain = _chain(outcome)
            for index, target in enumerate(chain):
                before = chain[index - 1] if index else source
                overtaken = index > 0 and before in map(state_of, table)
                draw(before, target, case if not index or overtaken else "")
    lines = [f"    [*] --> {start}"]
    for (source, target), labels in arrows.items():
        label = ", ".join(labels)
        lines.append(f"    {source} --> {target}" + (f": {label}" if label else ""))
    ends = [target for _, target in arrows if target == "Error"]
    lines += ["    Error --> [*]"] if ends else []
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```", ""])


def _chain(outcome: Outcome) -> tuple[str, ...]:
    if isinstance(outcome, Move):
        return outcome.to
    return ("Error",) if outcome is Cause.PEER else ()


def matrix(table: Table) -> str:
    """One machine's table: a line for each event, a column for each situation."""
    situations = list(table)
    lines = ["| event | " + " | ".join(f"`{name}`" for name in situations) + " |", "|---" * (len(situations) + 1) + "|"]
    for case in table[situations[0]]:
        cells = [_cell(table[situation][case]) for situation in situations]
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _cell(outcome: Outcome) -> str:
    if isinstance(outcome, Move):
        return "→" if outcome.to else "·"
    return outcome.value


def _timers() -> str:
    lines = ["## Deadlines", "", *(f"- `{timer.name}`: {DEADLINES[timer]}" for timer in Timer), ""]
    return "\n".join(lines)


DEADLINES = {
    Timer.ATTEMPT: "the whole attempt, from the dial or the offer to ready, whatever state it is in",
    Timer.YIELD: "our dial gave way to the peer's own, which should have connected us by now",
    Timer.CAUTION: "a channel to a peer without our mark has been open long enough to send first",
    Timer.RPC_REPLY: "the peer owes the answer to our request",
    Timer.HANDLER: "our application owes the answer to the peer's request; the peer gets none",
    Timer.STREAM_PART: "the peer owes a part of what we asked for",
    Timer.STREAM_MADE: "our application owes a part of what the peer asked for; the stream ends then",
    Timer.STREAM_NEXT: "the peer should have taken the last part and asked for the next one; the stream ends then",
    Timer.OFFER_MEMORY: "the oldest offer may be forgotten",
    Timer.DISCOVERED: "as a relay: the asker owes its word on the target that it was told of",
    Timer.EXCHANGED: "as a relay: the target owes its answer",
    Timer.REST: "as a relay: the asker that refused may be asked again",
    Timer.PAIRS: "as a relay: the oldest introduction may be repeated",
    Timer.SEEK: "relays that were asked for a peer have named none, and others may be asked",
    Timer.ITEMS: "the peer owes items that it has announced",
    Timer.ITEM_HANDLER: "our application owes its judgement of an item; it is dropped",
    Timer.UPKEEP: "a known address may be dialled again, a peer asked again, or room is to be made",
}

if __name__ == "__main__":
    print(page(), end="")
