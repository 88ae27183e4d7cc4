"""Items that are handed on from peer to peer: best tips, transactions, snarks, commitments (protocol.md §7)."""

from __future__ import annotations

from msgspec import Struct

from mina_webrtc.identity import PeerId
from mina_webrtc.machines.vocab.base import Effect, Event
from mina_webrtc.machines.vocab.notices import Notice
from mina_webrtc.wire.channels import Channel


class Spreading(Struct, frozen=True, kw_only=True):
    """How items are taken and handed on. Times in seconds; the defaults stand in `config.py`."""

    batch: int
    """Items that one poll asks for on channels 4 to 6."""
    max_queued: int
    """Items that wait for a peer's poll, per channel; the oldest goes first. On channel 3 it is one."""
    max_handlers: int
    """Items that the application examines at a time, per channel."""
    max_waiting: int
    """Items of one channel that are here and that the application has not judged yet …"""
    max_waiting_bytes: int
    """… and their bytes. What comes beyond either is dropped."""
    memory: int
    """Ids remembered per channel."""
    timeout: float
    """How long announced items may take to come."""


# ---------------------------------------------------------------- events


class ItemsWanted(Event, frozen=True):
    """The application has a handler for a channel's items: they are polled for from now on."""

    channel: Channel


class BroadcastMade(Event, frozen=True):
    """`node.broadcast(topic, payload)`; `name` is the item's id. Answered by `BroadcastPlaced`."""

    broadcast: int
    channel: Channel
    name: bytes
    payload: bytes


class ItemNamed(Event, frozen=True):
    """The id of an item that came; None when the application could not tell, and the item is dropped."""

    item: int
    name: bytes | None


class ItemHandled(Event, frozen=True):
    """The application's judgement: True, hand it on; False, no honest peer sends it; None, neither."""

    item: int
    verdict: bool | None


# ---------------------------------------------------------------- effects


class NameItem(Effect, frozen=True):
    """Find the id of an item that came; answered by `ItemNamed`."""

    item: int
    channel: Channel
    payload: bytes


class HandleItem(Effect, frozen=True):
    """Have the application judge an item that came from `peer`; answered by `ItemHandled`. It goes on when that peer
    leaves."""

    item: int
    channel: Channel
    peer: PeerId
    payload: bytes


class AbandonItem(Effect, frozen=True):
    """The handler took too long: cancel it."""

    item: int


class BroadcastPlaced(Effect, frozen=True):
    """A broadcast goes to so many peers; 0 for an item that went out before."""

    broadcast: int
    peers: int


class ItemsDropped(Notice, frozen=True):
    """A peer takes items more slowly than they come: the oldest that wait for it are dropped. Told when that begins."""

    conn: int
    peer: PeerId
    channel: Channel
