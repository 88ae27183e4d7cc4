"""Public test doubles: an in-memory transport, and whole networks in virtual time."""

from __future__ import annotations

from mina_webrtc.testing.invariants import Violation
from mina_webrtc.testing.shell import SimNode
from mina_webrtc.testing.simulation import Plan, Simulation
from mina_webrtc.testing.transport_memory import MemoryNetwork, MemoryTransport

__all__ = ["MemoryNetwork", "MemoryTransport", "Plan", "SimNode", "Simulation", "Violation"]
