"""Two or more cores in one small world: effects are performed by a fake shell, the network is a handful of queues.

Time is virtual, and so is cryptography (a seal is recognisable, not secret). What happens inside one side is delivered
at once and in order; what crosses the network lies in queues ("lanes"), and the test or a search picks the next one.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Hashable
from hashlib import sha256
from ipaddress import IPv4Address, ip_network
from typing import Any

from tests.machines.application import Application

from mina_webrtc.identity import ChainId, PeerId, PublicKey, SecretKey
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.keeping import Keeping
from mina_webrtc.machines.vocab import AuthVerdict, Settings
from mina_webrtc.store import Store
from mina_webrtc.wire.address import DialAddress, Host, Http, Relayed
from mina_webrtc.wire.auth import ConnectionAuth
from mina_webrtc.wire.signal import Offer, P2pConnectionResponse

KEYS = sorted((SecretKey.deterministic(index) for index in range(16)), key=lambda key: key.peer_id)
"""By peer id: the one with the higher index is the greater peer."""
CHANNELS = range(9)


KEEPING = Keeping(
    reconnect=30.0,
    reconnect_max=600.0,
    max_dials=8,
    max_known=1000,
    max_learnt_per_peer=32,
    ask_interval=20.0,
    room_interval=10.0,
    room_age=90.0,
    ban=600.0,
    max_source_faults=16,
    learnt_networks=(ip_network("127.0.0.0/8"),),
)

SPREADING = v.Spreading(
    batch=4, max_queued=8, max_handlers=2, max_waiting=16, max_waiting_bytes=1 << 20, memory=64, timeout=30.0
)


def settings(index: int, **changes: Any) -> Settings:
    """The settings of the node with key `index`."""
    defaults: dict[str, Any] = {
        "public_key": KEYS[index].public_key,
        "chain_id": ChainId.DEVNET,
        "advertised_host": Host(IPv4Address("127.0.0.1")),
        "advertised_port": None,
        "max_peers": 100,
        "min_peers": 0,
        "seed": 1,
        "max_pending_incoming": 64,
        "max_pending_per_source": 4,
        "max_pending_outgoing": 64,
        "max_pending_requests": 5,
        "outgoing_timeout": 15.0,
        "incoming_timeout": 30.0,
        "yield_timeout": 4.0,
        "caution": 3.0,
        "handler_timeout": 60.0,
        "stalled": 180.0,
        "stream_idle": 60.0,
        "max_trees": 30,
        "max_initial_peers": 100,
        "max_through_relay": 25,
        "relay_timeout": 10.0,
        "relay_rest": 60.0,
        "pair_memory": 600.0,
        "allow_loopback": True,
        "allow_link_local": False,
        "keeping": KEEPING,
        "spreading": SPREADING,
    }
    return Settings(**(defaults | changes))


def address(index: int, port: int | None = None) -> DialAddress:
    """Where the node with key `index` is dialled."""
    return DialAddress(
        KEYS[index].peer_id, Http(Host(IPv4Address("127.0.0.1")), 3000 + index if port is None else port)
    )


def sdp(ufrag: str, *, extra: str = "") -> str:
    """The least that passes for an SDP; `ufrag` names the connection's end it belongs to."""
    fingerprint = ":".join(f"{byte:02X}" for byte in sha256(ufrag.encode()).digest())
    return (
        f"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{extra}"
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n"
        f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:sha-256 {fingerprint}\r\n"
        "a=candidate:1 1 UDP 2130706431 127.0.0.1 9 typ host\r\na=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\n"
    )


def offer(frm: int, to: int, *, name: str = "offer", **changes: Any) -> Offer:
    """An offer as the node with key `frm` would send it to the one with key `to`."""
    fields: dict[str, Any] = {
        "sdp": sdp(name),
        "chain_id": ChainId.DEVNET,
        "identity_pub_key": KEYS[frm].public_key,
        "target_peer_id": KEYS[to].peer_id,
        "host": Host(IPv4Address("127.0.0.1")),
        "listen_port": None,
    }
    return Offer(**(fields | changes))


class End:
    """One end of a peer connection."""

    def __init__(self, side: Side, conn: int, ufrag: str) -> None:
        self.side, self.conn, self.ufrag = side, conn, ufrag
        self.remote: str | None = None
        self.connected = False
        self.closed = False
        self.admitted = False
        self.early: list[v.MessageReceived] = []
        self.exchange: Exchange | None = None


