"""The contract of `services.base.Transport`: the same tests over every implementation, on every event loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.parity.transport_harness import CHANNELS, FACTORIES, LOOPS, End, World, all_done, run

from mina_webrtc.errors import LocalProtocolError, SdpError, TransportError
from mina_webrtc.services.budget import Budget

SIZES = (1, 2, 16_379, 16_380, 16_381, 65_535, 100_000, 1 << 20)


def contract(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Makes a plain test of a coroutine, once for each implementation and loop."""

    @pytest.mark.parametrize("loop", LOOPS)
    @pytest.mark.parametrize("kind", FACTORIES)
    def wrapper(kind: str, loop: str, **params: Any) -> None:
        run(kind, loop, functools.partial(test, **params))

    wrapper.__name__ = test.__name__
    wrapper.__doc__ = test.__doc__
    wrapper.pytestmark = [*getattr(test, "pytestmark", []), *wrapper.pytestmark]  # type: ignore[attr-defined]
    names = test.__code__.co_varnames[1 : test.__code__.co_argcount]
    signature = __import__("inspect").signature(wrapper)
    parameter = __import__("inspect").Parameter
    keep = [p for p in signature.parameters.values() if p.name != "params"]
    keep += [parameter(name, parameter.KEYWORD_ONLY) for name in names]
    wrapper.__signature__ = signature.replace(parameters=keep)  # type: ignore[attr-defined]
    return wrapper


def body(size: int, seed: int = 0) -> bytes:
    return bytes((seed + index * 7) % 251 for index in range(min(size, 4096))).ljust(size, bytes([seed % 256]))


@contract
async def test_events_come_in_order(world: World) -> None:
    a, b = await world.pair()
    for end in (a, b):
        assert end.sink.kinds() == ["ice", "dtls"] + ["open"] * len(CHANNELS)
        assert {event[1] for event in end.sink.events if event[0] == "open"} == {spec.id for spec in CHANNELS}


@contract
async def test_fingerprints_stand_in_the_sdp(world: World) -> None:
    a, b = world.end(), world.end()
    offer = await a.transport.create_offer()
    answer = await b.transport.create_answer(offer)
    for end, sdp in ((a, offer), (b, answer)):
        assert end.transport.fingerprints
        for fingerprint in end.transport.fingerprints:
            assert f"a=fingerprint:{fingerprint}\r\n" in sdp
        assert sdp.startswith("v=0\r\n")
        assert "a=candidate:" in sdp
        assert "a=sctp-port:5000\r\n" in sdp
    assert "a=setup:actpass\r\n" in offer
    assert "a=setup:active\r\n" in answer


@contract
async def test_whole_messages_of_any_size_both_ways(world: World) -> None:
    a, b = await world.pair()
    for end in (a, b):
        end.send(*((7, body(size, size)) for size in SIZES), (0, b"raw"), (0, body(65_535)))
    for end in (a, b):
        await end.sink.until(lambda end=end: len(end.sink.messages) == len(SIZES) + 2)
        assert end.sink.payloads(7) == [body(size, size) for size in SIZES]
        assert end.sink.payloads(0) == [b"raw", body(65_535)]


@contract
async def test_batches_keep_their_order_per_channel(world: World) -> None:
    a, b = await world.pair()
    batch = [(channel, body(1 + index % 1000, index)) for index in range(500) for channel in (1, 4, 7)]
    for start in range(0, len(batch), 100):
        a.send(*batch[start : start + 100])
    await b.sink.until(lambda: len(b.sink.messages) == len(batch))
    for channel in (1, 4, 7):
        assert b.sink.payloads(channel) == [payload for number, payload in batch if number == channel]


