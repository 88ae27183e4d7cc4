"""Facts about typed values: identities, chains, addresses, SDPs, signaling messages."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from mina_webrtc.cli.inspect_found import Asked, Facts, blob
from mina_webrtc.errors import DecryptionError, InvalidInput, KeyFormatError, MinaWebrtcError, SdpError, SignalError
from mina_webrtc.identity import ChainId, PeerId, PublicKey, SecretKey, sdp_hash
from mina_webrtc.wire.address import DialAddress, Libp2pAddress, SignalingMethod
from mina_webrtc.wire.auth import NONCE, ConnectionAuth
from mina_webrtc.wire.candidate import is_candidate, is_usable
from mina_webrtc.wire.sdp import SdpFacts, read_sdp
from mina_webrtc.wire.signal import Answer, Offer, P2pConnectionResponse

_CANDIDATES = 64
"""Candidates of an SDP that are listed; no more than 32 are ever used (§6)."""
NO_POINT = "its bytes are not a point on the curve, so no key belongs to it"
_NETWORKS = {ChainId.DEVNET: "devnet", ChainId.MAINNET: "mainnet"}


def read_peer(value: str | bytes) -> PeerId:
    """Who a public key or a peer id names: any of its texts, or the 32 bytes. Raises `InvalidInput`."""
    if isinstance(value, bytes):
        return PeerId.from_bytes(value)
    text = value.strip()
    if text.startswith(("12D3", "Qm")):
        return PeerId.from_libp2p(text)
    with suppress(InvalidInput):
        return PublicKey.parse(text).peer_id
    return PeerId.parse(text)


def of_peer(peer: PeerId) -> Facts:
    """The three texts of an identity."""
    try:
        return {
            "peer_id": str(peer),
            "libp2p_peer_id": peer.to_libp2p(),
            "public_key": str(peer.public_key),
        }
    except KeyFormatError:
        return {"peer_id": str(peer), "note": NO_POINT}


def is_point(data: bytes) -> bool:
    """Whether the bytes are a public key."""
    try:
        PublicKey.from_bytes(data)
    except KeyFormatError:
        return False
    return True


def of_secret(key: SecretKey) -> Facts:
    """The public side of a secret key, and nothing else of it."""
    return {"secret": "not shown", **of_peer(key.peer_id)}


def of_chain(chain: ChainId, *, shown: bool = False) -> Facts:
    """Which network it is; unless `shown`, the id of an unknown one is not repeated, since 32 bytes that are no key
    may be a secret."""
    network = _NETWORKS.get(chain, "none that is known here")
    if chain not in _NETWORKS and not shown:
        return {"network": network}
    return {"network": network, "chain_id": str(chain), "libp2p_preshared_key": chain.preshared_key().hex()}


def of_method(method: SignalingMethod) -> Facts:
    """Kind, text and URL of a signaling method."""
    text = str(method)
    return {"method": text.split("/")[1], "text": text, "url": method.http_url()}


def of_address(address: DialAddress | Libp2pAddress) -> Facts:
    """Both forms of a dial address; a libp2p address as far as it goes."""
    if isinstance(address, Libp2pAddress):
        target = {"host": str(address.host), "port": address.port}
        return {**of_peer(address.peer), **target, "note": "no WebRTC: kept and handed on, never dialled"}
    forms = {"multiaddr": str(address), "legacy": address.legacy()}
    return {**forms, "signaling": of_method(address.method), "peer": of_peer(address.peer)}


def of_sdp(sdp: str) -> Facts:
    """Fingerprints, candidates and mark; the hash is what authentication binds to."""
    facts: Facts = {"sha256": sdp_hash(sdp).hex(), "characters": len(sdp)}
    try:
        found = read_sdp(sdp)
    except SdpError as error:
        return {**facts, "refused": str(error)}
    return {**facts, **_of_read(found), "candidate_lines": _candidates(sdp)}


def _of_read(found: SdpFacts) -> Facts:
    mark = found.mark
    shown = None if mark is None else {"version": mark.version, "early": mark.early, "app": mark.app and list(mark.app)}
    return {
        "fingerprints": list(found.fingerprints),
        "candidates": found.candidates,
        "max_message_size": found.max_message_size,
        "mark_of_this_project": shown,
    }


def _candidates(sdp: str) -> list[str]:
    lines = [line for line in sdp.splitlines() if is_candidate(line)][:_CANDIDATES]
    return [f"{line[2:]}{_judged(line)}" for line in lines]


def _judged(line: str) -> str:
    if is_usable(line, allow_loopback=False, allow_link_local=False):
        return ""
    if is_usable(line, allow_loopback=True, allow_link_local=True):
        return "  (loopback or link-local: used only where allowed)"
    return "  (not usable)"


def of_offer(offer: Offer) -> Facts:
    """Everything in an offer; it is an unsigned claim."""
    return {
        "network": _NETWORKS.get(offer.chain_id, "none that is known here"),
        "chain_id": str(offer.chain_id),
        "offerer": of_peer(offer.identity.peer_id),
        "target": of_peer(offer.target_peer_id),
        "host": str(offer.host),
        "listen_port": offer.listen_port,
        "claimed_address": str(offer.dial_address) if offer.dial_address else None,
        "sdp": of_sdp(offer.sdp),
    }


def of_answer(answer: Answer) -> Facts:
    """Everything in an answer."""
    return {
        "answerer": of_peer(answer.identity.peer_id),
        "target": of_peer(answer.target_peer_id),
        "sdp": of_sdp(answer.sdp),
    }


def of_response(response: P2pConnectionResponse) -> Facts:
    """The response, with its reason or answer."""
    facts: Facts = {"response": response.kind, "http_status": response.http_status}
    if response.reason is not None:
        facts |= {"reason": response.reason.value, "meaning": response.reason.display, "bad": response.is_bad}
    if response.answer is not None:
        facts["answer"] = of_answer(response.answer)
    return facts


def of_sealed(data: bytes, asked: Asked, peer: PublicKey | None = None, *, certain: bool = True) -> Facts:
    """What is sealed between two identities (§2): its size, and its content if the keys for it are given. What is not
    `certain` to be sealed may be a secret: then nothing of it is shown before it opens."""
    facts: Facts = {"bytes": len(data)}
    nonce: Facts = {"nonce": data[:NONCE].hex()}
    try:
        content = open_sealed(data, asked, peer)
        if content is not None:
            return facts | nonce | {"opened": _opened(content)}
        told = "give --key-file and --peer, the keys of its two ends, to see inside"
    except DecryptionError:
        told = "not between these two keys, or changed"
    except MinaWebrtcError as error:
        told = str(error)
    return facts | (nonce if certain else {}) | {"sealed": told}


def open_sealed(data: bytes, asked: Asked, peer: PublicKey | None = None) -> bytes | None:
    """The content; None without keys. Raises `DecryptionError` or `NonContributoryKeyError`."""
    cipher = asked.cipher(peer)
    return None if cipher is None else cipher.open(data)


def _opened(content: bytes) -> Facts:
    with_kind: list[tuple[str, Any, Any]] = [
        ("offer", Offer.from_json, of_offer),
        ("connection response", P2pConnectionResponse.from_json, of_response),
        ("connection auth", ConnectionAuth.from_bytes, _hashes),
    ]
    for kind, read, tell in with_kind:
        try:
            return {"kind": kind, **tell(read(content))}
        except (SignalError, InvalidInput):
            continue
    return {"kind": "something else", "content": blob(content)}


def _hashes(auth: ConnectionAuth) -> Facts:
    return of_hashes(bytes(auth))


def of_hashes(auth: bytes) -> Facts:
    """The two hashes that a connection auth is."""
    return {"offer_sdp_sha256": auth[:32].hex(), "answer_sdp_sha256": auth[32:].hex()}
