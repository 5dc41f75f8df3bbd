"""Peers that want to stop the answers: ``python -m bench.attackers NAME HTTP_PORT MLLP_PORT KEY``, until stdin ends; prints what they did.

They come from many loopback addresses, so that limits by address do not stop them early. HTTP connections from this machine have no such
limit, so there are as many as one other machine may have.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import NamedTuple

HOST = "127.0.0.1"
SLOW, GUESSING, BATCHES, IDLE, FRAMES, NONSENSE = 128, 30, 4, 256, 16, 8
"""How many connections each attack keeps busy."""
BIG = b"[" + b"0," * (14 * 1024 * 1024) + b"0]"
FRAME = b"\x0bMSH|^~\\&|" + b"x" * 900_000
JUNK = b"\x0bnonsense\x1c\r" * 2_000
PACE = 1.0


class Target(NamedTuple):
    """Who is attacked, and the key of a sender who turned hostile."""

    http: int
    mllp: int
    key: str


_numbers = count()


async def _connect(port: int, address: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """From an address of its own, or from that one of 250."""
    number = next(_numbers) if address is None else address
    own = f"127.{1 + number // 62_500 % 250}.{number // 250 % 250}.{2 + number % 250}"
    return await asyncio.open_connection(HOST, port, local_addr=(own, 0))


async def slow_headers(target: Target, done: Counter[str]) -> None:
    """A request whose headers never end; begun again when the server closes it."""
    reader, writer = await _connect(target.http)
    writer.write(b"POST /v1/decisions HTTP/1.1\r\nHost: bench\r\n")
    done["connections"] += 1
    closed = asyncio.ensure_future(reader.read())
    while not closed.done():
        writer.write(b"X-A: b\r\n")
        await asyncio.wait({closed}, timeout=PACE)
    writer.close()


async def sign_in_flood(target: Target, done: Counter[str]) -> None:
    """A wrong password, each from another address and for another name."""
    number = next(_numbers)
    body = f"name=user{number}&password=wrong-password-{number}".encode()
    reader, writer = await _connect(target.http)
    head = "POST /sign-in HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    done[(await reader.readline())[9:12].decode()] += 1
    await reader.read()
    writer.close()


async def big_bodies(target: Target, done: Counter[str]) -> None:
    """An array of 14 million zeros, 29 MB."""
    reader, writer = await _connect(target.http)
    head = "POST /v1/decisions/batch HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Authorization: Bearer {target.key}\r\nContent-Length: {len(BIG)}\r\n\r\n".encode())
    writer.write(BIG)
    done[(await reader.readline())[9:12].decode()] += 1
    writer.close()


async def idle_mllp(target: Target, done: Counter[str]) -> None:
    """A connection that says nothing, opened again when it is closed."""
    reader, writer = await _connect(target.mllp, next(_numbers) % 8)
    done["connections"] += 1
    await reader.read(1)
    writer.close()
    await asyncio.sleep(PACE / 10)


async def unfinished_frames(target: Target, done: Counter[str]) -> None:
    """The beginning of a large frame; then the connection is closed."""
    _, writer = await _connect(target.mllp, next(_numbers) % 16)
    writer.write(FRAME)
    await writer.drain()
    done["frames"] += 1
    writer.close()


async def nonsense(target: Target, done: Counter[str]) -> None:
    """Frames that are no message, as fast as they are taken."""
    reader, writer = await _connect(target.mllp, next(_numbers) % 8)
    writer.write(JUNK)
    writer.write_eof()
    while answer := await reader.read(65536):
        done["answers"] += answer.count(b"\x0b")
    writer.close()


Attack = Callable[[Target, Counter[str]], Awaitable[None]]
ATTACKS: Mapping[str, tuple[Attack, int]] = {
    "slow headers": (slow_headers, SLOW),
    "sign-in flood": (sign_in_flood, GUESSING),
    "big batch bodies": (big_bodies, BATCHES),
    "idle MLLP connections": (idle_mllp, IDLE),
    "unfinished frames": (unfinished_frames, FRAMES),
    "nonsense": (nonsense, NONSENSE),
}
"""What one connection does, and how many there are."""


async def _again(attack: Attack, target: Target, done: Counter[str]) -> None:
    while True:
        try:
            await attack(target, done)
        except (OSError, asyncio.IncompleteReadError):
            done["refused"] += 1
            await asyncio.sleep(PACE / 10)


async def _run(name: str, target: Target) -> Counter[str]:
    attack, connections = ATTACKS[name]
    done = Counter[str]()
    running = [asyncio.create_task(_again(attack, target, done)) for _ in range(connections)]
    await asyncio.to_thread(sys.stdin.read)
    for one in running:
        one.cancel()
    return done


if __name__ == "__main__":
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # whatever the service has
    os.nice(19)  # other machines would not take the service's processor
    print(json.dumps(asyncio.run(_run(sys.argv[1], Target(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])))), flush=True)
    os._exit(0)  # streams that were cut off need no farewell
