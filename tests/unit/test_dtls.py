"""DTLS back to back, without sockets: handshake, loss, records that share a datagram, and the fingerprint."""

from __future__ import annotations

import asyncio

import pytest
from aiortc.rtcdtlstransport import RTCDtlsFingerprint

from mina_webrtc.errors import TransportError
from mina_webrtc.services.dtls import MAX_DATAGRAM, Certificate, Dtls


class Side:
    """One end; what it sends is kept."""

    def __init__(self, certificate: Certificate | None = None) -> None:
        self.certificate = certificate or Certificate()
        self.out: list[bytes] = []
        self.connected = 0
        self.data: list[bytes] = []
        self.over: list[TransportError] = []
        self.dtls = Dtls(self.certificate, self.out.append, self)

    def dtls_connected(self) -> None:
        self.connected += 1

    def dtls_data(self, data: bytes) -> None:
        self.data.append(data)

    def dtls_over(self, error: TransportError) -> None:
        self.over.append(error)


def carry(a: Side, b: Side) -> None:
    while a.out or b.out:
        for source, target in ((a, b), (b, a)):
            datagrams, source.out[:] = source.out[:], []
            for datagram in datagrams:
                assert len(datagram) <= MAX_DATAGRAM
                target.dtls.receive(datagram)


def start(a: Side, b: Side) -> None:
    a.dtls.start("client", b.certificate.fingerprints)
    b.dtls.start("server", a.certificate.fingerprints)


def connect() -> tuple[Side, Side]:
    a, b = Side(), Side()
    start(a, b)
    carry(a, b)
    assert (a.connected, b.connected) == (1, 1)
    return a, b


async def test_handshake_and_data() -> None:
    a, b = connect()
    a.dtls.send(b"one")
    b.dtls.send(b"two")
    carry(a, b)
    assert (a.data, b.data) == ([b"two"], [b"one"])
    assert a.dtls._ssl is not None
    assert a.dtls._ssl.get_protocol_version_name() == "DTLSv1.2"
    a.dtls.close()
    carry(a, b)
    assert [str(error) for error in b.over] == ["the peer closed the connection"]
    b.dtls.close()
    b.dtls.close()
    b.dtls.send(b"nothing happens")
    assert b.out == []


async def test_records_that_share_a_datagram() -> None:
    a, b = connect()
    for index in range(5):
        a.dtls.send(bytes([index]))
    b.dtls.receive(b"".join(a.out))
    assert b.data == [bytes([index]) for index in range(5)]
    for side in (a, b):
        side.dtls.close()


async def test_a_lost_flight_is_repeated() -> None:
    a, b = Side(), Side()
    start(a, b)
    a.out.clear()  # the ClientHello is lost
    assert a.dtls._timer is not None
    assert a.dtls._ssl is not None
    await asyncio.sleep(0)
    # OpenSSL's clock cannot be turned: what is checked is that its deadline is armed, and gone at the end.
    assert 0 < a.dtls._timer.when() - asyncio.get_running_loop().time() <= 1.0
    a.dtls.close()
    b.dtls.close()
    assert a.dtls._timer is None
    assert b.dtls._timer is None


@pytest.mark.parametrize("count", [1, 3])
async def test_a_fingerprint_that_does_not_fit(count: int) -> None:
    a, b = Side(), Side()
    wrong = Certificate().fingerprints[:1] + b.certificate.fingerprints[1:count]
    a.dtls.start("client", wrong)
    b.dtls.start("server", a.certificate.fingerprints)
    carry(a, b)
    assert a.connected == 0
    assert len(a.over) == 1
    for side in (a, b):
        side.dtls.close()


async def test_fingerprints_of_unknown_digests_only() -> None:
    a, b = Side(), Side()
    a.dtls.start("client", [RTCDtlsFingerprint("sha-1", "AA"), RTCDtlsFingerprint("", "")])
    b.dtls.start("server", a.certificate.fingerprints)
    carry(a, b)
    assert a.connected == 0
    assert len(a.over) == 1
    for side in (a, b):
        side.dtls.close()


async def test_what_is_not_dtls_is_ignored() -> None:
    a, b = connect()
    for first in range(256):
        if not 19 < first < 64:
            b.dtls.receive(bytes([first]) + bytes(30))
    for first in range(20, 26):
        b.dtls.receive(bytes([first, 254, 253]) + bytes(30))
    a.dtls.send(b"fine")
    carry(a, b)
    assert b.data == [b"fine"]
    assert not b.over
    for side in (a, b):
        side.dtls.close()


async def test_one_certificate_for_many_connections() -> None:
    certificate = Certificate()
    assert not certificate.worn
    for _ in range(3):
        a, b = Side(certificate), Side(certificate)
        start(a, b)
        carry(a, b)
        assert (a.connected, b.connected) == (1, 1)
        for side in (a, b):
            side.dtls.close()
