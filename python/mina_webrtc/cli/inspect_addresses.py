"""Explains addresses, signaling methods and URLs (protocol.md §5), or says what one lacks."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from mina_webrtc.cli.inspect_found import Found
from mina_webrtc.cli.inspect_values import of_address, of_method
from mina_webrtc.errors import AddressError, InvalidInput
from mina_webrtc.wire.address import (
    Host,
    Http,
    Https,
    Libp2pAddress,
    Proxied,
    SignalingMethod,
    parse_address,
)
from mina_webrtc.wire.method import SIGNAL_PATH
from mina_webrtc.wire.multiaddr import is_multiaddr

URL = re.compile(r"https?://\S+", re.IGNORECASE)
_METHODS = ("http", "https", "https_proxy", "proxied", "p2p")
_LEGACY = re.compile(r"/2[1-9A-HJ-NP-Za-km-z]+/")
_FAULTS = {
    "NotEnoughArgs": "has too few parts",
    "UnknownSignalingMethod": "names no known signaling method: http, https, https_proxy, proxied or p2p",
    "InvalidClusterId": "has a cluster id that is not within 0…65535",
    "HostParseError": "has a host that is none",
    "PortParseError": "has a port that is not within 0…65535",
    "PeerIdParseError": "has a peer id that is none",
    "SignalingMethodParseError": "has a signaling method that does not parse",
}
_SHAPES = (
    "is not of a shape that peers have: /dns4|ip4|ip6/HOST/tcp/PORT/webrtc/http|https[/http-path/PREFIX]/p2p/PEER, "
    "/p2p/RELAY/webrtc/p2p-circuit/p2p/PEER, or the older /PEER/http|https|…/HOST/PORT"
)


def explain_address(text: str) -> Found:
    """A dial address in either form, a libp2p address or a signaling method. Raises `InvalidInput`, which does not
    quote the text."""
    if not text.startswith("/"):
        raise InvalidInput("an address begins with /")
    if text.split("/")[1] in _METHODS and "/webrtc/" not in text:
        try:
            return explain_method(text)
        except InvalidInput:
            if not text.startswith("/p2p/"):
                raise
    try:
        address = parse_address(text)
    except AddressError as error:
        raise InvalidInput(f"looks like a dial address, but {_fault(text, error)}") from None
    kind = "libp2p address" if isinstance(address, Libp2pAddress) else "dial address"
    legacy = not isinstance(address, Libp2pAddress) and _LEGACY.match(text) is not None
    return Found(kind, "legacy" if legacy else "multiaddr", of_address(address))


def explain_method(text: str) -> Found:
    """A signaling method, in its own text or as the URL that offers are posted to. Raises `InvalidInput`."""
    if URL.fullmatch(text):
        return Found("signaling method", "URL", of_method(_of_url(text)))
    try:
        return Found("signaling method", "text", of_method(SignalingMethod.parse(text)))
    except AddressError as error:
        raise InvalidInput(f"looks like a signaling method, but {_fault(text, error)}") from None


def _of_url(text: str) -> SignalingMethod:
    try:
        url = urlsplit(text)
        name, port = url.hostname or "", url.port
    except ValueError:
        raise InvalidInput("looks like a URL, but has a host or a port that is none") from None
    prefix, mark, rest = url.path.partition(SIGNAL_PATH)
    if not mark or rest.strip("/") or url.query or url.fragment:
        raise InvalidInput(f"looks like a URL, but not of signaling: that ends with {SIGNAL_PATH}")
    try:
        host = Host.parse(f"[{name}]" if ":" in name else name)
        if prefix.strip("/"):
            return Proxied(url.scheme, unquote(prefix), host, port or (80 if url.scheme == "http" else 443))
        return Http(host, port or 80) if url.scheme == "http" else Https(host, port or 443)
    except AddressError as error:
        raise InvalidInput(
            f"looks like a signaling URL, but {_FAULTS.get(error.kind, 'its path is refused')}"
        ) from None


def _fault(text: str, error: AddressError) -> str:
    if error.kind == "SignalingMethodParseError" and isinstance(error.__cause__, AddressError):
        return f"its signaling method {_FAULTS.get(error.__cause__.kind, 'does not parse')}"
    if error.kind == "Other":
        return _what_a_multiaddr_lacks(text) if is_multiaddr(text) else "does not parse as one"
    return _FAULTS[error.kind]


def _what_a_multiaddr_lacks(text: str) -> str:
    match text.split("/")[1:]:
        case ["p2p", _]:
            return "names a peer and no way to it"
        case [_, _, "tcp", _, "http" | "https" as scheme, *_]:
            return f"lacks /webrtc before /{scheme}"
        case [_, _, "tcp", _, "webrtc"] | [_, _, "tcp", _, "webrtc", "p2p", _]:
            return "lacks /http or /https after /webrtc"
        case [_, _, "tcp", *rest] if "p2p" not in rest:
            return "lacks /p2p/PEER at its end"
    return _SHAPES
