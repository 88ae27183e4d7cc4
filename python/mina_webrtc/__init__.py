"""The WebRTC layer of the Mina blockchain's network: identity, signaling, authentication, channels."""

from typing import TYPE_CHECKING, Any

from mina_webrtc._backend import name as backend
from mina_webrtc._version import __version__
from mina_webrtc.config import Config, Limits, Timeouts
from mina_webrtc.errors import (
    AddressError,
    ClosedError,
    ConfigError,
    DialError,
    InvalidInput,
    ListenError,
    MinaWebrtcError,
    PeerDbError,
    RemoteProtocolError,
    RequestError,
)
from mina_webrtc.identity import ChainId, Cipher, PeerId, PublicKey, SecretKey, Signature, sdp_hash
from mina_webrtc.keyfile import load_key, save_key
from mina_webrtc.wire.address import DialAddress, Host, Libp2pAddress, SignalingMethod, parse_address
from mina_webrtc.wire.auth import ConnectionAuth, ConnectionAuthEncrypted
from mina_webrtc.wire.channels import Topic
from mina_webrtc.wire.messages import Part, PartKind, Rpc
from mina_webrtc.wire.signal import (
    Answer,
    EncryptedAnswer,
    EncryptedOffer,
    Offer,
    P2pConnectionResponse,
    RejectionReason,
    Signal,
)

if TYPE_CHECKING:
    from mina_webrtc.node import EventStream, Node, Peer, Timings
    from mina_webrtc.services.streams import PartStream

__all__ = [
    "AddressError",
    "Answer",
    "ChainId",
    "Cipher",
    "ClosedError",
    "Config",
    "ConfigError",
    "ConnectionAuth",
    "ConnectionAuthEncrypted",
    "DialAddress",
    "DialError",
    "EncryptedAnswer",
    "EncryptedOffer",
    "EventStream",
    "Host",
    "InvalidInput",
    "Libp2pAddress",
    "Limits",
    "ListenError",
    "MinaWebrtcError",
    "Node",
    "Offer",
    "P2pConnectionResponse",
    "Part",
    "PartKind",
    "PartStream",
    "Peer",
    "PeerDbError",
    "PeerId",
    "PublicKey",
    "RejectionReason",
    "RemoteProtocolError",
    "RequestError",
    "Rpc",
    "SecretKey",
    "Signal",
    "SignalingMethod",
    "Signature",
    "Timeouts",
    "Timings",
    "Topic",
    "__version__",
    "backend",
    "load_key",
    "parse_address",
    "save_key",
    "sdp_hash",
]


def __getattr__(name: str) -> Any:
    # node.py brings aiohttp and aiortc, half a second that keys, addresses and `--help` need not wait for
    if name in {"EventStream", "Node", "PartStream", "Peer", "Timings"}:
        from mina_webrtc import node
        from mina_webrtc.services import streams

        return getattr(streams if name == "PartStream" else node, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
