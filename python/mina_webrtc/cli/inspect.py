"""`mina-webrtc inspect`: explain a key, id, address, message or any other bytes of the protocol."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mina_webrtc.cli.keys import STDIN, find_key
from mina_webrtc.cli.options import Json, Level, LogJson, LogLevel, usage
from mina_webrtc.cli.shell import note, say_json, set_up_logging, standard_input
from mina_webrtc.errors import InvalidInput

if TYPE_CHECKING:
    from mina_webrtc.cli.inspect_found import Asked
    from mina_webrtc.identity import PublicKey

MAX_INPUT = 4 * 1024 * 1024
"""Bytes: some hundred messages in hex. Larger captures are not for reading by eye."""
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


class Kind(StrEnum):
    """What can be asked for by name."""

    secret_key = "secret-key"  # noqa: S105
    public_key = "public-key"
    peer_id = "peer-id"
    chain_id = "chain-id"
    signature = "signature"
    auth = "auth"
    sealed = "sealed"
    offer = "offer"
    answer = "answer"
    response = "response"
    signal = "signal"
    host = "host"
    key_file = "key-file"
    sdp = "sdp"
    address = "address"
    method = "method"
    message = "message"
    frames = "frames"


Text = Annotated[
    str,
    typer.Argument(metavar="TEXT|-|@FILE", help="What to explain; - or nothing is standard input.", show_default=False),
]
ChannelNumber = Annotated[
    int | None,
    typer.Option("--channel", min=0, max=8, help="The data channel that it comes from. Default: every one that fits."),
]
As = Annotated[
    Kind | None,
    typer.Option("--as", metavar="KIND", help=f"Explain it as this, or say why it is none: {', '.join(Kind)}."),
]
Own = Annotated[
    Path | None,
    typer.Option("--key-file", metavar="FILE", help="Open what is encrypted, with this key of one of its two ends."),
]
PeerKey = Annotated[
    str | None, typer.Option("--peer", metavar="KEY", help="Public key or peer id of the other end, for --key-file.")
]


def inspect(
    text: Text = "-",
    kind: As = None,
    channel: ChannelNumber = None,
    key_file: Own = None,
    peer: PeerKey = None,
    json: Json = False,
    log_level: LogLevel = Level.warning,
    log_json: LogJson = False,
) -> None:
    """Explain what you paste or pipe: keys, ids, addresses, offers, answers, messages, frames.

    Takes JSON, PEM, SDP, HTTP requests, addresses (several, one a line), URLs, base58check, hex, base58, base64 and
    plain bytes. Bytes can be frames, a value by its length (32, 64 or 92 bytes), the message of a channel, or sealed;
    what else fits is told, too. --as has one reading only, and says why the input is none.

    A secret key is never shown, only what belongs to it; pipe one in rather than typing it as an argument, which
    other users of the machine can see. 32 bytes without a checksum that can be a public key are taken for one.

    \b
    Examples:
      mina-webrtc inspect /dns4/node.example.com/tcp/3000/webrtc/http/p2p/12D3KooW...
      mina-webrtc inspect --json @offer.json
      mina-webrtc inspect --channel 7 000106
      mina-webrtc inspect --as chain-id 29936104443aaf264a7f0192ac64b1c7173198c1ed404c1bcff5e562e05eb7f6
      mina-webrtc inspect --channel 2 --key-file node.key @frames.bin
    """
    from mina_webrtc.cli.inspect_found import as_json, print_tree
    from mina_webrtc.cli.inspect_text import explain

    set_up_logging(log_level, log_json)
    if key_file == STDIN and text == "-":
        raise usage("--key-file", "standard input is what is explained")
    found, *others = explain(_content(text), _asked(kind, channel, key_file, peer))
    if found.secret and text != "-" and not text.startswith("@"):
        note("a secret was given as an argument: it is in the shell's history, and others may have seen it")
    if json:
        say_json(**as_json(found, others))
    else:
        print_tree(found, others)


def _asked(kind: Kind | None, channel: int | None, key_file: Path | None, peer: str | None) -> Asked:
    from mina_webrtc.cli.inspect_found import Asked
    from mina_webrtc.wire.channels import Channel

    if peer is not None and key_file is None:
        raise usage("--peer", "there is nothing to open without --key-file")
    number = None if channel is None else Channel(channel)
    own = find_key(key_file) if key_file is not None else None
    return Asked(number, own, None if peer is None else _key_of(peer), kind)


def _key_of(text: str) -> PublicKey:
    from mina_webrtc.cli.inspect_forms import unhex
    from mina_webrtc.cli.inspect_values import read_peer

    try:
        return read_peer(unhex(text) or text).public_key
    except InvalidInput as error:
        raise usage("--peer", f"neither a public key nor a peer id: {error}") from None


def _content(text: str) -> str | bytes:
    """Text, or bytes where it is none. Raises `InvalidInput` when there is too much or half a character,
    `OSError` for a file."""
    if text == "-":
        return _text_of(standard_input().buffer.read(MAX_INPUT + 1))
    if text.startswith("@"):
        with Path(text[1:]).open("rb") as file:
            return _text_of(file.read(MAX_INPUT + 1))
    try:
        return _text_of(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as error:
        raise InvalidInput(f"character {error.start + 1} is half of a surrogate pair") from None


def _text_of(raw: bytes) -> str | bytes:
    if len(raw) > MAX_INPUT:
        raise InvalidInput(f"more than {MAX_INPUT // 2**20} MiB is not explained")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw
    return raw if _NO_TEXT.search(text) else text
