"""A node without this project's mark, as those of the reference: what goes over the wire lacks the line, and so does
what is authenticated. Others are cautious towards it (protocol.md §6)."""

from __future__ import annotations

from msgspec.structs import replace

from mina_webrtc.config import Config
from mina_webrtc.machines import vocab as v
from mina_webrtc.testing.network import Network
from mina_webrtc.testing.shell import SimNode
from mina_webrtc.testing.vices import unmarked
from mina_webrtc.wire.auth import ConnectionAuth
from mina_webrtc.wire.signal import P2pConnectionResponse

REMEMBERED = 256


class Plain(SimNode):
    """Its store believes that the mark is there, so the shell takes it out of the SDPs and their hash."""

    def __init__(self, network: Network, host: str, config: Config, seed: int) -> None:
        super().__init__(network, host, config, seed)
        self._offers: dict[int, str] = {}
        """Our marked SDPs by connection."""
        self._heard: dict[int, str] = {}
        """Those of others by the number of their exchange."""
        self._auths: dict[ConnectionAuth, ConnectionAuth] = {}
        """What is authenticated in truth, by what the store believes."""
        self.performers |= {
            v.PrepareOffer: self._offer,
            v.Respond: lambda effect: self._respond(replace(effect, response=self._strip(effect))),
            v.SealAnswer: lambda effect: self._seal_answer(replace(effect, response=self._strip(effect))),
            v.SealAuth: lambda effect: self._seal_auth(replace(effect, auth=self._auths.get(effect.auth, effect.auth))),
            v.OpenAuth: lambda effect: self._open_auth(replace(effect, auth=self._auths.get(effect.auth, effect.auth))),
        }

    def give(self, event: v.Event) -> None:
        """As any node; it notes the SDPs that come."""
        match event:
            case v.AnswerReceived(conn=conn, response=response) if response.answer and conn in self._offers:
                ours = self._offers[conn]
                self._enter(ours, unmarked(ours), response.answer.sdp, response.answer.sdp)
            case v.OfferReceived(signal=signal, offer=offer) | v.OfferOpened(signal=signal, offer=offer) if offer:
                _put(self._heard, signal, offer.sdp)
        super().give(event)

    def _offer(self, effect: v.PrepareOffer) -> None:
        _put(self._offers, effect.conn, effect.offer.sdp)
        self._prepare_offer(replace(effect, offer=replace(effect.offer, sdp=unmarked(effect.offer.sdp))))

    def _strip(self, effect: v.Respond | v.SealAnswer) -> P2pConnectionResponse:
        answer, theirs = effect.response.answer, self._heard.pop(effect.signal, "")
        if answer is None:
            return effect.response
        self._enter(theirs, theirs, answer.sdp, unmarked(answer.sdp))
        return P2pConnectionResponse.accepted(replace(answer, sdp=unmarked(answer.sdp)))

    def _enter(self, offer: str, offer_sent: str, answer: str, answer_sent: str) -> None:
        _put(self._auths, ConnectionAuth.new(offer, answer), ConnectionAuth.new(offer_sent, answer_sent))


def _put(table: dict, key: object, value: object) -> None:  # type: ignore[type-arg]
    table[key] = value
    if len(table) > REMEMBERED:
        del table[next(iter(table))]
