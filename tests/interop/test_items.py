"""Items go from node to node: the whole stack over real HTTP and aiortc, and a peer on another stack."""

from __future__ import annotations

import asyncio

import pytest
from tests.interop.rogue import Rogue, post
from tests.interop.support import NodeFactory, Watch, key
from tests.interop.test_foreign_stack import FOREIGN, Foreign, frame

from mina_webrtc import ClosedError, ConfigError, Limits, Node, PeerId, Timeouts, Topic
from mina_webrtc._backend import frame_chunks
from mina_webrtc.machines.vocab import Fault, PeerClosed, PeerReady
from mina_webrtc.wire.channels import Channel


class Seen:
    """What a node's handler was given; `verdict` is what it says of everything."""

    def __init__(self, node: Node, *topics: Topic, verdict: bool | None = True) -> None:
        self.items: asyncio.Queue[tuple[PeerId, bytes]] = asyncio.Queue()
        self.verdict = verdict
        for topic in topics:
            node.on_item(topic, self.handle)

    async def handle(self, peer: PeerId, payload: bytes) -> bool | None:
        self.items.put_nowait((peer, payload))
        return self.verdict

    async def next(self) -> tuple[PeerId, bytes]:
        async with asyncio.timeout(10):
            return await self.items.get()


@pytest.mark.parametrize("topic", list(Topic))
async def test_an_item_goes_everywhere_and_is_examined_once(start: NodeFactory, topic: Topic) -> None:
    hub, *leaves = [await start(index) for index in range(1, 5)]
    seen = [Seen(node, topic) for node in (hub, *leaves[:2])]
    for leaf in leaves:
        await leaf.dial(hub.addresses[0])
    seen.append(Seen(leaves[2], topic))  # also after the connection
    payload = bytes(range(256)) * (4000 if topic is Topic.BEST_TIP else 3)
    assert leaves[0].broadcast(topic, payload) == 1
    assert await seen[0].next() == (leaves[0].peer_id, payload)
    for other in (seen[2], seen[3]):
        assert await other.next() == (hub.peer_id, payload)
    assert leaves[1].broadcast(topic, b"last") == 1
    for other in (seen[0], seen[1], seen[3]):
        assert (await other.next())[1] == b"last"
        assert other.items.empty()
    assert leaves[0].broadcast(topic, payload) == 0
    assert hub.state()["items"]["forwarded"] == 2


async def test_many_items_in_order(start: NodeFactory) -> None:
    one, two = await start(1), await start(2, limits=Limits(item_batch=7, max_item_handlers=1))
    seen = Seen(two, Topic.SNARK)
    await one.dial(two.addresses[0])
    sent = [number.to_bytes(1000, "big") for number in range(200)]
    for payload in sent:
        assert one.broadcast(Topic.SNARK, payload) == 1
    assert [(await seen.next())[1] for _ in sent] == sent


async def test_who_sends_what_is_refused_is_disconnected(start: NodeFactory) -> None:
    one, two = await start(1), await start(2)
    Seen(two, Topic.TRANSACTION, verdict=False)
    await one.dial(two.addresses[0])
    watch = Watch(two)
    one.broadcast(Topic.TRANSACTION, b"bad")
    closed = await watch.next(PeerClosed)
    assert (closed.peer, closed.failure.reason) == (one.peer_id, "bad_item")
    assert "transaction/propagation" in closed.failure.detail


async def test_functions_that_fail_drop_the_item_and_harm_nobody(start: NodeFactory) -> None:
    one, two = await start(1), await start(2)
    seen = Seen(two)
    await one.dial(two.addresses[0])

    async def broken(peer: PeerId, payload: bytes) -> bool | None:
        seen.items.put_nowait((peer, payload))
        raise RuntimeError("broken handler")

    def first(payload: bytes) -> bytes:
        return payload[:1] if payload != b"nameless" else bytes(payload[99])

    two.on_item(Topic.SNARK, broken, id=first)
    for payload in (b"nameless", b"a", b"a again", b"b"):
        one.broadcast(Topic.SNARK, payload)
    assert [(await seen.next())[1] for _ in range(2)] == [b"a", b"b"]
    assert seen.items.empty()
    assert two.peers
    two.on_item(Topic.SNARK, seen.handle)  # in its place
    one.broadcast(Topic.SNARK, b"c")
    assert (await seen.next())[1] == b"c"


async def test_a_handler_that_takes_too_long_is_cancelled_and_so_is_one_of_a_closed_node(start: NodeFactory) -> None:
    one, two = await start(1), await start(2, timeouts=Timeouts(handler=0.05))
    seen, cancelled = Seen(two), asyncio.Queue[bytes]()
    await one.dial(two.addresses[0])

    async def endless(peer: PeerId, payload: bytes) -> bool | None:
        seen.items.put_nowait((peer, payload))
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.put_nowait(payload)
        return True

    two.on_item(Topic.SNARK, endless)
    one.broadcast(Topic.SNARK, b"slow")
    async with asyncio.timeout(10):
        assert await cancelled.get() == b"slow"
    one.broadcast(Topic.SNARK, b"slow too")
    await seen.next()
    assert (await seen.next())[1] == b"slow too"
    await two.close()
    assert cancelled.get_nowait() == b"slow too"


