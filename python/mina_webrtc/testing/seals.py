"""What stands in for cryptography in a simulation, and the SDPs of simulated connections.

A seal hides nothing. It is faithful in what the protocol relies on: the sizes are the real ones, only the two
identities can make and open it, either of them gets the same key for both directions (so that reflections open,
protocol.md §3), and whoever changes a byte makes it useless.
"""

from __future__ import annotations

import re
from hashlib import blake2b, sha256

from mina_webrtc.identity import PublicKey

NONCE, TAG = 12, 16
WEAK = PublicKey.from_bytes(b"\x01" + bytes(31))
"""The point of order one: nothing can be encrypted to it (§2)."""

_UFRAG = re.compile(r"^a=ice-ufrag:(\S+)", re.MULTILINE)
_FINGERPRINT = re.compile(r"^a=fingerprint:(\S+ \S+)", re.MULTILINE)


def seal(mine: PublicKey, theirs: PublicKey, message: bytes, nonce: bytes) -> bytes:
    """`nonce ‖ message ‖ tag`, 28 bytes more than the message, as the real one."""
    return nonce + message + _tag(mine, theirs, nonce + message)


def unseal(mine: PublicKey, theirs: PublicKey, sealed: bytes) -> bytes | None:
    """The message; None when it was not sealed between these two, or was changed."""
    if len(sealed) < NONCE + TAG or sealed[-TAG:] != _tag(mine, theirs, sealed[:-TAG]):
        return None
    return sealed[NONCE:-TAG]


def _tag(mine: PublicKey, theirs: PublicKey, data: bytes) -> bytes:
    shared = b"".join(sorted((bytes(mine), bytes(theirs))))
    return blake2b(data, digest_size=TAG, key=shared).digest()


def make_sdp(ufrag: str, fingerprint: str, host: str) -> str:
    """The least that passes for an SDP; `ufrag` names the end of a connection that it belongs to."""
    return (
        f"v=0\r\no=- 1 2 IN IP4 {host}\r\ns=-\r\nt=0 0\r\n"
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n"
        f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:{fingerprint}\r\n"
        f"a=candidate:1 1 UDP 2130706431 {host} 9 typ host\r\na=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\n"
    )


def fingerprint(ufrag: str) -> str:
    """The DTLS fingerprint of an end."""
    digest = sha256(ufrag.encode()).hexdigest().upper()
    return "sha-256 " + ":".join(digest[at : at + 2] for at in range(0, 64, 2))


def read_ends(sdp: str) -> tuple[str, str]:
    """(ufrag, fingerprint) that an SDP names; empty where it does not."""
    ufrag, print_ = _UFRAG.search(sdp), _FINGERPRINT.search(sdp)
    return ufrag[1] if ufrag else "", print_[1] if print_ else ""
