"""What is read in an SDP, and what is taken out of a remote one (protocol.md §6)."""

from __future__ import annotations

import pytest
from aioice import Candidate
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from mina_webrtc.errors import SdpError
from mina_webrtc.wire.sdp import ANY_MESSAGE_SIZE, MAX_BYTES, MAX_LINES, Mark, mark_sdp, read_sdp, usable_sdp

HASH = ":".join(["ab"] * 32)
SESSION = ["v=0", "o=- 1 2 IN IP4 0.0.0.0", "s=-", "t=0 0", f"a=fingerprint:sha-256 {HASH}", "a=group:BUNDLE 0"]
MEDIA = [
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    "a=setup:actpass",
    "a=mid:0",
    "a=sctp-port:5000",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:abcdefghijklmnopqrstuv",
]


def candidate(address: str, port: object = 5000, transport: str = "udp", kind: str = "host", component: int = 1) -> str:
    return f"a=candidate:1 {component} {transport} 2130706431 {address} {port} typ {kind}"


def sdp(*more: str, session: tuple[str, ...] = (), media: list[str] = MEDIA, newline: str = "\r\n") -> str:
    return newline.join([*SESSION, *session, *media, *more, ""])


def usable(*lines: str, loopback: bool = False, link_local: bool = False, limit: int = 32) -> list[str]:
    text = usable_sdp(sdp(*lines), allow_loopback=loopback, allow_link_local=link_local, max_candidates=limit)
    return [line for line in text.splitlines() if line.startswith("a=candidate")]


def test_facts_of_an_ordinary_sdp() -> None:
    facts = read_sdp(sdp(candidate("10.0.0.1"), candidate("::1"), "a=max-message-size:262144"))
    assert facts.fingerprints == (f"sha-256 {HASH.upper()}",)
    assert facts.candidates == 2
    assert facts.mark is None
    assert facts.max_message_size == 262144


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        ((), 65536),
        (("a=max-message-size:0",), ANY_MESSAGE_SIZE),
        (("a=max-message-size:9999999999",), ANY_MESSAGE_SIZE),
    ],
)
def test_max_message_size_has_the_default_of_rfc_8841(lines: tuple[str, ...], size: int) -> None:
    assert read_sdp(sdp(*lines)).max_message_size == size


def test_fingerprints_of_both_levels_are_found_and_normalised() -> None:
    other = ":".join(["0c"] * 48)
    text = sdp(f"a=fingerprint:SHA-384  {other} ", f"a=fingerprint:sha-256 {HASH.upper()}", "a=fingerprint:md5 ab:cd")
    assert read_sdp(text).fingerprints == (f"sha-256 {HASH.upper()}", f"sha-384 {other.upper()}", "md5 AB:CD")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v=0",
        "v=1\r\n" + sdp()[5:],
        "hello\r\n" + sdp(),
        sdp("no attribute"),
        sdp("a=x\x00y"),
        sdp("a=x\u2028a=fingerprint:sha-256 00"),
        sdp("a=x\x85y"),
        sdp("a=\ud800"),
        sdp("a=" + "x" * 2000),
        sdp(*["a=x"] * MAX_LINES),
        sdp("a=" + "x" * 1000, *["a=" + "y" * 1000] * 16),
        sdp(*["a=" + "漢" * 1000] * 6),
        sdp(media=[]),
        sdp(*MEDIA),
        sdp(media=["m=audio 9 UDP/TLS/RTP/SAVPF 0", *MEDIA[1:]]),
        sdp(media=[line for line in MEDIA if "ice-pwd" not in line]),
        sdp(media=[line for line in MEDIA if "ice-ufrag" not in line]),
        sdp().replace("a=fingerprint", "a=finger"),
        sdp().replace("sha-256", "sha-1"),
        sdp("a=fingerprint"),
        sdp("a=fingerprint:sha-256"),
        sdp("a=fingerprint:sha-256 ab:cd"),
        sdp("a=fingerprint:sha-256 " + HASH[:-1]),
        sdp(*[f"a=fingerprint:x-{n} ab" for n in range(20)]),
        sdp("a=max-message-size:lots"),
    ],
)
def test_garbage_and_oversize_is_an_sdp_error(text: str) -> None:
    with pytest.raises(SdpError):
        read_sdp(text)


def test_the_size_limit_is_inclusive() -> None:
    text = sdp(*["a=" + "x" * 500] * 30)
    filler = "a=" + "x" * (MAX_BYTES - len(text) - 4) + "\r\n"
    assert len(text + filler) == MAX_BYTES
    read_sdp(text + filler)
    with pytest.raises(SdpError):
        read_sdp(text + filler + "a=\r\n")


@pytest.mark.parametrize(
    ("line", "mark"),
    [
        ("1 early app=16-31", Mark(1, True, (16, 31))),
        ("1 early", Mark(1, True, None)),
        ("1", Mark(1, False, None)),
        ("1 app=16-31 early something=new", Mark(1, True, (16, 31))),
        ("1 early app=31-16", Mark(1, True, None)),
        ("1 early app=0-8", Mark(1, True, None)),
        ("1 early app=16-99999", Mark(1, True, None)),
        ("1 early app=x", Mark(1, True, None)),
        ("1 earlyish", Mark(1, False, None)),
        ("2 early", None),
        ("", None),
        ("01 early", None),
    ],
)
def test_the_mark(line: str, mark: Mark | None) -> None:
    assert read_sdp(sdp(session=(f"a=x-mina-webrtc:{line}",))).mark == mark


