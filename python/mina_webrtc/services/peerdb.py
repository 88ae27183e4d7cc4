"""Known addresses in an SQLite file, so that a node that starts again knows its peers (protocol.md §6).

Write-ahead log; one process at a time; one thread of its own, to which changes go in batches. A process that is killed
loses at most the changes of the last moment, never what was committed, and never the file.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from mina_webrtc.errors import InvalidInput, PeerDbError
from mina_webrtc.identity import PeerId
from mina_webrtc.machines.keeping import Known, Origin
from mina_webrtc.wire.address import DialAddress

log = logging.getLogger("mina_webrtc.peerdb")

T = TypeVar("T")
Row = tuple[str, str, str | None, float | None, int, float]

BATCH = 0.5
"""Seconds between the first change and its being written: several peers come and go within it when a node starts."""
LOCKED = 1.0
"""Seconds to wait for another process that is just closing the file."""
APPLICATION = 0x4D577064
"""SQLite's application id: tells our files from others."""
MIGRATIONS = (
    # version 1; times are Unix time
    """
    CREATE TABLE address (
        text TEXT PRIMARY KEY NOT NULL, origin TEXT NOT NULL, teller TEXT,
        success REAL, failures INTEGER NOT NULL, next_try REAL NOT NULL
    ) WITHOUT ROWID
    """,
)
"""The step to each version from the one before."""


