"""What a text or bytes can be, in this order; the first that fits is the explanation, the others are told beside it.

1. Several addresses, one a line.  2. An HTTP message: its body, else its path.
3. Bytes as a list of numbers. 4. JSON: `{`, `[` or `"` first. A string, or an array of strings, of no message is
   explained by its content.
5. PEM: `-----BEGIN`.  6. SDP: `v=0`.  7. The path of a GET: `/mina/webrtc/signal/` and base58.  8. URLs.
9. Addresses and signaling methods: `/` first.
10. base58check, whose checksum fits; libp2p peer ids and keys.
11. Hex: JSON or SDP in it, frames, 32, 64 or 92 bytes, messages by channel, the beginning of a frame, sealed.
12. base58 without checksum, or base64: the same.
Bytes that are no text are taken as in 11. What stands in 1–10 rules out everything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from msgspec.structs import replace

from mina_webrtc._backend import base58_decode, base58check_decode
from mina_webrtc.cli.inspect_addresses import URL, explain_address, explain_method
from mina_webrtc.cli.inspect_forms import BASE58, byte_list, decoded, json_string, json_texts
from mina_webrtc.cli.inspect_found import Asked, Facts, Found, told
from mina_webrtc.cli.inspect_json import explain_json
from mina_webrtc.cli.inspect_kinds import explain_as
from mina_webrtc.cli.inspect_messages import MAX_LISTED, explain_bytes, why_no_message
from mina_webrtc.cli.inspect_values import of_peer, of_sdp, of_secret
from mina_webrtc.errors import Base58Error, InvalidInput, KeyFileError, KeyFormatError
from mina_webrtc.identity import PeerId, SecretKey
from mina_webrtc.keybox import read_plaintext
from mina_webrtc.wire.method import SIGNAL_PATH

_HTTP = re.compile(r"(?:[A-Z]+ (\S+) HTTP/[0-9.]+|HTTP/[0-9.]+ [0-9]{3}\b[^\r\n]*)(?:\r?\n|\Z)")
_HEADERS_END = re.compile(r"\r?\n\r?\n")
_PRIVATE_BASE64 = "CAESQ"
"""How base64 of libp2p's form of a secret key begins, and no other."""
_KEY_LIKE = range(45, 60)
"""Characters of keys and ids in base58check."""
_CHECKED = 4096
"""Characters of base58check that are looked at: keys have some 55."""
_SHORTEST = 5
"""Bytes: version and checksum."""

SECRET_KEY, PUBLIC_KEY, PEER_ID = 0x80, 0x16, 0x2F
_OTHERS = {
    0x02: "field of an encrypted key file",
    0x05: "ledger hash of Mina",
    0x0D: "epoch seed of Mina",
    0x10: "state hash of a Mina block",
    0x5A: "secret key of a Mina account",
    0xCB: "public key of a Mina account",
}
_ACCOUNT_SECRET = 0x5A


def explain(content: str | bytes, asked: Asked) -> list[Found]:
    """The explanations, likeliest first, at least one. Raises `InvalidInput`; its message never quotes the content,
    which may be a secret with a typing error in it."""
    if asked.kind is not None:
        return [explain_as(asked.kind, content, asked)]
    if isinstance(content, bytes):
        found = list(_of_bytes(content, "binary", asked))
    elif content.lstrip().startswith("v=0"):
        found = [Found("SDP", "text", of_sdp(content.lstrip()))]  # its hash counts the last line end, too
    else:
        found = list(_of_text(content.strip(), asked))
    if not found:
        raise InvalidInput(_complaint(content, asked))
    return found[:1] if found[0].certain else found


def _of_text(text: str, asked: Asked, nested: bool = False) -> Iterator[Found]:
    """Raises `InvalidInput` where the shape is clear, but the content is wrong."""
    if (addresses := _lines_of_addresses(text)) is not None:
        yield from _each(addresses, "one a line", asked)
    elif message := _HTTP.match(text):
        yield from _of_http(text, message[1] or "", asked)
    elif text.startswith(("{", "[", '"')) and byte_list(text) is None and not nested:
        yield from _of_json(text, asked)
    elif text.startswith("-----BEGIN "):
        yield _secret(SecretKey.from_pem(text), "PKCS#8 PEM")
    elif text.startswith("v=0"):
        yield Found("SDP", "text", of_sdp(text))
    elif (path := _get_path(text)) is not None:
        yield from _of_decoded(path, "the path of a GET", asked)
    elif URL.fullmatch(text):
        yield explain_method(text)
    elif text.startswith("/") and not text.endswith("="):  # with it, base64 that happens to begin so
        yield explain_address(text)
    else:
        yield from _of_checked(text)
        yield from _of_decoded(text, None, asked)


def _lines_of_addresses(text: str) -> list[str] | None:
    """As they stand in a list of seeds, where # begins a comment."""
    if "\n" not in text:
        return None
    lines = [stripped for line in text.splitlines() if (stripped := line.partition("#")[0].strip())]
    return lines if lines and all(line.startswith("/") for line in lines) else None


def _of_http(text: str, target: str, asked: Asked) -> Iterator[Found]:
    body = _HEADERS_END.split(text, 1)[1:]
    if body and body[0].strip():
        for found in _of_text(body[0].strip(), asked):
            yield replace(found, form=f"{found.form}, body of an HTTP message")
    elif _get_path(target) is None:
        raise InvalidInput("an HTTP message without a body")
    else:
        yield from _of_text(target, asked)