@contract
async def test_completion_counts_every_message_once(world: World) -> None:
    a, b = await world.pair()
    a.send(*((7, body(50_000)) for _ in range(40)))
    a.send((1, b"x"))
    assert a.transport.stats().buffered > 0
    await a.sink.until(lambda: a.sink.sent == 41)
    assert a.transport.stats().buffered == 0
    await b.sink.until(lambda: len(b.sink.messages) == 41)
    a.send((1, b"y"))
    await a.sink.until(lambda: a.sink.sent == 42)


@contract
async def test_a_large_message_does_not_hold_up_other_channels(world: World) -> None:
    a, b = await world.pair()
    a.send((7, body(4 << 20)), (1, b"small"))
    await b.sink.until(lambda: len(b.sink.messages) == 2)
    assert [channel for channel, _ in b.sink.messages] == [1, 7]


@contract
async def test_sending_from_inside_a_report(world: World) -> None:
    a, b = await world.pair()
    b.sink.react = lambda batch: b.transport.send([(channel, payload + b"!") for channel, payload in batch])
    a.send(*((1, bytes([index])) for index in range(1, 50)))
    await a.sink.until(lambda: len(a.sink.messages) == 49)
    assert a.sink.payloads(1) == [bytes([index]) + b"!" for index in range(1, 50)]


# ---------------------------------------------------------------- credit