def test_the_mark_counts_at_session_level_only() -> None:
    assert read_sdp(sdp("a=x-mina-webrtc:1 early")).mark is None


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_mark_sdp_adds_one_session_line_and_keeps_the_rest(newline: str) -> None:
    text = sdp(newline=newline)
    marked = mark_sdp(text)
    assert marked.replace(f"a=x-mina-webrtc:1 early{newline}", "") == text
    assert read_sdp(marked).mark == Mark()
    assert mark_sdp(marked) == marked
    assert str(SessionDescription.parse(marked)) == str(SessionDescription.parse(text))


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "1.2.3.4", "2001:db8::1", "fd00::1", "::ffff:1.2.3.4"])
def test_candidates_that_are_used(address: str) -> None:
    assert len(usable(candidate(address))) == 1


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0",
        "224.0.0.1", "239.1.2.3", "ff02::1", "::ffff:224.0.0.1", "64:ff9b::e000:1", "255.255.255.255",
        "0a1b2c3d.local", "example.com", "localhost", "fe80::1%eth0", "1.2.3", "1.2.3.4.5", "[::1]", "::1::2",
        "01.2.3.4",
    ],
)  # fmt: skip
def test_candidates_that_are_never_used(address: str) -> None:
    assert usable(candidate(address), loopback=True, link_local=True) == []


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1"]
)
def test_loopback_candidates_need_leave(address: str) -> None:
    assert usable(candidate(address), link_local=True) == []
    assert len(usable(candidate(address), loopback=True)) == 1


@pytest.mark.parametrize("address", ["169.254.1.1", "fe80::1", "::ffff:169.254.1.1"])
def test_link_local_candidates_need_leave(address: str) -> None:
    assert usable(candidate(address), loopback=True) == []
    assert len(usable(candidate(address), link_local=True)) == 1


@pytest.mark.parametrize(
    "line",
    [
        candidate("10.0.0.1", transport="tcp") + " tcptype passive",
        candidate("10.0.0.1", port=0),
        candidate("10.0.0.1", port=65536),
        candidate("10.0.0.1", port="x"),
        candidate("10.0.0.1", port="٣"),
        candidate("10.0.0.1", component=2),
        candidate("10.0.0.1", kind="magic"),
        candidate("10.0.0.1").replace("2130706431", "9999999999"),
        candidate("10.0.0.1") + " generation x",
        candidate("10.0.0.1") + " raddr 1.2.3.4 rport x",
        "a=candidate:",
        "a=candidate",
        "a=candidate:" + "f" * 40 + " 1 udp 1 10.0.0.1 5000 typ host",
    ],
)
def test_malformed_and_foreign_candidates_are_dropped(line: str) -> None:
    assert usable(line, candidate("10.0.0.2")) == [candidate("10.0.0.2")]


@pytest.mark.parametrize(
    "line",
    [
        candidate("10.0.0.1", transport="UDP"),
        candidate("10.0.0.1", kind="srflx") + " raddr 0.0.0.0 rport 9",
        candidate("10.0.0.1") + " generation 0 ufrag abcd network-cost 999",
        candidate("10.0.0.1") + " ",
    ],
)
def test_extensions_of_candidates_are_kept(line: str) -> None:
    assert usable(line) == [line]
    assert Candidate.from_sdp(line[len("a=candidate:") :]).host == "10.0.0.1"


def test_the_first_32_usable_candidates_are_kept() -> None:
    lines = [candidate(f"10.0.0.{n}") for n in range(1, 60)]
    assert usable(candidate("127.0.0.1"), *lines) == lines[:32]
    assert usable(*lines, limit=5) == lines[:5]
    assert read_sdp(sdp(*lines)).candidates == 59


def test_nothing_but_candidates_is_taken_out() -> None:
    text = sdp(candidate("127.0.0.1"), "a=end-of-candidates", candidate("10.0.0.1"))
    assert usable_sdp(text, allow_loopback=False, allow_link_local=False) == text.replace(
        candidate("127.0.0.1") + "\r\n", ""
    )
    assert usable_sdp(text, allow_loopback=True, allow_link_local=True) == text


LINES = st.one_of(
    st.sampled_from([*SESSION, *MEDIA, "a=fingerprint:sha-512 00", "a=x-mina-webrtc:1 early", "a=max-message-size:7"]),
    st.builds(candidate, st.ip_addresses().map(str) | st.text(max_size=8), st.integers(-1, 70000)),
    st.text(max_size=20),
    st.text(max_size=20).map("a=candidate:1 1 udp 1 ".__add__),
)


@given(
    st.lists(LINES, max_size=20).map("\r\n".join) | st.text() | st.lists(LINES, max_size=8).map(lambda more: sdp(*more))
)
def test_any_text_is_an_sdp_or_an_sdp_error(text: str) -> None:
    mark_sdp(text)
    try:
        facts = read_sdp(text)
        once = usable_sdp(text, allow_loopback=False, allow_link_local=False, max_candidates=3)
    except SdpError:
        return
    assert usable_sdp(once, allow_loopback=False, allow_link_local=False, max_candidates=3) == once
    for line in once.splitlines():
        if line.startswith("a=candidate:"):
            Candidate.from_sdp(line[len("a=candidate:") :])
    after = read_sdp(once)
    assert after.candidates <= min(3, facts.candidates)
    assert (after.fingerprints, after.mark, after.max_message_size) == (
        facts.fingerprints,
        facts.mark,
        facts.max_message_size,
    )


def test_what_is_usable_parses_in_aiortc() -> None:
    text = usable_sdp(
        sdp(*[candidate(f"10.0.0.{n}") for n in range(9)], "a=candidate:x", candidate("a.local")),
        allow_loopback=False,
        allow_link_local=False,
    )
    (media,) = SessionDescription.parse(text).media
    assert [found.ip for found in media.ice_candidates] == [f"10.0.0.{n}" for n in range(9)]
