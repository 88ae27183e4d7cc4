"""A node that misbehaves: its store is a real one, so that it gets far; what leaves it may be changed or made up."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from mina_webrtc.config import Config
from mina_webrtc.errors import MinaWebrtcError
from mina_webrtc.identity import PublicKey
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.chance import Chance
from mina_webrtc.testing.ends import End
from mina_webrtc.testing.network import Exchange, Network
from mina_webrtc.testing.seals import fingerprint, make_sdp
from mina_webrtc.testing.shell import WRITING, SimNode
from mina_webrtc.testing.vices import ANSWERS, AUTHS, OFFERS, Stage, messages, noise
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.signal import Offer

FLOOD = 20
"""Offers at once."""


class Rogue(SimNode):
    """Each time it has something to send, it draws what it does with it."""

    def __init__(self, network: Network, host: str, config: Config, seed: int) -> None:
        super().__init__(network, host, config, seed)
        self.honest = False
        self._chance = Chance(seed)
        self._claimed: dict[int, PublicKey] = {}
        """Whom the asker of an exchange wanted."""
        self._echo: set[int] = set()
        """Connections where the peer's own authentication is sent back."""
        self._last = b""
        self._seen: deque[tuple[int, bytes]] = deque(maxlen=64)
        """What it has sent on the channels of a relay and of streams."""
        self.performers |= {
            v.PrepareOffer: self._lie,
            v.Respond: self._mislead,
            v.Send: self._spoil,
        }

    def give(self, event: v.Event) -> None:
        """As any node, but what its own lies do to it is its own trouble."""
        try:
            super().give(event)
        except MinaWebrtcError:
            self._draining = False

    def act(self, honest: Sequence[SimNode]) -> None:
        """Something that nobody has asked for."""
        deeds = (self._dial_somebody, self._flood, self._replay, self._inject, self._inject, self._hush, self._give_up)
        deeds[self._chance.below(len(deeds))](honest)

    # ------------------------------------------------------------ deeds

    def _dial_somebody(self, honest: Sequence[SimNode]) -> None:
        self.dial(honest[self._chance.below(len(honest))].address)

    def _flood(self, honest: Sequence[SimNode]) -> None:
        """Offers in everybody's names, some of which it does not even wait for."""
        target = honest[self._chance.below(len(honest))]
        for at in range(FLOOD):
            ufrag = f"{self.host}f{self.network.count()}"
            named = honest[self._chance.below(len(honest))] if at % 2 else self
            offer = Offer(
                sdp=make_sdp(ufrag, fingerprint(ufrag), self.host),
                chain_id=self.settings.chain_id,
                identity_pub_key=named.key,
                target_peer_id=target.id,
                host=self.settings.advertised_host,
                listen_port=None,
            )
            exchange = self._post(target, offer.to_json())
            if exchange is not None and at % 3 == 0:
                self.network.hang_up(exchange)

    def _replay(self, honest: Sequence[SimNode]) -> None:
        body = self._last if self._last and self._chance.below(3) else noise(self._chance, 50)
        self._post(honest[self._chance.below(len(honest))], body)

    def _post(self, target: SimNode, body: bytes) -> Exchange | None:
        end = End(self, -1, "")
        self.network.post(self, end, target.host, body, 10.0)
        return self.exchanges.pop(end.conn, None)

    def _inject(self, honest: Sequence[SimNode]) -> None:
        end = self._some_end()
        if end is not None and end.up:
            for channel, chunks in messages(self._chance):
                self.network.carry(end, channel, chunks)

    def _hush(self, honest: Sequence[SimNode]) -> None:
        """From now on it says nothing on one connection, and keeps it."""
        end = self._some_end()
        if end is not None:
            end.shut = (1 << len(Channel)) - 1

    def _give_up(self, honest: Sequence[SimNode]) -> None:
        """Closes one connection, ready or not."""
        end = self._some_end()
        if end is not None:
            self.give(v.TransportFailed(end.conn, "lost", "it does not want any more"))

    def _some_end(self) -> End | None:
        ends = list(self.ends.values())
        return ends[self._chance.below(len(ends))] if ends else None

    # ------------------------------------------------------------ lies

    def _stage(self, victim: str) -> Stage:
        known = [node.key for node in self.network.hosts.values()]
        ends = list(self.network.hosts[victim].ends.values()) if victim in self.network.hosts else []
        stolen = ends[self._chance.below(len(ends))].fingerprint if ends else fingerprint("?")
        return Stage(self._chance, known, stolen)

    def _lie(self, effect: v.PrepareOffer) -> None:
        vices = list(OFFERS.values())
        # every other time it is honest up to here, or it would never get further
        vice = vices[self._chance.below(len(vices)) if self._chance.below(2) else 0]
        victim = str(getattr(effect.method, "host", ""))
        body = vice(self._stage(victim), effect.offer).to_json()
        self._last = body
        self.give(v.OfferPrepared(effect.conn, body))

    def offered(self, exchange: Exchange, body: bytes) -> None:
        """Takes offers that were meant for others, too."""
        try:
            offer = Offer.from_json(body)
        except MinaWebrtcError:
            return
        super().offered(exchange, replace(offer, target_peer_id=self.id).to_json())
        if exchange.signal and offer.target_peer_id != self.id:
            self._claimed[exchange.signal] = offer.target_peer_id.public_key

    def _mislead(self, effect: v.Respond) -> None:
        exchange, answer = self.signals.get(effect.signal), effect.response.answer
        if exchange is None or answer is None:
            self._respond(effect)
            return
        claimed = self._claimed.pop(effect.signal, None)
        if claimed is not None:
            answer = replace(answer, identity_pub_key=claimed)
        vices = list(ANSWERS.values())
        vice = vices[self._chance.below(len(vices)) if self._chance.below(2) else 0]
        response = vice(self._stage(exchange.asker.host), answer)
        if response is None:
            del self.signals[effect.signal]
        else:
            self._respond(replace(effect, response=response))

    def _spoil(self, effect: v.Send) -> None:
        end = self.ends[effect.conn]
        if effect.channel in (Channel.DISCOVERY, Channel.EXCHANGE, Channel.STREAMING):
            self._twist(end, effect)
            return
        if effect.channel != Channel.AUTH:
            if not end.shut >> effect.channel & 1:
                self._send(effect)
            return
        draw = self._chance.below(2 * len(AUTHS) + 2)
        if draw > 2 * len(AUTHS):
            self._echo.add(effect.conn)
            return
        vice = list(AUTHS.values())[draw if draw < len(AUTHS) else 0]
        for channel, chunks in vice(self._chance, effect.payload):
            self.network.carry(end, channel, chunks)
        self.network.clock.after(WRITING, self._left, end)

    def _twist(self, end: End, effect: v.Send) -> None:
        """Sends a message, or another one that it has seen before, or swaps, changes, drops, delays."""
        seen, draw = self._seen, self._chance.below(16)
        seen.append((effect.channel, effect.payload))
        channel, payload = effect.channel, effect.payload
        if draw == 1:
            channel, payload = seen[self._chance.below(len(seen))]
        elif draw == 2:
            at = self._chance.below(len(payload))
            payload = payload[:at] + bytes((payload[at] ^ 1,)) + payload[at + 1 :]
        if draw != 3:
            wait = 4.0 if draw == 4 else 0.0
            self.network.clock.after(wait, self.network.carry, end, channel, end.chunks(channel, payload))
        self.network.clock.after(WRITING, self._left, end)

    def arrived(self, end: End, channel: int, chunks: tuple[bytes, ...]) -> None:
        """Sends the peer's authentication back to it, if that was drawn."""
        if channel == Channel.AUTH and chunks and end.conn in self._echo:
            self._echo.discard(end.conn)
            self.network.carry(end, channel, chunks)
        super().arrived(end, channel, chunks)
