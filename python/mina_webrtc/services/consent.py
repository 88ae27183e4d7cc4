"""Whether the peer still wants to hear from us (RFC 7675)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from aioice import stun
from aioice.ice import CandidatePair

CONSENT_PACE = 4.0
"""Seconds between an answer and the next consent check, spread by a fifth (RFC 7675 §5.1 says 5)."""

CONSENT_RETRY = 0.5
"""The same after a check, while it has no answer: of the checks of `timeout` seconds one must get through."""

MAX_OUTSTANDING = 24
"""How many checks may wait for an answer (a fifth more where they come close); with a longer `timeout` they are sent
less often."""


class Consent:
    """Asks over the pair that is nominated. Each check is a transaction of its own, sent once, and an answer to any of
    the last `timeout` seconds counts (RFC 7675 §5.1): behind a full queue answers are late, and not missing."""

    def __init__(
        self,
        nominated: Callable[[], CandidatePair | None],
        ask: Callable[[CandidatePair], Awaitable[object]],
        timeout: float,
    ) -> None:
        """`ask` raises `stun.TransactionError` without an answer within `timeout` seconds."""
        self._nominated = nominated
        self._ask = ask
        self._timeout = timeout
        self._retry = max(CONSENT_RETRY, timeout / MAX_OUTSTANDING)
        self._pair: CandidatePair | None = None
        self._heard = 0.0
        self._answered = asyncio.Event()
        self._checks: set[asyncio.Task[None]] = set()

    async def run(self, *, soon: bool) -> float | None:
        """Returns for how many seconds nothing was answered, once that is more than `timeout`; None when there is no
        pair any more. `soon`: the first check is not to wait."""
        clock = asyncio.get_running_loop().time
        pause = 0.0 if soon else CONSENT_PACE
        # nobody nominates a pair before a check over it was answered
        self._pair, self._heard = self._nominated(), clock()
        try:
            while True:
                await asyncio.sleep(_spread(pause))
                pair = self._nominated()
                if pair is None:
                    return None
                if pair is not self._pair:
                    self._pair, self._heard = pair, clock()
                self._begin(pair)
                if await self._answer(_spread(self._retry)):
                    pause = CONSENT_PACE
                elif clock() - self._heard >= self._timeout:
                    return clock() - self._heard
                else:
                    pause = 0.0
        finally:
            for check in self._checks:
                check.cancel()
            await asyncio.gather(*self._checks, return_exceptions=True)

    def _begin(self, pair: CandidatePair) -> None:
        check = asyncio.create_task(self._check(pair))
        self._checks.add(check)
        check.add_done_callback(self._checks.discard)

    async def _check(self, pair: CandidatePair) -> None:
        try:
            await self._ask(pair)
        except stun.TransactionError:
            return
        if pair is self._pair:
            self._heard = asyncio.get_running_loop().time()
            self._answered.set()

    async def _answer(self, seconds: float) -> bool:
        self._answered.clear()
        try:
            async with asyncio.timeout(seconds):
                return await self._answered.wait()
        except TimeoutError:
            return False


def _spread(seconds: float) -> float:
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - spread in time, no secret
