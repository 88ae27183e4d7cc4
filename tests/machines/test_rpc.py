"""Channel 7 and its caution: limits, timeouts, and what the peer must not do."""

from __future__ import annotations

import pytest
from tests.machines.samples import ALL_OPEN, CONN, NOW, link, quiet
from tests.machines.world import KEYS, World, address, assert_clean

from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.state import Error, State, step
from mina_webrtc.wire.messages import Rpc, RpcRequest, RpcResponse, decode, decode_initial_peers, encode
from mina_webrtc.wire.sdp import Mark

HASH = bytes(32)

STALLS = v.SetTimer(v.Timer.RPC_REPLY, CONN, 1, NOW + 180.0)
"""An answer is still owed that nobody waits for any more."""


class Ready:
    """One ready peer's machine, with every effect it asked for."""

    def __init__(self, mark: Mark | None = Mark(), opened: int = ALL_OPEN) -> None:  # noqa: B008
        state, effects = Success.begin(link(True), mark, opened, NOW)
        self.state: State = quiet(state)
        self.done = [e for e in effects if 7 in (getattr(e, "channel", None), getattr(e, "key", None))]
        self.requests = 0

    def give(self, event: v.Event, at: float = NOW) -> list[v.Effect]:
        self.state, effects = step(self.state, event, at)
        self.done += effects
        return effects

    def ask(self, kind: int = Rpc.BLOCK, timeout: float = 8.0) -> list[v.Effect]:
        self.requests += 1
        return self.give(v.RequestMade(self.requests, CONN, kind, HASH if kind == Rpc.BLOCK else b"", timeout))

    def reply(self, id_: int, body: bytes | None = b"block", kind: Rpc = Rpc.BLOCK) -> list[v.Effect]:
        return self.hear(encode(RpcResponse(id_, None if body is None else kind, body)))

    def request(self, id_: int, kind: Rpc = Rpc.BLOCK) -> list[v.Effect]:
        return self.hear(encode(RpcRequest(id_, kind, HASH if kind is Rpc.BLOCK else b"")))

    def hear(self, payload: bytes) -> list[v.Effect]:
        return self.give(v.MessageReceived(CONN, 7, payload))

    def left(self, count: int = 1) -> list[v.Effect]:
        return self.give(v.MessagesSent(CONN, count))

    @property
    def sent(self) -> list[object]:
        return [decode(effect.payload) for effect in self.done if isinstance(effect, v.Send)]

    def told(self, kind: type[v.Effect]) -> list[v.Effect]:
        return [effect for effect in self.done if type(effect) is kind]

    @property
    def breach(self) -> str:
        assert isinstance(self.state, Error)
        assert self.state.failure.fault is v.Fault.PEER
        assert self.state.failure.reason == "protocol_error"
        return self.state.failure.detail


def test_ask_and_be_answered() -> None:
    ready = Ready()
    ready.ask()
    assert ready.sent == [RpcRequest(1, Rpc.BLOCK, HASH)]
    assert v.SetTimer(v.Timer.RPC_REPLY, CONN, 1, NOW + 8.0) in ready.done
    effects = ready.reply(1)
    assert effects == [
        v.Expect(CONN, 7, False),
        v.CancelTimer(v.Timer.RPC_REPLY, CONN, 1),
        v.CompleteRequest(1, b"block"),
    ]
    ready.ask()
    assert ready.reply(2, None)[-1] == v.CompleteRequest(2, None)


def test_large_messages_are_expected_while_an_answer_is_owed() -> None:
    ready = Ready()
    expected = v.Expect(CONN, 7, True)
    assert not ready.told(v.Expect)
    effects = ready.ask()
    assert [type(effect) for effect in effects] == [v.SetTimer, v.Expect, v.Send]
    ready.ask()
    ready.request(0)
    ready.give(v.TimerFired(v.Timer.RPC_REPLY, CONN, 1))
    ready.give(v.RequestCancelled(CONN, 2))
    ready.reply(2)
    assert ready.told(v.Expect) == [expected]  # the first one is still owed, though nobody waits for it
    ready.reply(1)
    assert ready.told(v.Expect) == [expected, v.Expect(CONN, 7, False)]
    ready.ask()
    assert ready.told(v.Expect)[2:] == [expected]