@contract
async def test_a_slow_consumer_in_both_directions_at_once(world: World) -> None:
    buffer, credit, size, count = 256 << 10, 100_000, 10_000, 150
    ends = await world.pair(receive_buffer=buffer, receive_credit=credit)
    for end in ends:
        end.send(*((7, body(size, index)) for index in range(count)))
    for end in ends:
        await end.sink.until(lambda end=end: len(end.sink.messages) * size >= credit)
    await asyncio.sleep(0.05)  # let everything that can come, come
    for end in ends:
        assert len(end.sink.messages) == credit // size
        assert 0 < end.transport.stats().undelivered <= buffer
    for _ in range(count - credit // size):
        for end in ends:
            before = len(end.sink.messages)
            end.grant(size)
            await end.sink.until(lambda end=end, before=before: len(end.sink.messages) > before)
            assert end.transport.stats().undelivered <= buffer
    for end in ends:
        assert end.sink.payloads(7) == [body(size, index) for index in range(count)]
        await end.sink.until(lambda end=end: end.sink.sent == count)


@contract
async def test_small_messages_beyond_the_credit_are_no_fault(world: World) -> None:
    a, b = await world.pair(receive_buffer=128 << 10, receive_credit=1)
    count = 6000
    a.send(*((7, body(60, index)) for index in range(count)))
    await b.sink.until(lambda: b.sink.messages)
    b.grant(1 << 30)
    await b.sink.until(lambda: len(b.sink.messages) == count or b.sink.closed)
    assert b.sink.payloads(7) == [body(60, index) for index in range(count)]


@contract
async def test_a_message_above_credit_and_window_is_delivered(world: World) -> None:
    a, b = await world.pair(receive_buffer=64 << 10, receive_credit=1)
    a.send((7, body(1 << 20)), (7, b"next"))
    await b.sink.until(lambda: b.sink.messages)
    await asyncio.sleep(0.02)
    assert b.sink.messages == [(7, body(1 << 20))]
    b.grant((1 << 20) - 1)
    await asyncio.sleep(0.02)
    assert len(b.sink.messages) == 1  # the credit is exactly used up
    b.grant(1)
    await b.sink.until(lambda: len(b.sink.messages) == 2)


# ---------------------------------------------------------------- early data


@contract
async def test_early_data_waits_for_admission(world: World) -> None:
    a, b = await world.pair(admit=False)
    a.send((1, b"one"), (7, body(30_000)), (1, b"two"), (0, b"auth"))
    await b.sink.until(lambda: b.sink.messages)
    await asyncio.sleep(0.02)
    assert b.sink.messages == [(0, b"auth")]
    b.admit()
    await b.sink.until(lambda: len(b.sink.messages) == 4)
    assert b.sink.payloads(1) == [b"one", b"two"]
    assert b.sink.payloads(7) == [body(30_000)]


@contract
async def test_early_data_up_to_the_limit(world: World) -> None:
    a, b = await world.pair(admit=False, early_limit=40_000)
    a.send((7, body(39_996)), (0, b"auth"))  # and four bytes of frame
    await b.sink.until(lambda: b.sink.messages)
    b.admit()
    await b.sink.until(lambda: len(b.sink.messages) == 2)


@contract
async def test_too_much_early_data_is_the_peers_fault(world: World) -> None:
    a, b = await world.pair(admit=False, early_limit=40_000)
    a.send((7, body(39_997)))
    await b.sink.until(lambda: b.sink.closed)
    error, fault = b.sink.closed[0]
    assert isinstance(error, TransportError)
    assert fault
    assert b.sink.messages == []


@contract
async def test_early_data_is_not_parsed(world: World) -> None:
    a, b = await world.pair(admit=False)
    a.inject(1, bytes(8))  # a frame of length zero
    a.send((0, b"auth"))
    await b.sink.until(lambda: b.sink.messages)
    assert not b.sink.closed
    b.admit()
    await b.sink.until(lambda: b.sink.closed)
    assert b.sink.closed[0][1]


# ---------------------------------------------------------------- frames


@pytest.mark.parametrize(
    ("channel", "chunk"),
    [(1, bytes(4)), (1, b"\x00\x00\x40\x01"), (4, b"\x00\x00\x04\x01x"), (7, b"\x10\x00\x00\x01")],
    ids=["length zero", "above 16 KiB", "above 1 KiB", "above 256 MiB"],
)
@contract
async def test_a_bad_frame_is_the_peers_fault(world: World, channel: int, chunk: bytes) -> None:
    a, b = await world.pair()
    a.send((1, b"good"))
    await b.sink.until(lambda: b.sink.messages)
    a.inject(channel, chunk)
    await b.sink.until(lambda: b.sink.closed)
    error, fault = b.sink.closed[0]
    assert isinstance(error, TransportError)
    assert fault
    assert b.sink.messages == [(1, b"good")]
    await a.sink.until(lambda: a.sink.closed)
    assert not a.sink.closed[0][1]


@contract
async def test_frames_cut_anywhere(world: World) -> None:
    a, b = await world.pair()
    stream = b"".join(len(p).to_bytes(4, "big") + p for p in (b"a", b"bc", body(700)))
    for index in range(len(stream)):
        a.inject(4, stream[index : index + 1])
    a.inject(4, stream)
    await b.sink.until(lambda: len(b.sink.messages) == 6)
    assert b.sink.payloads(4) == [b"a", b"bc", body(700)] * 2


# ---------------------------------------------------------------- large messages

LARGEST_UNASKED = 65_536


async def disconnected(end: End, word: str) -> None:
    await end.sink.until(lambda: end.sink.closed)
    error, fault = end.sink.closed[0]
    assert isinstance(error, TransportError)
    assert word in str(error)
    assert fault


@contract
async def test_what_is_not_expected_is_small(world: World) -> None:
    a, b = await world.pair(large=False)
    a.send((7, body(LARGEST_UNASKED)))
    await b.sink.until(lambda: b.sink.messages)
    a.send((7, body(LARGEST_UNASKED + 1)))
    await disconnected(b, "over the limit")
    assert [len(payload) for _, payload in b.sink.messages] == [LARGEST_UNASKED]


@contract
async def test_large_messages_while_they_are_expected(world: World) -> None:
    a, b = await world.pair(large=False)
    b.expect(7, True)
    a.send((7, body(500_000)))
    await b.sink.until(lambda: b.sink.messages)
    b.expect(7, False)
    b.expect(7, True)
    a.send((7, body(500_001)))
    await b.sink.until(lambda: len(b.sink.messages) == 2)
    b.expect(7, False)
    a.send((7, body(500_002)))
    await disconnected(b, "over the limit")
    assert len(b.sink.messages) == 2


@contract
async def test_a_large_message_that_is_not_expected_any_more(world: World) -> None:
    a, b = await world.pair()
    a.inject(7, (1 << 20).to_bytes(4, "big") + bytes(100))
    a.send((1, b"behind it"))
    await b.sink.until(lambda: b.sink.messages)
    b.expect(7, False)
    a.inject(7, b"x")
    await disconnected(b, "over the limit")


@contract
async def test_expecting_does_not_lift_a_channels_own_limit(world: World) -> None:
    a, b = await world.pair()
    for channel in (0, 1, 4):
        b.expect(channel, True)
    a.inject(4, b"\x00\x00\x04\x01x")
    await disconnected(b, "over the limit")


@contract
async def test_unfinished_messages_of_all_connections_have_one_budget(world: World) -> None:
    budget = Budget(100_000)
    pairs = [await world.pair(unfinished=budget) for _ in range(3)]
    begun = (1 << 20).to_bytes(4, "big") + bytes(40_000 - 4)
    for a, b in pairs[:2]:
        a.inject(7, begun)
        a.send((1, b"behind it"))
        await b.sink.until(lambda b=b: b.sink.messages)
    assert budget.used == 80_000
    a, b = pairs[2]
    a.inject(7, begun)
    await disconnected(b, "unfinished")
    assert [bool(b.sink.closed) for _, b in pairs] == [False, False, True]
    await b.transport.close()
    assert budget.used == 80_000
    await pairs[0][1].transport.close()
    assert budget.used == 40_000
    a, b = await world.pair(unfinished=budget)
    a.send((7, body(59_000)))
    await b.sink.until(lambda: b.sink.messages)
    assert budget.used == 40_000


@contract
async def test_a_message_that_does_not_end_ends_the_connection(world: World) -> None:
    budget = Budget(100_000)
    a, b = await world.pair(unfinished=budget, message_timeout=0.05)
    a.inject(7, (1 << 20).to_bytes(4, "big") + bytes(40_000 - 4))
    a.inject(1, b"\x00\x00\x00\x02x")
    await b.sink.until(lambda: b.sink.closed)
    (error, remote_fault) = b.sink.closed[0]
    assert error is not None
    assert (error.reason, remote_fault) == ("stalled", False)
    await b.transport.close()
    assert budget.used == 0


@contract
async def test_the_budget_is_given_back_after_an_error(world: World) -> None:
    budget = Budget(100_000)
    a, b = await world.pair(unfinished=budget)
    a.inject(4, b"\x00\x00\x04\x00" + bytes(1000))
    a.inject(7, b"\x00\x01\x00\x00" + bytes(1000))
    a.inject(1, bytes(4))
    await disconnected(b, "empty")
    await all_done(a.transport.close(), b.transport.close())
    assert budget.used == 0


# ---------------------------------------------------------------- closing


async def _nothing(world: World, a: End, b: End) -> None:
    pass


async def _offer(world: World, a: End, b: End) -> None:
    await a.transport.create_offer()


async def _answer(world: World, a: End, b: End) -> None:
    await b.transport.create_answer(await a.transport.create_offer())


async def _connecting(world: World, a: End, b: End) -> None:
    await a.transport.set_answer(await b.transport.create_answer(await a.transport.create_offer()))


async def _ice(world: World, a: End, b: End) -> None:
    await _connecting(world, a, b)
    await a.sink.until(lambda: "ice" in a.sink.kinds())


async def _dtls(world: World, a: End, b: End) -> None:
    await _connecting(world, a, b)
    await a.sink.until(lambda: "dtls" in a.sink.kinds())


async def _open(world: World, a: End, b: End) -> None:
    await world.connect(a, b)


async def _busy(world: World, a: End, b: End) -> None:
    await world.connect(a, b)
    for end in (a, b):
        end.expect(7, True)
        end.admit()
        end.send(*((7, body(100_000)) for _ in range(50)))
    await a.sink.until(lambda: a.sink.messages)


MOMENTS = {m.__name__.strip("_"): m for m in (_nothing, _offer, _answer, _connecting, _ice, _dtls, _open, _busy)}


@pytest.mark.parametrize("moment", MOMENTS)
@contract
async def test_close_at_any_moment(world: World, moment: str) -> None:
    a, b = world.end(), world.end()
    await MOMENTS[moment](world, a, b)
    await all_done(a.transport.close(), a.transport.close())
    await a.transport.close()
    assert a.sink.closed == [(None, False)]
    for call in (a.transport.create_offer(), a.transport.create_answer("x"), a.transport.set_answer("x")):
        with pytest.raises((TransportError, SdpError, LocalProtocolError)):
            await call
    with pytest.raises(LocalProtocolError):
        a.send((1, b"late"))
    a.admit()
    a.grant(1)
    a.close_channel(1)


@pytest.mark.parametrize("turns", range(0, 8))
@contract
async def test_close_during_create_offer(world: World, turns: int) -> None:
    a = world.end()
    offer = asyncio.ensure_future(a.transport.create_offer())
    for _ in range(turns):
        await asyncio.sleep(0)
    await a.transport.close()
    try:
        sdp = await offer
    except TransportError:
        pass
    else:
        assert sdp.startswith("v=0")
    assert a.sink.closed == [(None, False)]


@contract
async def test_cancelling_create_offer_and_closing(world: World) -> None:
    a = world.end()
    offer = asyncio.ensure_future(a.transport.create_offer())
    await asyncio.sleep(0)
    offer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await offer
    await a.transport.close()


@contract
async def test_the_peer_learns_of_the_end(world: World) -> None:
    a, b = await world.pair()
    a.send((1, b"last words"))
    await b.sink.until(lambda: b.sink.messages)
    await a.transport.close()
    await b.sink.until(lambda: b.sink.closed)
    error, fault = b.sink.closed[0]
    assert isinstance(error, TransportError)
    assert not fault
    with pytest.raises(LocalProtocolError):
        b.send((1, b"x"))


@contract
async def test_what_came_before_the_end_is_delivered(world: World) -> None:
    a, b = await world.pair()
    a.send((0, b"auth"), (1, b"bye"))
    await a.sink.until(lambda: a.sink.sent == 2)
    await a.transport.close()
    await b.sink.until(lambda: b.sink.closed)
    assert b.sink.kinds()[-1] == "closed"
    assert sorted(b.sink.messages) == [(0, b"auth"), (1, b"bye")]


@contract
async def test_a_channel_closes_after_its_messages_have_left(world: World) -> None:
    a, b = await world.pair()
    a.send(*((7, body(40_000, index)) for index in range(20)), (0, b"auth"))
    a.close_channel(7)
    with pytest.raises(LocalProtocolError):
        a.send((7, b"late"))
    for end in (a, b):
        await end.sink.until(lambda end=end: ("channel_closed", 7) in end.sink.events)
    assert b.sink.payloads(7) == [body(40_000, index) for index in range(20)]
    last = max(i for i, e in enumerate(b.sink.events) if e[0] == "messages" and any(m[0] == 7 for m in e[1:]))
    assert last < b.sink.events.index(("channel_closed", 7))
    with pytest.raises(LocalProtocolError):
        b.send((7, b"late"))
    a.send((1, b"still"))
    b.send((1, b"here"))
    await all_done(b.sink.until(lambda: b.sink.payloads(1)), a.sink.until(lambda: a.sink.payloads(1)))
    assert a.sink.events.count(("channel_closed", 7)) == b.sink.events.count(("channel_closed", 7)) == 1
    assert a.sink.sent == 22


@contract
async def test_a_channel_that_both_close(world: World) -> None:
    a, b = await world.pair()
    a.close_channel(0)
    b.close_channel(0)
    a.close_channel(0)
    for end in (a, b):
        await end.sink.until(lambda end=end: ("channel_closed", 0) in end.sink.events)
    a.send((1, b"x"))
    await b.sink.until(lambda: b.sink.payloads(1))
    assert [end.sink.events.count(("channel_closed", 0)) for end in (a, b)] == [1, 1]


@contract
async def test_a_closing_waits_for_held_messages(world: World) -> None:
    a, b = await world.pair(receive_credit=1)
    a.send((1, b"first"), (1, b"second"))
    a.close_channel(1)
    await b.sink.until(lambda: b.sink.messages)
    await asyncio.sleep(0.02)
    assert ("channel_closed", 1) not in b.sink.events
    b.grant(100)
    await b.sink.until(lambda: ("channel_closed", 1) in b.sink.events)
    assert b.sink.payloads(1) == [b"first", b"second"]


# ---------------------------------------------------------------- misuse, bad input, counters


@contract
async def test_sending_what_may_not_be_sent(world: World) -> None:
    a, b = world.end(), world.end()
    with pytest.raises(LocalProtocolError):
        a.send((1, b"too soon"))
    await world.connect(a, b)
    b.admit()
    for bad in ((99, b"x"), (4, bytes(1025)), (1, b""), (0, bytes(65_536))):
        with pytest.raises(LocalProtocolError):
            a.send((1, b"not sent either"), bad)
    a.send((4, bytes(1024)))
    await b.sink.until(lambda: b.sink.messages)
    assert b.sink.messages == [(4, bytes(1024))]


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "v=0",
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
        "\x00\udcff" * 50,
        "m=audio 9 X 0\r\n",
        "a" * 10**6,
    ],
    ids=["empty", "short", "no media", "bytes", "audio", "long"],
)
@contract
async def test_garbage_instead_of_an_sdp(world: World, garbage: str) -> None:
    a, b = world.end(), world.end()
    with pytest.raises(SdpError):
        await b.transport.create_answer(garbage)
    await a.transport.create_offer()
    with pytest.raises(SdpError):
        await a.transport.set_answer(garbage)
    assert not a.sink.events
    assert not b.sink.events


