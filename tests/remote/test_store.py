"""What the environment says of stores, and what stores are asked."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from fusestack.storage import folder_of, open_file, open_store, store
from fusestack.storage.store import StorageError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of moto and boto


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_s3_without_keys_is_not_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert store._s3_options() == {"region": "us-east-1", "skip_signature": True}
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "false")
    assert "skip_signature" not in store._s3_options()


def test_s3_keys_of_the_environment_are_left_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert store._s3_options() == {
        "region": "eu-central-1",
        "endpoint": "http://127.0.0.1:9",
        "virtual_hosted_style_request": False,
    }


def test_s3_keys_of_a_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".aws" / "credentials"
    file.parent.mkdir()
    file.write_text("[lab]\naws_access_key_id = a\naws_secret_access_key = b\naws_session_token = c\n")
    assert store._s3_options()["skip_signature"]
    monkeypatch.setenv("AWS_PROFILE", "lab")
    found = store._s3_options()
    assert (found["access_key_id"], found["secret_access_key"], found["token"]) == ("a", "b", "c")
    assert "skip_signature" not in found


def test_google_without_keys_is_not_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert store._gs_options() == {"skip_signature": True}
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/keys.json")
    assert store._gs_options() == {}


@pytest.mark.parametrize("address", ["nosuch://bucket/a", "az://container/a"])
def test_stores_that_cannot_be_opened(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(StorageError, match=f"^{address}: "):
        open_store(address)
    assert "credentials" in StorageError.way_out


def test_objects(bucket: str, client: Any) -> None:
    folder = open_store(f"s3://{bucket}/work")
    assert folder.get("a/b") is None
    assert folder.entries() == []
    assert folder.put("a/b", [b"12", b"345"]) == 5
    assert folder.get("a/b") == b"12345"
    assert not folder.create("a/b", b"")
    assert folder.create("a/c", b"6")
    assert folder.entries() == ["a"]
    assert folder.entries("a") == ["b", "c"]
    assert folder.get_range("a/b", 1, 3) == b"23"
    first = folder.identity("a/b")
    assert first is not None
    assert first.startswith("5 bytes")
    folder.put("a/b", [b"54321"])
    assert folder.identity("a/b") != first
    assert folder.identity("a") is None
    folder.delete("a/c")
    folder.delete("a/c")
    assert folder.entries("a") == ["b"]
    assert pickle.loads(pickle.dumps(folder)).get("a/b") == b"54321"
    folder.delete_tree("a")
    assert folder.entries() == []


def test_files_of_objects_are_read_in_parts(bucket: str, client: Any) -> None:
    data = bytes(range(256)) * 40
    client.put_object(Bucket=bucket, Key="folder/data", Body=data)
    with open_file(f"s3://{bucket}/folder/data") as file:
        assert file.seek(0, 2) == len(data)
        file.seek(-100, 2)
        assert file.read() == data[-100:]
        file.seek(777)
        assert file.read(10) == data[777:787]
        assert file.tell() == 787
        file.seek(0)
        assert file.read() == data
    with pytest.raises(FileNotFoundError):
        open_file(f"s3://{bucket}/folder/none")


def test_folder_of_a_path() -> None:
    folder, name = folder_of("/some/where/file.json")
    assert (folder.where, name) == ("/some/where", "file.json")
