"""The mode "manager" of peer.py: one real PeerManager, commanded."""

from __future__ import annotations

import argparse
import base64
import uuid

from proxystore.p2p.manager import PeerManager
from proxystore.p2p.relay.client import RelayClient


class Manager:
    """The commands; each is a method op_<name>.

    A message is {"kind": "str" or "bytes", "data": base64}.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        client = RelayClient(args.address, client_name=args.name)
        # No STUN: without an address, nobody is asked for ours.
        self.manager = PeerManager(client, ice_servers=[])
        self.client = client

    async def op_connect(self) -> dict:
        await self.manager.async_init()
        return {}

    async def op_send(self, to: str, kind: str, data: str, timeout: float) -> dict:
        content = base64.b64decode(data)
        message = content if kind == 'bytes' else content.decode('ascii')
        await self.manager.send(uuid.UUID(to), message, timeout=timeout)
        return {}

    async def op_recv(self) -> dict:
        source, message = await self.manager.recv()
        kind = type(message).__name__
        content = message if kind == 'bytes' else message.encode('ascii')
        data = base64.b64encode(content).decode()
        return {'message': {'from': str(source), 'kind': kind, 'data': data}}

    async def op_disconnect(self, peer: str) -> dict:
        await self.manager.close_connection((self.client.uuid, uuid.UUID(peer)))
        return {}

    async def op_stats(self) -> dict:
        try:
            connected = self.client.websocket is not None
        except Exception:
            connected = False
        states = [c.state for c in self.manager._peers.values()]
        return {
            'name': self.client.name,
            'uuid': str(self.client.uuid),
            'connected': connected,
            'message': {'peers': states},
        }
