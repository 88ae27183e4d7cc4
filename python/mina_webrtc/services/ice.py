"""ICE on aioice: its agent with our gathering, pacing and limits, and without what it does behind our back.

Everything stands on our own `Connection`, so that other users of aioice in the process notice nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from aioice import Candidate, Connection, stun
from aioice.ice import (
    ICE_COMPLETED,
    CandidatePair,
    ConnectionClosed,
    ConnectionEvent,
    StunProtocol,
    candidate_pair_priority,
)

from mina_webrtc.errors import TransportError
from mina_webrtc.machines.vocab import IcePath
from mina_webrtc.services.base import TransportSettings
from mina_webrtc.services.consent import Consent
from mina_webrtc.services.endpoints import Endpoint
from mina_webrtc.services.gathering import Gathering
from mina_webrtc.services.pairs import by_turns, kind, kinds, relayed, shown
from mina_webrtc.services.turn import Relay, give_back
from mina_webrtc.services.unused import sweep

PACE = 0.005
"""Seconds between two checks (Ta): the smallest that RFC 8445 §14.2 allows. aioice takes 20 ms, and takes them once
more after the last check, which alone is most of its set-up time."""

RELAY_DELAY = 0.5
"""Seconds for which the controlling side checks no pair with a relay while others may still work. aioice nominates with
every check, so the first pair that works is taken; a relay always works, two NATs take a repetition or two."""

SETTLING = 3.0
"""Seconds after the first nomination in which the peer may still mean others at the same time."""

MAX_PAIRS = 100
"""RFC 8445 §6.1.2.5; every source address of an authenticated check makes one in aioice, without a bound."""

MAX_CANDIDATES = 32
"""Remote candidates used (protocol.md §6)."""

MAX_EARLY_DATAGRAMS = 64
"""Datagrams kept between the first successful check of the peer and our own: its ClientHello and repetitions."""


class IceAgent(Connection):
    """An ICE agent for one component. Times in seconds."""

    def __init__(
        self,
        *,
        controlling: bool,
        settings: TransportSettings,
        tls: Callable[[], ssl.SSLContext],
        on_data: Callable[[bytes], None],
        on_lost: Callable[[str], None],
    ) -> None:
        super().__init__(ice_controlling=controlling)
        self._settings = settings
        self._on_data: Callable[[bytes], None] | None = on_data
        self._on_lost: Callable[[str], None] | None = on_lost
        self._early: list[bytes] | None = []
        self._known: tuple[str, int] | None = None
        self._relays_from = self._settled = 0.0
        self._sweeping: asyncio.Task[None] | None = None
        self._gathering = Gathering(self, settings, tls)
        self._protocols = cast("list[StunProtocol]", self._gathering.endpoints)  # aioice's `close` finds them there
        self._local_candidates = self._gathering.candidates

    @property
    def packets(self) -> int:
        """How many packets the kernel keeps for us."""
        return self._gathering.packets

    async def gather(self) -> None:
        """Opens sockets and asks the servers; see `Gathering.run`."""
        await self._gathering.run()
        self._local_candidates_start = self._local_candidates_end = True

    # ---------------------------------------------------------------- connecting

    def add_remote(self, candidates: list[Candidate]) -> None:
        """Takes the peer's candidates. mDNS names are left out: aioice would look each up for a second, and the peer is
        found peer-reflexively anyway (protocol.md §6)."""
        for candidate in by_turns(candidates[:MAX_CANDIDATES]):
            if candidate.component == 1 and candidate.transport.lower() == "udp" and 0 < candidate.port < 65_536:
                self._add_remote_candidate(candidate, candidate.host)  # drops what is not an IP address
        # Non-trickle: there will be no more, so that a failure of all pairs is one.
        self._remote_candidates_end = True

    async def establish(self) -> IcePath:
        """Checks until a pair is nominated, and returns it. Raises `TransportError` that says what was tried when all
        pairs have failed, or after `ice_timeout`. Without any pair it waits for the peer's checks: aioice gives up at
        once there, so that a browser which hides its addresses cannot connect.

        aioice's `connect` sleeps after every check, the last one included; this one goes on as soon as there is a
        result.
        """
        self._relays_from = asyncio.get_running_loop().time() + RELAY_DELAY
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()
        self._unfreeze_initial()
        while self._early_checks:
            self.check_incoming(*self._early_checks.popleft())
        self._early_checks_done = True
        result = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.ice_timeout):
                result = await self._check()
        path = self.path()
        if result != ICE_COMPLETED or path is None:
            self._check_list_done = True
        begun = {pair: pair.task for pair in self._check_list if pair.task is not None}
        for task in begun.values():
            task.cancel()
        if result != ICE_COMPLETED or path is None:
            raise TransportError(f"no candidate pair works: {self._tried()}", "no_route")
        for pair in begun:  # or a check of the peer that comes later would wait for the one that was cancelled
            self._check_list.remove(pair)
        self._query_consent_task = asyncio.create_task(self.query_consent())
        self._sweeping = asyncio.create_task(sweep(self._gathering.endpoints, self._endpoint, self._forget))
        return path

    async def _check(self) -> int:
        while True:
            pause = PACE if self._check_periodic() else self._held_for()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    return await self._check_list_state.get()

    def _check_periodic(self) -> bool:
        if not self._check_list_done:
            for state in (CandidatePair.State.WAITING, CandidatePair.State.FROZEN):
                for pair in self._check_list:
                    if pair.state is state and pair.task is None and not self._held(pair):
                        self.check_start_task(pair)
                        return True
        return False

    def check_start_task(self, pair: CandidatePair) -> None:
        if not self._held(pair):
            super().check_start_task(pair)

    def _check_list_maybe_fail(self) -> None:
        # While controlled, the peer's next check may come from an address that it did not know itself: that all pairs
        # have failed so far is no end before `ice_timeout`.
        if self.ice_controlling:
            super()._check_list_maybe_fail()

    def _held(self, pair: CandidatePair) -> bool:
        if not self.ice_controlling or not relayed(pair) or self._left() <= 0:
            return False
        return any(not relayed(p) and p.state is not CandidatePair.State.FAILED for p in self._check_list)

    def _held_for(self) -> float | None:
        return self._left() if any(map(self._held, self._check_list)) else None

    def _left(self) -> float:
        return self._relays_from - asyncio.get_running_loop().time()

    def request_received(self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol) -> None:
        """A check of the peer's, or what looks like one. aioice takes one without a PRIORITY, and then misses it, in
        the task that connects if the check was early."""
        binding = message.message_method is stun.Method.BINDING
        if binding and "PRIORITY" not in message.attributes and not self._closing:
            self.respond_error(message, addr, protocol, (400, "Bad Request"))  # RFC 8445 §7.1.1, RFC 8489 §6.3.1
        else:
            super().request_received(message, addr, protocol)

    def check_incoming(self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol) -> None:
        cast(Endpoint, protocol).heard = True
        known = [pair for pair in self._check_list if pair.protocol is protocol and pair.remote_addr == addr]
        if self._check_list_done and self.ice_controlling:
            return  # we have nominated a pair; a late check must not make it another one
        if known and known[0].state is CandidatePair.State.IN_PROGRESS:
            # RFC 8445 §7.3.1.4: a triggered check. aioice waits for its next repetition, though whatever kept our
            # earlier check out has most likely been opened by the peer's.
            cast(Endpoint, protocol).repeat(addr)
        if known or len(self._check_list) < MAX_PAIRS or self._make_room():
            super().check_incoming(message, addr, protocol)

    def check_complete(self, pair: CandidatePair) -> None:
        """Peers nominate with every check of theirs, as we do, and those may be on their way when the first has worked:
        of them the best pair counts (RFC 5245 §8.1.1.2), and not the last, as in aioice. Later the peer means it."""
        now, chosen = asyncio.get_running_loop().time(), self._nominated.get(1)
        super().check_complete(pair)
        if chosen is None:
            self._settled = now + SETTLING
        elif now < self._settled and self._priority(chosen) >= self._priority(pair):
            self._nominated[1] = chosen

    def _priority(self, pair: CandidatePair) -> int:
        return candidate_pair_priority(pair.local_candidate, pair.remote_candidate, self.ice_controlling)

    def _make_room(self) -> bool:
        """Gives up the least of the commonest kind of pairs for one that the peer checks: if that is the one it goes on
        with, nothing else will do."""
        if len(self._remote_candidates) >= MAX_CANDIDATES + MAX_PAIRS:
            return False
        open_ = [pair for pair in self._check_list if pair.state is not CandidatePair.State.SUCCEEDED]
        counts = Counter(map(kind, open_))
        victim = max(enumerate(open_), key=lambda entry: (counts[kind(entry[1])], entry[0]), default=(0, None))[1]
        if victim is None:
            return False
        if victim.task is not None:
            victim.task.cancel()
        self._check_list.remove(victim)
        return True

    def _pair_remote_candidate(self, remote_candidate: Candidate) -> None:
        if len(self._check_list) + len(self._protocols) <= MAX_PAIRS:
            super()._pair_remote_candidate(remote_candidate)

    # ---------------------------------------------------------------- reporting

    def path(self) -> IcePath | None:
        """The nominated pair with its latest round-trip time. The local candidate is what the peer saw us as (RFC 8445
        §7.2.5.3.1), which need not be the socket's own address."""
        pair = self._nominated.get(1)
        if pair is None:
            return None
        endpoint = cast(Endpoint, pair.protocol)
        remote, local = pair.remote_candidate, pair.local_candidate
        seen = endpoint.mapped.get(pair.remote_addr, pair.local_addr)
        known = next((c.type for c in self._local_candidates if (c.host, c.port) == seen), "prflx")
        return IcePath(
            local=local.type if local.type == "relay" else known,
            remote=remote.type,
            local_address=shown(*(pair.local_addr if local.type == "relay" else seen)),
            remote_address=shown(*pair.remote_addr),
            server=endpoint.server,
            round_trip=endpoint.round_trips.get(pair.remote_addr),
        )

    def _tried(self) -> str:
        ours = kinds(c.type for c in self._local_candidates)
        theirs = kinds(c.type for c in self._remote_candidates)
        checks = kinds(map(kind, self._check_list))
        text = f"our candidates: {ours}; theirs: {theirs}; checks that failed: {checks}"
        for server, trouble in self._gathering.troubles.items():
            text += f"; {server}: {trouble}"
        return text

    # ---------------------------------------------------------------- data

    def open(self) -> None:
        """From now on datagrams go to `on_data`, those kept so far first."""
        early, self._early = self._early or [], None
        for datagram in early:
            self.data_received(datagram, 1)

    def knows(self, addr: tuple[str, int]) -> bool:
        """Whether ICE has to do with this address. Others get no say in the DTLS handshake, which is not authenticated
        until its end: a forged alert would end it."""
        # not the check list: aioice cuts it down to the pair it has nominated, and the peer may have nominated another
        if addr != self._known and any(
            # as the kernel writes it; `host` is as the peer does, and IPv6 has many ways
            (remote._network_host, remote.port) == addr
            for remote in self._remote_candidates
        ):
            self._known = addr
        return addr == self._known

    def data_received(self, data: bytes, component: int) -> None:
        """What aioice would queue here without a bound, for a task to fetch, goes on at once."""
        if self._early is not None:
            if len(self._early) < MAX_EARLY_DATAGRAMS:
                self._early.append(data)
        elif self._on_data is not None:
            self._on_data(data)

    def transmit(self, data: bytes) -> None:
        """Sends one datagram over the nominated pair; nothing when there is none (any more)."""
        pair = self._nominated.get(1)
        if pair is not None and not self._closing:
            pair.protocol.transport.sendto(data, pair.remote_addr)

    def _endpoint(self) -> Endpoint | None:
        pair = self._nominated.get(1)
        return cast(Endpoint, pair.protocol) if pair is not None else None

    def _forget(self, unused: set[Endpoint]) -> None:
        for pair in [pair for pair in self._check_list if pair.protocol in unused]:
            if pair.task is not None:
                pair.task.cancel()
            self._check_list.remove(pair)

    # ---------------------------------------------------------------- the end

    async def query_consent(self) -> None:
        """Asks the peer now and then whether it still wants to hear from us, and says so when it has not answered for
        `consent_timeout`. aioice takes 30 to 36 s."""
        path = self.path()
        consent = Consent(lambda: self._nominated.get(1), self._ask, self._settings.consent_timeout)
        # at once where the round trip is not known: checks that had to be repeated do not tell it
        silence = await consent.run(soon=path is not None and path.round_trip is None)
        if silence is not None:
            self._lost(f"no sign of it for {silence:.1f} s")

    async def _ask(self, pair: CandidatePair) -> None:
        # nominated again, as Chrome does: a peer that took another of the pairs we checked comes to this one
        request, key = self.build_request(pair, nominate=True), (self.remote_password or "").encode()
        await cast(Endpoint, pair.protocol).ask(request, pair.remote_addr, key, self._settings.consent_timeout)

    def protocol_lost(self, protocol: StunProtocol) -> None:
        if any(pair.protocol is protocol for pair in self._nominated.values()):
            self._nominated.clear()
            self._lost("the socket, or the TURN allocation, that the connection ran over is gone")

    def _emit_event(self, event: ConnectionEvent) -> None:
        if isinstance(event, ConnectionClosed):  # our own `close`
            self._lost("closed")

    def _lost(self, why: str) -> None:
        if self._on_lost is not None:
            self._on_lost(why)

    async def close(self) -> None:
        """Frees every socket and task; aioice's own, with relays given a moment only."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait({self._sweeping})
        await give_back([cast(Any, relay.transport) for relay in self._protocols if isinstance(relay, Relay)])
        await super().close()

    def detach(self) -> None:
        """Drops the callbacks: nothing is reported any more."""
        self._on_data = self._on_lost = None
        self._early = None
