"""Everything that needs the secret key or knows which secrets are ours: sealing, opening, and recognising reflections.

protocol.md §2 and §3. What is ours is remembered for the whole process and by identity: a man in the middle can join a
node to itself under another's name, also when two `Node` objects share the identity. Nodes of one process with
different identities are strangers to each other: under another key a reflected auth does not open anyway.
"""

from __future__ import annotations

from collections import Counter

from mina_webrtc.errors import CryptoError, InvalidInput, SdpError
from mina_webrtc.identity import Cipher, PublicKey, SecretKey
from mina_webrtc.machines.vocab import AuthVerdict
from mina_webrtc.wire.auth import ConnectionAuth, ConnectionAuthEncrypted
from mina_webrtc.wire.sdp import read_sdp
from mina_webrtc.wire.signal import EncryptedAnswer, EncryptedOffer, Offer, P2pConnectionResponse

_nonces: set[tuple[PublicKey, bytes]] = set()
"""Who sealed an auth with which nonce, for connections that are live or pending."""
_fingerprints: Counter[tuple[PublicKey, str]] = Counter()
"""Whose live or pending connections use which DTLS fingerprint, or their next ones would."""


class Keys:
    """One node's secret key at work. Nothing here is ever logged or put into an event."""

    def __init__(self, secret_key: SecretKey) -> None:
        self._secret = secret_key
        self._self = secret_key.public_key
        self._ciphers: dict[int, Cipher] = {}
        self._sealed: dict[int, list[bytes]] = {}
        self._own: dict[int, tuple[str, ...]] = {}
        self._latest: tuple[str, ...] = ()
        """Those of the newest certificate, also while no connection uses it."""

    def seal_auth(self, conn: int, peer: PublicKey, auth: ConnectionAuth) -> bytes:
        """Our 92 bytes; their nonce is remembered until `forget`. Raises `NonContributoryKeyError`."""
        sealed = auth.seal(self._cipher(conn, peer))
        _nonces.add((self._self, sealed.nonce))
        self._sealed.setdefault(conn, []).append(sealed.nonce)
        return bytes(sealed.data)

    def open_auth(self, conn: int, peer: PublicKey, auth: ConnectionAuth, received: bytes) -> AuthVerdict:
        """Whether the peer's bytes prove its identity and the same two SDPs (§3)."""
        try:
            sealed = ConnectionAuthEncrypted(received)
        except InvalidInput:
            return AuthVerdict.LENGTH
        if (self._self, sealed.nonce) in _nonces:
            return AuthVerdict.REFLECTED
        try:
            theirs = sealed.open(self._cipher(conn, peer))
        except (CryptoError, InvalidInput):
            return AuthVerdict.UNDECRYPTABLE
        return AuthVerdict.PASSED if theirs == auth else AuthVerdict.MISMATCH

    def seal_offer(self, conn: int, target: PublicKey, offer: Offer) -> bytes:
        """Our offer, which a relay is to carry (§9). Raises `NonContributoryKeyError`."""
        return EncryptedOffer.seal(self._cipher(conn, target), offer).data

    def open_answer(self, conn: int, target: PublicKey, sealed: bytes) -> P2pConnectionResponse:
        """What the target answered to it. Raises `CryptoError`, `SignalError`."""
        return EncryptedAnswer(sealed).open(self._cipher(conn, target))

    def open_offer(self, offerer: PublicKey, sealed: bytes) -> Offer:
        """An offer that a relay brought. Raises `CryptoError`, `SignalError`."""
        return EncryptedOffer(sealed).open(Cipher(self._secret, offerer))

    def seal_answer(self, offerer: PublicKey, response: P2pConnectionResponse) -> bytes:
        """Our answer to it. Raises `NonContributoryKeyError`."""
        return EncryptedAnswer.seal(Cipher(self._secret, offerer), response).data

    def own(self, conn: int, fingerprints: tuple[str, ...]) -> None:
        """Remembers the DTLS fingerprints of a connection until `forget`, and the newest ones until `close`."""
        self._disown(conn)
        self._own[conn] = fingerprints
        self._count(fingerprints, 1)
        if fingerprints != self._latest:
            self._count(fingerprints, 1)
            self._count(self._latest, -1)
            self._latest = fingerprints

    def is_own(self, sdp: str) -> bool:
        """Whether a remote SDP carries a fingerprint of ours (§3). An unreadable SDP does not."""
        try:
            facts = read_sdp(sdp)
        except SdpError:
            return False
        return any((self._self, fingerprint) in _fingerprints for fingerprint in facts.fingerprints)

    def forget(self, conn: int) -> None:
        """The connection is gone: drops its shared key, nonces and fingerprints."""
        self._ciphers.pop(conn, None)
        _nonces.difference_update((self._self, nonce) for nonce in self._sealed.pop(conn, ()))
        self._disown(conn)

    def close(self) -> None:
        """There will be no connection any more."""
        self._count(self._latest, -1)
        self._latest = ()

    def _disown(self, conn: int) -> None:
        self._count(self._own.pop(conn, ()), -1)

    def _count(self, fingerprints: tuple[str, ...], users: int) -> None:
        for fingerprint in fingerprints:
            mine = (self._self, fingerprint)
            _fingerprints[mine] += users
            if not _fingerprints[mine]:
                del _fingerprints[mine]

    def _cipher(self, conn: int, peer: PublicKey) -> Cipher:
        cipher = self._ciphers.get(conn)
        if cipher is None:
            cipher = self._ciphers[conn] = Cipher(self._secret, peer)
        return cipher
