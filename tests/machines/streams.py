"""One ready peer's machine of channel 8, and the parts of small ledgers, for the tests of streams."""

from __future__ import annotations

from typing import Any

from tests.machines.samples import ALL_OPEN, CONN, HASH, NOW, link, quiet

from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.state import Error, State, step
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import Message, Part, PartKind, decode_message, encode_message
from mina_webrtc.wire.sdp import Mark

EIGHT = Channel.STREAMING
BASE = Part(PartKind.BASE, b"base")
ZKAPP = Part(PartKind.PREVIOUS_INCOMPLETE_ZKAPP_UPDATES, b"updates")
TREE = Part(PartKind.SCAN_STATE_TREE, b"tree")


def scan(trees: int) -> Part:
    return Part(PartKind.SCAN_STATE_BASE, bytes((trees,)) + b"rest")


def ledger(trees: int) -> list[Part]:
    return [BASE, scan(trees), ZKAPP, *[TREE] * trees]


class Ready:
    """One ready peer's machine, with every effect it asked for."""

    def __init__(self, mark: Mark | None = Mark(), opened: int = ALL_OPEN) -> None:  # noqa: B008
        state, _ = Success.begin(link(True), mark, opened, NOW)
        self.state: State = quiet(state)
        self.done: list[v.Effect] = []

    def give(self, event: v.Event, at: float = NOW) -> list[v.Effect]:
        self.state, effects = step(self.state, event, at)
        self.done += effects
        return effects

    def ask(self, request: int = 1, state_hash: bytes = HASH) -> list[v.Effect]:
        return self.give(v.StreamAsked(request, CONN, state_hash, 30.0))

    def want(self, request: int = 1) -> list[v.Effect]:
        return self.give(v.PartWanted(CONN, request))

    def hear(self, *messages: Message) -> list[v.Effect]:
        return [
            effect
            for message in messages
            for effect in self.give(v.MessageReceived(CONN, EIGHT, encode_message(EIGHT, message)))
        ]

    def made(self, part: Part | None, stream: int = 0) -> list[v.Effect]:
        return self.give(v.PartMade(CONN, stream, part))

    def left(self, count: int = 1) -> list[v.Effect]:
        return self.give(v.MessagesSent(CONN, count))

    def fire(self, timer: v.Timer) -> list[v.Effect]:
        return self.give(v.TimerFired(timer, CONN, 0))

    @property
    def sent(self) -> list[Message]:
        return [decode_message(EIGHT, effect.payload) for effect in self.told(v.Send)]

    def told(self, kind: type[v.Effect]) -> list[Any]:
        return [effect for effect in self.done if type(effect) is kind]

    @property
    def breach(self) -> str:
        assert isinstance(self.state, Error)
        assert (self.state.failure.fault, self.state.failure.reason) == (v.Fault.PEER, "protocol_error")
        return self.state.failure.detail
