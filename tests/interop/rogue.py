"""A peer under the test's control: real HTTP, real aiortc, but it says on the wire what the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

from aiohttp import ClientSession, web

from mina_webrtc import Answer, ChainId, ConnectionAuth, DialAddress, Host, Offer, P2pConnectionResponse, SecretKey
from mina_webrtc.errors import TransportError
from mina_webrtc.identity import Cipher, PeerId, PublicKey
from mina_webrtc.services.base import ChannelSpec, Message, TransportSettings
from mina_webrtc.services.budget import Budget
from mina_webrtc.services.transport_aiortc import AiortcTransports
from mina_webrtc.wire.address import Http
from mina_webrtc.wire.channels import Channel

PATH = "/mina/webrtc/signal"
LOCALHOST = Host.parse("127.0.0.1")


def raw_settings(**changes: Any) -> TransportSettings:
    """Every channel unframed: the rogue decides about each byte."""
    values: dict[str, Any] = {
        "channels": tuple(ChannelSpec(c, c.label, 1 << 20, False, 1 << 20) for c in Channel),
        "gathering_timeout": 3.0,
        "early_limit": 1 << 20,
        "receive_credit": 1 << 24,
        "receive_buffer": 1 << 20,
        "unfinished": Budget(1 << 30),
        "message_timeout": 180.0,
        "ice_timeout": 10.0,
        "consent_timeout": 12.0,
        "allow_loopback": True,
    }
    return TransportSettings(**(values | changes))


class Rogue:
    """One raw peer connection; also its sink."""

    def __init__(self, key: SecretKey) -> None:
        self.key = key
        self.transport = AiortcTransports()(raw_settings(), self)
        self.opened: dict[int, asyncio.Event] = {c: asyncio.Event() for c in Channel}
        self.closed = asyncio.Event()
        self.received: asyncio.Queue[Message] = asyncio.Queue()
        self.auth: ConnectionAuth | None = None
        self.other: PublicKey | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()

    # ------------------------------------------------------------ sink

    def on_ice_connected(self, path: object) -> None: ...
    def on_dtls_connected(self) -> None: ...
    def on_channel_open(self, channel: int) -> None:
        self.opened[channel].set()

    def on_channel_closed(self, channel: int) -> None: ...
    def on_messages(self, batch: Sequence[Message]) -> None:
        for message in batch:
            self.received.put_nowait(message)

    def on_sent(self, count: int) -> None: ...
    def on_closed(self, error: TransportError | None, remote_fault: bool) -> None:
        self.closed.set()

    # ------------------------------------------------------------ signaling

    async def offer(self, target: PeerId, **changes: Any) -> Offer:
        values: dict[str, Any] = {
            "sdp": await self.transport.create_offer(),
            "chain_id": ChainId.DEVNET,
            "identity_pub_key": self.key.public_key,
            "target_peer_id": target,
            "host": LOCALHOST,
            "listen_port": None,
        }
        return Offer(**(values | changes))

    async def dial(self, address: DialAddress, **changes: Any) -> P2pConnectionResponse:
        """Offers, posts, and takes the answer, without looking at who gave it."""
        offer = await self.offer(address.peer, **changes)
        response = await post(address, offer)
        if response.answer is not None:
            await self.accept(offer, response.answer)
        return response

    async def accept(self, offer: Offer, answer: Answer) -> None:
        self.other = answer.identity_pub_key
        self.auth = ConnectionAuth.new(offer.sdp, answer.sdp)
        await self.transport.set_answer(answer.sdp)

    async def answer(self, offer: Offer, **changes: Any) -> Answer:
        values: dict[str, Any] = {
            "sdp": await self.transport.create_answer(offer.sdp),
            "identity_pub_key": self.key.public_key,
            "target_peer_id": offer.identity_pub_key.peer_id,
        }
        answer = Answer(**(values | changes))
        self.other = offer.identity_pub_key
        self.auth = ConnectionAuth.new(offer.sdp, answer.sdp)
        return answer

    # ------------------------------------------------------------ authentication

    def honest_auth(self) -> bytes:
        assert self.auth is not None
        assert self.other is not None
        return bytes(self.auth.seal(Cipher(self.key, self.other)).data)

    async def theirs(self) -> bytes:
        """The auth that the node sent us: the first message on channel 0."""
        while True:
            channel, payload = await self.received.get()
            if channel == 0:
                return payload

    async def authenticate(self) -> None:
        """Does it as it should be done, both ways."""
        await self.opened[0].wait()
        self.transport.send([(0, self.honest_auth())])
        await self.theirs()
        self.transport.admit()


async def post(address: DialAddress, offer: Offer) -> P2pConnectionResponse:
    url = address.method.http_url()
    assert url is not None
    headers = {"Content-Type": "application/json"}
    async with ClientSession() as session, session.post(url, data=offer.to_json(), headers=headers) as reply:
        return P2pConnectionResponse.from_json(await reply.read())


class Endpoint:
    """A signaling server whose behaviour is the test's: `respond(offer) -> response`."""

    def __init__(self, respond: Callable[[Offer], Awaitable[P2pConnectionResponse]]) -> None:
        self._respond = respond
        self.seen: list[Offer] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post(PATH, self._post)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def address(self, peer: PeerId) -> DialAddress:
        return DialAddress(peer, Http(LOCALHOST, self.port))

    async def _post(self, request: web.Request) -> web.Response:
        offer = Offer.from_json(await request.read())
        self.seen.append(offer)
        response = await self._respond(offer)
        return web.Response(body=response.to_json(), status=response.http_status, content_type="application/json")
