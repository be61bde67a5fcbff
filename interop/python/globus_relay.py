"""Runs the installed proxystore-relay for a test of its Globus authentication.

    globus_relay.py ARGUMENTS...

GLOBUS_SDK_SERVICE_URL_AUTH in the environment says where it finds Globus Auth.
Whatever would leave the loopback interface, even to look up a name, ends the
process instead. It ends, too, when stdin does.
"""

from __future__ import annotations

import ipaddress
import os
import sys

from peer import relay


def on_loopback(host) -> bool:
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, '', 'localhost'):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def guard(event: str, args: tuple) -> None:
    if event in ('socket.connect', 'socket.sendto', 'socket.sendmsg', 'socket.bind'):
        address = args[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event in ('socket.getaddrinfo', 'socket.gethostbyname'):
        host = args[0]
    else:
        return
    if not on_loopback(host):
        os.write(2, f'{event} to {host!r} is not on this machine\n'.encode())
        os._exit(70)


if __name__ == '__main__':
    assert 'GLOBUS_SDK_SERVICE_URL_AUTH' in os.environ
    sys.addaudithook(guard)
    relay(sys.argv[1:])
