"""Drives the real ProxyStore for the Go tests, by JSON lines on stdin and stdout.

    peer.py client --address ws://...   one RelayClient, commanded
    peer.py crowd --address ws://...    several RelayClients, commanded as one
    peer.py manager --address ws://...  one PeerManager, commanded
    peer.py program                     a user of endpoints, commanded
    peer.py oracle                      the real message decoder and encoder
    peer.py relay ARGUMENTS...          the installed proxystore-relay
    peer.py endpoint ARGUMENTS...       the installed proxystore-endpoint

Each ends when stdin does, so that nothing outlives the test. The ones that open
WebRTC connections are confined to the loopback interface. To the commanded ones,
a request is {"id": n, "op": name, ...} on a line of stdin. Its answer is
{"id": n, ...results} or {"id": n, "error": {"class": ..., "text": ...}} on a
line of stdout, whenever it is done: requests run at the same time, but for those
of the oracle. The op "cancel" cancels the request that has its id. A line with
"event" instead of "id" comes unasked. Logs go to stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import logging
import os
import runpy
import ssl
import sys
import threading
import uuid

from proxystore.p2p.relay import messages
from proxystore.p2p.relay.client import RelayClient


def answer(**fields):
    """Write one line; ASCII, so that lone surrogates survive."""
    sys.stdout.write(json.dumps(fields) + '\n')
    sys.stdout.flush()


def described(e: BaseException) -> dict[str, str]:
    return {'class': type(e).__name__, 'text': str(e)}


def plain(value):
    """Give strings and None as they are, and describe anything else.

    The real decoder lets values of any type pass, NaN among them.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, uuid.UUID):
        return str(value)
    return {'python': repr(value), 'true': bool(value)}


def to_fields(message: messages.RelayMessage) -> dict:
    return {k: plain(v) for k, v in vars(message).items()}


def from_fields(fields: dict) -> messages.RelayMessage:
    fields = dict(fields)
    kind = messages.RelayMessageType[fields.pop('message_type')].value
    for key in fields:
        if key.endswith('uuid'):
            fields[key] = uuid.UUID(fields[key])
    return getattr(messages, kind)(**fields)


class Client:
    """The commands of the client mode; each is a method op_<name>."""

    def __init__(self, client: RelayClient) -> None:
        self.client = client
        self.sent = 0
        self.received = 0

    async def op_connect(self, retry: bool = True) -> dict:
        await self.client.connect(retry=retry)
        return {}

    async def op_send(self, message: dict) -> dict:
        await self.client.send(from_fields(message))
        self.sent += 1
        return {}

    async def op_recv(self) -> dict:
        message = await self.client.recv()
        self.received += 1
        return {'message': to_fields(message)}

    async def op_close(self) -> dict:
        await self.client.close()
        return {}

    async def op_stats(self) -> dict:
        try:
            connected = self.client.websocket is not None
        except Exception:
            connected = False
        return {
            'name': self.client.name,
            'uuid': str(self.client.uuid),
            'connected': connected,
            'sent': self.sent,
            'received': self.received,
        }


class Oracle:
    """The commands of the oracle mode, which wait for nothing."""

    def op_decode(self, frame: str) -> dict:
        # What is not UTF-8 never reaches the real decoder: websockets closes
        # with 1007. UnicodeDecodeError says so.
        text = base64.b64decode(frame).decode('utf-8')
        return {'message': to_fields(messages.decode_relay_message(text))}

    def op_value(self, json_text: str) -> dict:
        return {'text': repr(json.loads(json_text))}

    def op_encode(self, message: dict) -> dict:
        return {'text': messages.encode_relay_message(from_fields(message))}


class Crowd:
    """The commands of the crowd mode: idle clients that live and die together.

    Whichever of them ends its process, as the real client does when it cannot
    reconnect, ends it for all.
    """

    def __init__(self, address: str, size: int) -> None:
        self.clients = [RelayClient(address) for _ in range(size)]

    async def op_connect(self) -> dict:
        await asyncio.gather(*(c.connect() for c in self.clients))
        return {}

    async def op_echo(self, text: str) -> dict:
        """Send a message from each client to itself, and wait for all of them."""

        async def echo(client: RelayClient) -> None:
            message = messages.PeerConnectionRequest(
                source_uuid=client.uuid,
                source_name=client.name,
                peer_uuid=client.uuid,
                description_type='offer',
                description=text,
            )
            await client.send(message)
            assert await client.recv() == message

        await asyncio.gather(*(echo(c) for c in self.clients))
        return {}

    async def op_stats(self) -> dict:
        websockets = [c._websocket for c in self.clients]
        return {'connected': all(w and w.state.name == 'OPEN' for w in websockets)}


