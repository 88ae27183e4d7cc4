"""DTLS 1.2 over datagrams that somebody else carries: handshake, records, and the check of the peer's fingerprint.

aiortc's `RTCDtlsTransport` is not used because it cannot be closed cleanly at any moment and drops data at its edges:
its read task is cancelled but never awaited; a record that shares its datagram with another stays unread until the next
datagram comes; a flight above 1500 bytes is cut inside a record; an empty datagram (anybody can send one) ends it with
an IndexError; without an SRTP profile, which data channels do not need, the handshake fails. The certificate, the
cipher list and the fingerprints are aiortc's.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from aiortc.rtcdtlstransport import (
    SRTP_PROFILES,
    X509_DIGEST_ALGORITHMS,
    RTCCertificate,
    RTCDtlsFingerprint,
    certificate_digest,
)
from OpenSSL import SSL

from mina_webrtc.errors import TransportError

DTLS_1_2 = 0xFEFD
"""OpenSSL's number. Pinned: a newer OpenSSL would negotiate 1.3 unseen."""

MAX_DATAGRAM = 1232
"""What goes into one UDP datagram: the minimum IPv6 MTU without the IPv6 and UDP headers."""

RECORD_HEADER = 13
APPLICATION_DATA = 23


class Certificate:
    """One self-signed P-256 certificate and the OpenSSL context that all connections of a process share."""

    def __init__(self) -> None:
        self._inner = RTCCertificate.generateCertificate()
        self.context = self._inner._create_ssl_context(SRTP_PROFILES)
        self.context.set_min_proto_version(DTLS_1_2)
        self.context.set_max_proto_version(DTLS_1_2)
        # Every handshake is a full one; a shared context would otherwise remember each session.
        self.context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        self.context.set_options(SSL.OP_NO_QUERY_MTU)  # a memory BIO would answer with the smallest MTU there is

    @property
    def fingerprints(self) -> list[RTCDtlsFingerprint]:
        """One for each supported digest."""
        return self._inner.getFingerprints()

    @property
    def worn(self) -> bool:
        """Whether more than half of its life of 30 days is over, so that new connections should get a new one."""
        return self._inner.expires - datetime.datetime.now(tz=datetime.UTC) < datetime.timedelta(days=15)


class DtlsEvents(Protocol):
    """Where a `Dtls` reports to; called from inside `receive` and from its timer."""

    def dtls_connected(self) -> None: ...
    def dtls_data(self, data: bytes) -> None: ...
    def dtls_over(self, error: TransportError) -> None: ...


