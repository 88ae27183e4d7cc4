"""The whole exception tree. Everything this package raises on purpose derives from `MinaWebrtcError`.

Errors say whose fault they are: `InvalidInput` and its children are the caller's, `RemoteProtocolError` the
peer's, `LocalProtocolError` ours; the rest are circumstances (network, time, capacity).
"""

from __future__ import annotations


class MinaWebrtcError(Exception):
    """Base of every exception of this package."""


class BackendError(MinaWebrtcError, ImportError):
    """The backend that `MINA_WEBRTC_BACKEND` asks for is unknown, missing, or of another version."""


class BackendWarning(UserWarning):
    """The native backend could not be used and the pure-Python one took its place."""


class KeyFileWarning(UserWarning):
    """Others than the owner may read or write a secret key's file."""


# ---------------------------------------------------------------- input that does not parse


class InvalidInput(MinaWebrtcError, ValueError):
    """Bytes, text or a setting that are not what they have to be. The message names the input and the limit."""


class ConfigError(InvalidInput):
    """A setting is out of its range or contradicts another one."""


class Base58Error(InvalidInput):
    """Not base58 or base58check: alphabet, length, checksum or version byte (protocol.md §1)."""


class KeyFormatError(InvalidInput):
    """Not a key, peer id, signature or chain id: length, hex digits, PEM structure, point not on the curve."""


class KeyFileError(InvalidInput):
    """A key file is missing, unreadable, damaged or of an unsupported kind."""


class BinProtError(InvalidInput):
    """Bytes that are not the bin_prot of the type that was asked for (protocol.md §8)."""


class FrameError(InvalidInput):
    """A frame with a length of zero or above its channel's limit (protocol.md §7)."""


class SignalError(InvalidInput):
    """JSON that is not the signaling message that was expected (protocol.md §4)."""


class SdpError(InvalidInput):
    """An SDP without what a data-channel connection needs, or beyond its limits (protocol.md §6)."""


class AddressError(InvalidInput):
    """A host, signaling method or dial address that does not parse (protocol.md §5).

    `kind` is one of `KINDS`; `detail` is the text that was refused, or None.
    """

    KINDS = (
        "NotEnoughArgs",
        "UnknownSignalingMethod",
        "InvalidClusterId",
        "HostParseError",
        "PortParseError",
        "PeerIdParseError",
        "SignalingMethodParseError",
        "Other",
    )

    def __init__(self, kind: str, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.detail = detail


# ---------------------------------------------------------------- cryptography


class CryptoError(MinaWebrtcError):
    """A cryptographic operation refused its input."""


class DecryptionError(CryptoError):
    """The ciphertext is too short or its tag does not fit (protocol.md §2)."""


class NonContributoryKeyError(CryptoError):
    """The shared key would be all zero: the peer's key is a small-order point (protocol.md §2)."""


class SignatureError(CryptoError):
    """The signature is not by this key over this message."""


# ---------------------------------------------------------------- protocol


class ProtocolError(MinaWebrtcError):
    """A rule of the protocol was broken."""


class LocalProtocolError(ProtocolError):
    """We broke it: a bug in this package or in the code that drives it."""


class RemoteProtocolError(ProtocolError):
    """The peer broke it."""


# ---------------------------------------------------------------- circumstances


class ResolveError(MinaWebrtcError):
    """A host name could not be resolved, or resolves to an address that the policy forbids.

    `reason`: `bad_host`, `dns`, `dns_timeout`, `forbidden`.
    """

    def __init__(self, message: str, reason: str = "dns") -> None:
        super().__init__(message)
        self.reason = reason


class SignalingError(MinaWebrtcError):
    """The signaling exchange failed; the message names the stage.

    `reason`: `refused`, `unreachable`, `tls`, `timeout`, `disconnected`, `redirect`, `too_large`, `not_json`,
    `not_an_answer`, `bad_http`, `no_url`, `closed`.
    """

    def __init__(self, message: str, reason: str = "failed") -> None:
        super().__init__(message)
        self.reason = reason


class TransportError(MinaWebrtcError):
    """The peer connection failed: ICE, DTLS, SCTP, or it was lost.

    `reason`: `lost` (the peer does not answer any more), `closed_by_peer`, `closed` (by us), `no_route` (no candidate
    pair works), `gathering`, `dtls`, `protocol_error` (the peer broke a rule of the layers below), or `internal` (a bug
    here; the log says more).
    """

    def __init__(self, message: str, reason: str = "lost") -> None:
        super().__init__(message)
        self.reason = reason


class ListenError(MinaWebrtcError):
    """The signaling server could not be started: port in use, address not ours, certificate unusable."""


class PeerDbError(MinaWebrtcError):
    """The peer database is damaged, of a newer version, in use, or no peer database at all. The message names the
    file."""


class DialError(MinaWebrtcError):
    """A dial failed. `stage` says where, `reason` is a short stable word, `detail` explains it to a person.

    Stages: `address`, `gathering`, `signaling`, `answer`, `ice`, `dtls`, `authentication`, `ready`, `closed`.
    """

    def __init__(self, stage: str, reason: str, detail: str = "") -> None:
        super().__init__(f"dial failed at stage {stage}: {reason}" + (f" ({detail})" if detail else ""))
        self.stage = stage
        self.reason = reason
        self.detail = detail


class RequestError(MinaWebrtcError):
    """A request to a peer got no answer. `reason`: `timeout`, `too_many_requests`, `closed`, `not_ready`,
    `too_large`, `bad_request` for one that the wire has no form for, or `ended` for an answer in parts that the peer
    broke off."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason + (f" ({detail})" if detail else ""))
        self.reason = reason
        self.detail = detail


class ClosedError(MinaWebrtcError):
    """The node or the peer is closed."""