def _get_path(text: str) -> str | None:
    """The offer in it."""
    path, mark, rest = text.partition(SIGNAL_PATH + "/")
    offer = BASE58.match(rest)
    return offer[0] if mark and offer and not BASE58.fullmatch(path) else None


def _each(texts: list[str], form: str, asked: Asked) -> Iterator[Found]:
    """Every one of several texts by itself."""
    if len(texts) == 1:
        yield from _of_text(texts[0], asked, nested=True)
        return
    secret, facts = False, []
    for text in texts[:MAX_LISTED]:
        try:
            found = next(_of_text(text.strip(), asked, nested=True), None)
        except InvalidInput as error:
            facts.append({"kind": "none", "fault": str(error)})
            continue
        facts.append({"kind": "none", "fault": _complaint(text, asked)} if found is None else told(found))
        secret |= found is not None and found.secret
    if all(fact["kind"] == "none" for fact in facts):
        raise InvalidInput(f"{len(texts)} values of which none is known here; the first: {facts[0]['fault']}")
    listed: Facts = {"values": facts}
    if len(texts) > MAX_LISTED:
        listed["values_not_shown"] = len(texts) - MAX_LISTED
    yield Found(f"{len(texts)} values", form, listed, secret=secret)


def _of_json(text: str, asked: Asked) -> Iterator[Found]:
    inner, texts = json_string(text), json_texts(text)
    try:
        yield explain_json(text, "JSON")
    except InvalidInput:
        if inner is not None:
            yield from _of_text(inner.strip(), asked, nested=True)
        elif texts:
            yield from _each(texts, "JSON", asked)
        else:
            raise


def _of_decoded(text: str, form: str | None, asked: Asked) -> Iterator[Found]:
    if (read := decoded(text)) is None:
        return
    data, written = read
    # A key with a typing error would often be some message, and a secret one be shown as its content.
    surely = written == "base58" and len(text) in _KEY_LIKE and asked.channel is None
    for found in _of_bytes(data, form or written, asked):
        if not surely or found.certain or "frames" in found.facts:
            yield found


def _of_bytes(data: bytes, form: str, asked: Asked) -> Iterator[Found]:
    if data.startswith((b"{", b"[", b"v=0")):
        try:
            text = data.decode()
            if data.startswith(b"v=0"):
                yield Found("SDP", form, of_sdp(text))
            else:
                yield explain_json(text, f"JSON in {form}")
        except (InvalidInput, UnicodeDecodeError):
            pass
        else:
            return
    yield from explain_bytes(data, form, asked)


def _of_checked(text: str) -> Iterator[Found]:
    """By a checksum or a prefix that nothing else has."""
    if text.startswith(_PRIVATE_BASE64):
        with suppress(KeyFileError):
            yield _secret(read_plaintext(text.encode("utf-8", "replace")), "libp2p, base64")
    if len(text) > _CHECKED or not BASE58.fullmatch(text):
        return
    raw = base58_decode(text, _CHECKED)
    if raw.startswith(b"\x12\x20") and len(raw) == 34:
        yield Found("libp2p peer id", "base58", {"note": "a hash of a key (Qm…): it cannot be converted to a peer id"})
    with suppress(Base58Error, KeyFormatError):
        yield Found("libp2p peer id", "base58", of_peer(PeerId.from_libp2p(text)))
    try:
        payload = base58check_decode(text, raw[0], len(raw) - _SHORTEST) if len(raw) >= _SHORTEST else None
    except Base58Error:
        return
    if payload is not None:
        yield _checked(raw[0], payload)


def _checked(version: int, payload: bytes) -> Found:
    form = f"base58check, version {version:#04x}"
    if len(payload) == 32 and version == SECRET_KEY:
        return _secret(SecretKey.from_seed(payload), form)
    if len(payload) == 32 and version in (PUBLIC_KEY, PEER_ID):
        kind = "public key" if version == PUBLIC_KEY else "peer id"
        return Found(kind, form, of_peer(PeerId.from_bytes(payload)))
    kind = _OTHERS.get(version, "base58check of a kind that is not known here")
    return Found(kind, form, {"payload_bytes": len(payload)}, secret=version == _ACCOUNT_SECRET)


def _secret(key: SecretKey, form: str) -> Found:
    return Found("secret key", form, of_secret(key), secret=True)


def _complaint(content: str | bytes, asked: Asked) -> str:
    if isinstance(content, bytes):
        return _of_nothing(content, "", asked)
    text = content.strip()
    if not text:
        return "there is nothing to explain"
    read = decoded(text)
    if read is not None and (read[1] in {"hex", "JSON"} or asked.channel is not None):
        return _of_nothing(read[0], f" in {read[1]}", asked)
    if BASE58.fullmatch(text) and len(text) in _KEY_LIKE:
        return "looks like a key or an id, but its checksum does not fit: a character is wrong or missing"
    return (
        f"{_count(len(text), 'character')} of no form that is known here: JSON, PEM, SDP, an address (/…), a URL of "
        "signaling, a key or an id, or bytes in hex, base58 or base64"
    )


def _of_nothing(data: bytes, form: str, asked: Asked) -> str:
    nothing = f"{_count(len(data), 'byte')}{form}: no frame"
    if asked.channel is None:
        return f"{nothing}, message or value of the protocol"
    return f"{nothing} and no message {why_no_message(data, asked)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
