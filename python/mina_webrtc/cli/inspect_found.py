"""What an inspection found, and how it is shown: a tree for people, one JSON object for machines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from mina_webrtc.identity import Cipher, PublicKey, SecretKey
from mina_webrtc.wire.channels import Channel

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from mina_webrtc.cli.inspect import Kind

Facts = dict[str, Any]
"""Names with underscores; values are str, int, bool, None, or lists and dictionaries of them."""

SHOWN = 64
"""Bytes of an opaque field that are shown."""
LONGEST = 1200
"""Characters of one value in the tree: the longest line of an SDP fits."""
_WIDTH = 10_000
"""Lines are not broken: what is shown can be copied."""


class Found(Struct, frozen=True):
    """One explanation. `form` is how it was written; `certain`: its checksum or shape rules out others. Facts hold
    nothing of what is, or may well be, a secret."""

    kind: str
    form: str
    facts: Facts
    certain: bool = True
    secret: bool = False


class Asked(Struct, frozen=True):
    """What narrows an inspection down: a channel; a key of one's own and a peer's, to open what is sealed; the only
    kind that is looked for."""

    channel: Channel | None = None
    secret_key: SecretKey | None = None
    peer: PublicKey | None = None
    kind: Kind | None = None

    def cipher(self, peer: PublicKey | None = None) -> Cipher | None:
        """Between the own key and the peer's (`peer` is who a message names). Raises `NonContributoryKeyError`."""
        other = self.peer or peer
        return Cipher(self.secret_key, other) if self.secret_key is not None and other is not None else None


def blob(data: bytes) -> Facts:
    """Opaque bytes: how many, and what they begin with."""
    shown = data[:SHOWN].hex()
    return {"bytes": len(data), "hex": shown} if len(data) <= SHOWN else {"bytes": len(data), "begins": shown}


def told(found: Found) -> Facts:
    """One explanation as an object."""
    return {"kind": found.kind, "form": found.form, **found.facts}


def as_json(found: Found, others: list[Found]) -> Facts:
    """The object that `--json` prints."""
    return {**told(found), "could_also_be": [told(other) for other in others]}


def print_tree(found: Found, others: list[Found]) -> None:
    """On stdout, with colours on a terminal."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(_title(found, "bold"), guide_style="dim")
    _grow(tree, found.facts)
    if others:
        also = tree.add(Text("could also be", "dim"))
        for other in others:
            _grow(also.add(_title(other, "")), other.facts)
    Console(file=sys.stdout, width=_WIDTH, highlight=False, emoji=False).print(tree)


def _title(found: Found, style: str) -> Text:
    from rich.text import Text

    return Text.assemble((found.kind, style), (f"  ({found.form})", "dim"))


def _grow(tree: Tree, facts: Facts | list[Any]) -> None:
    from rich.text import Text

    named = facts.items() if isinstance(facts, dict) else ((str(at), item) for at, item in enumerate(facts, 1))
    for name, value in named:
        label = visible(name.replace("_", " "))
        if isinstance(value, dict) and set(value) in ({"bytes", "hex"}, {"bytes", "begins"}):
            shown = value["hex"] if "hex" in value else f"{value['begins']}…"
            tree.add(Text.assemble((f"{label}: ", "cyan"), f"{value['bytes']} bytes {shown}".rstrip()))
        elif isinstance(value, dict | list):
            branch = tree.add(Text(label, "cyan"))
            if value:
                _grow(branch, value)
            else:
                branch.add(Text("none", "dim"))
        else:
            tree.add(Text.assemble((f"{label}: ", "cyan"), visible(_words(value))))


def _words(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
    return str(value)


def visible(text: str) -> str:
    """Without what a terminal would obey: peers write some of these texts."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:LONGEST])
    return shown if len(text) <= LONGEST else f"{shown}… ({len(text)} characters)"
