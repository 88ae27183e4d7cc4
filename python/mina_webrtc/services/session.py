"""The SDP of a data-channel session: ours written, the peer's read (protocol.md §6, RFC 8841)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from aioice import Candidate
from aiortc import clock
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcicetransport import RTCIceParameters, candidate_from_aioice, candidate_to_aioice
from aiortc.rtcsctptransport import RTCSctpCapabilities
from aiortc.sdp import GroupDescription, MediaDescription, SessionDescription
from msgspec import Struct

from mina_webrtc.errors import SdpError
from mina_webrtc.services.inbox import MAX_CHUNK

MAX_SDP = 65_536
"""Characters; far above what 32 candidates need."""

SCTP_PORT = 5000
SMALLEST_MESSAGE_LIMIT = 16_384
"""A peer that takes less than one chunk (protocol.md §7) cannot be talked to."""

DEFAULT_MESSAGE_LIMIT = 65_536
"""RFC 8841 §6.1: what holds without `a=max-message-size`."""

_UFRAG = re.compile(r"[A-Za-z0-9+/=_-]{4,256}")
_PASSWORD = re.compile(r"[A-Za-z0-9+/=_-]{22,256}")
_MID = re.compile(r"[!-~]{1,64}")


class Remote(Struct, frozen=True):
    """What the peer's SDP says. `role` is its DTLS role: `auto`, `client` or `server`."""

    mid: str
    role: str
    fingerprints: tuple[RTCDtlsFingerprint, ...]
    username: str
    password: str
    lite: bool
    candidates: tuple[Candidate, ...]
    sctp_port: int
    max_message: int


def write_sdp(
    kind: str,
    mid: str,
    role: str,
    fingerprints: list[RTCDtlsFingerprint],
    username: str,
    password: str,
    candidates: Sequence[Candidate],
    external_ips: Sequence[str],
) -> str:
    """Our offer or answer. `external_ips` take the place of host candidates' addresses of the same family."""
    media = MediaDescription("application", 9, "UDP/DTLS/SCTP", ["webrtc-datachannel"])
    media.rtp.muxId = mid
    media.sctp_port = SCTP_PORT
    media.sctpCapabilities = RTCSctpCapabilities(maxMessageSize=MAX_CHUNK)
    media.ice = RTCIceParameters(usernameFragment=username, password=password)
    media.ice_candidates = [candidate_from_aioice(c) for c in _public(candidates, external_ips)]
    media.ice_candidates_complete = True  # protocol.md §6: non-trickle
    media.dtls = RTCDtlsParameters(fingerprints=fingerprints, role=role)
    first = media.ice_candidates[0]
    media.host, media.port = first.ip, first.port

    session = SessionDescription()
    seconds = clock.current_ntp_time() >> 32
    session.type = kind
    session.origin = f"- {seconds} {seconds} IN IP4 0.0.0.0"
    session.group = [GroupDescription(semantic="BUNDLE", items=[mid])]
    session.msid_semantic = [GroupDescription(semantic="WMS", items=["*"])]
    session.media = [media]
    return str(session)


def _public(candidates: Sequence[Candidate], external_ips: Sequence[str]) -> list[Candidate]:
    """1:1 NAT: each host candidate of a family that has external addresses is announced at each of them instead."""
    outside = [ipaddress.ip_address(text) for text in external_ips]
    shown: list[Candidate] = []
    for candidate in candidates:
        version = ipaddress.ip_address(candidate.host).version
        hosts = [str(ip) for ip in outside if ip.version == version] if candidate.type == "host" else []
        for host in hosts or [candidate.host]:
            shown.append(
                Candidate(
                    foundation=candidate.foundation,
                    component=candidate.component,
                    transport=candidate.transport,
                    priority=candidate.priority,
                    host=host,
                    port=candidate.port,
                    type=candidate.type,
                    related_address=candidate.related_address,
                    related_port=candidate.related_port,
                )
            )
    return shown


def read_remote(text: str, *, answer: bool) -> Remote:
    """The peer's offer or answer. Raises `SdpError` when no data-channel connection can be made from it."""
    if len(text) > MAX_SDP:
        raise SdpError(f"SDP of {len(text)} characters, at most {MAX_SDP}")
    try:
        session = SessionDescription.parse(text)
    except Exception as error:  # aiortc's parser lets whatever happens inside come out: assertions, indexes, keys
        raise SdpError(f"SDP does not parse ({type(error).__name__})") from error
    if len(session.media) != 1 or session.media[0].kind != "application":
        raise SdpError("SDP must have exactly one media section, for data channels")
    media = session.media[0]
    if media.fmt != ["webrtc-datachannel"] or media.sctp_port is None or not 0 < media.sctp_port < 65_536:
        raise SdpError("SDP has no data-channel media section (RFC 8841)")
    if media.dtls is None or not media.dtls.fingerprints:
        raise SdpError("SDP has no DTLS role or fingerprint")
    if answer and media.dtls.role == "auto":
        raise SdpError("an answer must choose a DTLS role")
    return _remote(media, media.dtls, media.ice or RTCIceParameters(), media.sctp_port)


def _remote(media: MediaDescription, dtls: RTCDtlsParameters, ice: RTCIceParameters, sctp_port: int) -> Remote:
    username, password, mid = ice.usernameFragment or "", ice.password or "", media.rtp.muxId
    if not _UFRAG.fullmatch(username) or not _PASSWORD.fullmatch(password):
        raise SdpError("SDP has no valid ICE credentials")
    if mid and not _MID.fullmatch(mid):
        raise SdpError("SDP has an invalid mid")
    limit = media.sctpCapabilities.maxMessageSize if media.sctpCapabilities else DEFAULT_MESSAGE_LIMIT
    if 0 < limit < SMALLEST_MESSAGE_LIMIT:
        raise SdpError(f"the peer takes messages of {limit} bytes only")
    return Remote(
        mid=mid or "0",
        role=dtls.role,
        fingerprints=tuple(dtls.fingerprints),
        username=username,
        password=password,
        lite=ice.iceLite,
        candidates=tuple(candidate_to_aioice(c) for c in media.ice_candidates),
        sctp_port=sctp_port,
        max_message=limit,
    )
