"""Computes assignments, buckets, unit names and cookies by the formats' description alone, without the Go code.

Prints the golden file of the argument: assignment or cookies. Needs nothing but the standard library.
"""
import base64, hashlib, hmac, math, struct, sys
from fractions import Fraction

MASK = (1 << 64) - 1


def siphash24(key, message):
    def rotl(x, n):
        return ((x << n) | (x >> (64 - n))) & MASK

    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rounds(n):
        for _ in range(n):
            v[0] = (v[0] + v[1]) & MASK; v[1] = rotl(v[1], 13) ^ v[0]; v[0] = rotl(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK; v[3] = rotl(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK; v[3] = rotl(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK; v[1] = rotl(v[1], 17) ^ v[2]; v[2] = rotl(v[2], 32)

    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) % 256])
    for (m,) in struct.iter_unpack("<Q", padded):
        v[3] ^= m
        rounds(2)
        v[0] ^= m
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def sha16(message):
    return hashlib.sha256(message).digest()[:16]


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def salt(service, epoch):
    return sha16(b"serin salt v1\0" + service.encode() + b"\0" + struct.pack(">I", epoch))


def race(purpose, service, epoch, weights, unit, exclude=()):
    best = None
    hashed = struct.pack("<Q", siphash24(salt(service, epoch), unit))
    for name, weight in weights.items():
        if weight == 0 or name in exclude:
            continue
        key = sha16(purpose.encode() + b"\0" + salt(service, epoch) + name.encode())
        u = ((siphash24(key, hashed) >> 12) + 0.5) / 2**52
        score = Fraction(weight) / Fraction(-math.log(u))
        if best is None or score > best[0]:
            best = (score, name)
    return best[1] if best else "-"


def bucket(written):
    return siphash24(sha16(b"serin bucket v1"), written.encode()) >> 58


def derive(secret, purpose):
    return mac(secret, purpose)


UNIT_SECRET = b"unit secret of the golden file, longer than 32 bytes, and than the 64 of a block"
SECRETS = [b"first sticky secret", b"second sticky secret, longer than 32 bytes"]


def written(unit):
    return mac(derive(UNIT_SECRET, b"serin unit v1"), unit)[:16].hex()


def assignment():
    services = [
        ("sentiment", 1, {"stable": "80", "canary": "20"}),
        ("sentiment", 2, {"stable": "80", "canary": "20"}),
        ("movies", 1, {"a": "0.4", "b": "0.4", "canary": "0.2"}),
        ("movies", 4294967295, {"a": "33.3", "b": "66.6", "canary": "0.1"}),
        ("urls", 0, {"stable": "1", "next": "0", "wörk": "1"}),
    ]
    units = [f"user-{i}" for i in range(40)] + ["10.0.0.1", "::1", "a", "éàü", "x" * 128]
    for service, epoch, weights in services:
        shares = {name: Fraction(w) for name, w in weights.items()}
        print("policy", service, epoch, salt(service, epoch).hex(), *[f"{n}={w}" for n, w in weights.items()], sep="\t")
        for unit in units:
            raw = unit.encode()
            first = race("serin assign v1", service, epoch, shares, raw)
            second = race("serin failover v1", service, epoch, shares, raw, (first,))
            print("unit", unit, first, second, written(raw), bucket(written(raw)), sep="\t")


def text(b):
    return base64.urlsafe_b64encode(b).decode().rstrip("=")


def key(secret):
    return derive(secret, b"serin sticky key id v1")[:3], derive(secret, b"serin sticky v1")


def cookies():
    ids = [bytes(16), bytes(range(16)), sha16(b"an id")]
    for secret in SECRETS:
        kid, k = key(secret)
        for name in ["sid", "model-service-version"]:
            for unit in ids:
                body = b"\x01" + kid + unit
                print("unit", name, unit.hex(), text(body + mac(k, b"unit\0" + body + name.encode())[:16]), sep="\t")
                for flags, service, epoch, propensity, variant in [(0, "sentiment", 7, 0.2, "canary"), (1, "urls", 2**32 - 1, 1.0, "stable")]:
                    owner = siphash24(bytes(16), service.encode())
                    body2 = struct.pack(">BB3sQId", 1, flags, kid, owner, epoch, propensity) + unit
                    sum2 = mac(k, b"ticket\0" + body2 + name.encode() + b"\0" + variant.encode())[:16]
                    print("ticket", name, unit.hex(), flags, service, epoch, propensity, variant, text(body2 + sum2), sep="\t")


if __name__ == "__main__":
    {"assignment": assignment, "cookies": cookies}[sys.argv[1]]()
