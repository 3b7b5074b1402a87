"""Signatures are verified as RFC 8032 has it, strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_hooks.slots import ed25519

DATA = Path(__file__).resolve().parents[2] / "data"

RFC_8032 = [  # section 7.1: secret key, public key, message, signature; 1023 bytes of its fourth test left out
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe"
            "24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302a"
            "eeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed2"
            "8dc027beceea1ec40a"
        ),
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        (
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce8"
            "0e2a9ac94fa54ca49f"
        ),
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac1"
            "7ad9bef1177331a704"
        ),
    ),
]

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
SMALL = [
    # the eight points of small order: y = 1, -1, 0 (two), and the four of order 8 (Chalkias et al., table 1)
    (1).to_bytes(32, "little"),
    (P - 1).to_bytes(32, "little"),
    bytes(32),
    bytes(31) + b"\x80",
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
]


def wycheproof() -> list[Any]:
    cases = json.loads((DATA / "wycheproof_ed25519.json").read_text(encoding="utf-8"))["cases"]
    return [pytest.param(case, id=f"{case['id']}") for case in cases]


@pytest.mark.parametrize(("secret", "key", "message", "signature"), RFC_8032)
def test_rfc_8032(secret: str, key: str, message: str, signature: str) -> None:
    """The RFC's own signatures are good, and what `cryptography` signs with its keys is the same."""
    assert ed25519.verify(*map(bytes.fromhex, (key, message, signature)))
    ours = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    assert ours.public_key().public_bytes_raw().hex() == key
    assert ours.sign(bytes.fromhex(message)).hex() == signature


@pytest.mark.parametrize("case", wycheproof())
def test_wycheproof(case: dict[str, Any]) -> None:
    """Project Wycheproof's cases come out as it says: signatures cut, lengthened, malleable, with odd R and S."""
    found = ed25519.verify(*(bytes.fromhex(case[name]) for name in ("key", "message", "signature")))
    assert found is case["valid"], case["comment"]


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 767), st.integers(0, 255))
def test_as_cryptography(secret: bytes, message: bytes, place: int, flip: int) -> None:
    """What OpenSSL signs is good; with any byte of signature, key or message changed both say the same of it."""
    private = Ed25519PrivateKey.from_private_bytes(secret)
    key = private.public_key().public_bytes_raw()
    whole = bytearray(private.sign(message) + key + message)
    assert ed25519.verify(key, message, bytes(whole[:64]))
    whole[place % len(whole)] ^= flip
    signature, key, message = bytes(whole[:64]), bytes(whole[64:96]), bytes(whole[96:])
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        good = False
    else:
        good = True
    assert ed25519.verify(key, message, signature) is good


def test_second_s_is_refused() -> None:
    """S plus the group's order, which satisfies the same equation, is no second signature."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    signature = private.sign(b"x")
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    forged = signature[:32] + scalar.to_bytes(32, "little")
    assert not ed25519.verify(private.public_key().public_bytes_raw(), b"x", forged)


@pytest.mark.parametrize("key", SMALL)
def test_keys_of_small_order_are_refused(key: bytes) -> None:
    """A key with which R = S·B "signs" every eighth message, or all, is no key."""
    assert not ed25519.is_usable_key(key)
    identity = (1).to_bytes(32, "little")
    for number in range(16):
        assert not ed25519.verify(key, bytes([number]), identity + bytes(32))


def test_keys_out_of_range_are_refused() -> None:
    """Another encoding of a point (y above p, or a sign where x is 0) is no key, nor is what lies on no curve."""
    others = [(P + 1).to_bytes(32, "little"), (2**255 - 1).to_bytes(32, "little")]
    others += [SMALL[0][:31] + b"\x80", (2).to_bytes(32, "little"), bytes(31), bytes(33)]
    assert [ed25519.is_usable_key(key) for key in others] == [False] * len(others)
