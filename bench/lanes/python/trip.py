"""One end of a round trip through a relay, by the client of the real ProxyStore.

    echo ADDRESS       a client that sends back what it gets; says its UUID
    ask ADDRESS PEER   a client that asks; says its UUID, and then, to each
                       {"trips": n, "payloads": [...]}, how long each trip took,
                       in nanoseconds

What is said is a line of JSON on stdout. All end when stdin does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid

from proxystore.p2p.relay.client import RelayClient
from proxystore.p2p.relay.messages import PeerConnectionRequest


def say(value) -> None:
    print(json.dumps(value), flush=True)


def message(client: RelayClient, peer: uuid.UUID, payload: str):
    return PeerConnectionRequest(
        source_uuid=client.uuid,
        source_name=client.name,
        peer_uuid=peer,
        description_type='offer',
        description=payload,
    )


async def echo(address: str) -> None:
    async with RelayClient(address, client_name='far') as client:

        async def answer() -> None:
            while True:
                m = await client.recv()
                await client.send(message(client, m.source_uuid, m.description))

        answering = asyncio.create_task(answer())
        say(str(client.uuid))
        await asyncio.to_thread(sys.stdin.read)
        answering.cancel()


async def ask(address: str, peer: str) -> None:
    far = uuid.UUID(peer)
    async with RelayClient(address, client_name='near') as client:
        say(str(client.uuid))
        for line in sys.stdin:
            question = json.loads(line)
            payloads, took = question['payloads'], []
            for i in range(question['trips']):
                payload = payloads[i % len(payloads)]
                start = time.perf_counter_ns()
                await client.send(message(client, far, payload))
                m = await client.recv()
                took.append(time.perf_counter_ns() - start)
                if (m.source_uuid, m.description, m.error) != (far, payload, None):
                    sys.exit(f'trip {i}: {m} came back, want {payload!r}')
            say(took)


if __name__ == '__main__':
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
