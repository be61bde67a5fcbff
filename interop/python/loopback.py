"""Confines a process to the loopback interface.

A process that tries to reach anything else, if only to resolve a name, ends at
once with the exit code VIOLATION, before a packet is sent. Code that catches
exceptions cannot hide that, as it could if this raised one.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys

import aioice.ice
import uvloop

VIOLATION = 77


def confine() -> None:
    """Watch all sockets of this process from now on, and let ICE use 127.0.0.1."""
    sys.addaudithook(_audit)
    _watch_uvloop()
    # aioice offers any address of the machine but this one.
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ['127.0.0.1']


def _require(what: str, host) -> None:
    """End the process unless the host is a loopback address, as a number."""
    if isinstance(host, (bytes, bytearray)):
        host = host.decode()
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass
    os.write(2, f'{what} of {host!r}: not loopback\n'.encode())
    os._exit(VIOLATION)


_SENDING = ('socket.bind', 'socket.connect', 'socket.sendto', 'socket.sendmsg')
_RESOLVING = ('socket.getaddrinfo', 'socket.gethostbyname', 'socket.gethostbyaddr')


def _audit(event: str, args: tuple) -> None:
    if event in _SENDING:
        sock, address = args
        # A sendmsg without an address is on a connected socket.
        if sock.family in (socket.AF_INET, socket.AF_INET6) and address is not None:
            _require(event, address[0])
    elif event in _RESOLVING:
        _require(event, args[0])
    elif event == 'socket.getnameinfo':
        _require(event, args[0][0])


def _watch_uvloop() -> None:
    """Watch what uvloop, which is in C, does without Python's audit events."""
    loop = uvloop.Loop

    def watch(name: str, hosts) -> None:
        original = getattr(loop, name)

        def watched(self, *args, **kwargs):
            for host in hosts(*args, **kwargs):
                _require(f'uvloop {name}', host)
            return original(self, *args, **kwargs)

        setattr(loop, name, watched)

    def datagram(factory, local_addr=None, remote_addr=None, *, sock=None, **_):
        # A socket that is bound to loopback cannot send to anywhere else: the
        # kernel refuses (EINVAL). So transport.sendto needs no look.
        if sock is not None:
            return []
        return [local_addr and local_addr[0]] + [a[0] for a in [remote_addr] if a]

    def connection(factory, host=None, port=None, *, sock=None, **_):
        return [] if sock is not None else [host]

    def server(factory, host=None, port=None, *, sock=None, **_):
        if sock is not None:
            return []
        return host if isinstance(host, (list, tuple)) else [host]

    watch('create_datagram_endpoint', datagram)
    watch('create_connection', connection)
    watch('create_server', server)
    watch('getaddrinfo', lambda host, *_, **__: [host])
    watch('getnameinfo', lambda address, *_, **__: [address[0]])
