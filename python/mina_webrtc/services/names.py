"""Addresses of STUN and TURN servers."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

from mina_webrtc.services.resolve import Resolver, ResolveSettings
from mina_webrtc.wire.address import Host

MAX_ADDRESSES = 4
"""Of one name; families by turns."""


class Names:
    """Looks each name up once, for whoever asks, through c-ares; see `resolve`. `close()` it."""

    def __init__(self, timeout: float) -> None:
        """`timeout`: seconds that a look-up may take."""
        self._timeout = timeout
        # the application named these servers: none of them waits, and they may be anywhere
        settings = ResolveSettings(
            max_addresses=MAX_ADDRESSES, max_learnt_lookups=1, learnt_networks=(), nameservers=()
        )
        self._resolver = Resolver(settings)
        self._lookups: dict[str, asyncio.Task[list[str]]] = {}

    async def addresses(self, host: str) -> list[str]:
        """Those of a name, IPv6 and IPv4 by turns, best first; an address is its own. Raises `ResolveError`."""
        if host not in self._lookups:
            self._lookups[host] = asyncio.create_task(self._look_up(host))
        return await asyncio.shield(self._lookups[host])

    async def address(self, host: str, version: int) -> str:
        """The best in IP `version`. Raises `ResolveError`, and `LookupError` when there is none of that version."""
        for text in await self.addresses(host):
            if ip_address(text).version == version:
                return text
        raise LookupError(f"it has no IPv{version} address")

    async def _look_up(self, host: str) -> list[str]:
        found = await self._resolver.resolve(Host.domain(host), 0, timeout=self._timeout, learnt=False)
        return [str(address.ip) for address in found]

    async def close(self) -> None:
        """Ends every look-up under way."""
        for lookup in self._lookups.values():
            lookup.cancel()
        await self._resolver.close()
        await asyncio.gather(*self._lookups.values(), return_exceptions=True)
