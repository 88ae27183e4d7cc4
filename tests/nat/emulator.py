"""A bad network in user space: two TUN devices in two namespaces; between them delay, loss, reordering, a switch.

    python -m tests.nat.emulator SPACE_A SPACE_B --delay MS --loss PERCENT --reorder PERCENT

`tc netem` is not in every kernel. Lines on standard input: `down` loses everything from now on, `up` ends that.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
CLONE_NEWNET = 0x40000000
DEVICE = "emu0"
ADDRESSES = ("10.99.0.1", "10.99.0.2")
QUEUE = 4000
"""Packets on the way in each direction: what a real queue of this delay would hold at most."""


def device(space: str, address: str, peer: str) -> int:
    """A TUN device in a namespace, which this process enters for that moment; the descriptor works from outside."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{space}", os.O_RDONLY)
    if libc.setns(there, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"cannot enter {space}")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN_NO_PI))
    subprocess.run(["ip", "addr", "add", address, "peer", peer, "dev", DEVICE], check=True)
    subprocess.run(["ip", "link", "set", DEVICE, "up", "mtu", "1500", "txqueuelen", "2000"], check=True)
    libc.setns(home, CLONE_NEWNET)
    os.close(home)
    os.close(there)
    return tun


class Link:
    """Packets on their way. `delay` in seconds, `loss` and `reorder` as parts of one; reordered ones do not wait."""

    def __init__(self, ends: tuple[int, int], delay: float, loss: float, reorder: float) -> None:
        self.other = {ends[0]: ends[1], ends[1]: ends[0]}
        self.delay, self.loss, self.reorder = delay, loss, reorder
        self.up = True
        self.random = random.Random(1)
        self.queue: list[tuple[float, int, int, bytes]] = []
        self.numbers = 0

    def take(self, end: int) -> None:
        for _ in range(64):
            try:
                packet = os.read(end, 2048)
            except BlockingIOError:
                return
            if not self.up or self.random.random() < self.loss or len(self.queue) >= 2 * QUEUE:
                continue
            due = time.monotonic() + (0 if self.random.random() < self.reorder else self.delay)
            self.numbers += 1
            heapq.heappush(self.queue, (due, self.numbers, self.other[end], packet))

    def deliver(self) -> float | None:
        """Hands over what is due, and says how long it is until the next."""
        while self.queue and (left := self.queue[0][0] - time.monotonic()) <= 0:
            _, _, end, packet = heapq.heappop(self.queue)
            try:
                os.write(end, packet)
            except OSError:
                continue
        return max(left, 0) if self.queue else None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("spaces", nargs=2)
    for name in ("--delay", "--loss", "--reorder"):
        parser.add_argument(name, type=float, default=0.0)
    given = parser.parse_args()
    here, there = ADDRESSES
    ends = device(given.spaces[0], here, there), device(given.spaces[1], there, here)
    link = Link(ends, given.delay / 1000, given.loss / 100, given.reorder / 100)
    poll = select.epoll()
    for end in (*ends, sys.stdin.fileno()):
        poll.register(end, select.EPOLLIN)
    print("ready", flush=True)
    while True:
        for ready, _ in poll.poll(link.deliver()):
            if ready not in ends:
                word = sys.stdin.readline().strip()
                if not word:
                    return
                link.up = word == "up"
                print(word, flush=True)
            else:
                link.take(ready)


if __name__ == "__main__":
    main()