async def test_what_cannot_be_broadcast(start: NodeFactory) -> None:
    node = await start(1)
    assert node.broadcast(Topic.TRANSACTION, b"nobody is there") == 0
    for topic, limit in ((Topic.TRANSACTION, 1023), (Topic.SNARK_JOB_COMMITMENT, 2047), (Topic.BEST_TIP, 2**25 - 1)):
        assert topic.max_payload == limit
    for payload in (b"", bytes(1024)):
        with pytest.raises(ValueError, match="an item of SNARK has 1 to 1023"):
            node.broadcast(Topic.SNARK, payload)
    with pytest.raises(ConfigError, match="item_batch"):
        Limits(item_batch=256)
    await node.close()
    with pytest.raises(ClosedError):
        node.broadcast(Topic.SNARK, b"late")


TIP = (Channel.BEST_TIP, b"\x01" + bytes(100_000))


@pytest.mark.parametrize(
    ("messages", "detail"),
    [
        ([TIP, TIP], "over the limit"),  # nobody asked for a second one
        ([(Channel.BEST_TIP, b"\x01one"), (Channel.BEST_TIP, b"\x01two")], "unexpected for channel 3: BestTip"),
        ([(Channel.SNARK, b"\x01\x21")], "unexpected for channel 5: WillSend"),  # 33 of 32
        ([(Channel.SNARK, b"\x01\x01"), (Channel.SNARK, b"\x02a")] * 2, "unexpected for channel 5: WillSend"),
        ([(Channel.SNARK, b"\x00\x01")] * 2, "unexpected for channel 5: GetItems"),
        ([(Channel.SNARK, b"\x02" + bytes(1024))], "over the limit"),
        ([(Channel.TRANSACTION, b"\x01\x01")], "unexpected for channel 4: WillSend"),  # nobody wants any
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_was_not_asked_for(start: NodeFactory, messages: list[tuple[Channel, bytes]], detail: str) -> None:
    node = await start(1)
    judging = asyncio.Event()

    async def judge(peer: PeerId, payload: bytes) -> bool | None:
        judging.set()
        await asyncio.Event().wait()
        return True

    for topic in (Topic.BEST_TIP, Topic.SNARK):
        node.on_item(topic, judge)
    async with Rogue(key(66)) as rogue:
        watch = Watch(node)
        await rogue.dial(node.addresses[0])
        await rogue.authenticate()
        await watch.next(PeerReady)
        for channel, payload in messages:
            rogue.transport.send([(channel, chunk) for chunk in frame_chunks(payload)])
        closed = await watch.next(PeerClosed)
        assert closed.failure.fault is Fault.PEER
        assert detail in closed.failure.detail
    assert judging.is_set() == ((len(messages) > 1 and messages[0][0] is Channel.BEST_TIP) or len(messages) == 4)


async def test_a_peer_of_another_stack_asks_and_is_asked(start: NodeFactory) -> None:
    node = await start(1)
    seen = Seen(node, Topic.TRANSACTION)
    watch = Watch(node)
    async with Foreign(key(66)) as foreign:
        offer = await foreign.offer(node.peer_id)
        response = await post(node.addresses[0], offer)
        assert response.answer is not None
        await foreign.accept(offer, response.answer)
        await watch.next(PeerReady)
        received: asyncio.Queue[bytes] = asyncio.Queue()
        channel = foreign._channel(4, "transaction/propagation")
        channel.on("message", received.put_nowait)
        channel.send(frame(b"\x00\x0a"))  # up to ten
        assert await received.get() == frame(b"\x00\x20")  # we ask, once it has spoken
        channel.send(frame(b"\x01\x02") + frame(b"\x02one"))
        channel.send(frame(b"\x02two"))
        assert [await seen.next() for _ in range(2)] == [(FOREIGN.peer_id, b"one"), (FOREIGN.peer_id, b"two")]
        assert await received.get() == frame(b"\x00\x20")  # and again, as both are judged
        assert node.broadcast(Topic.TRANSACTION, b"three") == 1
        assert [await received.get() for _ in range(2)] == [frame(b"\x01\x01"), frame(b"\x02three")]
        channel.send(frame(b"\x02four"))
        closed = await watch.next(PeerClosed)
    assert (closed.peer, closed.failure.reason) == (FOREIGN.peer_id, "protocol_error")
    assert closed.failure.detail == "message is unexpected for channel 4: Item"
