"""`inspect --as KIND`: one reading, or why it is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mina_webrtc.cli.inspect import Kind
from mina_webrtc.cli.inspect_addresses import explain_address, explain_method
from mina_webrtc.cli.inspect_forms import decoded, json_string
from mina_webrtc.cli.inspect_found import Asked, Facts, Found
from mina_webrtc.cli.inspect_json import read_answer, read_box, read_host, read_offer, read_response, read_signal
from mina_webrtc.cli.inspect_messages import of_frames, of_payload
from mina_webrtc.cli.inspect_values import (
    of_chain,
    of_hashes,
    of_peer,
    of_sdp,
    of_sealed,
    of_secret,
    open_sealed,
    read_peer,
)
from mina_webrtc.errors import CryptoError, InvalidInput
from mina_webrtc.identity import ChainId, SecretKey, Signature
from mina_webrtc.keyfile import parse_secret
from mina_webrtc.wire.auth import HASHES, OVERHEAD, SEALED

Value = str | bytes
Reader = Callable[[Value, Asked], Facts]
_NO_BYTES = "not bytes in hex, base58 or base64, or an array of numbers"


def explain_as(kind: Kind, content: Value, asked: Asked) -> Found:
    """Raises `InvalidInput`, which says why the content is none and does not quote it."""
    title, read = _READERS[kind]
    reasons = []
    for value, form in _ways(content):
        try:
            return Found(title, form, read(value, asked), secret=kind is Kind.secret_key)
        except (InvalidInput, CryptoError) as error:
            reasons.append(str(error))
    # Of several forms the likeliest comes first, but that a text is no bytes says nothing when it has a form of them.
    reason = min(reasons, key=lambda text: text == _NO_BYTES, default="there is nothing")
    raise InvalidInput(f"no {title}: {reason}")


def _ways(content: Value) -> Iterator[tuple[Value, str]]:
    """The content in every form that it can be of, likeliest first: why that one fails is told."""
    if isinstance(content, bytes):
        yield content, "binary"
        return
    text = content.strip()
    if (inner := json_string(text)) is not None and not json_string(inner):
        yield from _ways(inner)
    read = decoded(text)
    surely = read is not None and read[1] in {"JSON", "hex"}
    if read is not None and surely:
        yield read
    if text:
        yield content.lstrip(), "text"  # the hash of an SDP counts the last line end
    if read is not None and not surely:
        yield read


def _bytes(value: Value) -> bytes:
    if isinstance(value, str):
        raise InvalidInput(_NO_BYTES)
    return value


def _text(value: Value) -> str:
    try:
        return value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError:
        raise InvalidInput("bytes that are no text") from None


def _json(read: Callable[[bytes], Facts]) -> Reader:
    """JSON, or, with the keys for it, the same sealed."""

    def reader(value: Value, asked: Asked) -> Facts:
        if isinstance(value, str):
            return read(value.encode("utf-8", "surrogatepass"))
        opened = open_sealed(value, asked)
        return read(value if opened is None else opened)

    return reader


def _secret_key(value: Value, _asked: Asked) -> Facts:
    return of_secret(SecretKey.from_seed(value) if isinstance(value, bytes) else parse_secret(value))


def _public_key(value: Value, _asked: Asked) -> Facts:
    return of_peer(read_peer(value).public_key.peer_id)


def _chain_id(value: Value, _asked: Asked) -> Facts:
    chain = ChainId.from_bytes(value) if isinstance(value, bytes) else ChainId.parse(value.strip())
    return of_chain(chain, shown=True)


def _auth(value: Value, asked: Asked) -> Facts:
    data = _bytes(value)
    if len(data) not in (HASHES, SEALED):
        raise InvalidInput(f"it must be {HASHES} bytes, or {SEALED} when encrypted, not {len(data)}")
    return of_sealed(data, asked) if len(data) == SEALED else of_hashes(data)


def _sealed(value: Value, asked: Asked) -> Facts:
    data = _bytes(value)
    if len(data) < OVERHEAD:
        raise InvalidInput(f"{len(data)} bytes are shorter than anything encrypted, which has {OVERHEAD} and more")
    return of_sealed(data, asked, certain=False)


_READERS: dict[Kind, tuple[str, Reader]] = {
    Kind.secret_key: ("secret key", _secret_key),
    Kind.public_key: ("public key", _public_key),
    Kind.peer_id: ("peer id", lambda value, _asked: of_peer(read_peer(value))),
    Kind.chain_id: ("chain id", _chain_id),
    Kind.signature: ("signature", lambda value, _asked: {"signature": str(Signature.from_bytes(_bytes(value)))}),
    Kind.auth: ("connection auth", _auth),
    Kind.sealed: ("encrypted offer or answer", _sealed),
    Kind.offer: ("offer", _json(read_offer)),
    Kind.answer: ("answer", _json(read_answer)),
    Kind.response: ("connection response", _json(read_response)),
    Kind.signal: ("signal", _json(read_signal)),
    Kind.host: ("host", _json(read_host)),
    Kind.key_file: ("encrypted key file", _json(read_box)),
    Kind.sdp: ("SDP", lambda value, _asked: of_sdp(_text(value))),
    Kind.address: ("address", lambda value, _asked: explain_address(_text(value).strip()).facts),
    Kind.method: ("signaling method", lambda value, _asked: explain_method(_text(value).strip()).facts),
    Kind.message: ("bin_prot message", lambda value, asked: of_payload(_bytes(value), asked)),
    Kind.frames: ("frames", lambda value, asked: of_frames(_bytes(value), asked)),
}
