"""One simulated node: a real store, and a shell that performs its effects in virtual time.

The loop is the driver's: an event, a transition, its effects, the next deadline; events that performing an effect
causes are queued. What takes a node no time (serialising, sealing) is answered within the same turn.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from time import thread_time_ns
from typing import TYPE_CHECKING, Any

from mina_webrtc.config import Config
from mina_webrtc.errors import LocalProtocolError, RemoteProtocolError, SignalError
from mina_webrtc.identity import PublicKey
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.keeping import Known, Origin
from mina_webrtc.machines.vocab import AuthVerdict
from mina_webrtc.store import Store
from mina_webrtc.testing.application import Application
from mina_webrtc.testing.ends import MAX_MESSAGE, End
from mina_webrtc.testing.items import SimItems
from mina_webrtc.testing.network import Exchange, Network
from mina_webrtc.testing.seals import NONCE, WEAK, make_sdp, read_ends, seal, unseal
from mina_webrtc.wire.address import DialAddress, Http, Relayed
from mina_webrtc.wire.signal import Offer, P2pConnectionResponse

if TYPE_CHECKING:
    from mina_webrtc.testing.invariants import Watch

AUTH_BYTES = 92
GATHERING = (0.002, 0.05)
"""Seconds that making an SDP takes, at least and at most."""
WRITING = 0.001
"""Seconds until something handed to a socket has left."""


class SimNode:
    """A node at `host`; `listens` when its signaling server can be reached there. After a crash it is another one."""

    def __init__(self, network: Network, host: str, config: Config, seed: int) -> None:
        settings = config.machine_settings(allow_loopback=False, seed=seed)
        self.network, self.host, self.config, self.settings = network, host, config, settings
        self.store = Store(settings)
        self.key = settings.public_key
        self.id = self.key.peer_id
        self.listens = settings.advertised_port is not None
        self.alive = True
        self.honest = True
        self.lead = 0.0
        """How far its clock is ahead."""
        self.disk: dict[DialAddress, Known] = {}
        """What survives a crash."""
        self.ends: dict[int, End] = {}
        self.exchanges: dict[int, Exchange] = {}
        """Our requests to signaling servers, by connection."""
        self.signals: dict[int, Exchange] = {}
        """Those to ours."""
        self.items = SimItems(self)
        self.application = Application(self)
        self.watch: Watch | None = None
        self.on_step: Callable[[SimNode, v.Event, Sequence[v.Effect]], None] | None = None
        self.times: array[int] | None = None
        """Nanoseconds of each transition with its effects, when somebody measures."""
        self._own: set[str] = set()
        """Fingerprints of our ends."""
        self._nonces: dict[int, bytes] = {}
        self._numbers = 0
        self._queue: deque[v.Event] = deque()
        self._draining = False
        self._wake: float | None = None
        self.performers: dict[type[v.Effect], Callable[[Any], None]] = {
            v.CreateOffer: self._create_offer,
            v.CreateAnswer: self._create_answer,
            v.SetAnswer: self._set_answer,
            v.Send: self._send,
            v.Expect: self._expect,
            v.Admit: self._admit,
            v.CloseChannel: self._close_channel,
            v.CloseConnection: self._close_connection,
            v.PrepareOffer: self._prepare_offer,
            v.SendOffer: self._send_offer,
            v.Respond: self._respond,
            v.OpenAnswer: self._open_answer,
            v.OpenOffer: self._open_offer,
            v.SealAnswer: self._seal_answer,
            v.SealAuth: self._seal_auth,
            v.OpenAuth: self._open_auth,
            v.KeepAddress: self._keep_address,
            v.DropAddress: self._drop_address,
            **self.items.performers,
            **self.application.performers,
        }
        network.join(self)

    @property
    def address(self) -> DialAddress:
        """Where it is dialled."""
        return DialAddress(self.id, Http(self.settings.advertised_host, self.settings.advertised_port or 0))

    @property
    def now(self) -> float:
        """What its own clock says."""
        return self.network.clock.now + self.lead

    # ------------------------------------------------------------ the application

    def start(self, disk: dict[DialAddress, Known]) -> None:
        """Begins with what an earlier run has left, and with the seeds of its configuration."""
        self.disk = disk
        seeds = (Known(address=DialAddress.parse(text), origin=Origin.CONFIGURED) for text in self.config.seeds)
        self.give(v.AddressesGiven((*disk.values(), *seeds)))

    def dial(self, address: DialAddress) -> int:
        """Requests a dial and returns its number."""
        number = self._number()
        self.give(v.DialRequested(number, address))
        return number

    def request(self, conn: int, kind: int, body: bytes, timeout: float) -> int:
        """Asks a peer and returns the request's number."""
        number = self._number()
        self.give(v.RequestMade(number, conn, kind, body, timeout))
        return number

    def stream(self, conn: int, state_hash: bytes, timeout: float) -> int:
        """Asks a peer for a staged ledger in parts and returns the request's number."""
        number = self._number()
        self.application.reads(number, conn)
        self.give(v.StreamAsked(number, conn, state_hash, timeout))
        return number

    def crash(self) -> None:
        """The process dies: nothing is closed, nobody is told."""
        self.alive = False
        for end in self.ends.values():
            self.network.vanish(end)
        for exchange in self.signals.values():
            self.network.break_off(exchange)
        for exchange in self.exchanges.values():
            self.network.hang_up(exchange)
        self.ends.clear()

    def jump(self, seconds: float) -> None:
        """Its clock goes ahead, as it does when a machine wakes up."""
        self.lead += seconds
        self._expire(None)

    # ------------------------------------------------------------ the loop

    def give(self, event: v.Event) -> None:
        """Queues an event and drains the queue, unless that is going on already."""
        if not self.alive:
            return
        self._queue.append(event)
        if not self._draining:
            self._drain()

    def _drain(self) -> None:
        queue, self._draining = self._queue, True
        try:
            while queue:
                event = queue.popleft()
                conn = getattr(event, "conn", 0)
                if conn in self.ends or not conn or type(event) is v.TimerFired:
                    self._step(event)
        finally:
            self._draining = False
        self._arm()

    def _step(self, event: v.Event) -> None:
        begin = thread_time_ns() if self.times is not None else 0
        effects = self.store.dispatch(event, self.now)
        performers = self.performers
        for effect in effects:
            perform = performers.get(type(effect))
            if perform is not None:
                perform(effect)
            elif not isinstance(effect, v.Notice):
                raise LocalProtocolError(f"nobody performs {type(effect).__name__}")
        if self.times is not None:
            self.times.append(thread_time_ns() - begin)
        if self.on_step is not None:
            self.on_step(self, event, effects)
        if self.watch is not None:
            self.watch.stepped(event, effects)

    def _arm(self) -> None:
        deadline = self.store.deadline()
        if deadline is None:
            return
        when = deadline - self.lead
        if self._wake is None or when < self._wake:
            self._wake = when
            self.network.clock.at(when, self._expire, when)

    def _expire(self, wake: float | None) -> None:
        if not self.alive:
            return
        if wake is not None:
            if wake != self._wake:
                return
            self._wake = None
        now = self.now
        while (event := self.store.next_due(now)) is not None:
            self.give(event)
        self._arm()

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    # ------------------------------------------------------------ transport

    def _open(self, conn: int) -> End:
        end = End(self, conn, f"{self.host}x{conn}x{self.network.count()}")
        self.ends[conn] = end
        self._own.add(end.fingerprint)
        self.network.add(end)
        return end

    def _gather(self, end: End, event: type[v.OfferSdpCreated] | type[v.AnswerSdpCreated]) -> None:
        least, most = GATHERING
        wait = least + (most - least) * self.network.chance.bits() / 2**64
        self.network.clock.after(
            wait, self._gathered, end, event(end.conn, make_sdp(end.ufrag, end.fingerprint, self.host))
        )

    def _gathered(self, end: End, event: v.Event) -> None:
        if not end.closed:
            self.give(event)

    def _create_offer(self, effect: v.CreateOffer) -> None:
        self._gather(self._open(effect.conn), v.OfferSdpCreated)

    def _create_answer(self, effect: v.CreateAnswer) -> None:
        end = self._open(effect.conn)
        end.remote, end.expected = read_ends(effect.offer_sdp)
        self._gather(end, v.AnswerSdpCreated)
        self.network.seek(end)

    def _set_answer(self, effect: v.SetAnswer) -> None:
        end = self.ends[effect.conn]
        end.remote, end.expected = read_ends(effect.answer_sdp)
        self.network.seek(end)

    def _send(self, effect: v.Send) -> None:
        end, channel, payload = self.ends[effect.conn], effect.channel, effect.payload
        if not end.up or end.shut >> channel & 1:
            raise LocalProtocolError(f"channel {channel} is not open")
        if not 0 < len(payload) <= MAX_MESSAGE[channel]:
            raise LocalProtocolError(f"{len(payload)} bytes on channel {channel}")
        self.network.carry(end, channel, end.chunks(channel, payload))
        self.network.clock.after(WRITING, self._left, end)

    def _left(self, end: End) -> None:
        if not end.closed:
            self.give(v.MessagesSent(end.conn, 1))

    def _expect(self, effect: v.Expect) -> None:
        self.ends[effect.conn].expect(effect.channel, effect.large)

    def _admit(self, effect: v.Admit) -> None:
        end = self.ends[effect.conn]
        self._take(end, end.admit)

    def _close_channel(self, effect: v.CloseChannel) -> None:
        end, channel = self.ends[effect.conn], effect.channel
        if end.shut >> channel & 1:
            return
        end.shut |= 1 << channel
        self.network.carry(end, channel, ())
        self._queue.append(v.ChannelClosed(end.conn, channel))

    def _close_connection(self, effect: v.CloseConnection) -> None:
        end = self.ends.pop(effect.conn)
        self._own.discard(end.fingerprint)
        self._nonces.pop(effect.conn, None)
        exchange = self.exchanges.pop(effect.conn, None)
        if exchange is not None:
            self.network.hang_up(exchange)
        self.network.part(end)

    def opened(self, end: End) -> None:
        """All channels of the end are open."""
        for channel in range(len(MAX_MESSAGE)):
            if not end.closed:
                self.give(v.ChannelOpened(end.conn, channel))

    def arrived(self, end: End, channel: int, chunks: tuple[bytes, ...]) -> None:
        """Chunks have come; none: the other one has closed the channel."""
        if end.closed or not end.up:
            return
        if chunks:
            self._take(end, lambda: [(channel, end.receive(channel, chunks))])
        elif not end.shut >> channel & 1:
            end.shut |= 1 << channel
            self.give(v.ChannelClosed(end.conn, channel))

    def _take(self, end: End, receive: Callable[[], Sequence[tuple[int, list[bytes]]]]) -> None:
        try:
            received = receive()
        except RemoteProtocolError as error:
            self.give(v.TransportFailed(end.conn, "protocol_error", str(error), True))
            return
        for channel, payloads in received:
            for payload in payloads:
                self.give(v.MessageReceived(end.conn, channel, payload))

    # ------------------------------------------------------------ signaling

    def _prepare_offer(self, effect: v.PrepareOffer) -> None:
        body = effect.offer.to_json()
        if isinstance(effect.method, Relayed):
            sealed = self._seal(effect.target.public_key, body)
            if sealed is None:
                self.give(v.SignalingFailed(effect.conn, "unsealable", "a weak key"))
                return
            body = sealed
        self.give(v.OfferPrepared(effect.conn, body))

    def _send_offer(self, effect: v.SendOffer) -> None:
        end, host = self.ends[effect.conn], getattr(effect.method, "host", None)
        if effect.learnt and not getattr(getattr(host, "value", None), "is_global", True):
            self.give(v.SignalingFailed(effect.conn, "forbidden", "not a global address"))
            return
        self.network.post(self, end, str(host), effect.body, effect.timeout)
        self.network.clock.after(WRITING, self._posted, end)

    def _posted(self, end: End) -> None:
        if not end.closed:
            self.give(v.OfferSent(end.conn))

    def offered(self, exchange: Exchange, body: bytes) -> None:
        """Somebody posts an offer."""
        if exchange.over or not self.network.reachable(exchange.asker.host, self.host):
            return
        if not self.alive:
            self.network.break_off(exchange)
            return
        try:
            offer = Offer.from_json(body)
        except SignalError:
            self.network.answer(exchange, P2pConnectionResponse.signal_decryption_failed())
            return
        exchange.signal = self._number()
        self.signals[exchange.signal] = exchange
        self.give(v.OfferReceived(exchange.signal, offer, exchange.asker.host, self.is_own(offer.sdp)))

    def withdrawn(self, exchange: Exchange) -> None:
        """Who posted an offer hung up."""
        if self.signals.pop(exchange.signal, None) is not None:
            self.give(v.OfferWithdrawn(exchange.signal))

    def _respond(self, effect: v.Respond) -> None:
        exchange = self.signals.pop(effect.signal, None)
        sent = exchange is not None and self.network.answer(exchange, effect.response)
        if effect.conn is not None:
            hung_up = v.SignalingFailed(effect.conn, "hung_up", "the offerer went away before our answer")
            self.give(v.AnswerSent(effect.conn) if sent else hung_up)

    def answered(self, end: End, body: bytes) -> None:
        """A signaling server has answered."""
        self.exchanges.pop(end.conn, None)
        if end.closed:
            return
        try:
            response = P2pConnectionResponse.from_json(body)
        except SignalError as error:
            self.give(v.SignalingFailed(end.conn, "bad_response", str(error)))
            return
        own = response.answer is not None and self.is_own(response.answer.sdp)
        self.give(v.AnswerReceived(end.conn, response, own))

    # ------------------------------------------------------------ signaling through a relay

    def _open_answer(self, effect: v.OpenAnswer) -> None:
        opened = unseal(self.key, effect.peer, effect.sealed)
        try:
            response = P2pConnectionResponse.from_json(opened or b"")
        except SignalError as error:
            self.give(v.SignalingFailed(effect.conn, "undecryptable", str(error)))
            return
        own = response.answer is not None and self.is_own(response.answer.sdp)
        self.give(v.AnswerReceived(effect.conn, response, own))

    def _open_offer(self, effect: v.OpenOffer) -> None:
        opened = unseal(self.key, effect.offerer, effect.sealed)
        try:
            offer = Offer.from_json(opened or b"")
        except SignalError:
            self.give(v.OfferOpened(effect.signal, None, False))
            return
        self.give(v.OfferOpened(effect.signal, offer, self.is_own(offer.sdp)))

    def _seal_answer(self, effect: v.SealAnswer) -> None:
        self.give(v.AnswerSealed(effect.signal, self._seal(effect.offerer, effect.response.to_json())))

    # ------------------------------------------------------------ keys

    def _seal(self, peer: PublicKey, message: bytes) -> bytes | None:
        """None towards a key that nothing can be encrypted to."""
        if peer == WEAK:
            return None
        return seal(self.key, peer, message, self.network.count().to_bytes(NONCE, "big"))

    def is_own(self, sdp: str) -> bool:
        """Whether an SDP announces a fingerprint of ours (protocol.md §3)."""
        return read_ends(sdp)[1] in self._own

    def _seal_auth(self, effect: v.SealAuth) -> None:
        sealed = self._seal(effect.peer, bytes(effect.auth))
        if sealed is None:
            self.give(v.AuthOpened(effect.conn, AuthVerdict.UNDECRYPTABLE))
            return
        self._nonces[effect.conn] = sealed[:NONCE]
        self.give(v.AuthSealed(effect.conn, sealed))

    def _open_auth(self, effect: v.OpenAuth) -> None:
        self.give(v.AuthOpened(effect.conn, self._judge(effect)))

    def _judge(self, effect: v.OpenAuth) -> AuthVerdict:
        received = effect.received
        if len(received) != AUTH_BYTES:
            return AuthVerdict.LENGTH
        if received[:NONCE] in self._nonces.values():
            return AuthVerdict.REFLECTED
        theirs = unseal(self.key, effect.peer, received)
        if theirs is None:
            return AuthVerdict.UNDECRYPTABLE
        return AuthVerdict.PASSED if theirs == bytes(effect.auth) else AuthVerdict.MISMATCH

    # ------------------------------------------------------------ memory

    def _keep_address(self, effect: v.KeepAddress) -> None:
        self.disk[effect.known.address] = effect.known

    def _drop_address(self, effect: v.DropAddress) -> None:
        self.disk.pop(effect.address, None)