def test_a_refused_request_expects_nothing() -> None:
    ready = Ready()
    ready.give(v.RequestMade(1, CONN, 9, b"", 8.0))
    assert not ready.told(v.Expect)


def test_our_requests_have_at_most_64_kib() -> None:
    room = 65_536 - 3  # variant, id, kind
    ready = Ready()
    ready.give(v.RequestMade(1, CONN, Rpc.LEDGER_QUERY, bytes(room), 8.0))
    assert len(ready.told(v.Send)) == 1
    (failed,) = ready.give(v.RequestMade(2, CONN, Rpc.LEDGER_QUERY, bytes(room + 1), 8.0))
    assert isinstance(failed, v.FailRequest)
    assert failed.reason == "too_large"


def test_their_requests_have_at_most_64_kib_even_while_they_owe_us_an_answer() -> None:
    room = 65_536 - 3
    ready = Ready()
    ready.ask()
    ready.hear(encode(RpcRequest(1, Rpc.LEDGER_QUERY, bytes(room))))
    assert len(ready.told(v.HandleRequest)) == 1
    ready.hear(encode(RpcRequest(2, Rpc.LEDGER_QUERY, bytes(room + 1))))
    assert "65537 bytes" in ready.breach


def test_answers_may_come_in_any_order() -> None:
    ready = Ready()
    for _ in range(3):
        ready.ask()
    for id_ in (2, 3, 1):
        ready.reply(id_, bytes([id_]))
    assert ready.told(v.CompleteRequest) == [v.CompleteRequest(id_, bytes([id_])) for id_ in (2, 3, 1)]


def test_at_most_five_of_ours_also_counting_those_that_timed_out() -> None:
    ready = Ready()
    for _ in range(5):
        ready.ask()
    assert ready.ask() == [v.FailRequest(6, "too_many_requests")]
    assert ready.give(v.TimerFired(v.Timer.RPC_REPLY, CONN, 1)) == [STALLS, v.FailRequest(1, "timeout")]
    assert ready.ask() == [v.FailRequest(7, "too_many_requests")]
    assert ready.reply(1) == [v.CancelTimer(v.Timer.RPC_REPLY, CONN, 1), v.Ignored(CONN, "RpcResponse")]
    assert len(ready.ask()) == 2


def test_a_cancelled_request_is_still_owed() -> None:
    ready = Ready()
    ready.ask()
    assert ready.give(v.RequestCancelled(CONN, 1)) == [STALLS]
    assert ready.give(v.RequestCancelled(CONN, 1)) == [v.Ignored(CONN, "RequestCancelled")]
    answered = [v.CancelTimer(v.Timer.RPC_REPLY, CONN, 1), v.Ignored(CONN, "RpcResponse")]
    assert ready.reply(1) == [v.Expect(CONN, 7, False), *answered]
    assert ready.give(v.TimerFired(v.Timer.RPC_REPLY, CONN, 1)) == [v.Ignored(CONN, "TimerFired")]


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_peer_that_never_answers_is_disconnected_and_not_blamed(cancelled: bool) -> None:
    ready, over = Ready(), v.TimerFired(v.Timer.RPC_REPLY, CONN, 1)
    ready.ask()
    ready.give(v.RequestCancelled(CONN, 1) if cancelled else over)
    effects = ready.give(over)
    assert isinstance(ready.state, Error)
    assert (ready.state.failure.reason, ready.state.failure.fault) == ("stalled", v.Fault.NONE)
    assert not [effect for effect in effects if isinstance(effect, v.FailRequest)]


@pytest.mark.parametrize(("kind", "body"), [(9, b""), (Rpc.INITIAL_PEERS, b"x"), (-1, b"")])
def test_a_request_that_is_none(kind: int, body: bytes) -> None:
    (failed,) = Ready().give(v.RequestMade(1, CONN, kind, body, 8.0))
    assert isinstance(failed, v.FailRequest)
    assert failed.reason == "bad_request"