@contract
async def test_a_transport_is_used_once(world: World) -> None:
    a, b = await world.pair()
    offer = await world.end().transport.create_offer()
    for call in (a.transport.create_offer(), b.transport.create_answer(offer), a.transport.set_answer(offer)):
        with pytest.raises((LocalProtocolError, SdpError)):
            await call
    assert not a.sink.closed


@contract
async def test_another_fingerprint_than_announced_fails(world: World) -> None:
    a, b = world.end(), world.end()
    answer = await b.transport.create_answer(await a.transport.create_offer())
    for fingerprint in b.transport.fingerprints:
        name, value = fingerprint.split()
        answer = answer.replace(fingerprint, f"{name} " + ("AA" + value[2:] if value[:2] != "AA" else "BB" + value[2:]))
    await a.transport.set_answer(answer)
    await a.sink.until(lambda: a.sink.closed)
    error, fault = a.sink.closed[0]
    assert isinstance(error, TransportError)
    assert not fault
    assert "dtls" not in a.sink.kinds()


@contract
async def test_stats_count_payloads(world: World) -> None:
    a, b = await world.pair()
    a.send((7, body(100_000)), (0, b"auth"), (1, b"12345"))
    await all_done(b.sink.until(lambda: len(b.sink.messages) == 3), a.sink.until(lambda: a.sink.sent == 3))
    sent, received = a.transport.stats(), b.transport.stats()
    assert (sent.bytes_sent, sent.messages_sent, sent.buffered) == (100_009, 3, 0)
    assert (received.bytes_received, received.messages_received, received.undelivered) == (100_009, 3, 0)
    assert (sent.bytes_received, received.bytes_sent) == (0, 0)
