"""What the tests of `inspect` share: samples, and the two ways an inspection may end."""

from __future__ import annotations

import json
from typing import Any

from mina_webrtc import ChainId, SecretKey
from mina_webrtc.cli.inspect_found import Asked, Found, as_json, print_tree
from mina_webrtc.cli.inspect_text import explain
from mina_webrtc.errors import InvalidInput
from mina_webrtc.wire.sdp import mark_sdp
from mina_webrtc.wire.signal import Answer, Offer

KEY, OTHER = SecretKey.deterministic(3), SecretKey.deterministic(4)
SDP = mark_sdp(
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n"
    "a=ice-pwd:topsecretpasswordforthis\r\na=candidate:1 1 udp 1 127.0.0.1 5 typ host\r\n"
    "a=candidate:2 1 udp 1 9.9.9.9 5 typ host\r\na=candidate:3 1 udp 1 224.0.0.1 5 typ host\r\n"
)
OFFER = Offer.new(SDP, ChainId.DEVNET, KEY.public_key, OTHER.peer_id, listen_port=3000)
ANSWER = Answer.new(SDP, OTHER.public_key, KEY.peer_id)


def first(content: str | bytes, asked: Asked | None = None) -> dict[str, Any]:
    found, *others = explain(content, asked or Asked())
    return json.loads(json.dumps(as_json(found, others)))


def ends_well(content: str | bytes, asked: Asked | None = None) -> list[Found]:
    try:
        found = explain(content, asked or Asked())
    except InvalidInput:
        return []
    json.dumps(as_json(found[0], found[1:]))
    print_tree(found[0], found[1:])
    return found
