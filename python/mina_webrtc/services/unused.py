"""Gives back the sockets and allocations that a connection does not need once it stands (RFC 8445 §8.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from mina_webrtc.services.endpoints import Endpoint
from mina_webrtc.services.turn import Relay, give_back

UNUSED = 15.0
"""Seconds without anything from the peer after which an endpoint is given back; RFC 8445 wants three at least. aioice,
and browsers, nominate with several checks at a time, so that the peer may have ended with another pair than we: then
its data comes there, or its consent checks, at most six seconds apart, and one may be lost."""


async def sweep(
    endpoints: list[Endpoint], nominated: Callable[[], Endpoint | None], forget: Callable[[set[Endpoint]], None]
) -> None:
    """Closes what is unused and takes it from the list, until one is left or nothing is nominated any more. `forget`
    hears of it before."""
    _listen(endpoints)
    while len(endpoints) > 1:
        await asyncio.sleep(UNUSED)
        kept = nominated()
        if kept is None:
            return
        unused = {endpoint for endpoint in endpoints if endpoint is not kept and not endpoint.heard}
        _listen(endpoints)
        forget(unused)
        await give_back([cast(Any, endpoint.transport) for endpoint in unused if isinstance(endpoint, Relay)])
        for endpoint in unused:
            await endpoint.close()
            endpoints.remove(endpoint)  # not before: whoever cancels this closes what is in the list


def _listen(endpoints: list[Endpoint]) -> None:
    for endpoint in endpoints:
        endpoint.heard = False
