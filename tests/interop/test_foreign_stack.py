"""A peer on plain aiortc that behaves like the reference: no mark, channels 1–8 made only after authentication."""

from __future__ import annotations

import asyncio
import struct
from typing import Self

import pytest
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from tests.interop.rogue import LOCALHOST, Endpoint, post
from tests.interop.support import NodeFactory, Watch, key

from mina_webrtc import Answer, ChainId, ConnectionAuth, Offer, P2pConnectionResponse, Rpc, SecretKey, Timeouts
from mina_webrtc.identity import Cipher, PeerId, PublicKey
from mina_webrtc.machines.vocab import PeerClosed, PeerReady

FOREIGN = key(66)


class Foreign:
    """What a reference node does, on another stack than ours."""

    def __init__(self, secret: SecretKey) -> None:
        self.secret = secret
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.auth_channel = self._channel(0, "")
        self.theirs: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.opened = asyncio.Event()
        self.auth_channel.on("message", self.theirs.set_result)
        self.auth_channel.on("open", self.opened.set)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()

    def _channel(self, number: int, label: str) -> RTCDataChannel:
        return self.connection.createDataChannel(label, negotiated=True, id=number)

    async def offer(self, target: PeerId) -> Offer:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        sdp = without_max_message_size(self.connection.localDescription.sdp)
        return Offer.new(
            sdp=sdp,
            chain_id=ChainId.DEVNET,
            identity_pub_key=self.secret.public_key,
            target_peer_id=target,
            host=LOCALHOST,
            listen_port=3000,
        )

    async def accept(self, offer: Offer, answer: Answer) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
        await self.authenticate(ConnectionAuth.new(offer.sdp, answer.sdp), answer.identity_pub_key)

    async def answer(self, offer: Offer) -> Answer:
        await self.connection.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        sdp = without_max_message_size(self.connection.localDescription.sdp)
        return Answer.new(sdp, self.secret.public_key, offer.identity_pub_key.peer_id)

    async def authenticate(self, auth: ConnectionAuth, peer: PublicKey) -> None:
        await self.opened.wait()
        cipher = Cipher(self.secret, peer)
        self.auth_channel.send(bytes(auth.seal(cipher).data))
        assert bytes(auth) == cipher.open(await self.theirs)
        self.auth_channel.close()

    async def serve_rpc(self) -> asyncio.Queue[bytes]:
        """Opens channel 7 as the reference does, after authentication; gives what comes in."""
        received: asyncio.Queue[bytes] = asyncio.Queue()
        self.rpc = self._channel(7, "rpc")
        self.rpc.on("message", received.put_nowait)
        return received


def without_max_message_size(sdp: str) -> str:
    """The reference does not announce one (protocol.md §6)."""
    return "".join(line for line in sdp.splitlines(keepends=True) if not line.startswith("a=max-message-size"))


def frame(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


@pytest.mark.parametrize("caution", [0.15, 30.0], ids=["after the wait", "after it has spoken"])
async def test_a_foreign_dialer_is_served(start: NodeFactory, caution: float) -> None:
    """Its request is answered at once; our own first message waits for it, or for the caution (protocol.md §6)."""
    node = await start(1, timeouts=Timeouts(caution=caution))
    watch = Watch(node)
    async with Foreign(FOREIGN) as foreign:
        offer = await foreign.offer(node.peer_id)
        response = await post(node.addresses[0], offer)
        assert response.answer is not None
        await foreign.accept(offer, response.answer)
        ready = await watch.next(PeerReady)
        assert not ready.marked
        received = await foreign.serve_rpc()
        request = asyncio.ensure_future(node.peers[ready.peer].request(Rpc.BLOCK, bytes(32)))
        if caution > 1:
            foreign.rpc.send(frame(b"\x00\x07\x06"))
            asked, answered = await received.get(), await received.get()
            assert answered == frame(b"\x01\x07\x01\x06\x00")
        else:
            asked = await received.get()
        assert asked[4:5] == b"\x00"
        assert asked[-33:] == b"\x03" + bytes(32)
        foreign.rpc.send(frame(b"\x01" + asked[5:6] + b"\x01\x03block"))
        assert await request == b"block"


async def test_a_foreign_listener_is_dialled(start: NodeFactory) -> None:
    node = await start(1, timeouts=Timeouts(caution=0.05))
    async with Foreign(FOREIGN) as foreign:
        authentications = []

        async def respond(offer: Offer) -> P2pConnectionResponse:
            answer = await foreign.answer(offer)
            auth = ConnectionAuth.new(offer.sdp, answer.sdp)
            authentications.append(asyncio.ensure_future(foreign.authenticate(auth, offer.identity_pub_key)))
            return P2pConnectionResponse.accepted(answer)

        async with Endpoint(respond) as endpoint:
            peer = await node.dial(endpoint.address(FOREIGN.peer_id))
            await authentications[0]
            assert not peer.marked
            await foreign.serve_rpc()
            foreign.rpc.send(frame(b"\x00\x00\x06"))
            watch = Watch(node)
            foreign.rpc.close()
            closed = await watch.next(PeerClosed)
    assert closed.peer == FOREIGN.peer_id