@pytest.mark.parametrize(
    ("payload", "detail"),
    [
        (encode(RpcResponse(9, Rpc.BLOCK, b"x")), "not open"),
        (encode(RpcResponse(1, Rpc.SNARK, b"x")), "SNARK answer to a BLOCK request"),
        (b"\x05", "not a message"),
        (b"", "not a message"),
        (b"\x00\x01\x09", "not a message"),
    ],
)
def test_answers_that_are_none(payload: bytes, detail: str) -> None:
    ready = Ready()
    ready.ask()
    effects = ready.hear(payload)
    assert detail in ready.breach
    assert v.FailRequest(1, "closed") in effects
    assert v.CancelTimer(v.Timer.RPC_REPLY, CONN, 1) in effects


def test_an_answer_twice() -> None:
    ready = Ready()
    ready.ask()
    ready.reply(1)
    ready.reply(1)
    assert "not open" in ready.breach


def test_be_asked_and_answer() -> None:
    ready = Ready()
    effects = ready.request(0)
    assert v.HandleRequest(CONN, KEYS[4].peer_id, 0, Rpc.BLOCK, HASH) in effects
    assert v.SetTimer(v.Timer.HANDLER, CONN, 0, NOW + 60.0) in effects
    ready.give(v.RequestHandled(CONN, 0, b"block"))
    ready.request(1)
    ready.give(v.RequestHandled(CONN, 1, None))
    assert ready.sent == [RpcResponse(0, Rpc.BLOCK, b"block"), RpcResponse(1, None, None)]


def test_a_handler_that_takes_too_long() -> None:
    ready = Ready()
    ready.request(1)
    effects = ready.give(v.TimerFired(v.Timer.HANDLER, CONN, 1))
    assert v.AbandonRequest(CONN, 1) in effects
    assert ready.sent == [RpcResponse(1, None, None)]
    assert ready.give(v.RequestHandled(CONN, 1, b"late")) == [v.Ignored(CONN, "RequestHandled")]


@pytest.mark.parametrize("second", [3, 2, 0])
def test_an_id_that_does_not_grow(second: int) -> None:
    ready = Ready()
    ready.request(3)
    effects = ready.request(second)
    assert "after 3" in ready.breach
    assert v.AbandonRequest(CONN, 3) in effects
    assert v.CancelTimer(v.Timer.HANDLER, CONN, 3) in effects


def test_the_peer_asks_too_much() -> None:
    ready = Ready()
    for id_ in range(5):
        ready.request(id_)
    assert len(ready.told(v.HandleRequest)) == 5
    ready.request(5)
    assert "more than 5" in ready.breach


def test_a_peer_that_asks_and_does_not_read_waits() -> None:
    """Its answers pile up here: no more handlers than there is room for answers."""
    ready = Ready()
    for id_ in range(5):
        ready.request(id_)
        ready.give(v.RequestHandled(CONN, id_, bytes(1000)))
    ready.request(5)
    ready.request(6, Rpc.INITIAL_PEERS)
    assert len(ready.told(v.HandleRequest)) == 5
    assert ready.left(1)[-1] == v.HandleRequest(CONN, KEYS[4].peer_id, 5, Rpc.BLOCK, HASH)
    for id_ in range(7, 10):
        ready.request(id_)
    ready.request(10)
    assert "more than 5" in ready.breach


def test_closing_tells_everybody() -> None:
    ready = Ready()
    ready.ask()
    ready.request(1)
    effects = ready.give(v.TransportFailed(CONN, "lost", ""))
    assert v.FailRequest(1, "closed") in effects
    assert v.AbandonRequest(CONN, 1) in effects
    assert v.CloseConnection(CONN) in effects


# ---------------------------------------------------------------- caution


def test_an_unmarked_peer_is_given_time() -> None:
    ready = Ready(mark=None)
    assert ready.done == [v.SetTimer(v.Timer.CAUTION, CONN, 7, NOW + 3.0)]
    effects = ready.ask()
    assert effects == [v.SetTimer(v.Timer.RPC_REPLY, CONN, 1, NOW + 11.0), v.Expect(CONN, 7, True)]
    assert [type(effect) for effect in ready.give(v.TimerFired(v.Timer.CAUTION, CONN, 7))] == [v.Send]
    assert [type(effect) for effect in ready.ask()] == [v.SetTimer, v.Send]


