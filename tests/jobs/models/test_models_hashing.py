import os

from jobs.models.hashing import base_model_hash


def test_the_hash_changes_with_the_weights_and_not_with_the_readme(llama, tmp_path):
    cache = tmp_path / "cache" / "hashes.json"
    before = base_model_hash(llama, cache)
    (llama / "README.md").write_text("other words")
    assert base_model_hash(llama, cache) == before
    weights = bytearray((llama / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (llama / "model.safetensors").write_bytes(weights)
    assert base_model_hash(llama, cache) != before


def test_the_hash_does_not_depend_on_the_place_or_the_cache(llama, tmp_path):
    cache = tmp_path / "hashes.json"
    before = base_model_hash(llama, cache)
    cache.write_text("not JSON")
    assert base_model_hash(llama.rename(tmp_path / "moved"), cache) == before


def test_unchanged_weights_are_not_read_again(llama, tmp_path):
    cache, weights = tmp_path / "hashes.json", llama / "model.safetensors"
    before, stat = base_model_hash(llama, cache), weights.stat()
    weights.write_bytes(bytes(stat.st_size))  # unseen on purpose: same size, and the old time put back
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert base_model_hash(llama, cache) == before
    os.utime(weights)
    assert base_model_hash(llama, cache) != before
