"""Public test doubles."""

from __future__ import annotations

from mina_webrtc.testing.transport_memory import MemoryNetwork, MemoryTransport

__all__ = ["MemoryNetwork", "MemoryTransport"]
