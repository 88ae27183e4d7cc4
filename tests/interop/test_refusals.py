"""What must be refused, with a real node on one end and a rogue on the other (issue "Two nodes connect", section 6)."""

from __future__ import annotations

import asyncio

import pytest
from tests.interop.rogue import Endpoint, Rogue, post
from tests.interop.support import NodeFactory, Watch, key

from mina_webrtc import (
    Answer,
    ChainId,
    DialAddress,
    DialError,
    Limits,
    Node,
    Offer,
    P2pConnectionResponse,
    RejectionReason,
    Timeouts,
)
from mina_webrtc.machines.vocab import AttemptFailed, OfferRejected, PeerClosed, PeerReady

ROGUE, OTHER = key(66), key(67)


async def dial_fails(node: Node, address: DialAddress) -> DialError:
    with pytest.raises(DialError) as caught:
        await node.dial(address)
    assert not node.peers
    return caught.value


# ---------------------------------------------------------------- offers


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chain_id": ChainId.MAINNET}, RejectionReason.CHAIN_ID_MISMATCH),
        ({"target_peer_id": OTHER.peer_id}, RejectionReason.TARGET_PEER_ID_NOT_ME),
        ({"identity_pub_key": key(1).public_key}, RejectionReason.CONNECTING_TO_SELF),
    ],
)
async def test_an_offer_that_is_not_for_us(
    start: NodeFactory, changes: dict[str, object], reason: RejectionReason
) -> None:
    node = await start(1)
    watch = Watch(node)
    async with Rogue(ROGUE) as rogue:
        response = await rogue.dial(node.addresses[0], **changes)
    assert response.reason is reason
    assert (await watch.next(OfferRejected)).reason == reason.value


async def test_a_claimed_identity_without_its_key_never_becomes_ready(start: NodeFactory) -> None:
    """The offer names somebody else: the auth cannot be made without that secret key."""
    node = await start(1)
    watch = Watch(node)
    async with Rogue(ROGUE) as rogue:
        await rogue.dial(node.addresses[0], identity_pub_key=OTHER.public_key)
        await rogue.opened[0].wait()
        rogue.transport.send([(0, rogue.honest_auth())])
        failed = await watch.next(AttemptFailed)
    assert (failed.failure.stage.value, failed.failure.reason) == ("authentication", "undecryptable")
    assert not node.peers


async def test_a_second_connection_of_the_smaller_peer_is_refused(start: NodeFactory) -> None:
    small, large = sorted([key(1), key(2)], key=lambda k: k.peer_id)
    indices = {key(1).peer_id: 1, key(2).peer_id: 2}
    node = await start(indices[large.peer_id])
    async with Rogue(small) as one, Rogue(small) as two:
        await one.dial(node.addresses[0])
        await one.authenticate()
        response = await two.dial(node.addresses[0])
    assert response.reason is RejectionReason.ALREADY_CONNECTED


async def test_a_forged_offer_in_the_name_of_a_connected_peer_does_not_disturb_it(start: NodeFactory) -> None:
    """Also with a greater peer id, where the reference ends the old connection at once (protocol.md §4)."""
    small, large = sorted([1, 2], key=lambda i: key(i).peer_id)
    node, peer = await start(small), await start(large)
    link = await node.dial(peer.addresses[0])
    watch = Watch(node)
    async with Rogue(ROGUE) as rogue:
        await rogue.dial(node.addresses[0], identity_pub_key=key(large).public_key)
        await rogue.opened[0].wait()
        rogue.transport.send([(0, bytes(92))])
        failed = await watch.next(AttemptFailed)
    assert failed.failure.stage.value == "authentication"
    assert node.peers[peer.peer_id] is link
    assert await link.initial_peers() == []


async def test_a_full_node_refuses_and_stays_full(start: NodeFactory) -> None:
    node = await start(1, limits=Limits(max_peers=1))
    second, third = await start(2), await start(3)
    await second.dial(node.addresses[0])
    error = await dial_fails(third, node.addresses[0])
    assert (error.stage, error.reason) == ("answer", "PeerCapacityFull")
    assert len(node.peers) == 1


async def test_a_flood_of_offers_meets_the_cap_and_honest_dials_succeed(start: NodeFactory) -> None:
    limits = Limits(max_pending_incoming=8, max_pending_per_source=3)
    node = await start(1, limits=limits, trusted_proxies=("127.0.0.0/8",))
    address = node.addresses[0]
    rogues = [Rogue(key(100 + n)) for n in range(12)]
    try:
        responses = await asyncio.gather(*[rogue.dial(address) for rogue in rogues])
        assert sum(response.answer is not None for response in responses) == 3
        assert {r.reason for r in responses if r.answer is None} == {RejectionReason.PEER_CAPACITY_FULL}
        elsewhere = await start(2, listen=("127.0.0.2:0",))
        assert await node.dial(elsewhere.addresses[0])
    finally:
        await asyncio.gather(*[rogue.transport.close() for rogue in rogues])


