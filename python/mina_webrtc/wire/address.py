"""Addresses: hosts, signaling methods, and dial addresses in their two text forms (protocol.md §5)."""

from __future__ import annotations

from msgspec import Struct

from mina_webrtc.errors import AddressError, InvalidInput, KeyFormatError
from mina_webrtc.identity import PeerId
from mina_webrtc.wire.host import Host
from mina_webrtc.wire.method import (
    Http,
    Https,
    HttpsProxy,
    Proxied,
    Relayed,
    SignalingMethod,
    check_text,
)
from mina_webrtc.wire.multiaddr import is_multiaddr, method_multiaddr, parse_multiaddr, target_multiaddr

__all__ = [
    "DialAddress",
    "Host",
    "Http",
    "Https",
    "HttpsProxy",
    "Libp2pAddress",
    "Proxied",
    "Relayed",
    "SignalingMethod",
    "parse_address",
]


class DialAddress(Struct, frozen=True):
    """A peer and the method that reaches it.

    str() is the multiaddr form, except for a peer id that is no curve point, which has no libp2p form: then the
    legacy one. Note that `https_proxy` reads back from a multiaddr as the equivalent `proxied` (§5).
    """

    peer: PeerId
    method: SignalingMethod

    @staticmethod
    def parse(text: str) -> DialAddress:
        """From either form. Raises `AddressError`; of kind `Other` for a plain libp2p address, which is not dialled."""
        address = parse_address(text)
        if isinstance(address, Libp2pAddress):
            raise AddressError("Other", f"a libp2p address, which has no WebRTC, is not dialled: {text}", text)
        return address

    def legacy(self) -> str:
        """`/{peer id}{signaling method}`, which nodes older than January 2026 need."""
        return f"/{self.peer}{self.method}"

    def __str__(self) -> str:
        try:
            return method_multiaddr(self.peer, self.method)
        except KeyFormatError:
            return self.legacy()


class Libp2pAddress(Struct, frozen=True):
    """A peer on plain libp2p: kept and handed on in peer lists, never dialled by this project."""

    peer: PeerId
    host: Host
    port: int

    def __str__(self) -> str:
        try:
            peer = self.peer.to_libp2p()
        except KeyFormatError:
            peer = str(self.peer)
        return f"{target_multiaddr(self.host, self.port)}/p2p/{peer}"


def parse_address(text: str) -> DialAddress | Libp2pAddress:
    """Any address that may stand in a peer list. Raises `AddressError`; what is wrong with the method of a legacy
    address is the error's cause."""
    check_text(text)
    if is_multiaddr(text):
        peer, way = parse_multiaddr(text)
        return DialAddress(peer, way) if isinstance(way, SignalingMethod) else Libp2pAddress(peer, *way)
    return _parse_legacy(text)


def _parse_legacy(text: str) -> DialAddress:
    end = text.find("/", 1)
    if end < 0:
        raise AddressError("NotEnoughArgs", f"not enough parts for a dial address: {text[:80]!r}", text)
    try:
        peer = PeerId.parse(text[1:end])
    except InvalidInput as error:
        raise AddressError("PeerIdParseError", f"peer id {text[:end][:80]!r}: {error}", text[1:end]) from None
    try:
        return DialAddress(peer, SignalingMethod.parse(text[end:]))
    except AddressError as error:
        raise AddressError("SignalingMethodParseError", f"signaling method: {error}", text[end:]) from error
