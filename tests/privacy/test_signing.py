"""Signatures: what ours make others accept, what others make ours accept, and nothing else is accepted."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from source_tree import REPO
from wellbridge.privacy.signing import fingerprint, new_signing_key, origin, read_signing_key
from wellbridge.privacy.tables.verifier import ORDER, P, Violation, check_signature, is_signed
from wellbridge.schemas.errors import StoreError

WYCHEPROOF = REPO / "../shared/data/security/wycheproof/testvectors_v1/ed25519_test.json"
KEYGEN = shutil.which("ssh-keygen")
needs_keygen = pytest.mark.skipif(KEYGEN is None, reason="no ssh-keygen on this machine")

# RFC 8032, 7.1: public key, message, signature of TEST 1, 2, 3 and SHA(abc).
RFC = [
    ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
     "655141438e7a100b"),
    ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
     "b00d291612bb0c00"),
    ("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
     "c027beceea1ec40a"),
    ("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e"
     "2a9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17a"
     "d9bef1177331a704"),
]


def ours(message: bytes, signature: bytes, key: bytes) -> bool:
    try:
        return is_signed(message, signature, key)
    except Violation:
        return False


def theirs(message: bytes, signature: bytes, key: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# -- Ed25519 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "message", "signature"), RFC)
def test_the_vectors_of_rfc_8032_hold_and_each_changed_bit_does_not(key: str, message: str, signature: str):
    given = bytes.fromhex(message), bytes.fromhex(signature), bytes.fromhex(key)
    assert ours(*given)
    draw = random.Random(1)
    for _ in range(12):
        changed = [bytearray(part) for part in given]
        part = draw.choice([p for p in changed if p])
        part[draw.randrange(len(part))] ^= 1 << draw.randrange(8)
        assert not ours(*map(bytes, changed))


@pytest.mark.skipif(not WYCHEPROOF.exists(), reason="no Wycheproof vectors in the shared data")
def test_every_vector_of_wycheproof_is_judged_as_it_should_be():
    judged = 0
    for group in json.loads(WYCHEPROOF.read_text(encoding="utf-8"))["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            found = ours(bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]), key)
            assert found == (case["result"] == "valid"), (case["tcId"], case["comment"])
            judged += 1
    assert judged > 100
    print(f"{judged} vectors")


def test_random_signatures_are_judged_as_the_library_judges_them():
    draw = random.Random(8032)
    for _ in range(40):
        private, message = Ed25519PrivateKey.generate(), draw.randbytes(draw.randrange(200))
        key, signature = private.public_key().public_bytes_raw(), private.sign(message)
        assert ours(message, signature, key)
        malformed = [
            (message, signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little"), key),
            (message, signature[32:] + signature[:32], key), (message + b"x", signature, key),
            (message, bytes(64), key), (message, draw.randbytes(64), key), (message, signature, draw.randbytes(32)),
            (message, signature[:-1], key), (message, signature + b"\0", key), (message, b"", key),
            (message, signature, key[:-1]), (message, signature, key + b"\0"), (message, signature, b""),
        ]
        for each in malformed:
            assert not ours(*each)
            assert not theirs(*each)


# Encodings of the eight points of small order, the canonical ones and those beyond the prime.
SMALL = [
    0, 1, P - 1, P, P + 1, 1 << 255, (1 << 255) + 1, (1 << 255) + P - 1, (1 << 255) + P, (1 << 255) + P + 1,
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7,
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7 + (1 << 255),
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826 + (1 << 255),
]


@pytest.mark.parametrize("number", SMALL)
def test_a_key_of_small_order_signs_nothing_though_the_library_takes_it(number: int):
    key, taken = number.to_bytes(32, "little"), 0
    for nonce in SMALL:
        for message in (b"", b"a", b"b", b"c"):
            signature = nonce.to_bytes(32, "little") + bytes(32)
            assert not ours(message, signature, key)
            taken += theirs(message, signature, key)
    print(f"{taken} taken by the library")


# -- files -------------------------------------------------------------------------------------------------


def test_a_new_key_is_private_and_reads_back(tmp_path: Path):
    signer = new_signing_key(tmp_path / "key", "Example Unified School District")
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    assert (tmp_path / "key.pub").read_text(encoding="utf-8") == f"{signer.public}\n"
    assert signer.public.endswith(" Example-Unified-School-District")
    assert read_signing_key(tmp_path / "key").public.split()[:2] == signer.public.split()[:2]
    with pytest.raises(FileExistsError):
        new_signing_key(tmp_path / "key")


def test_a_key_that_is_missing_open_to_others_or_none_is_refused_without_a_word_of_it(tmp_path: Path):
    for name, content in (("none", b"canary-7431"), ("raw", os.urandom(32))):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StoreError, match="WB-E-052") as caught:
            read_signing_key(tmp_path / name)
        assert "canary" not in caught.value.render()
    with pytest.raises(StoreError, match="WB-E-050"):
        read_signing_key(tmp_path / "missing")
    new_signing_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(StoreError, match="WB-E-051"):
        read_signing_key(tmp_path / "key")


def test_who_signed_is_said_and_what_that_shows(tmp_path: Path):
    signer, file = new_signing_key(tmp_path / "key"), tmp_path / "manifest.json"
    file.write_bytes(b"{}")
    assert origin(file, None).startswith("Not signed")
    (tmp_path / "manifest.json.sig").write_bytes(signer.sign("manifest.json", b"{}"))
    name = fingerprint(signer.public.split()[1])
    assert origin(file, signer.public) == f"Signed by {name}, a key that was given."
    assert origin(file, None).startswith(f"Signed by {name}. No key was given")
    file.write_bytes(b"{ }")
    assert origin(file, None) == ""


@needs_keygen
def test_ssh_keygen_accepts_our_signatures_and_names_our_key_alike(tmp_path: Path):
    signer, content = new_signing_key(tmp_path / "key"), b'{"a": 1}\n'
    (tmp_path / "f.sig").write_bytes(signer.sign("manifest.json", content))
    (tmp_path / "signers").write_text(f"site {signer.public}\n", encoding="utf-8")
    command: list[Any] = [KEYGEN, "-Y", "verify", "-f", tmp_path / "signers", "-I", "site", "-s", tmp_path / "f.sig"]
    command.append("-n")
    assert subprocess.run([*command, "manifest.json@wellbridge"], input=content, check=False).returncode == 0
    assert subprocess.run([*command, "certificate.json@wellbridge"], input=content, check=False).returncode != 0
    assert subprocess.run([*command, "manifest.json@wellbridge"], input=content + b" ", check=False).returncode != 0
    listed = subprocess.run([KEYGEN, "-l", "-f", tmp_path / "key.pub"], capture_output=True, text=True, check=True)
    assert fingerprint(signer.public.split()[1]) in listed.stdout


@needs_keygen
def test_a_key_and_a_signature_of_ssh_keygen_are_accepted(tmp_path: Path):
    subprocess.run([KEYGEN, "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", tmp_path / "key"], check=True)
    file = tmp_path / "certificate.json"
    file.write_bytes(b"[]")
    subprocess.run([KEYGEN, "-q", "-Y", "sign", "-f", tmp_path / "key", "-n", "certificate.json@wellbridge", file],
                   check=True, capture_output=True)
    public = (tmp_path / "key.pub").read_text(encoding="utf-8")
    assert check_signature(file, b"[]", public) == public.split()[1]
    signed = read_signing_key(tmp_path / "key").sign("certificate.json", b"[]")
    assert base64.b64decode(b"".join(signed.split(b"\n")[1:-2])) == base64.b64decode(
        b"".join((tmp_path / "certificate.json.sig").read_bytes().split(b"\n")[1:-2]))


@needs_keygen
@pytest.mark.parametrize("kind", [["-t", "ed25519", "-N", "canary-7431"], ["-t", "ecdsa", "-N", ""]])
def test_a_key_with_a_passphrase_or_of_another_kind_is_refused(tmp_path: Path, kind: list[str]):
    subprocess.run([str(KEYGEN), "-q", *kind, "-f", tmp_path / "key"], check=True)
    with pytest.raises(StoreError, match="WB-E-052") as caught:
        read_signing_key(tmp_path / "key")
    assert "canary" not in caught.value.render()
