"""The WebRTC layer of the Mina blockchain's network: identity, signaling, authentication, channels.

Names are imported when they are first used: the command line answers at once, and says in its own words what is wrong
with a backend.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mina_webrtc._version import __version__

if TYPE_CHECKING:
    from mina_webrtc._backend import name as backend
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
    from mina_webrtc.node import EventStream, Node, Peer, Timings
    from mina_webrtc.services.streams import PartStream
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

_HOMES = {
    "config": ("Config", "Limits", "Timeouts"),
    "errors": (
        *("AddressError", "ClosedError", "ConfigError", "DialError", "InvalidInput", "ListenError"),
        *("MinaWebrtcError", "PeerDbError", "RemoteProtocolError", "RequestError"),
    ),
    "identity": ("ChainId", "Cipher", "PeerId", "PublicKey", "SecretKey", "Signature", "sdp_hash"),
    "keyfile": ("load_key", "save_key"),
    "node": ("EventStream", "Node", "Peer", "Timings"),
    "services.streams": ("PartStream",),
    "wire.address": ("DialAddress", "Host", "Libp2pAddress", "SignalingMethod", "parse_address"),
    "wire.auth": ("ConnectionAuth", "ConnectionAuthEncrypted"),
    "wire.channels": ("Topic",),
    "wire.messages": ("Part", "PartKind", "Rpc"),
    "wire.signal": (
        *("Answer", "EncryptedAnswer", "EncryptedOffer", "Offer", "P2pConnectionResponse"),
        *("RejectionReason", "Signal"),
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "backend":
        found = import_module("mina_webrtc._backend").name
    elif name in _HOME_OF:
        found = getattr(import_module(f"mina_webrtc.{_HOME_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