class Dtls:
    """One DTLS association. It also answers to the names that aiortc's SCTP uses of its transport (`state`, `_role`,
    `_register_data_receiver`, `_unregister_data_receiver`)."""

    def __init__(self, certificate: Certificate, send: Callable[[bytes], None], events: DtlsEvents) -> None:
        self.state = "new"
        self._role = "auto"
        self._certificate = certificate
        self._send = send
        self._events: DtlsEvents | None = events
        self._expected: Sequence[RTCDtlsFingerprint] = ()
        self._ssl: SSL.Connection | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, role: str, fingerprints: Sequence[RTCDtlsFingerprint]) -> None:
        """Begins the handshake as `client` or `server`; the peer's certificate must have these fingerprints."""
        self._role = role
        self._expected = fingerprints
        self._ssl = SSL.Connection(self._certificate.context)
        self._ssl.set_ciphertext_mtu(MAX_DATAGRAM)
        if role == "server":
            self._ssl.set_accept_state()
        else:
            self._ssl.set_connect_state()
        self.state = "connecting"
        self._handshake(self._ssl)

    def receive(self, datagram: bytes) -> None:
        """A datagram came in; anything but DTLS (RFC 7983) is ignored."""
        if self._ssl is None or not 19 < datagram[0] < 64:
            return
        self._ssl.bio_write(datagram)
        if self.state == "connecting":
            self._handshake(self._ssl)
        if self.state == "connected":
            # Nearly all: one record of application data. Then one read empties the BIO, and nothing is to be answered.
            alone = datagram[0] == APPLICATION_DATA and len(datagram) == _record_end(datagram, 0)
            self._read(alone)

    def send(self, data: bytes) -> None:
        """Sends one record; silently nothing when there is no connection (any more)."""
        if self.state != "connected" or self._ssl is None:
            return
        try:
            self._ssl.send(data)
        except SSL.Error:
            self._fail("DTLS cannot send")
            return
        self._send(self._ssl.bio_read(65_536))

    def close(self) -> None:
        """Sends a close_notify when connected and frees everything; nothing is reported any more."""
        self._events = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ssl is not None and self.state == "connected":
            try:
                self._ssl.shutdown()
                self._flush()
            except SSL.Error:
                pass  # the peer closed first
        self._ssl = None
        self.state = "closed"

    def _register_data_receiver(self, receiver: Any) -> None:
        pass

    def _unregister_data_receiver(self, receiver: Any) -> None:
        pass

    def _handshake(self, ssl: SSL.Connection) -> None:
        try:
            ssl.do_handshake()
        except SSL.WantReadError:
            self._flush()
            self._arm(ssl)
            return
        except SSL.Error:
            self._flush()  # the alert
            self._fail("DTLS handshake failed")
            return
        self._flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._identified(ssl):
            self._fail("the DTLS certificate is not the one that the SDP announced")
            return
        self.state = "connected"
        if self._events is not None:
            self._events.dtls_connected()

    def _identified(self, ssl: SSL.Connection) -> bool:
        """Whether at least one announced fingerprint has a known digest, and all of these fit (RFC 8122 §5)."""
        certificate = ssl.get_peer_certificate(as_cryptography=True)
        known = [f for f in self._expected if f.algorithm.lower() in X509_DIGEST_ALGORITHMS]
        return (
            certificate is not None
            and bool(known)
            and all(f.value.upper() == certificate_digest(certificate, f.algorithm.lower()) for f in known)
        )

    def _read(self, alone: bool) -> None:
        while self._ssl is not None:
            try:
                data = self._ssl.recv(65_536)
            except SSL.WantReadError:
                break
            except SSL.Error as error:
                self._flush()
                closed = isinstance(error, SSL.ZeroReturnError)
                self._fail("the peer closed the connection" if closed else "DTLS failed")
                return
            if self._events is not None:
                self._events.dtls_data(data)
            if alone:
                return
        self._flush()  # a repeated last flight, an alert

    def _fail(self, reason: str) -> None:
        self.state = "failed"
        events = self._events
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if events is not None:
            events.dtls_over(TransportError(reason, "dtls"))

    def _arm(self, ssl: SSL.Connection) -> None:
        """Schedules OpenSSL's retransmission of the current flight (RFC 6347 §4.2.4)."""
        if self._timer is not None:
            self._timer.cancel()
        timeout = ssl.DTLSv1_get_timeout()
        self._timer = None if timeout is None else asyncio.get_running_loop().call_later(timeout, self._retransmit)

    def _retransmit(self) -> None:
        self._timer = None
        if self._ssl is None or self.state != "connecting":
            return
        try:
            self._ssl.DTLSv1_handle_timeout()
        except SSL.Error:
            self._fail("DTLS handshake timed out")
            return
        self._flush()
        self._arm(self._ssl)

    def _flush(self) -> None:
        while self._ssl is not None:
            try:
                data = self._ssl.bio_read(65_536)
            except SSL.Error:
                return
            if len(data) <= MAX_DATAGRAM:
                self._send(data)
            else:
                for datagram in _datagrams(data):
                    self._send(datagram)


def _datagrams(data: bytes) -> Iterator[bytes]:
    """Cuts a flight into datagrams at the borders of records (RFC 6347 §4.1.1: a record does not span datagrams)."""
    start = position = 0
    while position < len(data):
        end = _record_end(data, position)
        if end - start > MAX_DATAGRAM and position > start:
            yield data[start:position]
            start = position
        position = end
    yield data[start:]


def _record_end(data: bytes, start: int) -> int:
    return start + RECORD_HEADER + int.from_bytes(data[start + 11 : start + 13], "big")