class Exchange:
    """One HTTP request with its answer."""

    def __init__(self, number: int, asker: Side, conn: int, target: Side) -> None:
        self.number, self.asker, self.conn, self.target = number, asker, conn, target
        self.answered = False


class Side(Application):
    """One node: its core, and a record of what it was told to do."""

    def __init__(self, world: World, index: int, **changes: Any) -> None:
        super().__init__()
        self.world = world
        self.index = index
        self.settings = settings(index, **changes)
        self.store = Store(self.settings)
        self.key: PublicKey = self.settings.public_key
        self.id: PeerId = self.key.peer_id
        self.done: list[v.Effect] = []
        self.ends: dict[int, End] = {}
        self.nonces: dict[int, set[bytes]] = {}
        self.dials = 0
        self.dialled_at: list[float] = []
        self.gone: Counter[int] = Counter()

    def dial(self, index: int, **where: Any) -> int:
        """Requests a dial and returns its number."""
        self.dials += 1
        self.give(v.DialRequested(self.dials, address(index, **where)))
        return self.dials

    def give(self, event: v.Event) -> list[v.Effect]:
        """One event to the core; its effects are performed."""
        effects = self.store.dispatch(event, self.world.now)
        self.perform(effects)
        self.world.drain()
        return effects

    def perform(self, effects: list[v.Effect]) -> None:
        for effect in effects:
            self.done.append(effect)
            perform = getattr(self, "_" + type(effect).__name__, None)
            if perform is not None:
                perform(effect)

    def told(self, kind: type[v.Effect]) -> list[Any]:
        """The effects of one kind so far."""
        return [effect for effect in self.done if type(effect) is kind]

    @property
    def ready(self) -> list[int]:
        """Connections of ready peers."""
        return [peer["conn"] for peer in self.store.state()["ready"]]

    def local(self, event: v.Event) -> None:
        self.world.local.append((self, event))

    # ------------------------------------------------------------ the shell

    def _CreateOffer(self, effect: v.CreateOffer) -> None:
        self.dialled_at.append(self.world.now)
        end = self._open(effect.conn)
        self.world.post(("gather", end.ufrag), self, v.OfferSdpCreated(effect.conn, sdp(end.ufrag)), end)

    def _CreateAnswer(self, effect: v.CreateAnswer) -> None:
        end = self._open(effect.conn)
        end.remote = ufrag_of(effect.offer_sdp)
        self.world.post(("gather", end.ufrag), self, v.AnswerSdpCreated(effect.conn, sdp(end.ufrag)), end)

    def _open(self, conn: int) -> End:
        end = End(self, conn, f"{self.index}x{conn}")
        self.ends[conn] = self.world.ends[end.ufrag] = end
        return end

    def _SetAnswer(self, effect: v.SetAnswer) -> None:
        end = self.ends[effect.conn]
        end.remote = ufrag_of(effect.answer_sdp)
        self.world.connect(end)

    def _Send(self, effect: v.Send) -> None:
        end = self.ends[effect.conn]
        assert end.connected
        assert not end.closed
        self.local(v.MessagesSent(effect.conn, 1))
        other = self.world.other(end)
        if other is not None:
            event = v.MessageReceived(other.conn, effect.channel, effect.payload)
            self.world.post(("data", end.ufrag), other.side, event, other)

    def _Admit(self, effect: v.Admit) -> None:
        end = self.ends[effect.conn]
        end.admitted = True
        for event in end.early:
            self.local(event)
        end.early.clear()

    def _CloseConnection(self, effect: v.CloseConnection) -> None:
        self.gone[effect.conn] += 1
        end = self.ends.pop(effect.conn)
        self.nonces.pop(effect.conn, None)
        end.closed = True
        if end.exchange is not None and not end.exchange.answered:
            end.exchange.target.local(v.OfferWithdrawn(end.exchange.number))
        other = self.world.other(end)
        if other is not None and end.connected:
            event = v.TransportFailed(other.conn, "lost", "the other side closed")
            self.world.post(("data", end.ufrag), other.side, event, other)

    def _CloseChannel(self, effect: v.CloseChannel) -> None:
        end = self.ends[effect.conn]
        other = self.world.other(end)
        if other is not None:
            self.world.post(("data", end.ufrag), other.side, v.ChannelClosed(other.conn, effect.channel), other)

    def _PrepareOffer(self, effect: v.PrepareOffer) -> None:
        body = effect.offer.to_json()
        if isinstance(effect.method, Relayed):
            body = wrap(self.key, effect.target.public_key, body)
        self.local(v.OfferPrepared(effect.conn, body))

    def _OpenAnswer(self, effect: v.OpenAnswer) -> None:
        try:
            response = P2pConnectionResponse.from_json(unwrap(self.key, effect.peer, effect.sealed))
        except ValueError:
            self.local(v.SignalingFailed(effect.conn, "undecryptable", ""))
            return
        own = response.answer is not None and self.world.own(self, response.answer.sdp)
        self.local(v.AnswerReceived(effect.conn, response, own))

    def _OpenOffer(self, effect: v.OpenOffer) -> None:
        try:
            received = Offer.from_json(unwrap(self.key, effect.offerer, effect.sealed))
        except ValueError:
            self.local(v.OfferOpened(effect.signal, None, False))
            return
        self.local(v.OfferOpened(effect.signal, received, self.world.own(self, received.sdp)))

    def _SealAnswer(self, effect: v.SealAnswer) -> None:
        self.local(v.AnswerSealed(effect.signal, wrap(self.key, effect.offerer, effect.response.to_json())))

    def _SendOffer(self, effect: v.SendOffer) -> None:
        self.world.send_offer(self, effect)

    def _Respond(self, effect: v.Respond) -> None:
        self.world.respond(self, effect)

    def _SealAuth(self, effect: v.SealAuth) -> None:
        self.world.nonce += 1
        nonce = self.world.nonce.to_bytes(12, "big")
        self.nonces.setdefault(effect.conn, set()).add(nonce)
        self.local(v.AuthSealed(effect.conn, seal(self.key, effect.peer, bytes(effect.auth), nonce)))

    def _OpenAuth(self, effect: v.OpenAuth) -> None:
        verdict = self.judge(effect.peer, effect.auth, effect.received)
        self.local(v.AuthOpened(effect.conn, verdict))

    def judge(self, peer: PublicKey, auth: ConnectionAuth, received: bytes) -> AuthVerdict:
        """What the real shell finds, in the same order."""
        if len(received) != 92:
            return AuthVerdict.LENGTH
        if any(received[:12] in nonces for nonces in self.nonces.values()):
            return AuthVerdict.REFLECTED
        if received != seal(self.key, peer, received[12:76], received[:12]):
            return AuthVerdict.UNDECRYPTABLE
        return AuthVerdict.PASSED if received[12:76] == bytes(auth) else AuthVerdict.MISMATCH