async def test_a_replayed_offer_gets_no_second_connection(start: NodeFactory) -> None:
    node = await start(1)
    async with Rogue(ROGUE) as rogue:
        offer = await rogue.offer(node.peer_id)
        assert (await post(node.addresses[0], offer)).answer is not None
        assert (await post(node.addresses[0], offer)).answer is None


async def test_an_offer_with_our_own_fingerprint(start: NodeFactory) -> None:
    """A man in the middle posts our own SDP back to us under another name (protocol.md §3)."""
    node = await start(1)
    captured: asyncio.Queue[Offer] = asyncio.Queue()

    async def capture(offer: Offer) -> P2pConnectionResponse:
        captured.put_nowait(offer)
        await asyncio.Event().wait()
        raise AssertionError

    async with Endpoint(capture) as endpoint:
        dial = asyncio.ensure_future(node.dial(endpoint.address(OTHER.peer_id)))
        theirs = await captured.get()
        watch = Watch(node)
        forged = Offer.new(
            sdp=theirs.sdp,
            chain_id=theirs.chain_id,
            identity_pub_key=OTHER.public_key,
            target_peer_id=node.peer_id,
            host=theirs.host,
            listen_port=None,
        )
        response = await post(node.addresses[0], forged)
        assert response.answer is None
        assert (await watch.next(OfferRejected)).reason == "OwnFingerprint"
        dial.cancel()


@pytest.mark.parametrize("index", [1, 2])
async def test_a_small_order_identity_is_refused(start: NodeFactory, index: int) -> None:
    """Encrypting to such a key is an error (protocol.md §2): the attempt fails and nothing is left."""
    from mina_webrtc import PublicKey

    node = await start(index)
    watch = Watch(node)
    async with Rogue(ROGUE) as rogue:
        await rogue.dial(node.addresses[0], identity_pub_key=PublicKey.from_bytes(b"\x01" + bytes(31)))
        failed = await watch.next(AttemptFailed)
    assert failed.failure.stage.value == "authentication"


async def test_candidates_too_many_or_where_they_must_not_point(start: NodeFactory) -> None:
    """Multicast and unspecified candidates are dropped, and only 32 are used (protocol.md §6): the dial still works."""
    node = await start(1)
    bad = ["a=candidate:9 1 udp 1 224.0.0.1 9 typ host", "a=candidate:9 1 udp 1 0.0.0.0 9 typ host"]
    many = [f"a=candidate:{n} 1 udp 1 198.51.100.{n % 250} {9000 + n} typ host" for n in range(200)]
    async with Rogue(ROGUE) as rogue:
        offer = await rogue.offer(node.peer_id)
        padded = offer.sdp.replace("a=end-of-candidates", "\r\n".join([*bad, *many, "a=end-of-candidates"]))
        assert padded != offer.sdp
        changed = Offer.new(
            sdp=padded,
            chain_id=offer.chain_id,
            identity_pub_key=offer.identity_pub_key,
            target_peer_id=offer.target_peer_id,
            host=offer.host,
            listen_port=None,
        )
        response = await post(node.addresses[0], changed)
        assert response.answer is not None
        await rogue.accept(changed, response.answer)
        await rogue.authenticate()


# ---------------------------------------------------------------- answers


async def test_an_answer_by_somebody_else(start: NodeFactory) -> None:
    node = await start(1)
    async with Rogue(ROGUE) as rogue:

        async def respond(offer: Offer) -> P2pConnectionResponse:
            return P2pConnectionResponse.accepted(await rogue.answer(offer))

        async with Endpoint(respond) as endpoint:
            error = await dial_fails(node, endpoint.address(OTHER.peer_id))
    assert (error.stage, error.reason) == ("answer", "wrong_identity")


async def test_an_answer_for_somebody_else(start: NodeFactory) -> None:
    node = await start(1)
    async with Rogue(ROGUE) as rogue:

        async def respond(offer: Offer) -> P2pConnectionResponse:
            return P2pConnectionResponse.accepted(await rogue.answer(offer, target_peer_id=OTHER.peer_id))

        async with Endpoint(respond) as endpoint:
            error = await dial_fails(node, endpoint.address(ROGUE.peer_id))
    assert (error.stage, error.reason) == ("answer", "wrong_target")


