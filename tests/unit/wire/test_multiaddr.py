"""The proxied method and multiaddr dial addresses, which are newer than the reference's vectors (protocol.md §5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from multiaddr import Multiaddr
from tests.unit.wire.support import DIAL_ADDRESSES, HANDWRITTEN, LIBP2P_ADDRESSES, address_of, entries, label, method_of

from mina_webrtc.errors import AddressError
from mina_webrtc.wire.address import DialAddress, Host, Libp2pAddress, Proxied, SignalingMethod, parse_address

FILE = "addresses_multiaddr.json"


@pytest.mark.parametrize("entry", entries(FILE, "signaling_methods", HANDWRITTEN), ids=label)
def test_proxied_handwritten_vector(entry: dict[str, Any]) -> None:
    if not entry["ok"]:
        with pytest.raises(AddressError) as caught:
            SignalingMethod.parse(entry["text"])
        assert caught.value.kind == entry["error_kind"]
        if caught.value.kind == "UnknownSignalingMethod":
            assert caught.value.detail == entry["error_detail"]
        return
    method = SignalingMethod.parse(entry["text"])
    assert method == method_of(entry["parsed"])
    assert str(method) == entry["printed"]
    assert method.http_url() == entry["http_url"]


@pytest.mark.parametrize("entry", entries(FILE, "dial_addresses", HANDWRITTEN), ids=label)
def test_multiaddr_handwritten_vector(entry: dict[str, Any]) -> None:
    if not entry["ok"]:
        with pytest.raises(AddressError) as caught:
            parse_address(entry["text"])
        assert caught.value.kind == entry["error_kind"]
        return
    address = parse_address(entry["text"])
    assert address == address_of(entry)
    assert str(address) == entry["printed"]
    if isinstance(address, DialAddress):
        assert address.legacy() == entry["legacy"]
        assert address.method.http_url() == entry["http_url"]


@pytest.mark.parametrize(
    "entry",
    [entry for entry in entries(FILE, "dial_addresses", HANDWRITTEN) if entry["multiaddr"] is not None],
    ids=label,
)
def test_multiaddr_package_agrees_with_handwritten_vector(entry: dict[str, Any]) -> None:
    if entry["multiaddr"]:
        assert str(Multiaddr(entry["text"])) == entry["printed"]
    else:
        with pytest.raises(ValueError, match=r"\S"):
            Multiaddr(entry["text"])


@given(DIAL_ADDRESSES | LIBP2P_ADDRESSES)
def test_what_is_printed_is_a_multiaddr(address: DialAddress | Libp2pAddress) -> None:
    text = str(address)
    names = [protocol.name for protocol in Multiaddr(text).protocols()]
    assert names[-1] == "p2p"
    assert str(Multiaddr(text).value_for_protocol("p2p")) in text
    assert ("webrtc" in names) == isinstance(address, DialAddress)


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("clusters/7", "/clusters/7"),
        ("/clusters/7", "/clusters/7"),
        ("clusters/7/", "/clusters/7"),
        ("//clusters/7//", "/clusters/7"),
        ("", ""),
        ("/", ""),
        ("///", ""),
        ("a//b", "/a//b"),
        ("a b", "/a%20b"),
        ("a%20b", "/a%20b"),
        ("ü", "/%C3%BC"),
        ("a:b@c;d=e", "/a:b@c;d=e"),
        ("%3F", "/%3F"),
    ],
)
def test_proxied_url_has_one_slash_on_each_side_of_the_prefix(prefix: str, path: str) -> None:
    method = Proxied("https", prefix, Host.domain("gw.example"), 443)
    assert method.http_url() == f"https://gw.example:443{path}/mina/webrtc/signal"


@pytest.mark.parametrize(
    "prefix",
    [
        "a?b",
        "a#b",
        "..",
        "a/../b",
        "a..b",
        "a\\b",
        "a\nb",
        "\x00",
        "\x7f",
        "%2e%2e",
        ".%2E/a",
        "%5c",
        "%0d%0a",
        "%",
        "%zz",
    ],
)
def test_proxied_prefix_that_could_lead_elsewhere_is_refused(prefix: str) -> None:
    with pytest.raises(AddressError):
        Proxied("http", prefix, Host.domain("a"), 80)


def test_proxied_prefix_and_scheme_are_bounded() -> None:
    with pytest.raises(AddressError):
        Proxied("http", "a" * 1025, Host.domain("a"), 80)
    with pytest.raises(AddressError):
        Proxied("ftp", "a", Host.domain("a"), 80)
    with pytest.raises(AddressError):
        Proxied("http", "\ud800", Host.domain("a"), 80)
