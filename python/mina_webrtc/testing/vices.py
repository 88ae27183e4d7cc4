"""What a peer can do wrong on purpose: offers, answers, authentication messages, and what it sends once it is ready."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from mina_webrtc._backend import BinProtWriter, frame_chunks
from mina_webrtc.identity import ChainId, PublicKey
from mina_webrtc.machines.chance import Chance
from mina_webrtc.testing.seals import WEAK, fingerprint
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import (
    BestTip,
    Discover,
    Discovered,
    DiscoveredAccept,
    DiscoveredReject,
    GetItems,
    GetNext,
    Item,
    Message,
    OfferToYou,
    Part,
    PartKind,
    RelayedAnswer,
    Rpc,
    RpcRequest,
    RpcResponse,
    StreamNext,
    StreamRequest,
    StreamResponse,
    WillSend,
    encode,
    encode_message,
)
from mina_webrtc.wire.sdp import MAX_BYTES
from mina_webrtc.wire.signal import (
    Answer,
    EncryptedAnswer,
    EncryptedOffer,
    Offer,
    P2pConnectionResponse,
    RejectionReason,
)

Chunks = list[tuple[int, tuple[bytes, ...]]]
"""(channel, chunks), one after the other."""


def noise(chance: Chance, size: int) -> bytes:
    """Random bytes."""
    return b"".join(chance.bits().to_bytes(8, "big") for _ in range(size // 8 + 1))[:size]


# ---------------------------------------------------------------- offers and answers


class Stage:
    """What a rogue knows while it makes something up: whom it deals with, and what others could be named."""

    def __init__(self, chance: Chance, others: list[PublicKey], stolen: str) -> None:
        self.chance, self.others, self.stolen = chance, others, stolen

    @property
    def other(self) -> PublicKey:
        """Somebody."""
        return self.others[self.chance.below(len(self.others))]


OFFERS: dict[str, Callable[[Stage, Offer], Offer]] = {
    "as it is": lambda stage, offer: offer,
    "another chain": lambda stage, offer: replace(offer, chain_id=ChainId.MAINNET),
    "another target": lambda stage, offer: replace(offer, target_peer_id=stage.other.peer_id),
    "another identity": lambda stage, offer: replace(offer, identity_pub_key=stage.other),
    "a weak identity": lambda stage, offer: replace(offer, identity_pub_key=WEAK),
    "no SDP": lambda stage, offer: replace(offer, sdp="nothing"),
    "an SDP without end": lambda stage, offer: replace(offer, sdp=offer.sdp + "a=x\r\n" * (MAX_BYTES // 5)),
    "no mark": lambda stage, offer: replace(offer, sdp=unmarked(offer.sdp)),
    "the target's own certificate": lambda stage, offer: replace(offer, sdp=with_print(offer.sdp, stage.stolen)),
    "a certificate it does not have": lambda stage, offer: replace(offer, sdp=with_print(offer.sdp, fingerprint("?"))),
}

ANSWERS: dict[str, Callable[[Stage, Answer], P2pConnectionResponse | None]] = {
    "as it is": lambda stage, answer: P2pConnectionResponse.accepted(answer),
    "another identity": lambda stage, answer: _accept(answer, identity_pub_key=stage.other),
    "another target": lambda stage, answer: _accept(answer, target_peer_id=stage.other.peer_id),
    "no SDP": lambda stage, answer: _accept(answer, sdp="v=0"),
    "no mark": lambda stage, answer: _accept(answer, sdp=unmarked(answer.sdp)),
    "the asker's own certificate": lambda stage, answer: _accept(answer, sdp=with_print(answer.sdp, stage.stolen)),
    "a refusal": lambda stage, answer: P2pConnectionResponse.rejected(_reason(stage.chance)),
    "its own trouble": lambda stage, answer: P2pConnectionResponse.internal_error(),
    "nothing": lambda stage, answer: None,
}


def _accept(answer: Answer, **changes: object) -> P2pConnectionResponse:
    return P2pConnectionResponse.accepted(replace(answer, **changes))


def _reason(chance: Chance) -> RejectionReason:
    reasons = list(RejectionReason)
    return reasons[chance.below(len(reasons))]


def unmarked(sdp: str) -> str:
    """As a peer of the reference would have written it."""
    return "".join(line for line in sdp.splitlines(keepends=True) if not line.startswith("a=x-mina"))


def with_print(sdp: str, print_: str) -> str:
    """With another fingerprint."""
    lines = sdp.splitlines(keepends=True)
    return "".join(f"a=fingerprint:{print_}\r\n" if line.startswith("a=fingerprint") else line for line in lines)


# ---------------------------------------------------------------- authentication

AUTHS: dict[str, Callable[[Chance, bytes], Chunks]] = {
    "as it is": lambda chance, auth: [(0, (auth,))],
    "nothing": lambda chance, auth: [],
    "twice": lambda chance, auth: [(0, (auth,)), (0, (auth,))],
    "too short": lambda chance, auth: [(0, (auth[:-1],))],
    "too long": lambda chance, auth: [(0, (auth + b"\0",))],
    "empty": lambda chance, auth: [(0, (b"",))],
    "noise": lambda chance, auth: [(0, (noise(chance, 92),))],
    "huge": lambda chance, auth: [(0, (bytes(65_535),))],
    "channel 0 closed": lambda chance, auth: [(0, ())],
    "channel 7 closed": lambda chance, auth: [(7, ()), (0, (auth,))],
    "early data": lambda chance, auth: [*messages(chance), (0, (auth,))],
    "too much early data": lambda chance, auth: [(8, (bytes(16_384),))] * 5,
}
"""What is sent in the place of the 92 bytes."""


# ---------------------------------------------------------------- a ready peer


def messages(chance: Chance) -> Chunks:
    """Something wrong, or right at the wrong moment, on a channel of a ready peer."""
    channel = 1 + chance.below(8)
    kinds = (_frames, _garbage, _unasked, _items, _rpc, _stream, _split, _closing)
    return kinds[chance.below(len(kinds))](chance, channel)


def _frames(chance: Chance, channel: int) -> Chunks:
    """Lengths that nobody may announce, and chunks that nobody may send."""
    bad = (
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"",
        bytes(65_536),
        (65_537).to_bytes(4, "big"),
        (1 << 28).to_bytes(4, "big"),
    )
    return [(channel, (bad[chance.below(len(bad))],))]


def _garbage(chance: Chance, channel: int) -> Chunks:
    """A right frame around noise."""
    return [(channel, tuple(frame_chunks(noise(chance, 1 + chance.below(200)))))]


def _unasked(chance: Chance, channel: int) -> Chunks:
    """Messages that are right in themselves."""
    key = PublicKey.from_bytes(bytes(WEAK))
    discovery = (
        GetNext(),
        Discover(),
        Discovered(key),
        DiscoveredReject(),
        DiscoveredAccept(EncryptedOffer(noise(chance, 900))),
        RelayedAnswer(None),
        RelayedAnswer(EncryptedAnswer(noise(chance, 900))),
    )
    exchange = (GetNext(), OfferToYou(key, EncryptedOffer(noise(chance, 900))), RelayedAnswer(None))
    if chance.below(2):
        return [(1, _framed(encode_message(Channel.DISCOVERY, discovery[chance.below(len(discovery))])))]
    return [(2, _framed(encode_message(Channel.EXCHANGE, exchange[chance.below(len(exchange))])))]


def _items(chance: Chance, channel: int) -> Chunks:
    """Polls that nothing answers or that come twice; more items than announced, fewer, none that were."""
    topic = Channel(3 + chance.below(4))
    item = noise(chance, 1 + chance.below(300))
    if topic is Channel.BEST_TIP:
        said: list[Message] = [GetNext(), BestTip(item)] * 2
    else:
        count = chance.below(256)
        said = [
            GetItems(chance.below(3)),
            WillSend(count),
            *[Item(item + b"%d" % at) for at in range(chance.below(40))],
        ]
    begin = chance.below(len(said))
    return [(topic, _framed(encode_message(topic, message))) for message in said[begin:]]


def _rpc(chance: Chance, channel: int) -> Chunks:
    """Requests with ids used before, too many of them, and answers to nothing."""
    ids = [chance.below(20) for _ in range(1 + chance.below(8))]
    asked = [RpcRequest(id_, Rpc.INITIAL_PEERS if chance.below(2) else Rpc.BEST_TIP) for id_ in ids]
    answers = [RpcResponse(id_, None, None) for id_ in ids]
    trailing = encode(RpcRequest(1 << 60, Rpc.BEST_TIP)) + b"\0"
    kind = chance.below(4)
    if kind == 0:
        return [(7, _framed(trailing))]
    if kind == 1:
        rising = [RpcRequest((1 << 32) + at, Rpc.BLOCK, bytes(32)) for at in range(8)]
        return [(7, _framed(encode(request))) for request in rising]
    return [(7, _framed(encode(message))) for message in (asked if kind == 2 else answers)]


def _stream(chance: Chance, channel: int) -> Chunks:
    """Parts that nobody asked for, of any kind and order; requests that repeat or overlap; parts wanted too early."""
    ids = [chance.below(4) for _ in range(1 + chance.below(4))]
    kind = chance.below(5)
    if kind == 0:
        return _eight(*(StreamRequest(id_, noise(chance, 32)) for id_ in ids))
    if kind == 1:
        return _eight(*(StreamNext(id_) for id_ in ids))
    if kind == 2:
        return _eight(*(StreamResponse(id_, None) for id_ in ids))
    if kind == 3:
        rising = (1 << 40) + chance.below(1 << 20)
        return _eight(StreamRequest(rising, noise(chance, 32)), StreamNext(rising), StreamNext(rising))
    return _eight(*(StreamResponse(id_, Part(PartKind(chance.below(4)), noise(chance, 100))) for id_ in ids))


def _eight(*messages: Message) -> Chunks:
    return [(8, _framed(encode_message(Channel.STREAMING, message))) for message in messages]


def _split(chance: Chance, channel: int) -> Chunks:
    """A right message, byte by byte, which must be read; or its first half, and then nothing."""
    writer = BinProtWriter()
    writer.variant(1)
    writer.nat0(1 << 40)
    writer.option(False)
    whole = b"".join(frame_chunks(writer.getvalue()))
    length = len(whole) if chance.below(2) else len(whole) // 2
    return [(7, (whole[at : at + 1],)) for at in range(length)]


def _closing(chance: Chance, channel: int) -> Chunks:
    """Closes a channel."""
    return [(channel, ())]


def _framed(payload: bytes) -> tuple[bytes, ...]:
    return tuple(frame_chunks(payload))