async def test_an_answer_with_our_own_fingerprint(start: NodeFactory) -> None:
    node = await start(1)

    async def respond(offer: Offer) -> P2pConnectionResponse:
        answer = Answer.new(offer.sdp.replace("a=setup:actpass", "a=setup:active"), OTHER.public_key, node.peer_id)
        return P2pConnectionResponse.accepted(answer)

    async with Endpoint(respond) as endpoint:
        error = await dial_fails(node, endpoint.address(OTHER.peer_id))
    assert (error.stage, error.reason) == ("answer", "own_fingerprint")


async def test_a_man_in_the_middle_who_keeps_the_identity_and_swaps_the_sdp(start: NodeFactory) -> None:
    """He answers in the peer's name with an SDP of his own: the channel opens, but he cannot make the auth."""
    node, honest = await start(1), await start(2)
    async with Rogue(ROGUE) as rogue:

        async def respond(offer: Offer) -> P2pConnectionResponse:
            answer = await rogue.answer(offer, identity_pub_key=honest.config.secret_key.public_key)
            return P2pConnectionResponse.accepted(answer)

        async with Endpoint(respond) as endpoint:
            dial = asyncio.ensure_future(dial_fails(node, endpoint.address(honest.peer_id)))
            await rogue.opened[0].wait()
            rogue.transport.send([(0, rogue.honest_auth())])
            error = await dial
    assert (error.stage, error.reason) == ("authentication", "undecryptable")


async def test_a_man_in_the_middle_between_two_honest_nodes(start: NodeFactory) -> None:
    """He joins the two with two connections of his own and passes their auths on: the SDP hashes differ."""
    alice, bob = await start(1), await start(2)
    async with Rogue(ROGUE) as left, Rogue(OTHER) as right:

        async def respond(offer: Offer) -> P2pConnectionResponse:
            response = await right.dial(bob.addresses[0], identity_pub_key=offer.identity_pub_key)
            assert response.answer is not None
            answer = await left.answer(offer, identity_pub_key=response.answer.identity_pub_key)
            return P2pConnectionResponse.accepted(answer)

        async with Endpoint(respond) as endpoint:
            watch = Watch(bob)
            dial = asyncio.ensure_future(dial_fails(alice, endpoint.address(bob.peer_id)))
            left.transport.send([(0, await right_then(left, right))])
            right.transport.send([(0, await left.theirs())])
            error = await dial
            failed = await watch.next(AttemptFailed)
    assert (error.stage, error.reason) == ("authentication", "mismatch")
    assert failed.failure.stage.value == "authentication"
    assert not bob.peers


async def right_then(left: Rogue, right: Rogue) -> bytes:
    await asyncio.gather(left.opened[0].wait(), right.opened[0].wait())
    return await right.theirs()


async def test_a_replayed_answer(start: NodeFactory) -> None:
    """An answer recorded from another dial: its ICE password and fingerprint belong to a dead connection."""
    node, honest = await start(1, timeouts=Timeouts(outgoing=1.0)), await start(2)
    recorded: list[P2pConnectionResponse] = []

    async def respond(offer: Offer) -> P2pConnectionResponse:
        if not recorded:
            recorded.append(await post(honest.addresses[0], offer))
        return recorded[0]

    async with Endpoint(respond) as endpoint:
        peer = await node.dial(endpoint.address(honest.peer_id))
        watch = Watch(honest)
        await peer.close()
        await watch.next(PeerClosed)
        error = await dial_fails(node, endpoint.address(honest.peer_id))
    assert error.stage in {"ice", "dtls"}


# ---------------------------------------------------------------- authentication


async def test_our_auth_echoed_back_to_us_as_dialer(start: NodeFactory) -> None:
    """The listener vouches for any identity it likes by echoing our own 92 bytes (protocol.md §3 Reflection)."""
    node = await start(1)
    async with Rogue(ROGUE) as rogue:

        async def respond(offer: Offer) -> P2pConnectionResponse:
            return P2pConnectionResponse.accepted(await rogue.answer(offer, identity_pub_key=OTHER.public_key))

        async with Endpoint(respond) as endpoint:
            dial = asyncio.ensure_future(dial_fails(node, endpoint.address(OTHER.peer_id)))
            rogue.transport.send([(0, await rogue.theirs())])
            error = await dial
    assert (error.stage, error.reason) == ("authentication", "reflected")


async def test_our_auth_echoed_back_to_us_as_listener(start: NodeFactory) -> None:
    node = await start(1)
    watch = Watch(node)
    async with Rogue(ROGUE) as rogue:
        await rogue.dial(node.addresses[0], identity_pub_key=OTHER.public_key)
        rogue.transport.send([(0, await rogue.theirs())])
        failed = await watch.next(AttemptFailed)
    assert failed.failure.reason == "reflected"
    assert not node.peers


