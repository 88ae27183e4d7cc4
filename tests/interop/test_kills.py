"""What was committed to the peer database survives SIGKILL at any moment: of a writer that does nothing else, and of a
node that then finds its peers again without any seed."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
import time
from itertools import permutations
from pathlib import Path

import pytest
from tests.interop.swarm import Swarm, children

from mina_webrtc import SecretKey
from mina_webrtc.services.peerdb import BATCH

__all__ = ["children"]  # a fixture that is used by being here

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

WRITER = """
import asyncio, sys
from pathlib import Path
from mina_webrtc.services.peerdb import PeerDb
from mina_webrtc.machines.keeping import Known, Origin
from mina_webrtc.identity import SecretKey
from mina_webrtc.wire.address import DialAddress, SignalingMethod

async def main(path, number):
    method = SignalingMethod.parse("/http/192.0.2.1/3000")
    print(number - 1, flush=True)
    db = await PeerDb.open(path)
    while True:
        for number in range(number, number + 20):
            address = DialAddress(SecretKey.deterministic(number).peer_id, method)
            db.keep(Known(address=address, origin=Origin.DIALLED, success=1.0))
        await db._write(db._file)
        print(number, flush=True)
        number += 1

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


def write(path: Path, number: int, seconds: float) -> int:
    """Writes addresses from `number` on, in a process that is killed so long after it was about to open the file;
    returns the first number that it did not commit for certain."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        said = writer.stdout.readline()
        time.sleep(seconds)
        writer.kill()
        said += writer.stdout.read()
    assert writer.returncode == -signal.SIGKILL
    return int(said[: said.rindex(b"\n")].split()[-1]) + 1


def test_a_writer_is_killed_again_and_again(tmp_path: Path) -> None:
    path, committed, chance = tmp_path / "peers.db", 0, random.Random(7)
    for turn in range(24):
        committed = write(path, committed, chance.uniform(0.0, 0.02 if turn % 2 else 0.4))
        with sqlite3.connect(path) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            # a file whose making was interrupted is empty, and the next one makes it
            found = {text for (text,) in file.execute("SELECT text FROM address")} if committed else set()
        file.close()
        wanted = {f"/{SecretKey.deterministic(n).peer_id}/http/192.0.2.1/3000" for n in range(committed)}
        assert wanted <= found
    assert committed > 1000


async def test_a_node_that_was_killed_finds_its_peers_without_any_seed(tmp_path: Path) -> None:
    """Nobody dials it by HTTP: it listens nowhere. Its first peer it finds in the database, the others through that."""
    timeouts = {"consent": 5.0, "reconnect": 1.0, "relay_rest": 1.0, "pair_memory": 1.0}
    database = str(tmp_path / "peers.db")
    async with Swarm(min_peers=3, timeouts=timeouts) as swarm:
        await swarm.spawn("seed", "one", "other", "node")
        seed = await swarm.begin("seed", 1, listen=["127.0.0.1:0"])
        for index, name in enumerate(("one", "other"), 2):
            await swarm.begin(name, index, seeds=[seed])
        await swarm.begin("node", 4, seeds=[seed], peer_db=database)
        await swarm.until(permutations(swarm.nodes, 2), within=10)
        await asyncio.sleep(2 * BATCH)
        swarm.kill("node")
        await swarm.start("node", 4, peer_db=database)
        await swarm.until(permutations(swarm.nodes, 2), within=20)
        found = {name: swarm.found["node", name]["found"] for name in ("seed", "one", "other")}
        assert found == {"seed": "dialled", "one": "relay", "other": "relay"}
        assert await swarm.stop() == {0}
