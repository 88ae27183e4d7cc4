"""Keys, ids, signatures, chain ids and encryption: native against pure."""

from __future__ import annotations

from base64 import b64decode, b64encode
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parity.both import BACKENDS, BASE58, POINTS, junk, mutated, outcome, points, same, seeds

from mina_webrtc._pure.pem import LIMIT
from mina_webrtc.errors import KeyFormatError

L = 2**252 + 27742317777372353535851937790883648493  # order of the base point
HEX = "0123456789abcdefABCDEF"
KINDS = ("PublicKey", "PeerId", "Signature", "ChainId")


def _derived(key: Any) -> list[Any]:
    return [key, key.public_key, key.peer_id, key.expose_base58check(), key.expose_pem(), key.public_key.to_x25519()]


@given(seeds)
def test_everything_derived_from_a_seed(seed: bytes) -> None:
    same(lambda b: _derived(b.SecretKey.from_seed(seed)))


@given(st.one_of(st.integers(0, 2**64 - 2), junk))
def test_deterministic_keys(index: Any) -> None:
    same(lambda b: _derived(b.SecretKey.deterministic(index)))


@given(points)
def test_everything_derived_from_a_point(point: bytes) -> None:
    same(lambda b: b.PublicKey.from_bytes(point))
    same(lambda b: b.PublicKey.from_bytes(point).to_x25519())
    same(lambda b: b.PublicKey.from_bytes(point).peer_id)
    same(lambda b: b.PeerId.from_bytes(point))
    same(lambda b: b.PeerId.from_bytes(point).public_key)
    same(lambda b: b.PeerId.from_bytes(point).to_libp2p())


@given(seeds, st.data(), st.sampled_from(["SecretKey", "PublicKey", "PeerId"]), st.sampled_from(["own", "other"]))
def test_mutated_base58check_texts(seed: bytes, data: st.DataObject, kind: str, form: str) -> None:
    key = BACKENDS[0].SecretKey.from_seed(seed)
    texts = {"SecretKey": key.expose_base58check(), "PublicKey": str(key.public_key), "PeerId": str(key.peer_id)}
    text = mutated(texts[kind if form == "own" else data.draw(st.sampled_from(sorted(texts)))], data, BASE58 + "0 ")
    same(lambda b: getattr(b, kind).parse(text))


@given(st.one_of(points, st.binary(max_size=40)), st.data(), st.binary(max_size=8))
def test_libp2p_texts(point: bytes, data: st.DataObject, head: bytes) -> None:
    for prefix in (bytes.fromhex("002408011220"), bytes.fromhex("1220"), head):
        text = BACKENDS[0].base58_encode(prefix + point)
        same(lambda b, t=text: b.PeerId.from_libp2p(t))
        changed = mutated(text, data, BASE58 + "0é")
        same(lambda b, t=changed: b.PeerId.from_libp2p(t))


@given(st.data(), st.sampled_from([("Signature", 128), ("ChainId", 64)]))
def test_hex_texts(data: st.DataObject, case: tuple[str, int]) -> None:
    kind, digits = case
    exact = st.text(HEX, min_size=digits, max_size=digits)
    text = data.draw(st.one_of(exact, exact.map(lambda t: mutated(t, data, HEX + "gx \n٣")), st.text(max_size=10)))
    same(lambda b: getattr(b, kind).parse(text))


@given(seeds, st.data())
def test_pem_with_mutated_der(seed: bytes, data: st.DataObject) -> None:
    pem = BACKENDS[0].SecretKey.from_seed(seed).expose_pem()
    der = bytearray(b64decode("".join(pem.splitlines()[1:-1])))
    if data.draw(st.booleans()):  # version 1, without the public key
        der = bytearray(bytes.fromhex("302e020100300506032b657004220420")) + der[16:48]
    for _ in range(data.draw(st.integers(0, 2))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    der = der[: len(der) - data.draw(st.sampled_from([0, 0, 0, 1, 33]))] + data.draw(st.binary(max_size=1))
    body = b64encode(der).decode()
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    text = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""])
    same(lambda b: b.SecretKey.from_pem(text))


@pytest.mark.parametrize("ends", ["\n\n", "\n\r\n", "\r\r", "\r\n\r\n", "\n\n\n", "\r\n\r\n\n", "\n" * 4])
@pytest.mark.parametrize("last", [48, 64])
def test_pem_with_empty_lines_at_the_end(ends: str, last: int) -> None:
    full = BACKENDS[0].SecretKey.deterministic(1).expose_pem()
    if last == 64:  # without the public key it is one full line
        der = bytes.fromhex("302e020100300506032b657004220420") + bytes(32)
        full = f"-----BEGIN PRIVATE KEY-----\n{b64encode(der).decode()}\n-----END PRIVATE KEY-----\n"
    same(lambda b: b.SecretKey.from_pem(full.replace("\n-----END", f"{ends}-----END")))


