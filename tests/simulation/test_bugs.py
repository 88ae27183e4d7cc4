"""Bugs made on purpose: each is found by some run, and the run says how to repeat it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.dials import Dials
from mina_webrtc.machines.gossip import Gossip, Memory
from mina_webrtc.machines.peers import Peers
from mina_webrtc.machines.propagation import Propagation
from mina_webrtc.machines.rpc import Requests
from mina_webrtc.machines.state import State
from mina_webrtc.machines.streaming import Streaming
from mina_webrtc.machines.upkeep import Upkeep
from mina_webrtc.store import Timers
from mina_webrtc.testing import Plan, Simulation, Violation, simulate
from mina_webrtc.testing.promises import Promises
from mina_webrtc.testing.shell import SimNode
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import Discovered, DiscoveredAccept, OfferToYou, encode_message
from mina_webrtc.wire.signal import EncryptedOffer

pytestmark = pytest.mark.timeout(300)  # virtual time, but all of the processor


def _find(seeds: int = 40, **changes: Any) -> str:
    """What the first run says that finds something."""
    for seed in range(seeds):
        plan = msgspec.structs.replace(simulate.cluster(seed), traffic=0.1, faults=5.0, rogues=1, **changes)
        try:
            simulate.run(plan, 60.0)
        except Violation as violation:
            return str(violation)
    return "nothing"


def _always(value: object) -> Callable[..., object]:
    return lambda *args, **kwargs: value


@pytest.mark.parametrize(
    ("owner", "name", "bug", "complaint"),
    [
        (Peers, "_no_place", _always(None), "peers"),
        (State, "release", _always([]), "deadline"),
        (Timers, "disarm", _always(None), "deadline"),
        (Timers, "arm", _always(None), "deadline|nobody has answered"),
        (Requests, "release", _always([]), "deadlines that nobody owes|nobody has answered"),
        (Streaming, "release", _always([]), "deadlines that nobody owes|producers|overdue"),
        (Streaming, "_cancel", lambda part, request, now: (part, []), "a part that nobody wanted"),
        (Streaming, "_turn", lambda part, now: part._pull([], now), "deadlines that nobody owes"),
        (Dials, "succeed", _always([]), "nobody has answered|dials that wait|dials wait"),
        (Upkeep, "_moments", _always([]), "none will be dialled"),
        (SimNode, "_judge", _always(v.AuthVerdict.PASSED), "somebody else"),
        (SimNode, "_close_connection", _always(None), "its transport"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("_") else None,
)
def test_a_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, bug: Callable[..., object], complaint: str
) -> None:
    monkeypatch.setattr(owner, name, bug)
    found = _find(max_peers=2)
    assert any(word in found for word in complaint.split("|")), found
    assert "python -m mina_webrtc.testing.simulate --seed" in found


@pytest.mark.parametrize(
    ("owner", "name", "bug", "complaint"),
    [
        (Memory, "knows", _always(False), "judged twice|which has it"),
        (Gossip, "_done", _always([]), "missed"),
        (Gossip, "_join", lambda gossip, item, before: gossip._settle(item), "which has it"),
        (Gossip, "want", _always([]), "missed"),
        (Propagation, "_turn", lambda part: part._serve() if part.queue else (part, []), "which asked for|did not ask"),
        (Propagation, "withdraw", lambda part, name: (part, []), "which has it"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else None,
)
def test_a_bug_with_items_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, bug: Callable[..., object], complaint: str
) -> None:
    monkeypatch.setattr(owner, name, bug)
    found = _find(max_peers=100, items=0.2)
    assert any(word in found for word in complaint.split("|")), found


def test_a_target_promised_twice_is_found() -> None:
    network = Simulation(Plan(nodes=3, min_peers=0))
    relay = network.nodes[0]
    promises, target = Promises(relay), network.nodes[1].key
    found = v.Send(5, Channel.DISCOVERY, encode_message(Channel.DISCOVERY, Discovered(target)))
    assert promises.sent(found) == ""
    assert "promised again, to the asker on connection 6" in promises.sent(msgspec.structs.replace(found, conn=6))
    network.run(relay.settings.relay_timeout + 1)
    assert promises.sent(found) == ""
    entrusted = DiscoveredAccept(EncryptedOffer(bytes(40)))
    promises.heard(v.MessageReceived(5, Channel.DISCOVERY, encode_message(Channel.DISCOVERY, entrusted)))
    network.run(relay.settings.relay_timeout + 1)
    assert "promised again" in promises.sent(msgspec.structs.replace(found, conn=6))
    offer = v.Send(7, Channel.EXCHANGE, encode_message(Channel.EXCHANGE, OfferToYou(target, entrusted.offer)))
    assert promises.sent(offer) == ""
    assert "two offers at once" in promises.sent(offer)


def test_an_end_that_never_hears_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = Simulation(Plan(nodes=2, min_peers=1))
    simulation.run(10.0)
    one = simulation.nodes[0]
    monkeypatch.setattr(type(simulation.network), "_consent_over", lambda *args: None)
    one.crash()
    with pytest.raises(Violation, match="has not been there since"):
        simulation.run(200.0)
