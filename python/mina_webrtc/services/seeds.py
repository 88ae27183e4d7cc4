"""Seed lists: files and HTTPS pages with one address a line, by which a node joins the network."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from mina_webrtc.config import seed_address
from mina_webrtc.errors import AddressError, ConfigError, ResolveError, SignalingError
from mina_webrtc.services.http_client import HttpOfferClient
from mina_webrtc.wire.address import DialAddress, Libp2pAddress, parse_address

log = logging.getLogger("mina_webrtc.seeds")

MAX_LIST = 64 * 1024
"""Bytes of a list: some five hundred addresses, far more than a node needs to begin with."""


def read_list(path: Path) -> list[DialAddress]:
    """The addresses in a file. Raises `ConfigError`, which names the file and the line."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LIST + 1)
    except OSError as error:
        raise ConfigError(f"seed_lists: {path}: {error.strerror}") from None
    if len(data) > MAX_LIST:
        raise ConfigError(f"seed_lists: {path} is longer than {MAX_LIST} bytes")
    return parse_list(data, str(path))


def parse_list(data: bytes, name: str) -> list[DialAddress]:
    """One address a line; `#` begins a comment. Plain libp2p addresses, which Mina's lists hold as well, are passed
    over. Raises `ConfigError` for anything else, naming the line."""
    found = []
    for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text or _is_libp2p(text):
            continue
        found.append(seed_address(text, f"seed_lists: {name}, line {number}"))
    return found


def _is_libp2p(text: str) -> bool:
    try:
        return isinstance(parse_address(text), Libp2pAddress)
    except AddressError:
        return False


class SeedPages:
    """Fetches lists by HTTPS; one that fails is tried again, each time after twice as long, until it has been read."""

    def __init__(
        self,
        client: HttpOfferClient,
        timeout: float,
        wait: float,
        longest: float,
        give: Callable[[Sequence[DialAddress]], None],
    ) -> None:
        """`timeout` for one fetch, `wait` before the second, `longest` between two, all in seconds; `give` takes what a
        page holds."""
        self._client = client
        self._timeout = timeout
        self._wait = wait
        self._longest = longest
        self._give = give
        self._tasks: set[asyncio.Task[None]] = set()

    def fetch(self, url: str) -> None:
        """Begins to fetch."""
        task = asyncio.create_task(self._follow(url))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stops fetching."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, url: str) -> None:
        wait = self._wait
        while True:
            try:
                found = parse_list(await self._client.fetch(url, timeout=self._timeout, limit=MAX_LIST), url)
            except (SignalingError, ResolveError, ConfigError) as error:
                log.warning("a seed list was not read, trying again in %g s: %s", wait, error)
            else:
                log.info("a seed list was read", extra={"details": {"url": url, "addresses": len(found)}})
                self._give(found)
                return
            await asyncio.sleep(wait)
            wait = min(2 * wait, self._longest)
