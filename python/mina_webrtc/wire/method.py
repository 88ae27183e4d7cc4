"""Signaling methods: how an offer reaches a peer (protocol.md §5)."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

from mina_webrtc.errors import AddressError, InvalidInput
from mina_webrtc.identity import PeerId
from mina_webrtc.wire.host import Host
from mina_webrtc.wire.json import Bytes, parse_json, read_text, text_json

MAX_TEXT = 4096
"""Characters of a method's or an address's text; the longest prefix, percent-encoded, with a host and two peer ids."""
MAX_PREFIX = 1024
"""UTF-8 bytes of a `proxied` prefix; servers take request lines of some 8 KiB."""

SIGNAL_PATH = "/mina/webrtc/signal"
"""What a URL of signaling ends with; in a GET the offer follows (§5)."""
_WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
_WHITE_SPACE += "\u2028\u2029\u202f\u205f\u3000"
"""Unicode White_Space, which is what the reference trims; Python's own list has more."""
_U16 = re.compile(r"\+?0*([0-9]{1,5})")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_REFUSED_HIDDEN = re.compile(r"[\x00-\x1f\x7f\\]|\.\.")
_REFUSED = re.compile(rf"[?#]|{_BAD_ESCAPE.pattern}|{_REFUSED_HIDDEN.pattern}")
_URL_PATH = "/!$&'()*+,;=:@%"
"""What stands unescaped in a path (RFC 3986 §3.3); `%` because an escape in a prefix is already one."""


class SignalingMethod(Struct, frozen=True):
    """Base of the five methods. str() is the text form, `SignalingMethod.parse` its inverse."""

    @staticmethod
    def parse(text: str) -> SignalingMethod:
        """From `/http/…`, `/https/…`, `/https_proxy/…`, `/proxied/…` or `/p2p/…`. Raises `AddressError`."""
        return _parse(text)

    def http_url(self) -> str | None:
        """Where the offer is posted; None when the method is no HTTP."""
        return None

    def to_json(self) -> bytes:
        """The text form as a JSON string."""
        return text_json(str(self)).encode()

    @staticmethod
    def from_json(data: Bytes) -> SignalingMethod:
        """Raises `SignalError` for what is no JSON string, `AddressError` for what is in it."""
        return SignalingMethod.parse(read_text(parse_json(data), "signaling method"))


class Http(SignalingMethod, frozen=True):
    """`/http/{host}/{port}`: direct HTTP.

    As in all methods, the host is as `Host.parse` gives it and the port is a u16, else `AddressError`.
    """

    host: Host
    port: int

    def __post_init__(self) -> None:
        _check_target(self.host, self.port)

    def __str__(self) -> str:
        return f"/http/{self.host}/{self.port}"

    def http_url(self) -> str:
        """The URL, built from its parts; the port is always written."""
        return f"http://{self.host}:{self.port}{SIGNAL_PATH}"


class Https(SignalingMethod, frozen=True):
    """`/https/{host}/{port}`: direct HTTPS."""

    host: Host
    port: int

    def __post_init__(self) -> None:
        _check_target(self.host, self.port)

    def __str__(self) -> str:
        return f"/https/{self.host}/{self.port}"

    def http_url(self) -> str:
        """The URL, built from its parts; the port is always written."""
        return f"https://{self.host}:{self.port}{SIGNAL_PATH}"


class HttpsProxy(SignalingMethod, frozen=True):
    """`/https_proxy/{cluster}/{host}/{port}`: an SSL gateway in front of many nodes; the cluster is a u16."""

    cluster: int
    host: Host
    port: int

    def __post_init__(self) -> None:
        if not 0 <= self.cluster <= 0xFFFF:
            raise AddressError("InvalidClusterId", f"cluster id {self.cluster} is not within 0…65535")
        _check_target(self.host, self.port)

    def __str__(self) -> str:
        return f"/https_proxy/{self.cluster}/{self.host}/{self.port}"

    def http_url(self) -> str:
        """The gateway's URL for the cluster."""
        return f"https://{self.host}:{self.port}/clusters/{self.cluster}{SIGNAL_PATH}"


class Proxied(SignalingMethod, frozen=True):
    """`/proxied/{http|https}/{prefix}/{host}/{port}`: a server behind any path prefix.

    `prefix` is the path, not percent-encoded, with or without outer slashes. One with `?`, `#`, `..`, a backslash or a
    control character, also when these are hidden behind an escape, is an `AddressError` of kind `Other`.
    """

    scheme: str
    prefix: str
    host: Host
    port: int

    def __post_init__(self) -> None:
        if self.scheme not in ("http", "https"):
            raise _unknown(f"proxied/{self.scheme}")
        _check_prefix(self.prefix)
        _check_target(self.host, self.port)

    def __str__(self) -> str:
        return f"/proxied/{self.scheme}/{encode_prefix(self.prefix)}/{self.host}/{self.port}"

    def http_url(self) -> str:
        """Exactly one slash before and after the prefix; an empty one or `/` gives none (§5)."""
        prefix = quote(self.prefix.strip("/"), safe=_URL_PATH)
        path = f"/{prefix}" if prefix else ""
        return f"{self.scheme}://{self.host}:{self.port}{path}{SIGNAL_PATH}"


