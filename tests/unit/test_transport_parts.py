"""The parts that all transports share: outbox, inbox, reporter; and the reading of a peer's SDP."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tracemalloc
from collections.abc import Callable

import pytest
from aioice import Candidate
from tests.parity.transport_harness import CHANNELS, Sink, settings

from mina_webrtc._backend import frame_chunks
from mina_webrtc.errors import RemoteProtocolError, SdpError, TransportError
from mina_webrtc.machines.vocab import IcePath
from mina_webrtc.services.base import ChannelSpec
from mina_webrtc.services.dtls import Certificate
from mina_webrtc.services.inbox import ITEM_COST, Inbox
from mina_webrtc.services.outbox import Outbox
from mina_webrtc.services.reporter import Reporter
from mina_webrtc.services.session import read_remote, write_sdp

BY_ID = {spec.id: spec for spec in CHANNELS}


# ---------------------------------------------------------------- outbox


def test_channels_take_turns() -> None:
    outbox = Outbox(BY_ID)
    outbox.put(7, bytes(40_000))
    outbox.put(1, b"a")
    outbox.put(1, b"b")
    order = []
    while (piece := outbox.take()) is not None:
        order.append((piece.channel, len(piece.data), piece.last, outbox.left(piece)))
    assert order == [
        (7, 16_384, False, 0),
        (1, 5, True, 0),
        (7, 16_384, False, 0),
        (1, 5, True, 0),
        (7, 7_236, True, 3),  # oldest first: the two small ones are counted once the large one has left
    ]
    assert outbox.buffered == 0


def test_a_dropped_channel_holds_nobody_up() -> None:
    outbox = Outbox(BY_ID)
    outbox.put(7, bytes(20_000))
    outbox.put(1, b"a")
    outbox.put(7, b"x")
    first = outbox.take()
    assert first is not None
    assert outbox.drop(7) == 1
    assert outbox.left(first) == 0
    second = outbox.take()
    assert second is not None
    assert outbox.left(second) == 2
    assert outbox.take() is None
    assert outbox.drop(7) == outbox.drop(99) == 0
    assert (outbox.buffered, outbox.messages_sent, outbox.bytes_sent) == (0, 1, 1)


def test_small_messages_framed_together_are_chunks_of_their_own() -> None:
    outbox = Outbox(BY_ID)
    sizes = [*range(1, 200), 16_380, 16_381, 3, 40_000, 16_380, 5]
    payloads = [bytes([index % 251]) * size for index, size in enumerate(sizes)]
    for payload in payloads:
        outbox.put(7, payload)
    outbox.put(0, b"raw")
    chunks: dict[int, list[bytes]] = {0: [], 7: []}
    gone = 0
    while (piece := outbox.take()) is not None:
        chunks[piece.channel].append(piece.data)
        gone += outbox.left(piece)
    assert chunks == {0: [b"raw"], 7: [chunk for payload in payloads for chunk in frame_chunks(payload)]}
    assert gone == len(payloads) + 1


def test_a_large_message_is_cut_chunk_by_chunk() -> None:
    """Cut in one go it would be held twice, and the event loop would stand still for as long as that takes."""
    outbox = Outbox(BY_ID)
    outbox.put(7, bytes(8 << 20))
    tracemalloc.start()
    try:
        taken = sum(len(piece.data) for _ in range(100) if (piece := outbox.take()) is not None)
        assert tracemalloc.get_traced_memory()[1] < 128 * 1024
    finally:
        tracemalloc.stop()
    assert taken == 100 * 16_384


# ---------------------------------------------------------------- inbox and reporter


async def test_what_was_held_is_read_as_far_as_the_credit_goes() -> None:
    sink = Sink()
    reporter = Reporter(sink, asyncio.get_running_loop())
    inbox = Inbox(BY_ID, settings(receive_credit=0), reporter, lambda channel: None)
    inbox.admit()
    for number in range(6):
        inbox.receive(7, bytes([0, 0, 0, 10]) + bytes([number]) * 10)
        inbox.receive(0, b"raw")
    for number in range(6, 20):
        inbox.receive(7, bytes([0, 0, 0, 10]) + bytes([number]) * 10)
    inbox.close(7)
    waiting, room = [10, 3] * 6 + [10] * 14, 0
    for credit in (1, 20, 60, 1, 2, 5, 500):
        inbox.grant(credit)
        room += credit
        while waiting and room > 0:
            room -= waiting.pop(0)
        assert inbox.messages_received == 26 - len(waiting)
    await sink.until(lambda: ("channel_closed", 7) in sink.events)
    assert sink.payloads(7) == [bytes([number]) * 10 for number in range(20)]
    assert sink.payloads(0) == [b"raw"] * 6
    assert inbox.used == 0


async def test_the_window_counts_what_small_messages_cost() -> None:
    sink = Sink()
    reporter = Reporter(sink, asyncio.get_running_loop())
    inbox = Inbox(BY_ID, settings(receive_credit=0), reporter, lambda channel: None)
    for _ in range(10):
        inbox.receive(1, b"x")
    assert (inbox.size, inbox.undelivered, inbox.used) == (10, 0, 10 + 10 * ITEM_COST)  # early
    inbox.admit()
    assert inbox.undelivered == 10
    inbox.clear()
    assert inbox.used == 0


async def test_only_a_message_that_does_not_end_is_stuck() -> None:
    inbox = Inbox(BY_ID, settings(), Reporter(Sink(), asyncio.get_running_loop()), lambda channel: None)
    inbox.admit()
    for _ in range(4):  # something is unfinished at every look, and always something else
        inbox.receive(1, b"\0\0\0\2x")
        assert not inbox.stuck()
        inbox.receive(1, b"y")
    inbox.receive(7, b"\0\0\0\2x")
    assert not inbox.stuck()
    inbox.receive(1, b"\0\0\0\1x")  # others that end do not help it
    assert inbox.stuck()
    inbox.receive(7, b"y")
    assert not inbox.stuck()


async def test_a_raw_message_above_its_limit_is_the_peers_fault() -> None:
    spec = ChannelSpec(0, "", 100, False, 100)
    inbox = Inbox(
        {0: spec}, settings(channels=(spec,)), Reporter(Sink(), asyncio.get_running_loop()), lambda channel: None
    )
    inbox.receive(0, bytes(100))
    with pytest.raises(RemoteProtocolError):
        inbox.receive(0, bytes(101))


async def test_reports_are_joined_and_end_with_the_end() -> None:
    sink = Sink()
    reporter = Reporter(sink, asyncio.get_running_loop())
    reporter.messages([(1, b"a")])
    reporter.messages([(1, b"b")])
    reporter.sent(1)
    reporter.sent(2)
    reporter.sent(0)
    reporter.finish(TransportError("x"), True)
    reporter.messages([(1, b"late")])
    reporter.finish(None, False)
    assert sink.events == []
    await reporter.done
    assert sink.events == [("messages", (1, b"a"), (1, b"b")), ("sent", 3), ("closed",)]
    assert sink.closed[0][1]


async def test_close_discards_what_was_not_reported() -> None:
    sink = Sink()
    reporter = Reporter(sink, asyncio.get_running_loop())
    reporter.messages([(1, b"a")])
    reporter.finish(None, False)
    await reporter.done
    assert sink.events == [("closed",)]


async def test_a_sink_that_raises_does_not_silence_the_rest() -> None:
    class Bad(Sink):
        def on_dtls_connected(self) -> None:
            raise ValueError("in spite of the contract")

    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    sink = Bad()
    reporter = Reporter(sink, asyncio.get_running_loop())
    reporter.ice_connected(IcePath("host", "host"))
    reporter.dtls_connected()
    reporter.finish(None, False)  # clears, so the bad one must come again
    await reporter.done
    assert sink.kinds() == ["closed"]
    again = Reporter(sink := Bad(), asyncio.get_running_loop())
    again.dtls_connected()
    again.channel_open(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sink.kinds() == ["open"]
    assert len(complaints) == 1


# ---------------------------------------------------------------- session


def _candidate(host: str, kind: str = "host") -> Candidate:
    return Candidate("f", 1, "udp", 1, host, 4000, kind)


def _sdp(role: str = "auto") -> str:
    return write_sdp("offer", "0", role, Certificate().fingerprints, "abcd", "p" * 22, [_candidate("127.0.0.1")], ())


def test_our_own_sdp_is_read() -> None:
    remote = read_remote(_sdp(), answer=False)
    assert (remote.mid, remote.role, remote.username, remote.password) == ("0", "auto", "abcd", "p" * 22)
    assert (remote.sctp_port, remote.max_message, len(remote.fingerprints)) == (5000, 65_535, 3)
    assert [candidate.host for candidate in remote.candidates] == ["127.0.0.1"]
    with pytest.raises(SdpError):
        read_remote(_sdp(), answer=True)
    assert read_remote(_sdp("client"), answer=True).role == "client"


@pytest.mark.parametrize(
    "change",
    [
        lambda sdp: sdp.replace("a=ice-pwd", "a=x"),
        lambda sdp: sdp.replace("p" * 22, "p" * 21),
        lambda sdp: sdp.replace("abcd", "ab\udc80cd"),
        lambda sdp: sdp.replace("a=fingerprint", "a=x"),
        lambda sdp: sdp.replace("a=setup", "a=x"),
        lambda sdp: sdp.replace("actpass", "holdconn"),
        lambda sdp: sdp.replace("sctp-port:5000", "sctp-port:0"),
        lambda sdp: sdp.replace("a=sctp-port", "a=x"),
        lambda sdp: sdp.replace("max-message-size:65535", "max-message-size:100"),
        lambda sdp: sdp.replace("max-message-size:65535", "max-message-size:x"),
        lambda sdp: sdp.replace("webrtc-datachannel", "5000"),
        lambda sdp: sdp + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n",
        lambda sdp: sdp.replace("a=mid:0", "a=mid:" + "0" * 65),
    ],
)
def test_an_sdp_that_cannot_be_used(change: Callable[[str], str]) -> None:
    sdp = _sdp()
    assert change(sdp) != sdp
    with pytest.raises(SdpError):
        read_remote(change(sdp), answer=False)


def test_a_mutated_sdp_raises_nothing_else() -> None:
    generator = random.Random(3)
    original = _sdp()
    for _ in range(2000):
        text = list(original)
        for _ in range(generator.randint(1, 5)):
            at = generator.randrange(len(text))
            text[at : at + generator.randint(0, 3)] = generator.choice(
                ["", ":", " ", "\r\n", "a=", "0", "-1", "\x00", "é"]
            )
        with contextlib.suppress(SdpError):
            read_remote("".join(text), answer=False)
