"""The peer database: what was committed survives anything, and a file that cannot be used says so by name."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mina_webrtc.errors import PeerDbError
from mina_webrtc.identity import SecretKey
from mina_webrtc.machines.keeping import Known, Origin
from mina_webrtc.services.peerdb import APPLICATION, MIGRATIONS, PeerDb
from mina_webrtc.wire.address import DialAddress, SignalingMethod

METHODS = (
    "/http/192.0.2.1/3000",
    "/https/[2001:db8::1]/443",
    "/https_proxy/7/gateway.example.com/443",
    "/proxied/http/%2Fa%2Fb/example.com/80",
)


def address(number: int = 0, method: str = METHODS[0]) -> DialAddress:
    return DialAddress(SecretKey.deterministic(number).peer_id, SignalingMethod.parse(method))


def known(number: int = 0, **changes: Any) -> Known:
    fields: dict[str, Any] = {"address": address(number), "origin": Origin.DIALLED, "success": 1.0}
    return Known(**(fields | changes))


async def rows(path: Path) -> dict[str, Known]:
    db = await PeerDb.open(path)
    found = await db.load(600.0)
    await db.close()
    return {str(entry.address): entry for entry in found}


async def test_everything_comes_back(tmp_path: Path) -> None:
    path, now = tmp_path / "peers.db", asyncio.get_running_loop().time()
    teller = SecretKey.deterministic(9).peer_id
    entries = [
        known(
            number,
            address=address(number, method),
            origin=origin,
            teller=teller if number else None,
            success=now - 50.0 if number != 1 else None,
            failures=number,
            next_try=now + 100.0,
        )
        for number, (method, origin) in enumerate(zip(METHODS, [*[*Origin][1:], Origin.DIALLED], strict=True))
    ]
    db = await PeerDb.open(path)
    for entry in entries:
        db.keep(entry)
    await db.close()
    found = await rows(path)
    assert len(found) == 4
    for entry in entries:
        again = found[str(entry.address)]
        assert (again.origin, again.teller, again.failures) == (entry.origin, entry.teller, entry.failures)
        assert (again.success is None) == (entry.success is None)
        assert again.success is None or abs(again.success - (now - 50.0)) < 5
        assert abs(again.next_try - (now + 100.0)) < 5


async def test_the_last_word_counts_and_what_was_dropped_is_gone(tmp_path: Path) -> None:
    db = await PeerDb.open(tmp_path / "peers.db")
    db.keep(known(1))
    db.keep(known(2))
    db.keep(known(1, failures=4))
    db.drop(address(2))
    await db.close()
    await db.close()
    db.keep(known(3))
    (only,) = (await rows(tmp_path / "peers.db")).values()
    assert (only.address, only.failures) == (address(1), 4)


async def test_seeds_are_for_the_configuration_to_say(tmp_path: Path) -> None:
    db = await PeerDb.open(tmp_path / "peers.db")
    db.keep(known(1, origin=Origin.CONFIGURED, success=None))
    db.keep(known(2, origin=Origin.CONFIGURED))
    await db.close()
    (only,) = (await rows(tmp_path / "peers.db")).values()
    assert (only.address, only.origin) == (address(2), Origin.DIALLED)


async def test_a_clock_that_was_set_makes_nobody_wait_for_years(tmp_path: Path) -> None:
    path = tmp_path / "peers.db"
    await (await PeerDb.open(path)).close()
    with sqlite3.connect(path) as file:
        row = (address().legacy(), "learnt", None, time.time() + 1e9, 0, time.time() + 1e9)
        file.execute("INSERT INTO address VALUES (?,?,?,?,?,?)", row)
    file.close()
    now = asyncio.get_running_loop().time()
    (only,) = (await rows(path)).values()
    assert only.next_try <= asyncio.get_running_loop().time() + 600.0
    assert now <= (only.success or 0.0) <= asyncio.get_running_loop().time()


async def test_changes_are_written_together_and_off_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "peers.db"
    db = await PeerDb.open(path)
    file = db._file
    assert file is not None
    statements: list[str] = []
    await db._run(file.set_trace_callback, statements.append)
    for number in range(100):
        db.keep(known(number))
    assert not statements
    await db.close()
    assert [text for text in statements if text.startswith(("BEGIN", "COMMIT"))] == ["BEGIN", "COMMIT"]
    assert len(await rows(path)) == 100


@pytest.mark.parametrize("under_way", [False, True])
async def test_a_closing_that_is_cancelled_loses_nothing(tmp_path: Path, under_way: bool) -> None:
    path = tmp_path / "peers.db"
    db = await PeerDb.open(path)
    busy = threading.Event()
    db._thread.submit(busy.wait)
    db.keep(known(1))
    if under_way:
        db._flush()
        db.keep(known(2))
        await asyncio.sleep(0)
    closing = asyncio.create_task(db.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    busy.set()
    await db.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        db._thread.submit(int)
    assert len(await rows(path)) == 1 + under_way


WRITER = """
import asyncio, sys
from pathlib import Path
from mina_webrtc.services import peerdb
from mina_webrtc.machines.keeping import Known, Origin
from mina_webrtc.identity import SecretKey
from mina_webrtc.wire.address import DialAddress, SignalingMethod
async def main():
    peerdb.BATCH = 0.0
    method = SignalingMethod.parse("/http/192.0.2.1/3000")
    db = await peerdb.PeerDb.open(Path(sys.argv[1]))
    print("open", flush=True)
    for number in range(100_000):
        address = DialAddress(SecretKey.deterministic(number).peer_id, method)
        db.keep(Known(address=address, origin=Origin.DIALLED, success=1.0))
        if number % 5 == 0:
            await db._write(db._file)
            print(number, flush=True)
