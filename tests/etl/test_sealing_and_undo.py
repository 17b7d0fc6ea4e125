"""What is kept at rest opens whole or not at all; two stores commit as one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from wellbridge.etl.undo import UndoCopy
from wellbridge.privacy.seal import CHUNK_BYTES, Sealer, new_key, read_key
from wellbridge.schemas.errors import StoreError

KEY = bytes(range(32))


def _sealed(plain: bytes) -> bytes:
    target = io.BytesIO()
    Sealer(KEY).seal(io.BytesIO(plain), target)
    return target.getvalue()


def _opened(sealed: bytes, key: bytes = KEY) -> bytes:
    target = io.BytesIO()
    Sealer(key).open(io.BytesIO(sealed), target)
    return target.getvalue()


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES])
def test_what_was_sealed_opens_unchanged(size: int) -> None:
    plain = bytes(n % 251 for n in range(size))
    assert _opened(_sealed(plain)) == plain


def test_every_change_cut_or_other_key_is_refused() -> None:
    sealed = _sealed(b"x" * (CHUNK_BYTES + 500))
    changes = [
        sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in (0, 9, 21, 5_000, len(sealed) - 1)
    ]
    cuts = [sealed[:at] for at in (0, 8, 20, 21, 20 + CHUNK_BYTES + 16, len(sealed) - 1)]
    for broken in [*changes, *cuts, sealed + b"\0"]:
        with pytest.raises(StoreError) as caught:
            _opened(broken)
        assert caught.value.code == "WB-E-052"
        assert caught.value.__context__ is None
    with pytest.raises(StoreError):
        _opened(sealed, bytes(32))


def test_a_key_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "site.key"
    new_key(path)
    assert len(read_key(path)) == 32
    path.chmod(0o640)
    with pytest.raises(StoreError) as caught:
        read_key(path)
    assert caught.value.code == "WB-E-051"


@pytest.mark.parametrize(("committed", "left"), [(True, b"new"), (False, b"old")])
def test_the_vault_follows_the_warehouse_after_a_kill(tmp_path: Path, committed: bool, left: bytes) -> None:
    store = tmp_path / "vault.duckdb"
    store.write_bytes(b"old")
    UndoCopy(store).begin("run-1")
    store.write_bytes(b"new")
    UndoCopy(store).recover(lambda run: committed and run == "run-1")
    assert store.read_bytes() == left
    assert [path.name for path in tmp_path.iterdir()] == ["vault.duckdb"]


def test_a_first_run_that_died_leaves_no_vault(tmp_path: Path) -> None:
    store = tmp_path / "vault.duckdb"
    UndoCopy(store).begin("run-1")
    store.write_bytes(b"half")
    UndoCopy(store).recover(lambda _run: False)
    assert list(tmp_path.iterdir()) == []
