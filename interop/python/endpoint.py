"""Endpoints of the real ProxyStore, and the programs that use them."""

from __future__ import annotations

import asyncio
import base64
import os
import pickle

from proxystore.connectors.endpoint import EndpointConnector
from proxystore.connectors.endpoint import EndpointConnectorError
from proxystore.connectors.endpoint import EndpointKey
from proxystore.proxy import Proxy
from proxystore.store import Store


def without_nat_check() -> None:
    """Keep the stock command from asking public STUN servers when it starts.

    Its other use of STUN, by ICE, its own configuration file switches off:
    ice_servers = [].
    """
    import proxystore.endpoint.serve

    async def nothing() -> None:
        pass

    proxystore.endpoint.serve.check_nat_and_log = nothing


class Program:
    """The commands of the mode "program"; each is a method op_<name>.

    It uses the endpoint of its own site, which it finds in PROXYSTORE_HOME, as
    a program does that was started there.
    """

    store: Store

    def __init__(self, home: str) -> None:
        os.environ['PROXYSTORE_HOME'] = home

    async def op_open(self, endpoints: list[str]) -> dict:
        def run() -> dict:
            connector = EndpointConnector(endpoints)
            # Without a cache, so that each object comes from an endpoint.
            self.store = Store('objects', connector, cache_size=0, register=True)
            return {'home': str(connector.endpoint_uuid)}

        return await self._in_thread(run)

    async def op_put(self, data: str) -> dict:
        def run() -> dict:
            key = self.store.put(base64.b64decode(data))
            proxy = self.store.proxy_from_key(key)
            pickled = base64.b64encode(pickle.dumps(proxy)).decode()
            return {'key': list(key), 'proxy': pickled}

        return await self._in_thread(run)

    async def op_resolve(self, proxy: str) -> dict:
        """Use a proxy that another program has made."""

        def run() -> dict:
            loaded = pickle.loads(base64.b64decode(proxy))
            assert type(loaded) is Proxy
            return {'data': base64.b64encode(bytes(loaded)).decode()}

        return await self._in_thread(run)

    async def op_get(self, key: list[str]) -> dict:
        def run() -> dict:
            value = self.store.get(EndpointKey(*key))
            return {'data': value and base64.b64encode(value).decode()}

        return await self._in_thread(run)

    async def op_exists(self, key: list[str]) -> dict:
        def run() -> dict:
            return {'exists': self.store.exists(EndpointKey(*key))}

        return await self._in_thread(run)

    async def op_evict(self, key: list[str]) -> dict:
        def run() -> dict:
            self.store.evict(EndpointKey(*key))
            return {}

        return await self._in_thread(run)

    @staticmethod
    async def _in_thread(run) -> dict:
        """Run what blocks; an error of the connector also says its cause."""
        try:
            return {'message': await asyncio.to_thread(run)}
        except EndpointConnectorError as e:
            raise EndpointConnectorError(f'{e} {e.__cause__}') from e
