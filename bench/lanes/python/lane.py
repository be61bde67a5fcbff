"""The parts of a lane through the real ProxyStore, a process each.

    lane.py receive URL    a RelayClient; says its UUID
    lane.py send URL UUID  a RelayClient that sends to the other; says its UUID

Each says so in a line of JSON, when it is there. It then does what it is told
in a line of JSON, and answers in one. It ends at once when its input does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import uuid

import google_crc32c
import uvloop
from proxystore.p2p.relay.client import RelayClient
from proxystore.p2p.relay.messages import PeerConnectionRequest

# What anybody else prints must not get in between.
answers = os.fdopen(os.dup(1), 'w')
os.dup2(2, 1)


def answer(value) -> None:
    answers.write(json.dumps(value) + '\n')
    answers.flush()


def commands(take) -> None:
    """Have each command taken, by a thread of its own, and the process end."""

    def read() -> None:
        for line in sys.stdin:
            take(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()


async def client(do, url: str, *peer: str) -> None:
    todo: asyncio.Queue = asyncio.Queue()
    loop = asyncio.get_running_loop()
    async with RelayClient(url, client_name=do.__name__) as connected:
        answer(str(connected.uuid))
        commands(lambda c: loop.call_soon_threadsafe(todo.put_nowait, c))
        while True:
            answer(await do(connected, await todo.get(), *map(uuid.UUID, peer)))


async def receive(client: RelayClient, n: int) -> dict:
    """Receive n messages, and sum them up as the others do."""
    size, crc, source = 0, 0, None
    for _ in range(n):
        message = await client.recv()
        assert type(message) is PeerConnectionRequest and not message.error
        assert source in (None, message.source_uuid)
        source = message.source_uuid
        payload = message.description.encode()
        size += len(payload)
        crc = google_crc32c.extend(crc, payload)
    return {'Messages': n, 'Bytes': size, 'CRC': crc}


payloads: list[str] = []


async def send(client: RelayClient, what: int | list[str], peer: uuid.UUID) -> int:
    """Send so many messages, or take the payloads that are to be sent."""
    if isinstance(what, list):
        payloads[:] = what
        return len(payloads)
    for i in range(what):
        message = PeerConnectionRequest(
            source_uuid=client.uuid,
            source_name=client.name,
            peer_uuid=peer,
            description_type='offer',
            description=payloads[i % len(payloads)],
        )
        await client.send(message)
    return what


if __name__ == '__main__':
    role, *args = sys.argv[1:]
    # As ProxyStore's endpoints do: uvloop is faster.
    uvloop.run(client({'receive': receive, 'send': send}[role], *args))
