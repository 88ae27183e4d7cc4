"""What this project reads in an SDP and writes into one (protocol.md §6); the rest is left to the transport.

A remote SDP is an unsigned claim of somebody unknown: it is bounded and checked before a transport sees it.
"""

from __future__ import annotations

import re

from msgspec import Struct

from mina_webrtc.errors import SdpError
from mina_webrtc.wire.candidate import is_candidate, is_usable

MAX_BYTES = 16 * 1024
"""UTF-8 bytes of an SDP: neither a GET nor a relay carries more (§5, §7); with 32 candidates it has about 4 KiB."""
MAX_LINES = 512
MAX_LINE = 1024
"""Characters of a line; the longest in use, a candidate with extensions, has some 200."""
MAX_FINGERPRINTS = 16
DEFAULT_MESSAGE_SIZE = 64 * 1024
"""Largest message without `a=max-message-size` (RFC 8841 §6.1)."""
ANY_MESSAGE_SIZE = 0xFFFFFFFF
"""Stands for `a=max-message-size:0`, which means any size (RFC 8841 §6.1)."""
MARK_PREFIX = "a=x-mina-webrtc:"
OWN_MARK = f"{MARK_PREFIX}1 early"

_LINE_BREAKERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
"""Control characters and what `str.splitlines` takes for a line end: another parser would see other lines."""
_LINE = re.compile(r"[a-z]=")
_FINGERPRINT = re.compile(
    r"a=fingerprint:\s*(?P<hash>[A-Za-z0-9-]{1,16})\s+(?P<value>[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*)\s*"
)
_SIZES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Bytes of the hashes that DTLS here accepts; at least one fingerprint must be one of them."""
_SIZE = re.compile(r"a=max-message-size:\s*([0-9]{1,10})\s*", re.ASCII)
_APP = re.compile(r"app=([0-9]{1,5})-([0-9]{1,5})", re.ASCII)
_FIRST_APP, _LAST_APP = 9, 65534
"""Stream ids beyond the protocol's own channels; 65535 is reserved (RFC 8832 §6)."""


class Mark(Struct, frozen=True):
    """The mark of this project in an SDP.

    `early`: this side keeps messages that come before authentication. `app`: first and last id of the application
    channels it accepts, or None.
    """

    version: int = 1
    early: bool = True
    app: tuple[int, int] | None = None


class SdpFacts(Struct, frozen=True):
    """What an SDP says. Fingerprints are normalised to `sha-256 AB:CD:…`; `candidates` counts all of them, usable or
    not; `max_message_size` is in bytes, with RFC 8841's default."""

    fingerprints: tuple[str, ...]
    candidates: int
    mark: Mark | None
    max_message_size: int


def read_sdp(text: str) -> SdpFacts:
    """Raises `SdpError` for an SDP beyond its limits, for one that is no single data-channel section, and for one
    without ICE credentials or a fingerprint that DTLS accepts."""
    lines = _lines(text)
    fingerprints = _fingerprints(lines)
    candidates = sum(map(is_candidate, lines))
    return SdpFacts(fingerprints, candidates, _mark(lines), _message_size(lines))


def usable_sdp(sdp: str, *, allow_loopback: bool, allow_link_local: bool, max_candidates: int = 32) -> str:
    """The SDP without the candidates that must not be used (§6).

    Dropped are those beyond the first `max_candidates` usable ones, not UDP, named (`.local` costs a look-up; such a
    peer is found by its own checks), multicast, unspecified, and unless allowed loopback and link-local. For the
    transport only: what is hashed is the SDP as it came. Raises `SdpError` for an SDP whose bounds or shape are wrong;
    the lines themselves are `read_sdp`'s to examine.
    """
    _lines(sdp)
    kept = 0
    lines = []
    for line in sdp.splitlines(keepends=True):
        if is_candidate(line):
            if kept >= max_candidates or not is_usable(
                line, allow_loopback=allow_loopback, allow_link_local=allow_link_local
            ):
                continue
            kept += 1
        lines.append(line)
    return "".join(lines)