asyncio.run(main())
"""


def start_writer(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)


async def test_a_kill_in_the_middle_of_writing_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "peers.db"
    writer = start_writer(path)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    with pytest.raises(PeerDbError, match="another process") as caught:
        await PeerDb.open(path)
    assert str(path) in str(caught.value)
    while (line := writer.stdout.readline()) and int(line) < 200:
        pass
    writer.kill()
    rest = writer.stdout.read()
    writer.wait()
    writer.stdout.close()
    committed = int([text for text in [line, *rest.splitlines(keepends=True)] if text.endswith("\n")][-1])
    found = await rows(path)
    assert all(str(address(number)) in found for number in range(committed + 1))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"not a database at all" * 100, "not a database"),
        (b"SQLite format 3\0" + b"\xff" * 4000, "malformed|not a database"),
    ],
)
async def test_a_file_that_is_no_database(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "peers.db"
    path.write_bytes(content)
    with pytest.raises(PeerDbError, match=complaint) as caught:
        await PeerDb.open(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("CREATE TABLE a (b)", "something else"),
        ("PRAGMA user_version=1", "something else"),
        (f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={len(MIGRATIONS) + 1}", "of version 2"),
    ],
)
async def test_a_file_that_is_not_for_this_program(tmp_path: Path, script: str, complaint: str) -> None:
    path = tmp_path / "peers.db"
    with sqlite3.connect(path) as file:
        file.executescript(script)
    file.close()
    with pytest.raises(PeerDbError, match=complaint) as caught:
        await PeerDb.open(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "row",
    [
        ("nowhere", "learnt", None, None, 0, 0.0),
        (address().legacy(), "guessed", None, None, 0, 0.0),
        (address().legacy(), "learnt", "nobody", None, 0, 0.0),
        (address().legacy(), "learnt", None, "yesterday", 0, 0.0),
        (address().legacy(), "learnt", None, None, -1, 0.0),
        (address().legacy(), "learnt", None, None, 0, 9e999),
    ],
)
async def test_rows_that_nobody_wrote(tmp_path: Path, row: tuple[Any, ...]) -> None:
    path = tmp_path / "peers.db"
    await (await PeerDb.open(path)).close()
    with sqlite3.connect(path) as file:
        file.execute("INSERT INTO address VALUES (?,?,?,?,?,?)", row)
    file.close()
    db = await PeerDb.open(path)
    with pytest.raises(PeerDbError, match="damaged") as caught:
        await db.load(600.0)
    await db.close()
    assert str(path) in str(caught.value)


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PeerDbError, match="nowhere"):
        await PeerDb.open(tmp_path / "nowhere" / "peers.db")


async def test_a_disk_that_is_full_is_logged_and_harms_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "peers.db"
    db = await PeerDb.open(path)
    assert db._file is not None
    await db._run(db._file.execute, "PRAGMA max_page_count=1")
    for number in range(100):
        db.keep(known(number))
    await db._write(db._file)
    assert str(path) in caplog.text
    await db._run(db._file.execute, "PRAGMA max_page_count=100000")
    db.keep(known(1))
    await db.close()
    assert len(await rows(path)) == 1