@pytest.mark.parametrize("dialled", [True, False])
async def test_our_auth_of_one_connection_echoed_on_another(start: NodeFactory, dialled: bool) -> None:
    node = await start(1)
    async with Rogue(ROGUE) as one, Rogue(OTHER) as two:
        await one.dial(node.addresses[0])
        captured = await one.theirs()
        watch = Watch(node)
        if dialled:

            async def respond(offer: Offer) -> P2pConnectionResponse:
                return P2pConnectionResponse.accepted(await two.answer(offer))

            async with Endpoint(respond) as endpoint:
                dial = asyncio.ensure_future(dial_fails(node, endpoint.address(OTHER.peer_id)))
                await two.opened[0].wait()
                two.transport.send([(0, captured)])
                assert (await dial).reason == "reflected"
        else:
            await two.dial(node.addresses[0])
            await two.opened[0].wait()
            two.transport.send([(0, captured)])
            assert (await watch.next(AttemptFailed)).failure.reason == "reflected"


@pytest.mark.parametrize(
    ("auth", "reason"),
    [(b"x", "length"), (bytes(91), "length"), (bytes(93), "length"), (bytes(92), "undecryptable")],
)
async def test_an_auth_of_another_length_or_forged(start: NodeFactory, auth: bytes, reason: str) -> None:
    node = await start(1)
    watch = Watch(node)
    async with Rogue(ROGUE) as rogue:
        await rogue.dial(node.addresses[0])
        await rogue.opened[0].wait()
        rogue.transport.send([(0, auth)])
        failed = await watch.next(AttemptFailed)
        await rogue.closed.wait()
    assert (failed.failure.stage.value, failed.failure.reason) == ("authentication", reason)


async def test_an_auth_that_never_comes_ends_the_attempt(start: NodeFactory) -> None:
    node = await start(1, timeouts=Timeouts(incoming=0.5))
    watch = Watch(node)
    async with Rogue(ROGUE) as rogue:
        await rogue.dial(node.addresses[0])
        await rogue.theirs()
        failed = await watch.next(AttemptFailed)
    assert (failed.failure.stage.value, failed.failure.reason) == ("authentication", "timeout")


async def test_an_auth_that_comes_after_the_deadline_is_too_late(start: NodeFactory) -> None:
    node = await start(1, timeouts=Timeouts(incoming=0.5))
    watch = Watch(node)
    async with Rogue(ROGUE) as rogue:
        await rogue.dial(node.addresses[0])
        await rogue.theirs()
        notices = node.events()
        await watch.next(AttemptFailed)
        assert not rogue.closed.is_set()
        rogue.transport.send([(0, rogue.honest_auth())])
        await rogue.closed.wait()
    await node.close()
    assert not [notice async for notice in notices if isinstance(notice, PeerReady)]


# ---------------------------------------------------------------- channels 1–8


@pytest.mark.parametrize("channel", range(1, 9))
async def test_nothing_is_done_with_messages_before_authentication(start: NodeFactory, channel: int) -> None:
    """They are kept unparsed: even a frame that would end the connection is not looked at before the auth passes."""
    node = await start(1)
    watch = Watch(node)
    async with Rogue(ROGUE) as rogue:
        await rogue.dial(node.addresses[0])
        await rogue.opened[channel].wait()
        rogue.transport.admit()
        rogue.transport.send([(channel, bytes(4))])
        await rogue.theirs()
        assert not node.peers
        rogue.transport.send([(0, rogue.honest_auth())])
        await watch.next(PeerReady)
        closed = await watch.next(PeerClosed)
    assert closed.failure.fault.value == "peer"


async def test_more_than_64_kib_before_authentication_ends_the_connection(start: NodeFactory) -> None:
    node = await start(1)
    watch = Watch(node)
    async with Rogue(ROGUE) as rogue:
        await rogue.dial(node.addresses[0])
        await rogue.opened[7].wait()
        rogue.transport.send([(7, bytes(16_384))] * 5)
        failed = await watch.next(AttemptFailed)
    assert failed.failure.fault.value == "source"
    assert not node.peers


@pytest.mark.parametrize(
    "chunk",
    [
        bytes(4),
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x01\x07",
        b"\x00\x00\x00\x03\x00\x01\x09",
        b"\x00\x00\x00\x04\x00\x01\x06\x00",
        b"\x00\x00\x00\x03\x01\x63\x00",
    ],
    ids=["length 0", "length above the limit", "garbage", "unknown rpc", "bytes left over", "answer to nothing"],
)
async def test_bad_frames_and_messages_end_the_connection(start: NodeFactory, chunk: bytes) -> None:
    node = await start(1)
    watch = Watch(node)
    async with Rogue(ROGUE) as rogue:
        await rogue.dial(node.addresses[0])
        await rogue.authenticate()
        await watch.next(PeerReady)
        rogue.transport.send([(7, chunk)])
        closed = await watch.next(PeerClosed)
    assert closed.failure.fault.value == "peer"