def test_an_unmarked_peer_that_speaks_first() -> None:
    ready = Ready(mark=None)
    ready.ask()
    effects = ready.request(1)
    assert [type(effect) for effect in effects] == [v.CancelTimer, v.Send, v.SetTimer, v.HandleRequest]


def test_a_mark_without_the_promise_is_no_reason_to_hurry() -> None:
    ready = Ready(mark=Mark(early=False))
    assert ready.told(v.SetTimer)
    ready.ask()
    assert not ready.sent
    effects = ready.give(v.TransportFailed(CONN, "lost", ""))
    assert v.CancelTimer(v.Timer.CAUTION, CONN, 7) in effects


def test_a_marked_peer_whose_channel_opens_late() -> None:
    ready = Ready(opened=1)
    ready.ask()
    assert not ready.sent
    assert [type(effect) for effect in ready.give(v.ChannelOpened(CONN, 7))] == [v.Send]


def test_more_sent_than_given_is_our_bug() -> None:
    ready = Ready()
    with pytest.raises(Exception, match="messages sent"):
        ready.left(1)


# ---------------------------------------------------------------- initial peers


def test_initial_peers() -> None:
    world = World()
    one, two, three = world.side(1), world.side(2), world.side(3)
    two.dial(3)
    two.dial(1)
    world.run()
    for asker, expected in ((one, [address(3)]), (three, [address(1)])):
        asker.give(v.RequestMade(7, asker.ready[0], Rpc.INITIAL_PEERS, b"", 5.0))
        world.run()
        (done,) = asker.told(v.CompleteRequest)
        assert list(decode_initial_peers(done.body)) == expected
    assert not two.told(v.HandleRequest)
    assert two.store.state()["timers"] == 0
    assert_clean(two)


def test_requests_through_both_cores() -> None:
    world = World()
    one, two = world.side(1), world.side(2)
    two.handlers[Rpc.BLOCK] = lambda body: body * 2
    one.dial(2)
    world.run()
    for request in range(20):
        one.give(v.RequestMade(request, 1, Rpc.BLOCK, HASH, 8.0))
        world.run()
    assert [done.body for done in one.told(v.CompleteRequest)] == [HASH * 2] * 20
    assert one.give(v.RequestMade(50, 1, Rpc.SNARK, b"job", 8.0))
    world.run()
    assert one.told(v.CompleteRequest)[-1] == v.CompleteRequest(50, None)
    assert one.store.state()["timers"] == two.store.state()["timers"] - 1  # the offer's memory


def test_a_request_on_what_is_not_ready() -> None:
    world = World()
    one = world.side(1)
    one.dial(2)
    assert one.give(v.RequestMade(1, 1, Rpc.BLOCK, HASH, 8.0)) == [v.FailRequest(1, "not_ready")]
    world.run()
    assert one.give(v.RequestMade(2, 1, Rpc.BLOCK, HASH, 8.0)) == [v.FailRequest(2, "closed")]


@pytest.mark.parametrize("body", [b"", b"\x01", b"\x02\x00", b"\x00\x00", b"\xfe\xff\xff"])
@pytest.mark.parametrize("abandoned", [False, True])
def test_a_list_of_peers_that_is_none_is_the_peers_fault(body: bytes, abandoned: bool) -> None:
    ready = Ready()
    ready.ask(Rpc.INITIAL_PEERS)
    if abandoned:
        ready.give(v.RequestCancelled(CONN, 1))
    ready.hear(encode(RpcResponse(1, Rpc.INITIAL_PEERS, b"\x00"))[:-1] + body)
    assert "not a list of peers" in ready.breach
    assert ready.told(v.FailRequest) == ([] if abandoned else [v.FailRequest(1, "closed")])


def test_the_handler_for_staged_ledgers_has_as_long_as_the_peer_waits() -> None:
    ready = Ready()
    ready.request(1)
    ready.hear(encode(RpcRequest(2, Rpc.STAGED_LEDGER, HASH)))
    deadlines = [timer.at - NOW for timer in ready.done if isinstance(timer, v.SetTimer)]
    assert deadlines == [60.0, 180.0]
