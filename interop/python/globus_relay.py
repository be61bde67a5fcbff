"""Runs the installed proxystore-relay for a test of its Globus authentication.

    globus_relay.py ARGUMENTS...

GLOBUS_SDK_SERVICE_URL_AUTH in the environment says where it finds Globus Auth.
Whatever would leave the loopback interface, even to look up a name, ends the
process instead. It ends, too, when stdin does.
"""

from __future__ import annotations

import os
import sys

from loopback import confine
from peer import become

if __name__ == '__main__':
    assert 'GLOBUS_SDK_SERVICE_URL_AUTH' in os.environ
    confine()
    become('proxystore-relay', sys.argv[1:])
