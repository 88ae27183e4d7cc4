"""A loop in virtual time, and ICE agents that are joined by wires instead of sockets: minutes pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aioice import Candidate
from tests.parity.transport_harness import settings

from mina_webrtc.services import endpoints
from mina_webrtc.services.endpoints import Address, Endpoint
from mina_webrtc.services.ice import IceAgent


class _Leap(selectors.DefaultSelector):
    """Waits for nothing: whoever asks to wait is taken to that time."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "nothing will ever happen"
        self.now += max(timeout, 0)
        return super().select(0)


def run_virtually(patch: pytest.MonkeyPatch, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    leap = _Leap()

    def loop() -> asyncio.AbstractEventLoop:
        made = asyncio.SelectorEventLoop(leap)
        made.time = lambda: leap.now  # type: ignore[method-assign]
        made.set_exception_handler(lambda _, context: complaints.append(context))
        return made

    complaints: list[dict[str, Any]] = []
    patch.setattr(endpoints, "perf_counter", lambda: leap.now)
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    assert complaints == []


class Network:
    """Carries datagrams between addresses, each after `delay` seconds; None loses it."""

    def __init__(self) -> None:
        self.delay: Callable[[bytes, Address, Address], float | None] = lambda data, source, target: 0.01
        self.wires: dict[Address, Wire] = {}


class Wire(asyncio.DatagramTransport):
    """The end of a wire: the transport of one endpoint."""

    def __init__(self, network: Network, endpoint: Endpoint, host: str) -> None:
        super().__init__()
        self.network, self.endpoint, self.address = network, endpoint, (host, 4000)
        self.closing = False
        network.wires[self.address] = self
        endpoint.connection_made(self)
        priority = 2_130_706_431 - len(network.wires)
        endpoint.local_candidate = Candidate(host, 1, "udp", priority, host, 4000, "host")

    def sendto(self, data: Any, addr: Any = None) -> None:
        delay = self.network.delay(data, self.address, addr)
        if delay is not None:
            asyncio.get_running_loop().call_later(delay, self._deliver, data, addr)

    def _deliver(self, data: bytes, addr: Address) -> None:
        target = self.network.wires.get(addr)
        if target is not None and not target.closing:
            target.endpoint.datagram_received(data, self.address)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.endpoint.connection_lost, None)


class Agent:
    """An agent with what it reports."""

    def __init__(self, network: Network, *hosts: str, controlling: bool = False, **changes: Any) -> None:
        self.data: list[bytes] = []
        self.lost: list[str] = []
        self.ice = IceAgent(
            controlling=controlling,
            settings=settings(**changes),
            tls=ssl.create_default_context,
            on_data=self.data.append,
            on_lost=self.lost.append,
        )
        for host in hosts:
            endpoint = Endpoint(self.ice)
            Wire(network, endpoint, host)
            self.ice._gathering.endpoints.append(endpoint)
            self.ice._gathering.candidates.append(endpoint.local_candidate)

    def meet(self, other: Agent, as_if_at: str | None = None) -> None:
        """Takes what the other one's SDP would say; `as_if_at`: another address in its candidates."""
        self.ice.remote_username, self.ice.remote_password = other.ice.local_username, other.ice.local_password
        told = [
            Candidate(c.foundation, 1, "udp", c.priority, as_if_at or c.host, c.port, c.type)
            for c in other.ice.local_candidates
        ]
        self.ice.add_remote(told)


async def join(a: Agent, b: Agent) -> None:
    """Connects two agents."""
    a.meet(b)
    b.meet(a)
    await asyncio.gather(a.ice.establish(), b.ice.establish())
    a.ice.open()
    b.ice.open()