def consult(oracle: Oracle) -> None:
    """Answer requests until stdin ends, one at a time.

    That takes half the time of serve, and fuzzing asks a lot.
    """
    answer(event='ready')
    for line in sys.stdin.buffer:
        request = json.loads(line)
        number, op = request.pop('id'), request.pop('op')
        if op == 'cancel':
            continue  # it has been answered
        try:
            answer(id=number, **getattr(oracle, f'op_{op}')(**request))
        except Exception as e:
            answer(id=number, error=described(e))


async def serve(target) -> None:
    """Answer requests until stdin ends."""

    tasks: dict[int, asyncio.Task] = {}

    async def run(number: int, op: str, arguments: dict) -> None:
        try:
            result = await getattr(target, f'op_{op}')(**arguments)
            answer(id=number, **result)
        except (Exception, asyncio.CancelledError) as e:
            answer(id=number, error=described(e))
        finally:
            del tasks[number]

    lines = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines),
        sys.stdin,
    )
    answer(event='ready')
    while line := await lines.readline():
        request = json.loads(line)
        number, op = request.pop('id'), request.pop('op')
        if op == 'cancel':
            # The cancelled request answers, this one does not: it may have
            # been done already.
            if number in tasks:
                tasks[number].cancel()
        else:
            tasks[number] = asyncio.create_task(run(number, op, request))


def become(command: str, args: list[str]) -> None:
    """Become an installed command, and die when stdin ends."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    sys.argv = [command, *args]
    script = os.path.join(os.path.dirname(sys.executable), command)
    runpy.run_path(script, run_name='__main__')


def new_client(args: argparse.Namespace) -> RelayClient:
    context = None
    if args.ca is not None:
        context = ssl.create_default_context(cafile=args.ca)
    return RelayClient(
        args.address,
        client_name=args.name,
        client_uuid=None if args.uuid is None else uuid.UUID(args.uuid),
        extra_headers=dict(h.split('=', 1) for h in args.header) or None,
        reconnect_task=not args.no_reconnect_task,
        ssl_context=context,
        timeout=args.timeout,
        verify_certificate=not args.insecure,
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    modes = parser.add_subparsers(dest='mode', required=True)
    client = modes.add_parser('client')
    client.add_argument('--address', required=True)
    client.add_argument('--name')
    client.add_argument('--uuid')
    client.add_argument('--header', action='append', default=[])
    client.add_argument('--no-reconnect-task', action='store_true')
    client.add_argument('--ca')
    client.add_argument('--insecure', action='store_true')
    client.add_argument('--timeout', type=float, default=10)
    crowd = modes.add_parser('crowd')
    crowd.add_argument('--address', required=True)
    crowd.add_argument('--size', type=int, required=True)
    manager = modes.add_parser('manager')
    manager.add_argument('--address', required=True)
    manager.add_argument('--name')
    program = modes.add_parser('program')
    program.add_argument('--home', required=True)
    return parser.parse_args()


def target(args: argparse.Namespace):
    if args.mode == 'client':
        return Client(new_client(args))
    if args.mode == 'crowd':
        return Crowd(args.address, args.size)
    # Loaded only where they are needed: WebRTC takes its time.
    import loopback

    loopback.confine()
    if args.mode == 'manager':
        from manager import Manager

        return Manager(args)
    from endpoint import Program

    return Program(args.home)


async def main(args: argparse.Namespace) -> None:
    await serve(target(args))


if __name__ == '__main__':
    if sys.argv[1:2] == ['relay']:
        become('proxystore-relay', sys.argv[2:])
        sys.exit()
    if sys.argv[1:2] == ['endpoint']:
        import endpoint
        import loopback

        loopback.confine()
        endpoint.without_nat_check()
        become('proxystore-endpoint', sys.argv[2:])
        sys.exit()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    if sys.argv[1:2] == ['oracle']:
        consult(Oracle())
        sys.exit()
    try:
        asyncio.run(main(arguments()))
    except BaseException as e:
        # Among others the SystemExit with which the real client's reconnect
        # task ends its whole process.
        answer(event='exit', error=described(e))
        raise
