"""One connection in the shell: its transport, its tasks, and the sink that turns reports into events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from mina_webrtc.errors import TransportError
from mina_webrtc.machines import vocab as v
from mina_webrtc.services.base import Message, Transport

log = logging.getLogger("mina_webrtc.driver")


class Link:
    """See `services.base.TransportSink`; `live` until the machines close the connection."""

    transport: Transport

    def __init__(self, conn: int, dispatch: Callable[[v.Event], None]) -> None:
        self.conn = conn
        self.live = True
        self._dispatch = dispatch
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def shut(self) -> None:
        """Cancels what belongs to the connection and closes its transport; never raises."""
        tasks = [task for task in self._tasks if not task.done()]
        for task in tasks:
            task.cancel()
        try:
            await self.transport.close()
        except Exception:  # a bug of ours, which must not keep the others open
            log.exception("closing connection %d failed", self.conn)
        await asyncio.gather(*tasks, return_exceptions=True)

    def on_ice_connected(self, path: v.IcePath) -> None:
        self._report(v.IceConnected(self.conn, path))

    def on_dtls_connected(self) -> None:
        self._report(v.DtlsConnected(self.conn))

    def on_channel_open(self, channel: int) -> None:
        self._report(v.ChannelOpened(self.conn, channel))

    def on_channel_closed(self, channel: int) -> None:
        self._report(v.ChannelClosed(self.conn, channel))

    def on_messages(self, batch: Sequence[Message]) -> None:
        for channel, payload in batch:
            self._report(v.MessageReceived(self.conn, channel, payload))
        if self.live:
            self.transport.grant(sum(len(payload) for _, payload in batch))

    def on_sent(self, count: int) -> None:
        self._report(v.MessagesSent(self.conn, count))

    def on_closed(self, error: TransportError | None, remote_fault: bool) -> None:
        reason = error.reason if error else "closed"
        self._report(v.TransportFailed(self.conn, reason, str(error or ""), remote_fault))

    def _report(self, event: v.Event) -> None:
        if self.live:
            self._dispatch(event)
