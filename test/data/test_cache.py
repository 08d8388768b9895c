"""What is made of recordings is made once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mail_localization.data import cache as module
from mail_localization.data.cache import Cache, Entry, default_folder

ARRAYS = {"rows": np.arange(12.0).reshape(4, 3), "t_ns": np.arange(4), "none": np.empty((0, 2))}


class Maker:
    """Makes an entry and counts how often."""

    def __init__(self, arrays=ARRAYS):
        self.arrays, self.count = arrays, 0

    def __call__(self):
        self.count += 1
        return Entry(self.arrays, {"names": ["a", "\udcff"]})


@pytest.fixture
def bag(tmp_path):
    folder = tmp_path / "bag"
    folder.mkdir()
    (folder / "bag.mcap").write_bytes(b"samples")
    return folder


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def _equal(entry, arrays=ARRAYS):
    assert entry.facts == {"names": ["a", "\udcff"]}
    assert entry.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert entry.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(entry.arrays[name], array)


def test_an_entry_is_made_once(cache, bag):
    make = Maker()
    for _ in range(3):
        _equal(cache.kept("rows", bag, {"rate_hz": 10.0}, make))
    assert make.count == 1


def test_other_settings_kinds_and_bytes_are_other_entries(cache, bag):
    make = Maker()
    cache.kept("rows", bag, {"rate_hz": 10.0}, make)
    cache.kept("rows", bag, {"rate_hz": 20.0}, make)
    cache.kept("windows", bag, {"rate_hz": 10.0}, make)
    (bag / "bag.mcap").write_bytes(b"Samples")
    cache.kept("rows", bag, {"rate_hz": 10.0}, make)
    assert make.count == 4


def test_a_recording_is_known_by_its_content_wherever_it_lies(cache, bag, tmp_path):
    make = Maker()
    cache.kept("rows", bag, {}, make)
    bag.rename(tmp_path / "elsewhere")
    cache.kept("rows", tmp_path / "elsewhere", {}, make)
    assert make.count == 1


def test_a_large_array_is_mapped_and_a_small_one_read(cache, bag):
    arrays = {"large": np.zeros((1 << 17, 2)), "small": np.zeros(3)}
    for _ in range(2):
        entry = cache.kept("rows", bag, {}, Maker(arrays))
        assert isinstance(entry.arrays["large"], np.memmap)
        assert not isinstance(entry.arrays["small"], np.memmap)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def _turn_a_bit(path):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def _write_json_of_another_kind(path):
    path.write_text("[1]")


@pytest.mark.parametrize("damage", [Path.unlink, _truncate, _turn_a_bit, _write_json_of_another_kind])
@pytest.mark.parametrize("name", ["rows.npy", "entry.json"])
def test_a_damaged_entry_is_made_anew(cache, bag, damage, name):
    cache.kept("rows", bag, {}, Maker())
    (folder,) = cache.folder.iterdir()
    damage(folder / name)
    make = Maker()
    for _ in range(2):
        _equal(cache.kept("rows", bag, {}, make))
    assert make.count == 1


def test_where_nothing_can_be_written_runs_go_on_with_one_warning(bag, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache, make = Cache(tmp_path / "file"), Maker()
    for _ in range(2):
        _equal(cache.kept("rows", bag, {}, make))
    assert make.count == 2
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'file'}: recordings are not cached: Not a directory; free some space, or give another --cache"
    ]


def test_a_disk_that_fills_up_leaves_no_half_entry(cache, bag, monkeypatch, caplog):
    save = np.save

    def full(path, array):
        save(path, array)
        if path.name == "t_ns.npy":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    _equal(cache.kept("rows", bag, {}, Maker()))
    assert "No space left on device" in caplog.text
    assert list(cache.folder.iterdir()) == []


def test_errors_of_the_recording_are_those_of_its_reader(cache, tmp_path):
    def make():
        raise ValueError("no such bag")

    with pytest.raises(ValueError, match="no such bag"):
        cache.kept("rows", tmp_path / "missing", {}, make)
    assert not cache.folder.exists()


def test_without_a_folder_nothing_is_kept(bag, tmp_path):
    make = Maker()
    for _ in range(2):
        _equal(Cache().kept("rows", bag, {}, make))
    assert make.count == 2
    assert list(tmp_path.iterdir()) == [bag]


def test_beyond_the_limit_what_was_not_used_for_longest_goes(cache, bag, monkeypatch):
    make = Maker()
    for number in range(2):
        cache.kept("rows", bag, {"number": number}, make)
    for folder in cache.folder.iterdir():
        os.utime(folder, (1, 1))
    cache.kept("rows", bag, {"number": 0}, make)  # used again
    monkeypatch.setattr(module, "LIMIT", 2 * sum(f.stat().st_size for f in next(cache.folder.iterdir()).iterdir()))
    cache.kept("rows", bag, {"number": 2}, make)
    assert make.count == 3
    cache.kept("rows", bag, {"number": 0}, make)
    assert make.count == 3
    cache.kept("rows", bag, {"number": 1}, make)
    assert make.count == 4


def test_several_processes_share_a_cache(cache, bag):
    code = (
        "import sys, numpy as np; from pathlib import Path; from mail_localization.data.cache import Cache, Entry\n"
        "for k in range(40):\n"
        "    entry = Cache(Path(sys.argv[1])).kept('rows', Path(sys.argv[2]), {'number': k},\n"
        "        lambda: Entry({'rows': np.full((200, 9), float(k))}, {}))\n"
        "    assert (entry.arrays['rows'] == k).all() and len(entry.arrays['rows']) == 200\n"
    )
    command = [sys.executable, "-c", code, str(cache.folder), str(bag)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [(process.communicate()[1], process.returncode) for process in running] == [("", 0)] * 3
    assert len(list(cache.folder.iterdir())) == 40


def test_the_default_folder_follows_the_xdg_specification(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "mail_localization"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "mail_localization"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder() is None
