"""Real nodes find each other through a relay that is honest, and through one that is not (protocol.md §9)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from tests.interop.support import NodeFactory, Watch, key

from mina_webrtc import DialAddress, DialError, Node, Timeouts
from mina_webrtc.identity import PublicKey
from mina_webrtc.machines import vocab as v
from mina_webrtc.wire.address import Relayed
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import (
    Discovered,
    Message,
    OfferToYou,
    RelayedAnswer,
    decode_message,
    encode_message,
)
from mina_webrtc.wire.signal import EncryptedAnswer, EncryptedOffer

SWIFT = Timeouts(outgoing=1.5, relay=0.3)


def through(relay: Node, target: Node) -> DialAddress:
    return DialAddress(target.peer_id, Relayed(relay.peer_id))


async def connected(node: Node, *others: Node) -> None:
    """Until `node` has exactly these peers."""
    watch = Watch(node)
    while set(node.peers) != {other.peer_id for other in others}:
        await watch.next(v.PeerReady)


async def test_two_nodes_that_know_only_a_third_find_each_other(start: NodeFactory) -> None:
    """Neither of them can be dialled: they have no signaling server."""
    relay = await start(1)
    alice, bob = [await start(index, listen=(), min_peers=2) for index in (2, 3)]
    await asyncio.gather(alice.dial(relay.addresses[0]), bob.dial(relay.addresses[0]))
    await asyncio.gather(connected(alice, relay, bob), connected(bob, relay, alice), connected(relay, alice, bob))
    dialer, other = (alice, bob) if alice.peers[bob.peer_id].outgoing else (bob, alice)
    assert dialer.peers[other.peer_id].address == through(relay, other)
    assert await alice.peers[bob.peer_id].initial_peers() == [relay.addresses[0]]
    await relay.close()
    assert await bob.peers[alice.peer_id].initial_peers() is not None


async def test_dial_through_a_relay(start: NodeFactory) -> None:
    relay, alice, bob = await start(1), await start(2), await start(3)
    for node in (alice, bob):
        await node.dial(relay.addresses[0])
    peer = await alice.dial(str(through(relay, bob)))
    assert (peer.id, peer.outgoing, peer.marked) == (bob.peer_id, True, True)
    assert await peer.initial_peers() == [relay.addresses[0]]


async def test_a_relay_that_is_no_peer(start: NodeFactory) -> None:
    relay, alice, bob = await start(1), await start(2), await start(3)
    with pytest.raises(DialError, match="relay_not_connected"):
        await alice.dial(through(relay, bob))


async def test_four_nodes_of_which_three_know_the_first_are_a_full_mesh(start: NodeFactory) -> None:
    first = await start(1, min_peers=3)
    others = [await start(index, listen=(), min_peers=3) for index in (2, 3, 4)]
    await asyncio.gather(*(node.dial(first.addresses[0]) for node in others))
    nodes = [first, *others]
    async with asyncio.timeout(5):
        await asyncio.gather(*(connected(node, *(other for other in nodes if other is not node)) for node in nodes))


# ---------------------------------------------------------------- dishonest relays


Change = Callable[[int, Message], "list[Message]"]
"""(channel, what an honest relay would send) → what is sent in its place."""


def corrupt(relay: Node, change: Change) -> None:
    driver = relay._driver
    assert driver is not None
    honest = driver._performers[v.Send]

    def send(effect: v.Send) -> None:
        if effect.channel not in (Channel.DISCOVERY, Channel.EXCHANGE):
            honest(effect)
            return
        channel = Channel(effect.channel)
        link = driver._links[effect.conn]
        messages = change(channel, decode_message(channel, effect.payload))
        if messages != [decode_message(channel, effect.payload)]:
            link.transport.send([(channel, encode_message(channel, message)) for message in messages])
        else:
            honest(effect)

    driver._performers[v.Send] = send


async def trio(start: NodeFactory, timeouts: Timeouts = SWIFT) -> tuple[Node, Node, Node]:
    relay, alice, bob = [await start(index, timeouts=timeouts) for index in (1, 2, 3)]
    for node in (alice, bob):
        await node.dial(relay.addresses[0])
    await connected(relay, alice, bob)
    return relay, alice, bob


async def refused(alice: Node, relay: Node, bob: Node) -> DialError:
    with pytest.raises(DialError) as caught:
        await alice.dial(through(relay, bob))
    assert bob.peer_id not in alice.peers
    assert alice.peer_id not in bob.peers
    return caught.value


MALLORY: PublicKey = key(66).public_key


async def test_a_relay_that_swaps_the_offerer(start: NodeFactory) -> None:
    relay, alice, bob = await trio(start)
    watch = Watch(bob)
    corrupt(relay, lambda _, m: [replace(m, offerer=MALLORY) if isinstance(m, OfferToYou) else m])
    error = await refused(alice, relay, bob)
    assert (error.stage, error.reason) == ("signaling", "undecryptable")
    rejected = await watch.next(v.OfferRejected)
    assert (rejected.reason, rejected.source) == ("Undecryptable", f"/p2p/{relay.peer_id}")


async def test_a_relay_that_names_itself_as_the_target(start: NodeFactory) -> None:
    """It would have the offer for itself; it is connected already, so nobody makes it one."""
    relay, alice, bob = await trio(start)
    corrupt(relay, lambda _, m: [Discovered(relay.config.secret_key.public_key) if isinstance(m, Discovered) else m])
    error = await refused(alice, relay, bob)
    assert (error.stage, error.reason) == ("signaling", "timeout")


async def test_a_relay_that_damages_the_offer(start: NodeFactory) -> None:
    relay, alice, bob = await trio(start)

    def damage(_: int, m: Message) -> list[Message]:
        if isinstance(m, OfferToYou):
            return [replace(m, offer=EncryptedOffer(m.offer.data[:-1] + bytes([m.offer.data[-1] ^ 1])))]
        return [m]

    corrupt(relay, damage)
    error = await refused(alice, relay, bob)
    assert (error.stage, error.reason) == ("answer", "SignalDecryptionFailed")


async def test_a_relay_that_reflects_the_offer_as_the_answer(start: NodeFactory) -> None:
    relay, alice, bob = await trio(start)
    held: list[bytes] = []

    def reflect(_: int, m: Message) -> list[Message]:
        if isinstance(m, OfferToYou):
            held.append(m.offer.data)
        if isinstance(m, RelayedAnswer):
            return [RelayedAnswer(EncryptedAnswer(held[0]))]
        return [m]

    corrupt(relay, reflect)
    error = await refused(alice, relay, bob)
    assert (error.stage, error.reason) == ("signaling", "undecryptable")


async def test_a_relay_that_reflects_the_offer_to_its_offerer(start: NodeFactory) -> None:
    """Both directions have one key, so the offerer can open it: its own name in it gives it away."""
    relay, alice, bob = await trio(start)
    watch = Watch(alice)
    driver = relay._driver
    assert driver is not None
    to_alice = driver._links[relay.peers[alice.peer_id].conn]
    to_alice.on_sent = lambda count: None  # type: ignore[method-assign]  # the core did not send all of it

    def reflect(_: int, m: Message) -> list[Message]:
        if not isinstance(m, OfferToYou):
            return [m]
        back = replace(m, offerer=bob.config.secret_key.public_key)
        to_alice.transport.send([(Channel.EXCHANGE, encode_message(Channel.EXCHANGE, back))])
        return []

    corrupt(relay, reflect)
    dial = asyncio.ensure_future(alice.dial(through(relay, bob)))
    assert (await watch.next(v.OfferRejected)).reason == "Undecryptable"
    await asyncio.gather(dial, return_exceptions=True)


@pytest.mark.parametrize("kind", [OfferToYou, RelayedAnswer, Discovered])
async def test_a_relay_that_drops_messages(start: NodeFactory, kind: type[Message]) -> None:
    relay, alice, bob = await trio(start)
    dropped: list[Message] = []

    def drop(channel: int, m: Message) -> list[Message]:
        if isinstance(m, kind) or (dropped and channel == Channel.DISCOVERY and kind is RelayedAnswer):
            dropped.append(m)
            return []
        return [m]

    corrupt(relay, drop)
    error = await refused(alice, relay, bob)
    # an honest relay that got no answer from its target says so; one that says nothing at all is waited for
    assert error.reason == ("no_answer" if kind is OfferToYou else "timeout")


async def test_a_relay_that_replays_an_offer_and_its_answer(start: NodeFactory) -> None:
    """An old answer is readable, and no more than that: its SDP is of a connection that is not there."""
    relay, alice, bob = await trio(
        start, Timeouts(outgoing=1.0, relay=0.5, incoming=1.0, pair_memory=0.01, relay_rest=0.01)
    )
    old: dict[type[Message], Message] = {}

    def replay(_: int, m: Message) -> list[Message]:
        if isinstance(m, OfferToYou | RelayedAnswer):
            return [old.setdefault(type(m), m)]
        return [m]

    corrupt(relay, replay)
    await alice.dial(through(relay, bob))
    gone = Watch(bob)
    await alice.peers[bob.peer_id].close()
    await gone.next(v.PeerClosed)
    error = await refused(alice, relay, bob)
    assert error.stage in ("signaling", "answer", "ice", "dtls", "authentication")
    assert error.reason != "self"


async def test_a_relay_that_delays_the_answer(start: NodeFactory) -> None:
    relay, alice, bob = await trio(start, Timeouts(outgoing=0.4, incoming=0.5))
    driver = relay._driver
    assert driver is not None
    honest = driver._performers[v.Send]
    late: list[v.Send] = []

    def send(effect: v.Send) -> None:
        to_alice = driver._links.get(relay.peers[alice.peer_id].conn)
        held = effect.channel == Channel.DISCOVERY and to_alice is driver._links[effect.conn]
        if late or (held and isinstance(decode_message(Channel.DISCOVERY, effect.payload), RelayedAnswer)):
            late.append(effect)
        else:
            honest(effect)

    driver._performers[v.Send] = send
    failed = Watch(bob)
    error = await refused(alice, relay, bob)
    assert error.reason == "timeout"
    await failed.next(v.AttemptFailed)
    ignored = alice.state()["ignored"].get("RelayedAnswer", 0)
    driver._performers[v.Send] = honest
    for effect in late:
        honest(effect)
    assert await alice.peers[relay.peer_id].initial_peers() is not None
    assert alice.state()["ignored"]["RelayedAnswer"] == ignored + 1
    assert set(alice.peers) == {relay.peer_id}


async def test_a_relay_that_goes_away_ends_the_dial_at_once(start: NodeFactory) -> None:
    relay, alice, bob = await trio(start, Timeouts())
    offered = asyncio.Event()

    def drop(_: int, m: Message) -> list[Message]:
        if isinstance(m, OfferToYou):
            offered.set()
            return []
        return [m]

    corrupt(relay, drop)
    dial = asyncio.ensure_future(alice.dial(through(relay, bob)))
    await offered.wait()
    await relay.close()
    with pytest.raises(DialError, match="relay_gone"):
        async with asyncio.timeout(5):
            await dial