class Relayed(SignalingMethod, frozen=True):
    """`/p2p/{relay peer id}`: through a peer that both are connected to (§9)."""

    relay: PeerId

    def __str__(self) -> str:
        return f"/p2p/{self.relay}"


def parse_u16(text: str, kind: str) -> int:
    """Decimal digits of either a port or a cluster, as Rust reads a u16 (`+80` and `080` are fine). Raises
    `AddressError` of `kind`."""
    match = _U16.fullmatch(text)
    value = int(match[1]) if match else -1
    if not 0 <= value <= 0xFFFF:
        raise AddressError(kind, f"not a number from 0 to 65535: {text[:40]!r}", text)
    return value


def encode_prefix(prefix: str) -> str:
    """Percent-encoded so that only ASCII letters and digits stand unescaped (§5). An empty prefix, which has no text
    of its own, is written as the equivalent `/`."""
    return "".join(
        character if character.isascii() and character.isalnum() else "".join(f"%{b:02X}" for b in character.encode())
        for character in prefix or "/"
    )


def decode_prefix(text: str) -> str:
    """Inverse of `encode_prefix`. Raises `AddressError` of kind `Other` for a broken escape or what is not UTF-8."""
    if _BAD_ESCAPE.search(text):
        raise AddressError("Other", f"broken percent-encoding: {text[:80]!r}", text)
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        raise AddressError("Other", f"percent-encoded prefix is not UTF-8: {text[:80]!r}", text) from None


def check_text(text: str) -> None:
    """Raises `AddressError` of kind `Other` for a text that is too long to be an address."""
    if len(text) > MAX_TEXT:
        raise AddressError("Other", f"address of {len(text)} characters is longer than {MAX_TEXT}")


def _check_target(host: Host, port: int) -> None:
    if host.canonical() != host:
        raise AddressError("HostParseError", f"not a host as in a URL: {str(host)!r}", str(host))
    if not 0 <= port <= 0xFFFF:
        raise AddressError("PortParseError", f"port {port} is not within 0…65535")


def _check_prefix(prefix: str) -> None:
    try:
        raw = prefix.encode()
    except UnicodeEncodeError:
        raise AddressError("Other", "prefix holds a lone surrogate") from None
    if len(raw) > MAX_PREFIX:
        raise AddressError("Other", f"prefix of {len(raw)} bytes is longer than {MAX_PREFIX}")
    # protocol.md §5; one more level of escapes is looked through, because URL parsers treat %2e%2e as two dots.
    hidden = unquote_to_bytes(raw).decode("latin-1")
    if _REFUSED.search(prefix) or _REFUSED_HIDDEN.search(hidden):
        raise AddressError("Other", f"prefix that could lead elsewhere: {prefix[:80]!r}", prefix)


def _parse(text: str) -> SignalingMethod:
    check_text(text)
    # The name stands behind the first character up to the next slash (§5). The reference takes any first character; its
    # vectors do so, and they are right where they and the page differ.
    end = text.find("/", 1)
    if end < 0:
        raise _too_few(text)
    name, rest = text[1:end], text[end + 1 :]
    match name:
        case "http":
            return Http(*_target(rest, text))
        case "https":
            return Https(*_target(rest, text))
        case "https_proxy":
            return _https_proxy(rest, text)
        case "proxied":
            return _proxied(rest, text)
        case "p2p":
            return _relayed(rest, text)
    raise _unknown(name)


def _parts(text: str) -> list[str]:
    return [part for part in text.split("/") if part.strip(_WHITE_SPACE)]


def _target(rest: str, text: str) -> tuple[Host, int]:
    parts = _parts(rest)
    if not parts:
        raise _too_few(text)
    host = Host.parse(parts[0])
    if len(parts) < 2:
        raise _too_few(text)
    return host, parse_u16(parts[1], "PortParseError")


def _https_proxy(rest: str, text: str) -> HttpsProxy:
    # The reference cuts once before it drops blank parts, so that the cluster must follow at once.
    cluster, _, target = rest.partition("/")
    if not cluster.strip(_WHITE_SPACE) or not target.strip(_WHITE_SPACE):
        raise _too_few(text)
    return HttpsProxy(parse_u16(cluster, "InvalidClusterId"), *_target(target, text))


def _proxied(rest: str, text: str) -> Proxied:
    parts = _parts(rest)
    if not parts:
        raise _too_few(text)
    if parts[0] not in ("http", "https"):
        raise _unknown(f"proxied/{parts[0]}")
    if len(parts) < 4:
        raise _too_few(text)
    return Proxied(parts[0], decode_prefix(parts[1]), *_target("/".join(parts[2:]), text))


def _relayed(rest: str, text: str) -> Relayed:
    parts = _parts(rest)
    if not parts:
        raise _too_few(text)
    try:
        return Relayed(PeerId.parse(parts[0]))
    except InvalidInput as error:
        raise AddressError("PeerIdParseError", f"relay: {error}", parts[0]) from None


def _too_few(text: str) -> AddressError:
    return AddressError("NotEnoughArgs", f"not enough parts for a signaling method: {text[:80]!r}", text)


def _unknown(name: str) -> AddressError:
    return AddressError("UnknownSignalingMethod", f"unknown signaling method: {name[:80]!r}", name)