class World:
    """All sides and the network between them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sides: dict[int, Side] = {}
        self.ends: dict[str, End] = {}
        self.local: deque[tuple[Side, v.Event]] = deque()
        self.lanes: dict[Hashable, deque[tuple[Side, v.Event, End | None]]] = {}
        self.exchanges: dict[int, Exchange] = {}
        self.signals = 0
        self.nonce = 0
        self.tamper_offer: Callable[[Offer], Offer] = lambda offer: offer
        self.tamper_answer: Callable[[P2pConnectionResponse], P2pConnectionResponse] = lambda response: response
        self.sources: dict[int, str] = {}
        self._draining = False

    def side(self, index: int, **changes: Any) -> Side:
        """A new node."""
        side = self.sides[index] = Side(self, index, **changes)
        return side

    def post(self, lane: Hashable, side: Side, event: v.Event, end: End | None = None) -> None:
        """`event` travels to `side`; it is dropped when `end` is closed by then."""
        self.lanes.setdefault(lane, deque()).append((side, event, end))

    def deliver(self, lane: Hashable) -> None:
        """The oldest event of one lane arrives."""
        queue = self.lanes[lane]
        side, event, end = queue.popleft()
        if not queue:
            del self.lanes[lane]
        if end is not None and isinstance(event, v.MessageReceived) and event.channel != 0 and not end.admitted:
            end.early.append(event)  # a transport keeps what comes before authentication (protocol.md §6)
        elif end is None or not end.closed:
            side.give(event)

    def drain(self) -> None:
        """Everything local, in order."""
        if self._draining:
            return
        self._draining = True
        while self.local:
            side, event = self.local.popleft()
            conn = getattr(event, "conn", None)
            if conn is None or conn in side.ends:
                side.give(event)
        self._draining = False

    def run(self) -> None:
        """Until nothing travels any more."""
        while self.lanes:
            self.deliver(next(iter(self.lanes)))

    def wait(self, seconds: float) -> None:
        """Time passes: every timer on the way fires when it is due."""
        end = self.now + seconds
        while True:
            due = [(deadline, side) for side in self.sides.values() if (deadline := side.store.deadline()) is not None]
            if not due or min(due, key=lambda entry: entry[0])[0] > end:
                break
            self.now, side = min(due, key=lambda entry: entry[0])
            while (event := side.store.next_due(self.now)) is not None:
                side.perform(side.store.dispatch(event, self.now))
            self.drain()
            self.run()
        self.now = end

    # ------------------------------------------------------------ signaling

    def send_offer(self, asker: Side, effect: v.SendOffer) -> None:
        target = self.sides.get(effect.method.port - 3000)  # type: ignore[attr-defined]
        end = asker.ends[effect.conn]
        if target is None:
            self.post(("http", end.ufrag), asker, v.SignalingFailed(effect.conn, "refused", "nobody is there"), end)
            return
        self.signals += 1
        exchange = self.exchanges[self.signals] = Exchange(self.signals, asker, effect.conn, target)
        end.exchange = exchange
        received = self.tamper_offer(Offer.from_json(effect.body))
        own = self.own(target, received.sdp)
        source = self.sources.get(asker.index, f"10.0.0.{asker.index}")
        self.post(("http", end.ufrag), target, v.OfferReceived(self.signals, received, source, own))
        asker.local(v.OfferSent(effect.conn))

    def respond(self, target: Side, effect: v.Respond) -> None:
        exchange = self.exchanges.get(effect.signal)
        if exchange is None:
            return
        exchange.answered = True
        end = exchange.asker.ends.get(exchange.conn)
        if effect.conn is not None:
            hung_up = v.SignalingFailed(effect.conn, "hung_up", "")
            target.local(hung_up if end is None else v.AnswerSent(effect.conn))
        if end is not None:
            response = self.tamper_answer(effect.response)
            own = response.answer is not None and self.own(exchange.asker, response.answer.sdp)
            event = v.AnswerReceived(exchange.conn, response, own)
            self.post(("answer", end.ufrag), exchange.asker, event, end)

    def own(self, side: Side, text: str) -> bool:
        """Whether an SDP carries a fingerprint of this side."""
        return any(end.ufrag == ufrag_of(text) for end in side.ends.values())

    # ------------------------------------------------------------ transport

    def other(self, end: End) -> End | None:
        other = self.ends.get(end.remote or "")
        return other if other is not None and not other.closed and other.remote == end.ufrag else None

    def connect(self, end: End) -> None:
        """Both have the other's SDP: everything comes up, at each end in its own time."""
        other = self.other(end)
        if other is None:
            return
        for one in (end, other):
            one.connected = True
            lane = ("up", one.ufrag)
            self.post(lane, one.side, v.IceConnected(one.conn), one)
            self.post(lane, one.side, v.DtlsConnected(one.conn), one)
            for channel in CHANNELS:
                self.post(lane, one.side, v.ChannelOpened(one.conn, channel), one)


