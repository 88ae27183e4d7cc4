"""Offers, answers and signals, and their JSON exactly as serde prints and reads it (protocol.md §4)."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import TypeVar

from msgspec import Struct

from mina_webrtc.errors import AddressError, InvalidInput, SignalError
from mina_webrtc.identity import ChainId, PeerId, PublicKey
from mina_webrtc.wire.address import DialAddress, Host, Http
from mina_webrtc.wire.host import read_host_json
from mina_webrtc.wire.json import Bytes, Json, parse_json, read_int, read_struct, read_text, read_variant, text_json

T = TypeVar("T")

LOCALHOST = Host(IPv4Address("127.0.0.1"))
"""What the reference writes as an offer's host, and we when nothing is advertised."""


class Offer(Struct, frozen=True):
    """What the dialer sends: an unsigned claim until the connection has authenticated."""

    sdp: str
    chain_id: ChainId
    identity_pub_key: PublicKey
    target_peer_id: PeerId
    host: Host
    listen_port: int | None

    @staticmethod
    def new(
        sdp: str,
        chain_id: ChainId,
        identity_pub_key: PublicKey,
        target_peer_id: PeerId,
        host: Host = LOCALHOST,
        listen_port: int | None = None,
    ) -> Offer:
        """A checked offer. `host` and `listen_port` are the offerer's own signaling server. Raises `SignalError`."""
        port = None if listen_port is None else read_int(listen_port, "listen_port", 0xFFFF)
        return Offer(read_text(sdp, "sdp"), chain_id, identity_pub_key, target_peer_id, host, port)

    @property
    def identity(self) -> PublicKey:
        """The offerer's claimed key."""
        return self.identity_pub_key

    @property
    def dial_address(self) -> DialAddress | None:
        """Where the offerer claims to be dialled; None without a port, or with a host that fits no URL."""
        if self.listen_port is None:
            return None
        try:
            return DialAddress(self.identity_pub_key.peer_id, Http(self.host.canonical(), self.listen_port))
        except AddressError:
            return None

    def to_json(self) -> bytes:
        """As serde_json prints it: compact UTF-8, fields in the order of the class."""
        return self.json_text().encode()

    def json_text(self) -> str:
        """`to_json` as text, to be put into a larger one."""
        port = "null" if self.listen_port is None else self.listen_port
        return (
            f'{{"sdp":{text_json(self.sdp)},"chain_id":"{self.chain_id}",'
            f'"identity_pub_key":"{self.identity_pub_key}","target_peer_id":"{self.target_peer_id}",'
            f'"host":{self.host.json_text()},"listen_port":{port}}}'
        )

    @staticmethod
    def from_json(data: Bytes) -> Offer:
        """Raises `SignalError`."""
        return _read_offer(parse_json(data))

    def __repr__(self) -> str:
        return (
            f"Offer(<{len(self.sdp)} characters of SDP>, chain_id={self.chain_id}, identity={self.identity_pub_key}, "
            f"target={self.target_peer_id}, host={self.host}, listen_port={self.listen_port})"
        )


class Answer(Struct, frozen=True):
    """What the listener answers an accepted offer with; the target is the offerer."""

    sdp: str
    identity_pub_key: PublicKey
    target_peer_id: PeerId

    @staticmethod
    def new(sdp: str, identity_pub_key: PublicKey, target_peer_id: PeerId) -> Answer:
        """A checked answer. Raises `SignalError`."""
        return Answer(read_text(sdp, "sdp"), identity_pub_key, target_peer_id)

    @property
    def identity(self) -> PublicKey:
        """The answerer's claimed key."""
        return self.identity_pub_key

    def to_json(self) -> bytes:
        """As serde_json prints it: compact UTF-8, fields in the order of the class."""
        return self.json_text().encode()

    def json_text(self) -> str:
        """`to_json` as text, to be put into a larger one."""
        return (
            f'{{"sdp":{text_json(self.sdp)},"identity_pub_key":"{self.identity_pub_key}",'
            f'"target_peer_id":"{self.target_peer_id}"}}'
        )

    @staticmethod
    def from_json(data: Bytes) -> Answer:
        """Raises `SignalError`."""
        return read_answer_json(parse_json(data))

    def __repr__(self) -> str:
        return (
            f"Answer(<{len(self.sdp)} characters of SDP>, identity={self.identity_pub_key}, "
            f"target={self.target_peer_id})"
        )


class Signal(Struct, frozen=True):
    """An offer or an answer, externally tagged."""

    message: Offer | Answer

    @staticmethod
    def parse(data: Bytes) -> Signal:
        """Another name of `from_json`."""
        return Signal.from_json(data)

    def to_json(self) -> bytes:
        """`{"Offer": …}` or `{"Answer": …}`."""
        return f'{{"{type(self.message).__name__}":{self.message.json_text()}}}'.encode()

    @staticmethod
    def from_json(data: Bytes) -> Signal:
        """Raises `SignalError`."""
        match read_variant(parse_json(data), "signal"):
            case ("Offer", content):
                return Signal(_read_offer(content))
            case ("Answer", content):
                return Signal(read_answer_json(content))
        raise SignalError("signal must be Offer or Answer")


def read_answer_json(value: Json) -> Answer:
    """An answer out of parsed JSON. Raises `SignalError`."""
    sdp, key, target = read_struct(value, "answer", ("sdp", "identity_pub_key", "target_peer_id"))
    return Answer(
        read_text(sdp, "sdp"),
        _read_id(key, "identity_pub_key", PublicKey.parse),
        _read_id(target, "target_peer_id", PeerId.parse),
    )


def _read_offer(value: Json) -> Offer:
    names = ("sdp", "chain_id", "identity_pub_key", "target_peer_id", "host", "listen_port")
    sdp, chain_id, key, target, host, port = read_struct(value, "offer", names, frozenset({"listen_port"}))
    return Offer(
        read_text(sdp, "sdp"),
        _read_id(chain_id, "chain_id", ChainId.parse),
        _read_id(key, "identity_pub_key", PublicKey.parse),
        _read_id(target, "target_peer_id", PeerId.parse),
        read_host_json(host),
        None if port is None else read_int(port, "listen_port", 0xFFFF),
    )


def _read_id(value: Json, what: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(read_text(value, what))
    except InvalidInput as error:
        raise SignalError(f"{what}: {error}") from None