ANOTHER = BACKENDS[0].SecretKey.deterministic(0).expose_pem()
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
BOUNDARY = "-----BEGIN X-----\n"
BEFORE = ["", "comment\n", "\n", " ", "\0\n", "a: b\n", BOUNDARY, f" {BOUNDARY}", CERTIFICATE, ANOTHER]


@given(seeds, st.data(), st.sampled_from(["\n", "\r\n", "\r"]))
def test_pem_with_mutated_text(seed: bytes, data: st.DataObject, end: str) -> None:
    pem = BACKENDS[0].SecretKey.from_seed(seed).expose_pem().replace("\n", end)
    text = "".join(data.draw(st.lists(st.sampled_from(BEFORE), max_size=2))) + pem
    text = mutated(text, data, "-= \r\nAz09+/é\0:")
    same(lambda b: b.SecretKey.from_pem(text))


@pytest.mark.parametrize("before", [CERTIFICATE, ANOTHER, BOUNDARY, f"# two\n{ANOTHER}"])
def test_pem_after_something_else_that_begins_is_refused(before: str) -> None:
    pem = BACKENDS[0].SecretKey.deterministic(1).expose_pem()
    assert same(lambda b: b.SecretKey.from_pem(before + pem)) == ("raised", KeyFormatError)


@pytest.mark.parametrize("letter", ["#", "é"])
def test_pem_is_read_up_to_a_limit(letter: str) -> None:
    pem = BACKENDS[0].SecretKey.deterministic(1).expose_pem()
    most = (LIMIT - 1 - len(pem)) // len(letter.encode()) * letter
    assert same(lambda b: b.SecretKey.from_pem(f"{most}\n{pem}"))[0] == "returned"
    assert same(lambda b: b.SecretKey.from_pem(f"{most}{letter}\n{pem}")) == ("raised", KeyFormatError)


def test_pem_after_a_lone_surrogate_is_refused() -> None:
    pem = BACKENDS[0].SecretKey.deterministic(1).expose_pem()
    assert same(lambda b: b.SecretKey.from_pem(f"\ud800\n{pem}")) == ("raised", KeyFormatError)


@given(seeds, st.binary(max_size=200))
def test_signatures_are_the_same_and_verify_across(seed: bytes, message: bytes) -> None:
    same(lambda b: b.SecretKey.from_seed(seed).sign(message))
    for one, other in (BACKENDS, BACKENDS[::-1]):
        key = one.SecretKey.from_seed(seed)
        signature = other.Signature.from_bytes(bytes(key.sign(message)))
        other.PublicKey.from_bytes(bytes(key.public_key)).verify(message, signature)


@given(seeds, st.binary(max_size=20), st.data())
def test_mutated_signatures(seed: bytes, message: bytes, data: st.DataObject) -> None:
    key = BACKENDS[0].SecretKey.from_seed(seed)
    signature = bytearray(bytes(key.sign(message)))
    change = data.draw(st.sampled_from(["bit", "s + L", "r", "s", "message"]))
    if change == "bit":
        signature[data.draw(st.integers(0, 63))] ^= 1 << data.draw(st.integers(0, 7))
    elif change == "s + L":  # the same number, but not canonical
        signature[32:] = (int.from_bytes(signature[32:], "little") + L).to_bytes(32, "little")
    elif change == "r":
        signature[:32] = data.draw(points)
    elif change == "s":
        signature[32:] = data.draw(seeds)
    candidate = message + b"!" if change == "message" else message
    _verify(bytes(key.public_key), candidate, bytes(signature))


@pytest.mark.parametrize("point", range(len(POINTS) - 1))
@given(message=st.binary(max_size=20), r=points, s=st.sampled_from([0, 1, L - 1, L, 8, 2**255]))
def test_signatures_of_small_order_keys(point: int, message: bytes, r: bytes, s: int) -> None:
    for commitment in (r, *POINTS):
        _verify(POINTS[point], message, commitment + s.to_bytes(32, "little"))


def _verify(point: bytes, message: bytes, signature: bytes) -> None:
    same(lambda b: b.PublicKey.from_bytes(point).verify(message, b.Signature.from_bytes(signature)))


@given(points, points)
def test_order_and_equality(one: bytes, other: bytes) -> None:
    for kind in ("PeerId", "PublicKey"):
        same(lambda b, k=kind: _compared(getattr(b, k).from_bytes(one), getattr(b, k).from_bytes(other)))


def _compared(one: Any, other: Any) -> list[bool]:
    equal_hash = hash(one) == hash(other) if one == other else False
    return [one < other, one <= other, one == other, one != other, one >= other, one > other, equal_hash]


@given(seeds, points)
def test_which_peers_can_be_sealed_for(seed: bytes, peer: bytes) -> None:
    made = [outcome(lambda b=b: _cipher(b, seed, peer).open(b"")) for b in BACKENDS]
    assert made[0] == made[1]


