"""Names to addresses, and the addresses that may be connected to (protocol.md §5)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.services.dns_double import NameServer

from mina_webrtc.errors import ResolveError, SignalError
from mina_webrtc.services.resolve import Resolver, ResolveSettings, is_global, networks
from mina_webrtc.wire.address import Host

VECTORS = Path(os.environ.get("VECTORS_DIR") or Path(__file__).parents[2] / "vectors")
SETTINGS = ResolveSettings(max_addresses=8, max_learnt_lookups=4, learnt_networks=(), nameservers=("127.0.0.1:9",))
GLOBAL_V4, GLOBAL_V6 = "93.184.216.34", "2606:2800:220:1::1"


def fixed(*addresses: str) -> Any:
    async def lookup(name: str) -> Sequence[str]:
        return addresses

    return lookup


async def resolved(resolver: Resolver, host: Host, *, learnt: bool = False, timeout: float = 2) -> list[str]:
    found = await resolver.resolve(host, 3000, timeout=timeout, learnt=learnt)
    assert {address.port for address in found} == {3000}
    return [str(address.ip) for address in found]


async def refused(resolver: Resolver, host: Host, *, learnt: bool, timeout: float = 2) -> str:
    with pytest.raises(ResolveError) as caught:
        await resolver.resolve(host, 3000, timeout=timeout, learnt=learnt)
    return caught.value.reason


# ------------------------------------------------------------ the policy


@pytest.mark.parametrize(
    "text",
    [
        GLOBAL_V4,
        GLOBAL_V6,
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "192.0.3.1",
        "2a00::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ],
)
async def test_a_learnt_global_address_passes(text: str) -> None:
    ip = ip_address(text)
    found = await resolved(Resolver(SETTINGS), Host.ip(ip), learnt=True)
    assert found == [str(getattr(ip, "ipv4_mapped", None) or ip)]


LOCAL = [
    "127.0.0.1",
    "127.255.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "0.1.2.3",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd12::1",
    "ff02::1",
    "ff0e::1",
    "100::1",
    "2001:db8::1",
    "2001:10::1",
    "2001:20::1",
    "3fff::1",
    "5f00::1",
    "::127.0.0.1",
    "::ffff:0:7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "64:ff9b:1:7f00:0:100::",
    "64:ff9b:1::808:808",
    "2002:7f00:1::1",
    "2002:c0a8:1::1",
    "2001:0:808:808:0:0:80ff:fffe",
    "2001:0:7f00:1:0:0:f7f7:f7f7",
]


@pytest.mark.parametrize("text", LOCAL)
async def test_a_learnt_local_address_is_refused_and_the_users_own_is_not(text: str) -> None:
    host = Host.ip(ip_address(text))
    resolver = Resolver(SETTINGS)
    assert await refused(resolver, host, learnt=True) == "forbidden"
    assert len(await resolved(resolver, host)) == 1


@pytest.mark.parametrize("text", LOCAL)
async def test_a_learnt_name_that_resolves_to_a_local_address_is_refused(text: str) -> None:
    resolver = Resolver(SETTINGS, fixed(text))
    assert await refused(resolver, Host.domain("inside.example"), learnt=True) == "forbidden"
    assert len(await resolved(resolver, Host.domain("inside.example"))) == 1


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "::ffff:0.0.0.0", "64:ff9b::", "64:ff9b:1::", "2002::1"])
@pytest.mark.parametrize("learnt", [True, False])
async def test_an_unspecified_address_is_always_refused(text: str, learnt: bool) -> None:
    # Linux connects 0.0.0.0 and :: to the machine itself
    assert await refused(Resolver(SETTINGS), Host.ip(ip_address(text)), learnt=learnt) == "forbidden"
    assert await refused(Resolver(SETTINGS, fixed(text)), Host.domain("x.example"), learnt=learnt) == "forbidden"


async def test_local_addresses_among_global_ones_are_left_out() -> None:
    resolver = Resolver(SETTINGS, fixed("10.0.0.1", GLOBAL_V4, "::1", "::ffff:127.0.0.1"))
    assert await resolved(resolver, Host.domain("mixed.example"), learnt=True) == [GLOBAL_V4]


async def test_networks_may_be_opened_for_learnt_addresses() -> None:
    settings = replace(SETTINGS, learnt_networks=networks(["127.0.0.0/8", "fd00::/8"]))
    resolver = Resolver(settings, fixed("10.0.0.1", "127.0.0.1", "fd00::1", "::ffff:127.0.0.2"))
    found = await resolved(resolver, Host.domain("lab.example"), learnt=True)
    assert found == ["127.0.0.1", "fd00::1", "127.0.0.2"]


def test_the_edges_of_global() -> None:
    assert is_global(ip_address("223.255.255.255"))
    assert not is_global(ip_address("4000::1"))
    assert not is_global(ip_address("1fff::1"))


# ------------------------------------------------------------ hosts


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.0.0.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("::ffff:7f00:1", "127.0.0.1"),
    ],
)
async def test_a_domain_that_spells_an_address_is_one(text: str, ip: str) -> None:
    """And so meets the policy, without a look-up."""
    resolver = Resolver(SETTINGS)
    assert await resolved(resolver, Host.domain(text)) == [ip]
    assert await refused(resolver, Host.domain(text), learnt=True) == "forbidden"


@pytest.mark.parametrize("text", ["", " ", "a b", "a/b", "a:80", "[::1", "1.2.3.4.5", "a\0b", "x" * 2000, "fe80::1%lo"])
async def test_a_domain_that_is_no_host_is_refused_without_a_look_up(text: str) -> None:
    async def lookup(name: str) -> Sequence[str]:
        raise AssertionError(name)

    assert await refused(Resolver(SETTINGS, lookup), Host.domain(text), learnt=False) == "bad_host"


async def test_a_domain_is_looked_up_in_its_canonical_form() -> None:
    asked = []

    async def lookup(name: str) -> Sequence[str]:
        asked.append(name)
        return [GLOBAL_V4]

    await resolved(Resolver(SETTINGS, lookup), Host.domain("BÜCHER.example"))
    assert asked == ["xn--bcher-kva.example"]


async def test_families_take_turns_beginning_with_the_best() -> None:
    v6 = [f"2606::{i}" for i in range(1, 5)]
    v4 = ["8.8.8.8", "8.8.4.4"]
    domain = Host.domain("many.example")
    assert await resolved(Resolver(SETTINGS, fixed(*v6, *v4)), domain) == [v6[0], v4[0], v6[1], v4[1], v6[2], v6[3]]
    assert await resolved(Resolver(SETTINGS, fixed(*v4, *v6)), domain) == [v4[0], v6[0], v4[1], v6[1], v6[2], v6[3]]
    few = Resolver(replace(SETTINGS, max_addresses=3), fixed(*v6, *v4, *v4))
    assert await resolved(few, domain) == [v6[0], v4[0], v6[1]]


# ------------------------------------------------------------ DNS


@pytest.fixture
async def dns() -> AsyncIterator[NameServer]:
    names = {
        "both.example": [[GLOBAL_V4, GLOBAL_V6]],
        "inside.example": [["127.0.0.1"]],
        "empty.example": [[]],
        **{f"hung{i}.example": None for i in range(50)},
    }
    async with NameServer(names) as server:
        yield server


@pytest.fixture
async def resolver(dns: NameServer) -> AsyncIterator[Resolver]:
    resolver = Resolver(replace(SETTINGS, nameservers=(dns.address,)))
    yield resolver
    await resolver.close()


async def test_names_are_asked_of_the_name_server(resolver: Resolver) -> None:
    assert set(await resolved(resolver, Host.domain("both.example"), learnt=True)) == {GLOBAL_V4, GLOBAL_V6}
    assert await resolved(resolver, Host.domain("inside.example")) == ["127.0.0.1"]
    assert await refused(resolver, Host.domain("inside.example"), learnt=True) == "forbidden"


@pytest.mark.parametrize(
    "name", ["missing.example", "empty.example", "a." * 126 + "toolong.example", "x" * 64 + ".example"]
)
async def test_a_name_without_addresses_fails(resolver: Resolver, name: str) -> None:
    assert await refused(resolver, Host.domain(name), learnt=False) in ("dns", "bad_host")


async def test_localhost_needs_no_name_server() -> None:
    resolver = Resolver(SETTINGS)
    assert set(await resolved(resolver, Host.domain("localhost"))) <= {"127.0.0.1", "::1"}
    assert await refused(resolver, Host.domain("localhost"), learnt=True) == "forbidden"
    await resolver.close()


async def test_a_look_up_that_hangs_ends_in_time_and_holds_up_nobody(resolver: Resolver, dns: NameServer) -> None:
    loop = asyncio.get_running_loop()
    hung = [
        asyncio.create_task(refused(resolver, Host.domain(f"hung{i}.example"), learnt=False, timeout=0.3))
        for i in range(50)
    ]
    await dns.heard(*(f"hung{i}.example" for i in range(50)))
    begin = loop.time()
    assert await resolved(resolver, Host.domain("inside.example")) == ["127.0.0.1"]
    assert loop.time() - begin < 0.2
    assert await asyncio.gather(*hung) == ["dns_timeout"] * 50
    assert loop.time() - begin < 1


async def test_learnt_names_wait_their_turn_and_own_ones_do_not(resolver: Resolver, dns: NameServer) -> None:
    hung = [
        asyncio.create_task(refused(resolver, Host.domain(f"hung{i}.example"), learnt=True, timeout=0.2))
        for i in range(SETTINGS.max_learnt_lookups)
    ]
    await dns.heard("hung3.example")
    assert await refused(resolver, Host.domain("both.example"), learnt=True, timeout=0.05) == "dns_timeout"
    assert "both.example" not in dns.asked
    assert await resolved(resolver, Host.domain("both.example"), timeout=0.1)
    await asyncio.gather(*hung)
    assert await resolved(resolver, Host.domain("both.example"), learnt=True)


async def test_closing_does_not_wait_for_a_look_up_that_hangs(resolver: Resolver, dns: NameServer) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(refused(resolver, Host.domain("hung1.example"), learnt=False, timeout=30))
    await dns.heard("hung1.example")
    begin = loop.time()
    await resolver.close()
    assert await task == "dns"
    assert loop.time() - begin < 0.2
    assert await refused(resolver, Host.domain("both.example"), learnt=False) == "dns"


async def test_cancelling_a_look_up_is_no_error_of_dns(resolver: Resolver, dns: NameServer) -> None:
    task = asyncio.create_task(resolved(resolver, Host.domain("hung1.example"), timeout=30))
    await dns.heard("hung1.example")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def sockets() -> set[str]:
    """The sockets of this process; what other tests have left to the collector may go at any moment."""
    links = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
    return {link for link in links if link.startswith("socket:")}


async def test_nothing_is_opened_before_the_first_name() -> None:
    before = sockets()
    resolver = Resolver(SETTINGS)
    await resolved(resolver, Host.domain("127.0.0.1"))
    assert sockets() <= before
    await resolver.close()


# ------------------------------------------------------------ vectors


async def test_host_resolve_vectors() -> None:
    entries = json.loads((VECTORS / "addresses.json").read_text())["host_resolve"]
    assert entries
    # no name server answers here: names that do not exist fail, as in the vectors
    async with NameServer({}) as dns:
        resolver = Resolver(replace(SETTINGS, nameservers=(dns.address,)))
        for entry in entries:
            await check_vector(resolver, entry)
        await resolver.close()


async def check_vector(resolver: Resolver, entry: dict[str, Any]) -> None:
    expected = entry["resolved_json_text"]
    try:
        host = Host.from_json(entry["host_json_text"].encode())
        found = await resolver.resolve(host, 0, timeout=2, learnt=False)
    except (ResolveError, SignalError):
        assert expected is None, entry
        return
    texts = [Host.ip(address.ip).to_json().decode() for address in found]
    if host.value == "localhost":  # by its note it depends on the machine
        assert set(texts) <= {'{"Ipv4":"127.0.0.1"}', '{"Ipv6":"::1"}'}
    else:
        assert texts == [expected], entry
