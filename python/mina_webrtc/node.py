"""The façade: one node with its identity, its signaling server, its peers."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from enum import Enum
from math import inf
from pathlib import Path
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import Any, Self
from weakref import WeakSet

from msgspec import Struct

from mina_webrtc.config import Config, seed_address
from mina_webrtc.errors import ClosedError, DialError
from mina_webrtc.identity import PeerId
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.keeping import Known, Origin
from mina_webrtc.services.base import ChannelSpec, TransportSettings, TransportStats
from mina_webrtc.services.budget import Budget
from mina_webrtc.services.driver import Driver
from mina_webrtc.services.items import Interest, ItemHandler, ItemId, digest
from mina_webrtc.services.keys import Keys
from mina_webrtc.services.peerdb import PeerDb
from mina_webrtc.services.requests import Handler
from mina_webrtc.services.seeds import SeedPages, read_list
from mina_webrtc.services.signaling import Signaling, loopback_only
from mina_webrtc.services.streams import PartStream, StreamHandler
from mina_webrtc.services.transport_aiortc import AiortcTransports
from mina_webrtc.store import Store
from mina_webrtc.wire.address import DialAddress, Libp2pAddress
from mina_webrtc.wire.channels import Channel, Topic
from mina_webrtc.wire.messages import Rpc, decode_initial_peers
from mina_webrtc.wire.streaming import PART_TIMEOUT

log = logging.getLogger("mina_webrtc.node")


class Timings(Struct, frozen=True):
    """How long each part of a connection's making took, in seconds. `authentication` begins when DTLS is up and so
    includes the opening of the SCTP association; `total` is from the dial (or the offer's arrival) to ready."""

    gathering: float
    signaling: float
    ice: float
    dtls: float
    authentication: float
    total: float


class Peer:
    """A ready peer: authenticated, and able to be asked. Made by the node only.

    How it was found: `outgoing` with the `address` that was dialled, its `origin` (None when the application asked for
    it) and its `teller`, the peer that told of it; or incoming, with the `source` of its offer. `relay` is the peer
    through which offer and answer went, None when they went directly.
    """

    def __init__(
        self, notice: v.PeerReady, timings: Timings, path: v.IcePath | None, driver: Driver, limit: int
    ) -> None:
        self._driver = driver
        self._limit = limit
        self.renew(notice, timings, path)

    def renew(self, notice: v.PeerReady, timings: Timings, path: v.IcePath | None) -> None:
        """A newer connection to the same peer took the place of this one's (protocol.md §4); requests go there now."""
        self.id = notice.peer
        self.conn = notice.conn
        self.outgoing = notice.outgoing
        self.marked = notice.marked
        self.address = notice.address
        self.origin = notice.origin
        self.teller = notice.teller
        self.source = notice.source
        self.relay = notice.relay
        self.timings = timings
        self._path = path

    @property
    def path(self) -> v.IcePath | None:
        """The candidate pair in use, with its latest round-trip time; the last one known when the peer is gone."""
        stats = self.stats()
        if stats is not None and stats.path is not None:
            self._path = stats.path
        return self._path

    def __repr__(self) -> str:
        return f"Peer({self.id}, {'outgoing' if self.outgoing else 'incoming'})"

    async def request(self, rpc: Rpc, body: bytes = b"", timeout: float | None = None) -> bytes | None:
        """Asks the peer (protocol.md §7). `body` holds the bin_prot fields of the request's variant.

        Returns the answer's body, None when the peer does not have it. `timeout` in seconds, by default the one of §7.
        Raises `RequestError` (`timeout`, `too_many_requests`, `closed`, …), `ValueError` for a timeout that is none.
        """
        kind = Rpc(rpc)
        wait = _seconds(kind.timeout if timeout is None else timeout)
        return await self._driver.requests.ask(self.conn, kind, body, wait)

    async def stream_staged_ledger(self, state_hash: bytes, timeout: float = PART_TIMEOUT) -> PartStream | None:
        """Asks the peer for the staged ledger at a block, in parts (protocol.md §7); one stream per peer at a time.

        Returns the parts, which are then asked for one by one, or None when the peer does not have it. `timeout` in
        seconds, for each part. Raises `RequestError`, `ValueError` for a timeout that is none.
        """
        return await self._driver.streams.read(self.conn, state_hash, _seconds(timeout))

    async def initial_peers(self, timeout: float | None = None) -> list[DialAddress | Libp2pAddress]:
        """Asks the peer for addresses of others. Claims: nobody has authenticated at them yet.

        Raises `RequestError`.
        """
        body = await self.request(Rpc.INITIAL_PEERS, timeout=timeout)
        return [] if body is None else list(decode_initial_peers(body, self._limit))

    async def close(self) -> None:
        """Disconnects the peer."""
        self._driver.dispatch(v.CloseRequested(self.id))

    def stats(self) -> TransportStats | None:
        """Counters of the connection, None when it is gone."""
        return self._driver.transport_stats(self.conn)


class EventStream:
    """The notices of a node since the stream was made. Bounded: `dropped` counts what a slow reader has missed."""

    def __init__(self, limit: int) -> None:
        self._queue: asyncio.Queue[v.Notice | None] = asyncio.Queue(limit)
        self.dropped = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> v.Notice:
        notice = await self._queue.get()
        if notice is None:
            self._queue.put_nowait(None)
            raise StopAsyncIteration
        return notice

    def push(self, notice: v.Notice | None) -> None:
        """Adds a notice, None for the end; drops the oldest when the reader is too far behind."""
        if self._queue.full():
            self._queue.get_nowait()
            self.dropped += 1
        self._queue.put_nowait(notice)


class Node:
    """A node of the network. Use it as `async with Node(config) as node`, on asyncio or uvloop."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.peer_id = config.secret_key.peer_id
        self._store: Store | None = None
        self._driver: Driver | None = None
        self._signaling: Signaling | None = None
        self._db: PeerDb | None = None
        self._pages: SeedPages | None = None
        self._peers: dict[PeerId, Peer] = {}
        self._streams: WeakSet[EventStream] = WeakSet()
        self._marks: dict[int, dict[str, float]] = {}
        self._handlers: dict[int, Handler] = {}
        self._interests: dict[Topic, Interest] = {}
        self._stream_handler: StreamHandler | None = None
        self._starting = asyncio.Lock()
        self._closed = False
        self._end: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Opens the signaling server and the peer database, those that are configured, and begins to look for peers.

        Raises `ListenError`, `ConfigError`, `PeerDbError`; `ClosedError` when it is closed meanwhile. Nothing is left
        open then.
        """
        if self._driver is not None or self._closed:
            raise ClosedError("a node is started once")
        try:
            async with self._starting:
                await self._open()
            if self._closed:
                raise ClosedError("the node was closed while it started")
        except BaseException:
            await self.close()
            raise

    async def _open(self) -> None:
        config = self.config
        loopback = loopback_only() if config.allow_loopback is None else config.allow_loopback
        signaling = Signaling(config)
        client = signaling.client()
        store = Store(config.machine_settings(allow_loopback=loopback, seed=secrets.randbits(64)))
        driver = Driver(
            store,
            Keys(config.secret_key),
            AiortcTransports(config.ca_file),
            _transport_settings(config, loopback),
            client,
            self._notice,
        )
        driver.requests.handlers = self._handlers
        driver.items.interests = self._interests
        driver.streams.handler = self._stream_handler
        self._store, self._driver, self._signaling = store, driver, signaling
        known = await self._remembered()
        seeds = [seed_address(text) for text in config.seeds]
        for text in config.seed_lists:
            if text not in config.seed_pages():
                seeds += await asyncio.to_thread(read_list, Path(text))
        if self._closed:
            return
        await signaling.start(driver.on_offer)
        log.info("started", extra={"details": {"peer": str(self.peer_id), "seed": store.state()["seed"]}})
        for topic in self._interests:
            driver.dispatch(v.ItemsWanted(topic.channel))
        driver.dispatch(v.AddressesGiven(known))
        self._join(seeds)
        times = config.timeouts
        self._pages = SeedPages(client, times.signal, times.reconnect, times.reconnect_max, self._join)
        for url in config.seed_pages():
            self._pages.fetch(url)

    async def _remembered(self) -> tuple[Known, ...]:
        if self.config.peer_db is None or self._driver is None:
            return ()
        self._db = self._driver.memory = await PeerDb.open(self.config.peer_db)
        return await self._db.load(self.config.timeouts.reconnect_max)

    def _join(self, seeds: Sequence[DialAddress]) -> None:
        now = asyncio.get_running_loop().time()
        given = [Known(address=address, origin=Origin.CONFIGURED, next_try=now) for address in seeds]
        self._running().dispatch(v.AddressesGiven(tuple(given)))

    @property
    def addresses(self) -> tuple[DialAddress, ...]:
        """Where others can dial this node: the advertised address, else what the signaling server listens on."""
        methods = self._signaling.methods() if self._signaling else ()
        return tuple(DialAddress(self.peer_id, method) for method in methods)

    @property
    def peers(self) -> Mapping[PeerId, Peer]:
        """The ready peers."""
        return MappingProxyType(self._peers)

    async def dial(self, address: str | DialAddress) -> Peer:
        """Connects to the peer at `address` and returns it when it is ready; at once if it is already.

        Raises `DialError` (stage and reason), `AddressError` for text that does not parse, `ClosedError`.
        """
        if isinstance(address, str):
            address = DialAddress.parse(address)
        # When both sides dial at once the first connection may go before its successor is ready (§4): ask again, once
        for _ in range(2):
            await self._running().dial(address)
            peer = self._peers.get(address.peer)
            if peer is not None:
                return peer
        raise DialError("closed", "lost", "the peer was ready and went away at once")

    def on_request(self, rpc: Rpc, handler: Handler) -> None:
        """Registers `async handler(peer id, body) -> answer body | None` for requests of one kind.

        `InitialPeers` is answered by the node itself. Raises `ValueError` for it.
        """
        if rpc == Rpc.INITIAL_PEERS:
            raise ValueError("InitialPeers is answered by the node itself")
        self._handlers[Rpc(rpc)] = handler

    def on_stream_staged_ledger(self, handler: StreamHandler) -> None:
        """Registers what makes the parts of a staged ledger: `handler(peer id, state hash)` returns an asynchronous
        iterator, usually by being an asynchronous generator. It is asked for a part when the peer wants it, and closed
        when the peer wants no more or is gone; one without parts says that there is no such staged ledger."""
        self._stream_handler = handler
        if self._driver is not None:
            self._driver.streams.handler = handler

    def on_item(self, topic: Topic, handler: ItemHandler, *, id: ItemId = digest) -> None:
        """Asks all peers for a topic's items from now on, and has each examined once by
        `async handler(peer id, payload) -> bool | None`: True hands it on to the other peers, False disconnects whoever
        sent it and counts it against them, None does neither. A handler that fails, or takes longer than
        `Timeouts.handler`, counts as None.

        `id(payload)` says which items are the same; it must depend on the whole payload. By default it is a hash. It
        runs in the event loop, before anything is known of the item; when it fails the item is dropped. A later call
        for the same topic replaces both functions.
        """
        topic = Topic(topic)
        new = topic not in self._interests
        self._interests[topic] = Interest(handler, id)
        if new and self._driver is not None:
            self._driver.dispatch(v.ItemsWanted(topic.channel))

    def broadcast(self, topic: Topic, payload: bytes) -> int:
        """Sends an item to every ready peer, when that peer asks, and returns how many peers that are; those that sent
        it themselves are not among them, and an item that went out before goes nowhere again. The last best tip also
        goes to peers that become ready later. A best effort: a peer that does not ask misses the oldest items.

        Raises `ValueError` for a payload beyond `topic.max_payload`, `ClosedError`.
        """
        topic = Topic(topic)
        if not 0 < len(payload) <= topic.max_payload:
            raise ValueError(f"{len(payload)} bytes, an item of {topic.name} has 1 to {topic.max_payload}")
        return self._running().items.broadcast(topic, bytes(payload))

    def events(self) -> EventStream:
        """What happens from now on: values of `mina_webrtc.machines.vocab.Notice`, until the node is closed."""
        stream = EventStream(self.config.limits.event_backlog)
        if self._closed:
            stream.push(None)
        self._streams.add(stream)
        return stream

    def state(self) -> Any:
        """A plain snapshot of the machines' state; no secrets in it."""
        if self._store is None:
            raise ClosedError("the node is not running")
        return self._store.state()

    def reload_tls(self) -> None:
        """Reads the certificate files again. Raises `ListenError` for bad ones; the old ones stay in use then."""
        if self._signaling is not None:
            self._signaling.reload()

    async def close(self) -> None:
        """Disconnects everybody, frees every socket and task. Idempotent, and safe at any time: also from a handler,
        which is then cancelled; a closing that is cancelled goes on by itself."""
        self._closed = True
        if self._end is None:
            self._end = asyncio.create_task(self._free())
        await asyncio.shield(self._end)

    async def _free(self) -> None:
        async with self._starting:
            pass  # what is being opened would be missed
        async with AsyncExitStack() as stack:  # in the opposite order, each whatever becomes of those before
            stack.callback(self._told_all)
            for part in (self._db, self._driver, self._signaling, self._pages):
                if part is not None:
                    stack.push_async_callback(part.close)

    def _told_all(self) -> None:
        over = v.Failure(v.Stage.CLOSED, "closed", "the node was closed")
        for peer in list(self._peers.values()):
            self._notice(v.PeerClosed(peer.conn, peer.id, over, False))
        self._marks.clear()
        for stream in self._streams:
            stream.push(None)

    def _running(self) -> Driver:
        if self._driver is None or self._closed:
            raise ClosedError("the node is not running")
        return self._driver

    # ------------------------------------------------------------ notices

    def _notice(self, notice: v.Notice) -> None:
        now = perf_counter()  # uvloop's own clock counts whole milliseconds
        match notice:
            case v.StateChanged(conn=conn, state=word) if word in _MARKS:
                self._marks.setdefault(conn, {}).setdefault(word, now)
            case v.PeerReady():
                self._ready(notice, now)
            case v.PeerClosed(peer=peer, replaced=False):
                self._peers.pop(peer, None)
            case v.AttemptFailed(conn=conn):
                self._marks.pop(conn, None)
        _record(notice)
        for stream in self._streams:
            stream.push(notice)

    def _ready(self, notice: v.PeerReady, now: float) -> None:
        stats = self._running().transport_stats(notice.conn)
        timings = _timings(self._marks.pop(notice.conn, {}), stats, now)
        path = None if stats is None else stats.path
        known = self._peers.get(notice.peer)
        if known is not None:
            known.renew(notice, timings, path)
        else:
            limit = self.config.limits.max_initial_peers
            self._peers[notice.peer] = Peer(notice, timings, path, self._running(), limit)


def _seconds(timeout: float) -> float:
    if not 0 < timeout < inf:
        raise ValueError(f"a timeout is a number of seconds above zero, not {timeout!r}")
    return timeout


_MARKS = frozenset({"OfferSdpCreatePending", "AnswerSdpCreatePending", "OfferReady", "AnswerReady", "FinalizePending"})


def _timings(marks: dict[str, float], stats: TransportStats | None, now: float) -> Timings:
    def at(*words: str) -> float:
        return next((marks[word] for word in words if word in marks), now)

    start = at("OfferSdpCreatePending", "AnswerSdpCreatePending")
    gathered = at("OfferReady", "AnswerReady")
    signalled = at("FinalizePending")
    # both happen in the transport, which reports them when the event loop comes to it
    ice = max((stats and stats.ice_at) or signalled, signalled)
    dtls = max((stats and stats.dtls_at) or ice, ice)
    return Timings(gathered - start, signalled - gathered, ice - signalled, dtls - ice, now - dtls, now - start)


def _record(notice: v.Notice) -> None:
    """One structured log line per life event of a peer; the rest at debug level."""
    level = logging.INFO if isinstance(notice, _LIFE) else logging.DEBUG
    if log.isEnabledFor(level):
        log.log(level, "%s", type(notice).__name__, extra={"details": _plain(notice)})


_LIFE = v.PeerReady | v.PeerClosed | v.PeerBanned | v.AttemptFailed | v.SourceBarred


def _plain(value: Struct) -> dict[str, Any]:
    """The fields by name, those of a failure beside the others; what is absent is left out."""
    found: dict[str, Any] = {}
    for name in value.__struct_fields__:
        field = getattr(value, name)
        if isinstance(field, v.Failure):
            found |= _plain(field)
        elif isinstance(field, Enum):
            found[name] = field.value
        elif field is not None:
            found[name] = field if isinstance(field, bool | int | float) else str(field)
    return found


def _transport_settings(config: Config, allow_loopback: bool) -> TransportSettings:
    limits = config.limits
    return TransportSettings(
        channels=tuple(ChannelSpec(c, c.label, c.max_message, c.framed, c.max_unasked) for c in Channel),
        gathering_timeout=config.timeouts.gathering,
        early_limit=limits.early_data,
        receive_credit=limits.receive_credit,
        receive_buffer=limits.receive_buffer,
        unfinished=Budget(limits.unfinished),
        message_timeout=config.timeouts.message,
        ice_timeout=config.timeouts.ice,
        consent_timeout=config.timeouts.consent,
        ice_servers=config.ice(),
        relay_only=config.relay_only,
        udp_ports=config.udp_ports,
        interfaces=config.interfaces,
        external_ips=config.external_ips,
        allow_loopback=allow_loopback,
    )