def _can_be_sealed_for(point: bytes) -> bool:
    return outcome(lambda: _cipher(BACKENDS[0], bytes(32), point))[0] == "returned"


public_keys = seeds.map(lambda seed: bytes(BACKENDS[0].SecretKey.from_seed(seed).public_key))
peers = st.one_of(public_keys, seeds.filter(_can_be_sealed_for))  # every second one is a point


@given(seeds, peers, st.binary(max_size=300), st.data())
def test_sealed_by_one_opened_by_the_other(seed: bytes, peer: bytes, message: bytes, data: st.DataObject) -> None:
    native, pure = (_cipher(b, seed, peer) for b in BACKENDS)
    for one, other in ((native, pure), (pure, native)):
        sealed = bytearray(one.seal(message))
        assert other.open(sealed) == message
        at = data.draw(st.integers(0, len(sealed) - 1))
        sealed[at] ^= data.draw(st.integers(0, 255))
        cut = bytes(sealed[: data.draw(st.integers(0, len(sealed)))])
        for candidate in (sealed, cut):
            assert outcome(lambda c=candidate: native.open(c)) == outcome(lambda c=candidate: pure.open(c))


@given(seeds, seeds)
def test_both_sides_across_backends(one: bytes, other: bytes) -> None:
    native, pure = BACKENDS
    ours, theirs = native.SecretKey.from_seed(one), pure.SecretKey.from_seed(other)
    here = native.Cipher(ours, native.PublicKey.from_bytes(bytes(theirs.public_key)))
    there = pure.Cipher(theirs, pure.PublicKey.from_bytes(bytes(ours.public_key)))
    assert there.open(here.seal(b"there")) == b"there"
    assert here.open(there.seal(b"back")) == b"back"


def _cipher(backend: ModuleType, seed: bytes, peer: bytes) -> Any:
    return backend.Cipher(backend.SecretKey.from_seed(seed), backend.PublicKey.from_bytes(peer))


digests = st.lists(st.binary(max_size=20), max_size=4)
NUMBERS = st.one_of(st.integers(0, 300), st.integers(0, 2**33), junk)


@given(
    st.one_of(digests, digests.map(tuple), digests.map(set), digests.map(dict.fromkeys), junk),
    st.one_of(
        st.text(st.characters(codec="utf-8"), max_size=60), st.text(max_size=3), st.binary(max_size=3), st.none()
    ),
    st.one_of(st.integers(0, 2**48), st.integers(253_402_300_799_998, 253_402_300_800_001), NUMBERS),
    st.lists(NUMBERS, min_size=7, max_size=7),
)
def test_chain_ids_from_any_constants(digests: Any, state: Any, milliseconds: Any, numbers: list[Any]) -> None:
    same(lambda b: b.ChainId.compute(digests, state, milliseconds, *numbers))


def test_chain_ids_of_digests_that_are_no_sequence_are_refused() -> None:
    for made in ({b"a"}, {b"a": 1}, map(bytes, [b"a"])):
        assert same(lambda b, m=made: b.ChainId.compute(m, "", 0, *range(7))) == ("raised", TypeError)


def test_chain_ids_of_a_lone_surrogate_are_refused_with_the_same_words() -> None:
    said = set()
    for backend in BACKENDS:
        with pytest.raises(KeyFormatError) as caught:
            backend.ChainId.compute([], "\ud800é", 0, *range(7))
        said.add(str(caught.value))
    assert said == {"the genesis state hash holds a lone surrogate: it has no UTF-8 form"}


@given(seeds)
def test_chain_ids(data: bytes) -> None:
    same(lambda b: [b.ChainId.from_bytes(data), b.ChainId.from_bytes(data).preshared_key()])
    same(lambda b: [b.ChainId.DEVNET, b.ChainId.MAINNET])


@pytest.mark.parametrize("kind", [*KINDS, "SecretKey"])
@given(data=st.data())
def test_arguments_of_any_type(kind: str, data: st.DataObject) -> None:
    names = ["from_bytes", "parse", "from_libp2p", "from_seed", "from_pem"]
    name = data.draw(st.sampled_from([n for n in names if hasattr(getattr(BACKENDS[0], kind), n)]))
    arguments = data.draw(st.lists(junk, max_size=2))
    same(lambda b: getattr(getattr(b, kind), name)(*arguments))
    same(lambda b: getattr(b, kind)(*arguments))
    same(lambda b: b.Cipher(*arguments))
    key = st.just(bytes(32))
    wrong = data.draw(st.one_of(junk, key))
    same(lambda b: b.SecretKey.deterministic(0).sign(wrong))
    same(lambda b: b.SecretKey.deterministic(0).public_key.verify(wrong, wrong))
    same(lambda b: _cipher(b, bytes(32), bytes(b.SecretKey.deterministic(0).public_key)).open(wrong))


@given(st.text(st.characters(), max_size=300))
def test_sdp_hash_of_any_text(sdp: str) -> None:
    same(lambda b: b.sdp_hash(sdp))
