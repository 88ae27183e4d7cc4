"""Large messages that nobody asked for, and more unfinished ones than the node's budget; a rogue sends them."""

from __future__ import annotations

import asyncio

import pytest
from tests.interop.rogue import Rogue
from tests.interop.support import NodeFactory, Watch, key

from mina_webrtc import Limits, Node, RequestError, Rpc
from mina_webrtc.machines.vocab import Fault, PeerClosed, PeerReady
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import RpcRequest, RpcResponse, decode, encode

ROGUE = key(66)
LARGE = 65_537


async def connect(node: Node, rogue: Rogue) -> Watch:
    watch = Watch(node)
    await rogue.dial(node.addresses[0])
    await rogue.authenticate()
    await watch.next(PeerReady)
    return watch


def cut(payload: bytes) -> list[tuple[int, bytes]]:
    """Channel 7's chunks of a message."""
    stream = len(payload).to_bytes(4, "big") + payload
    return [(7, stream[start : start + 16_384]) for start in range(0, len(stream), 16_384)]


async def asked(node: Node, rogue: Rogue) -> tuple[asyncio.Task[bytes | None], RpcRequest]:
    """The node's open request, and what the rogue heard of it."""
    task = asyncio.ensure_future(node.peers[ROGUE.peer_id].request(Rpc.BLOCK, bytes(32)))
    channel, frame = await rogue.received.get()
    while channel != Channel.RPC:
        channel, frame = await rogue.received.get()
    request = decode(frame[4:])
    assert isinstance(request, RpcRequest)
    return task, request


async def blamed(watch: Watch, word: str) -> None:
    closed = await watch.next(PeerClosed)
    assert closed.failure.fault is Fault.PEER
    assert word in closed.failure.detail


@pytest.mark.parametrize("channel", [Channel.BEST_TIP, Channel.RPC, Channel.STREAMING])
async def test_large_messages_that_nobody_asked_for(start: NodeFactory, channel: Channel) -> None:
    node = await start(1)
    async with Rogue(ROGUE) as rogue:
        watch = await connect(node, rogue)
        rogue.transport.send([(channel, LARGE.to_bytes(4, "big"))])
        await blamed(watch, "over the limit")
        await rogue.closed.wait()


async def test_a_large_answer_while_it_is_owed_and_none_afterwards(start: NodeFactory) -> None:
    node = await start(1)
    async with Rogue(ROGUE) as rogue:
        watch = await connect(node, rogue)
        task, request = await asked(node, rogue)
        answer = cut(encode(RpcResponse(request.id, Rpc.BLOCK, bytes(LARGE))))
        rogue.transport.send(answer)
        assert await task == bytes(LARGE)
        rogue.transport.send(answer)
        await blamed(watch, "over the limit")


async def test_a_large_request_while_an_answer_is_owed(start: NodeFactory) -> None:
    node = await start(1)
    async with Rogue(ROGUE) as rogue:
        watch = await connect(node, rogue)
        task, _ = await asked(node, rogue)
        rogue.transport.send(cut(encode(RpcRequest(1, Rpc.LEDGER_QUERY, bytes(LARGE)))))
        await blamed(watch, "a request of")
        with pytest.raises(RequestError):
            await task


async def test_a_node_holds_no_more_than_its_budget(start: NodeFactory) -> None:
    node = await start(1, limits=Limits(unfinished=200_000))
    async with Rogue(ROGUE) as rogue:
        watch = await connect(node, rogue)
        task, request = await asked(node, rogue)
        rogue.transport.send(cut(encode(RpcResponse(request.id, Rpc.BLOCK, bytes(300_000)))))
        await blamed(watch, "unfinished messages")
        with pytest.raises(RequestError):
            await task
