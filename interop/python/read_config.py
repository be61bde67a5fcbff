"""Reads configuration files as proxystore-relay does before it listens.

For each file of the command line one line of JSON is printed: the settings, or
the error that proxystore-relay would end with. Nothing is served.
"""

from __future__ import annotations

import json
import logging
import ssl
import sys

from proxystore.p2p.relay.authenticate import get_authenticator
from proxystore.p2p.relay.config import RelayServingConfig


def read(path: str) -> dict[str, object]:
    """Return the settings in a file, having done with them what serving does."""
    config = RelayServingConfig.from_toml(path)
    for level in (config.logging.default_level, config.logging.websockets_level):
        logging.Handler().setLevel(level)
    get_authenticator(config.auth)
    if config.certfile is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(config.certfile, keyfile=config.keyfile)
    return config.model_dump()


for path in sys.argv[1:]:
    try:
        answer = {'settings': read(path)}
    except Exception as e:
        answer = {'error': f'{type(e).__name__}: {e}'}
    print(json.dumps(answer))
