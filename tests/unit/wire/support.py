"""Reading of test vectors, and strategies that several files share."""

from __future__ import annotations

import json
import os
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from mina_webrtc.identity import PeerId, SecretKey
from mina_webrtc.wire.address import (
    DialAddress,
    Host,
    Http,
    Https,
    HttpsProxy,
    Libp2pAddress,
    Proxied,
    Relayed,
    SignalingMethod,
)

TESTS = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("VECTORS_DIR", TESTS / "vectors"))
HANDWRITTEN = TESTS / "vectors_handwritten"


def entries(file: str, name: str, folder: Path = FOLDER) -> list[Any]:
    """One list of a vector file, each entry with a readable test id."""
    data = json.loads((folder / file).read_text(encoding="utf-8"))
    return list(data[name])


def label(entry: Any) -> str:
    """A test id: what the entry is about."""
    text = entry.get("why") or entry.get("text") or entry.get("type") or ""
    return f"{entry.get('type', '')}-{text}".encode("ascii", "replace").decode()[:60]


def host_of(kind: str, text: str) -> Host:
    """The host that a vector names by kind and URL text."""
    if kind == "Domain":
        return Host.domain(text)
    return Host.ip(IPv4Address(text) if kind == "Ipv4" else IPv6Address(text.strip("[]")))


def method_of(parsed: Any) -> SignalingMethod:
    """The method that a vector describes."""
    if parsed["method"] == "p2p":
        return Relayed(PeerId.parse(parsed["relay_peer_id"]))
    info = parsed["info"]
    host, port = host_of(info["host_kind"], info["host_text"]), info["port"]
    match parsed["method"]:
        case "http":
            return Http(host, port)
        case "https":
            return Https(host, port)
        case "https_proxy":
            return HttpsProxy(parsed["cluster_id"], host, port)
        case "proxied":
            return Proxied(parsed["scheme"], parsed["prefix"], host, port)
    raise AssertionError(parsed)


def address_of(entry: Any) -> DialAddress | Libp2pAddress:
    """The dial address that a vector describes."""
    peer = PeerId.parse(entry["peer_id"])
    if entry["kind"] == "webrtc":
        return DialAddress(peer, method_of(entry["signaling"]))
    info = entry["signaling"]
    return Libp2pAddress(peer, host_of(info["host_kind"], info["host_text"]), info["port"])


PEERS = st.sampled_from([SecretKey.deterministic(index).peer_id for index in range(6)])
PORTS = st.integers(0, 0xFFFF)
_LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z])?", fullmatch=True).filter(lambda text: text[2:4] != "--")
HOSTS = st.one_of(
    st.lists(_LABELS, min_size=1, max_size=4).map(lambda labels: Host.domain(".".join(labels))),
    st.ip_addresses(v=4).map(Host.ip),
    st.ip_addresses(v=6).map(Host.ip),
)
PREFIXES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="?#\\.%"), max_size=30)
METHODS: st.SearchStrategy[SignalingMethod] = st.one_of(
    st.builds(Http, HOSTS, PORTS),
    st.builds(Https, HOSTS, PORTS),
    st.builds(HttpsProxy, PORTS, HOSTS, PORTS),
    st.builds(Proxied, st.sampled_from(["http", "https"]), PREFIXES, HOSTS, PORTS),
    st.builds(Relayed, PEERS),
)
DIAL_ADDRESSES = st.builds(DialAddress, PEERS, METHODS)
LIBP2P_ADDRESSES = st.builds(Libp2pAddress, PEERS, HOSTS, PORTS)