def ufrag_of(text: str) -> str:
    match = re.search(r"a=ice-ufrag:(\S+)", text)
    return match[1] if match else ""


def seal(mine: PublicKey, theirs: PublicKey, auth: bytes, nonce: bytes) -> bytes:
    """As the real one in what matters: 92 bytes, the same key in both directions, bound to both identities."""
    shared = b"".join(sorted((bytes(mine), bytes(theirs))))
    return nonce + auth + sha256(shared + nonce + auth).digest()[:16]


def wrap(mine: PublicKey, theirs: PublicKey, text: bytes) -> bytes:
    """A sealed signal: the same key in both directions."""
    return sha256(b"".join(sorted((bytes(mine), bytes(theirs))))).digest() + text


def unwrap(mine: PublicKey, theirs: PublicKey, sealed: bytes) -> bytes:
    """Raises `ValueError` for what was sealed between others."""
    if sealed[:32] != wrap(mine, theirs, b""):
        raise ValueError("not for us")
    return sealed[32:]


def assert_clean(side: Side) -> None:
    """Nothing is left of anything that is over, and every connection was closed once."""
    state = side.store.state()
    assert not state["attempts"]
    assert not state["dials"]
    assert all(count == 1 for count in side.gone.values())
    assert set(side.ready) == set(side.ends)
