"""Writes golden.jsonl and uuids.jsonl: what the stock Python implementation does.

Run it with a Python that has proxystore installed, in this folder:

    python make.py
"""

from __future__ import annotations

import json
import random
import unicodedata
import uuid

from proxystore.p2p.relay.messages import PeerConnectionRequest
from proxystore.p2p.relay.messages import RelayRegistrationRequest
from proxystore.p2p.relay.messages import RelayResponse
from proxystore.p2p.relay.messages import encode_relay_message

rng = random.Random(1)
alice = uuid.UUID('aaaaaaaa-0000-4000-8000-000000000001')
bob = uuid.UUID('bbbbbbbb-0000-4000-8000-000000000002')


# An offer of a stock peer, as it was seen on the wire.
SDP = """v=0
o=- 4004364610 4004364610 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic:WMS *
m=application 54940 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 127.0.0.1
a=mid:0
a=sctp-port:5000
a=max-message-size:262144
a=candidate:16572de626da4e5384a0ce2d0d93678a 1 udp 2130706431 127.0.0.1 54940 typ host
a=end-of-candidates
a=ice-ufrag:xzL4
a=ice-pwd:Oc93cx2URf6CzJCjyTKGDY
a=setup:actpass
""".replace('\n', '\r\n')


def strings():
    yield from ('', 'hello', 'v=0\r\no=- 4004364610 IN IP4 0.0.0.0\r\n')
    yield json.dumps({'sdp': SDP, 'type': 'offer'}, sort_keys=True)
    yield json.dumps(json.dumps('\\"/é漢😀'))
    for start in range(0, 0x100, 8):
        yield ''.join(map(chr, range(start, start + 8)))
    edges = (0x7e, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfffd, 0xffff, 0x10000, 0x10ffff)
    for c in edges:  # at every place of an eight byte word
        for n in range(9):
            yield 'x' * n + chr(c) + 'y' * (8 - n)
    alphabet = ['a', 'b', '"', '\\', '/', '\n', '\r', '<', '>', '&', '\x1f', '\x7f', 'é', '漢', '😀']
    for n in range(60):
        yield ''.join(rng.choices(alphabet, k=n))


def messages():
    """Each with the text that stands in it, and the name that the tests have for it."""
    for text in strings():
        yield 'offer', text, PeerConnectionRequest(alice, text, bob, 'offer', text, None)
        if len(text) < 20:
            yield 'answer', text, PeerConnectionRequest(alice, 'a', bob, 'answer', '', 'error ' + text)
            yield 'registration', text, RelayRegistrationRequest(text, alice)
            yield 'response', text, RelayResponse(True, text or None, False)
            yield 'refusal', text, RelayResponse(False, 'error ' + text, True)


def spellings():
    """Texts that are, nearly are or are not UUIDs to Python."""
    plain = '0123456789abcdefABCDEF9876543210'
    good = str(uuid.UUID(plain))
    yield from ('', good, good.upper(), plain, '{' + good + '}', 'urn:uuid:' + good, 'URN:UUID:' + good)
    yield from (good + ' ', ' ' + good, good[:-1], good + '0', '-' + good + '-', '{{' + good, good + '}{}')
    yield from ('-{' + plain + '}', '{-' + plain + '-}', 'uurn:uid:' + plain, 'urn:' * 5 + plain + 'uuid:')
    yield from ('0123uuid:' + plain[4:], 'urn:urn:{' + plain + '}', '{' * 300 + plain + '}' * 300)
    yield from ('0' * 32, 'f' * 32, 'g' * 32, '0x' + 'f' * 30, '0X' + 'f' * 30, '0x_' + 'f' * 29, '0x__' + 'f' * 28)
    yield from ('0x' + '_' * 30, '_' + 'f' * 31, 'f' * 31 + '_', 'f_' * 15 + 'ff', 'f__' + 'f' * 29, '0x', '0x' + ' ' * 30)
    yield from ('+' + 'f' * 31, '+0x' + 'f' * 29, '++' + 'f' * 30, '+ ' + 'f' * 30, ' +' + 'f' * 30, ' + 0x' + 'f' * 27)
    yield from ('+_' + 'f' * 30, '+' * 32, ' ' * 32, 'f' * 16 + ' ' + 'f' * 15, 'f' * 31 + '+', 'f' * 31 + '\x00')
    yield from ('\uff10\uff58' + 'f' * 30, '\uff10x' + 'f' * 30, '\uff0b' + 'f' * 31, '\u2212' + 'f' * 31, '²' + 'f' * 31)
    yield from ('٣' * 32, '１' * 32, '𝟘' * 32, '𝟡𝟘' * 16, 'Ａ' * 32, '￾' * 32, '\ufffd' * 32, 'é' * 16, '😀' * 32)
    spaces = [c for c in map(chr, range(0x3100)) if c.isspace() or unicodedata.category(c) in ('Cc', 'Cf', 'Zs', 'Zl', 'Zp')]
    for c in spaces:  # what counts as white space around a number
        yield c + 'f' * 31
        yield 'f' * 31 + c
        yield c + '１' * 31
    for c in map(chr, range(0x80, 0x20000)):  # every digit, and its neighbours
        near = [unicodedata.category(chr(ord(c) + d)) for d in (-1, 0, 1)]
        if 'Nd' in near and 'Cn' not in near:
            yield 'a' * 31 + c
    for _ in range(400):
        parts = rng.choices(['-', '{', '}', 'urn:', 'uuid:', '_', '0x', '+', ' ', '１', '\u3000'], k=rng.randint(1, 4))
        text = 'f' * (32 - sum(len(p) for p in parts if p in ('_', '0x', '+', ' ', '１', '\u3000')))
        for part in parts:
            at = rng.choice([0, len(text), rng.randint(0, len(text))])
            text = text[:at] + part + text[at:]
        yield text


def verdict(text):
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


with open('golden.jsonl', 'w') as f:
    for name, text, message in messages():
        f.write(json.dumps([name, text, encode_relay_message(message)]) + '\n')

with open('uuids.jsonl', 'w') as f:
    for text in spellings():
        f.write(json.dumps([text, verdict(text)]) + '\n')
