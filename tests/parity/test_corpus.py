"""Every input that fuzzing found worth keeping (tests/corpus), on both backends and in the parsers of `wire`."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.parity.both import same

from mina_webrtc.errors import InvalidInput
from mina_webrtc.wire.address import Host, SignalingMethod, parse_address

CORPUS = Path(__file__).parents[1] / "corpus"
READS = ("boolean", "nat0", "option", "string", "byte_list", "rest", "finish")


def inputs(folder: str) -> list[Any]:
    found = sorted((CORPUS / folder).iterdir())
    assert found
    return [pytest.param(path.read_bytes(), id=path.name) for path in found]


@pytest.mark.parametrize("data", inputs("base58") + inputs("identity"))
def test_texts(data: bytes) -> None:
    text = data.decode(errors="replace")
    same(lambda b: b.base58_decode(text, 4096))
    same(lambda b: b.base58check_decode(text, 0x16, 32))
    for name in ("SecretKey", "PublicKey", "PeerId", "Signature", "ChainId"):
        same(lambda b, name=name: getattr(b, name).parse(text))
    same(lambda b: b.PeerId.from_libp2p(text))
    same(lambda b: b.SecretKey.from_pem(text))


@pytest.mark.parametrize("data", inputs("bin_prot"))
def test_bin_prot(data: bytes) -> None:
    for name in READS:
        same(lambda b, name=name: getattr(b.BinProtReader(data), name)())
    same(lambda b: b.BinProtReader(data).integer(-(2**63), 2**63 - 1))
    same(lambda b: b.BinProtReader(data).variant(7))


@pytest.mark.parametrize("data", inputs("frames"))
def test_frames(data: bytes) -> None:
    def whole(backend: ModuleType) -> Any:
        return backend.FrameDecoder(1 << 20).receive_data(data)

    def in_bytes(backend: ModuleType) -> Any:
        decoder = backend.FrameDecoder(1 << 20)
        return [payload for byte in data for payload in decoder.receive_data(bytes([byte]))]

    assert same(whole)[0] == same(in_bytes)[0]


@pytest.mark.parametrize("data", inputs("address"))
def test_addresses(data: bytes) -> None:
    """What parses prints so that it parses to the same; what does not is an error of the tree."""
    text = data.decode(errors="replace")
    for parse in (parse_address, SignalingMethod.parse, Host.parse):
        try:
            value = parse(text)
        except InvalidInput:
            continue
        assert str(parse(str(value))) == str(value)