class PeerDb:
    """One open file. The loop's time of the core and the file's wall-clock time are converted here."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "mina-webrtc-peerdb")
        self._file: sqlite3.Connection | None = None
        self._pending: dict[str, Row | None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        self._closing: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Opens the file, or makes a new one, and brings it to this version. Raises `PeerDbError`, which names the
        file: it is no peer database, damaged, of a newer version, in use, or cannot be written."""
        db = cls(path)
        try:
            db._file = await db._run(_open, path)
        except BaseException:
            db._thread.shutdown(wait=False)
            raise
        return db

    async def load(self, longest: float) -> tuple[Known, ...]:
        """All addresses, the ones that worked last first. None of them waits for more than `longest` seconds: the wall
        clock may have been set meanwhile. Raises `PeerDbError`."""
        rows = await self._run(_load, self._path, self._file)
        now, wall = self._loop.time(), time.time()
        return tuple(_known(row, now, wall, longest) for row in rows)

    def keep(self, known: Known) -> None:
        """Stores what is known of an address, soon."""
        if known.origin is Origin.CONFIGURED and known.success is None:
            return  # the configuration says it again next time, and may have dropped it by then
        self._change(known.address, _row(known, time.time() - self._loop.time()))

    def drop(self, address: DialAddress) -> None:
        """Removes an address, soon."""
        self._change(address, None)

    async def close(self) -> None:
        """Writes what is left and closes the file. Idempotent; a closing that is cancelled goes on by itself."""
        if self._timer is not None:
            self._timer.cancel()
        file, self._file = self._file, None
        if file is not None:
            self._write(file)
            self._closing = self._run(file.close)
            self._thread.shutdown(wait=False)
        if self._closing is not None:
            await asyncio.shield(self._closing)

    def _change(self, address: DialAddress, row: Row | None) -> None:
        if self._file is None:
            return
        self._pending[address.legacy()] = row
        if self._timer is None and self._writing is None:
            self._timer = self._loop.call_later(BATCH, self._flush)

    def _flush(self) -> None:
        self._timer = None
        if self._file is not None:
            self._writing = self._write(self._file)
            self._writing.add_done_callback(self._written)

    def _written(self, _: asyncio.Future[None]) -> None:
        self._writing = None
        if self._pending and self._file is not None:
            self._timer = self._loop.call_later(BATCH, self._flush)

    def _write(self, file: sqlite3.Connection) -> asyncio.Future[None]:
        batch, self._pending = self._pending, {}
        return self._run(_store, self._path, file, batch)

    def _run(self, call: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Begins a call on the thread, after those before it. Not a task: nothing that ends tasks ends it."""
        return self._loop.run_in_executor(self._thread, call, *args)


# ---------------------------------------------------------------- on the thread


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        busy = "another process uses it" if "locked" in str(error) else str(error)
        raise PeerDbError(f"peer database {path}: {busy}") from error


def _open(path: Path) -> sqlite3.Connection:
    with _errors(path):
        file = sqlite3.connect(path, timeout=LOCKED, isolation_level=None, check_same_thread=False)
        try:
            for setting in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
                file.execute(f"PRAGMA {setting}")
            _migrate(path, file)
        except BaseException:
            file.close()
            raise
    return file


def _migrate(path: Path, file: sqlite3.Connection) -> None:
    found = file.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise PeerDbError(f"peer database {path} is damaged: {found}")
    version, application = _pragma(file, "user_version"), _pragma(file, "application_id")
    tables = file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION and (tables or version or application):
        raise PeerDbError(f"peer database {path}: this SQLite file holds something else")
    if version > len(MIGRATIONS):
        raise PeerDbError(f"peer database {path} is of version {version}, this program knows {len(MIGRATIONS)} at most")
    # also without a step to take: the lock is held from here on
    file.execute("BEGIN EXCLUSIVE")
    for step in MIGRATIONS[version:]:
        file.execute(step)
    file.execute(f"PRAGMA application_id={APPLICATION}")
    file.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
    file.execute("COMMIT")


def _pragma(file: sqlite3.Connection, name: str) -> int:
    return int(file.execute(f"PRAGMA {name}").fetchone()[0])


def _load(path: Path, file: sqlite3.Connection) -> Sequence[Row]:
    with _errors(path):
        rows = file.execute(
            "SELECT text, origin, teller, success, failures, next_try FROM address ORDER BY success DESC"
        ).fetchall()
    try:
        for row in rows:
            _known(row, 0.0, 0.0, 0.0)
    except (InvalidInput, ValueError, TypeError) as error:
        raise PeerDbError(f"peer database {path} is damaged: {error}") from error
    return rows


def _store(path: Path, file: sqlite3.Connection, batch: dict[str, Row | None]) -> None:
    try:
        _write(path, file, batch)
    except PeerDbError as error:
        # the node works without it; what is known of an address is written again when it next changes
        log.error("known peers are not stored: %s", error)


def _write(path: Path, file: sqlite3.Connection, batch: dict[str, Row | None]) -> None:
    if not batch:
        return
    rows: Iterable[Row] = [row for row in batch.values() if row is not None]
    gone = [(text,) for text, row in batch.items() if row is None]
    with _errors(path):
        file.execute("BEGIN")
        try:
            file.executemany("INSERT OR REPLACE INTO address VALUES (?, ?, ?, ?, ?, ?)", rows)
            file.executemany("DELETE FROM address WHERE text = ?", gone)
            file.execute("COMMIT")
        except BaseException:
            if file.in_transaction:
                file.execute("ROLLBACK")
            raise


# ---------------------------------------------------------------- rows


def _row(known: Known, offset: float) -> Row:
    # whether it is a seed is for the configuration of the next run to say
    origin = Origin.DIALLED if known.origin is Origin.CONFIGURED else known.origin
    teller = None if known.teller is None else str(known.teller)
    success = None if known.success is None else known.success + offset
    return known.address.legacy(), origin.value, teller, success, known.failures, known.next_try + offset


def _known(row: Row, now: float, wall: float, longest: float) -> Known:
    text, origin, teller, success, failures, next_try = row
    if not math.isfinite(next_try) or not math.isfinite(success or 0.0) or failures < 0:
        raise ValueError(f"numbers of {text[:200]!r}")
    return Known(
        address=DialAddress.parse(text),
        origin=Origin(origin),
        teller=None if teller is None else PeerId.parse(teller),
        success=None if success is None else now - max(0.0, wall - success),
        failures=int(failures),
        next_try=now + min(max(0.0, next_try - wall), longest),
    )