def mark_sdp(sdp: str) -> str:
    """Our own SDP with our mark as the last line of its session part; unchanged if it is there."""
    lines = sdp.splitlines(keepends=True)
    end = next((at for at, line in enumerate(lines) if line.startswith("m=")), len(lines))
    if any(line.startswith(MARK_PREFIX) for line in lines[:end]):
        return sdp
    newline = "\n" if lines and lines[0].endswith("\n") and not lines[0].endswith("\r\n") else "\r\n"
    return "".join([*lines[:end], OWN_MARK + newline, *lines[end:]])


def _lines(text: str) -> list[str]:
    """The lines of an SDP whose bounds and shape are right; `SdpError` otherwise."""
    if len(text) > MAX_BYTES:
        raise SdpError(f"SDP of {len(text)} characters is longer than {MAX_BYTES} bytes")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise SdpError("SDP holds a lone surrogate") from None
    if size > MAX_BYTES:
        raise SdpError(f"SDP of {size} bytes is longer than {MAX_BYTES}")
    if _LINE_BREAKERS.search(text):
        raise SdpError("SDP holds a control character")
    # Counted before it is cut: a line of nothing takes 50 bytes.
    lines = text.splitlines() if max(text.count("\n"), text.count("\r")) <= MAX_LINES else None
    if lines is None or len(lines) > MAX_LINES:
        raise SdpError(f"SDP has more than {MAX_LINES} lines")
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE:
            raise SdpError(f"line {number} of the SDP is longer than {MAX_LINE} characters")
        if not _LINE.match(line):
            raise SdpError(f"line {number} of the SDP is not of the form x=…")
    _check_sections(lines)
    return lines


def _check_sections(lines: list[str]) -> None:
    if not lines or lines[0].rstrip() != "v=0":
        raise SdpError("SDP does not begin with v=0")
    media = [line for line in lines if line.startswith("m=")]
    if len(media) != 1 or not media[0].startswith("m=application ") or "webrtc-datachannel" not in media[0].split():
        raise SdpError("SDP must have one section, for data channels")
    for name in ("a=ice-ufrag:", "a=ice-pwd:"):
        if not any(line.startswith(name) for line in lines):
            raise SdpError(f"SDP lacks {name[2:-1]}")


def _fingerprints(lines: list[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    acceptable = False
    for line in lines:
        if not line.startswith("a=fingerprint"):
            continue
        match = _FINGERPRINT.fullmatch(line)
        if match is None:
            raise SdpError("a fingerprint of the SDP does not parse")
        name, value = match["hash"].lower(), match["value"].upper()
        if name in _SIZES and len(value) != _SIZES[name] * 3 - 1:
            raise SdpError(f"a {name} fingerprint of the SDP has another length")
        acceptable = acceptable or name in _SIZES
        found[f"{name} {value}"] = None
    if not acceptable:
        raise SdpError("SDP has no fingerprint by SHA-256, SHA-384 or SHA-512")
    if len(found) > MAX_FINGERPRINTS:
        raise SdpError(f"SDP has more than {MAX_FINGERPRINTS} fingerprints")
    return tuple(found)


def _mark(lines: list[str]) -> Mark | None:
    # protocol.md §6: session level only; unknown features are ignored, an unknown version means no mark.
    for line in lines:
        if line.startswith("m="):
            return None
        if line.startswith(MARK_PREFIX):
            version, *features = line[len(MARK_PREFIX) :].split() or [""]
            if version != "1":
                return None
            app = next((found for found in map(_app, features) if found is not None), None)
            return Mark(version=1, early="early" in features, app=app)
    return None


def _app(feature: str) -> tuple[int, int] | None:
    match = _APP.fullmatch(feature)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    return (first, last) if _FIRST_APP <= first <= last <= _LAST_APP else None


def _message_size(lines: list[str]) -> int:
    for line in lines:
        if line.startswith("a=max-message-size:"):
            match = _SIZE.fullmatch(line)
            if match is None:
                raise SdpError("max-message-size of the SDP is not a number")
            return min(int(match[1]), ANY_MESSAGE_SIZE) or ANY_MESSAGE_SIZE
    return DEFAULT_MESSAGE_SIZE
