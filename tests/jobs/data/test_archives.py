"""What is kept of archives: the files in them, under clear names, with a word about those that are not taken."""

import gzip
import os

import pytest

from jobs.data import load_dataset
from jobs.data.archives import unpacked
from jobs.imports import read_dataset
from jobs.uploads import dataset_paths, keep_files
from storage.problems import DataInvalid
from tests.broken_files import CSV, zip_of


def test_the_files_of_a_zip_are_the_dataset(services, write):
    path = write("data.zip", zip_of(**{"a/train.csv": CSV.encode(), "b/train.csv": CSV.encode(), "b/more.csv": CSV.encode()}))
    dataset = keep_files(services, [path])
    assert dataset.name == "data.zip"
    assert [file["name"] for file in dataset.files] == ["a_train.csv", "b_train.csv", "more.csv"]
    assert [path.read_text() for path in dataset_paths(services, dataset)] == [CSV] * 3
    assert read_dataset(services, dataset).rows == 60
    assert not list(services.settings.uploads_dir.glob(".*.part"))


def test_what_is_not_taken_from_a_zip_is_said(services, write):
    path = write("data.zip", zip_of(**{"train.csv": CSV.encode(), "test.csv": CSV.encode(), "photo.png": b"x", "README.md": b"x"}))
    notes = ["test.csv in the archive data.zip is not trained on.",
             "photo.png and README.md in the archive data.zip are not read as data."]
    assert load_dataset([path]).findings[:2] == notes
    dataset = keep_files(services, [path])
    assert dataset.origin["notes"] == notes
    assert read_dataset(services, dataset).findings[:2] == notes


def test_a_gzip_is_kept_as_what_it_holds(services, write):
    dataset = keep_files(services, [write("train.csv.gz", gzip.compress(CSV.encode())), write("more.csv", CSV)])
    assert [file["name"] for file in dataset.files] == ["train.csv", "more.csv"]
    assert read_dataset(services, dataset).rows == 40


def test_archives_in_a_folder_are_read_too(write, tmp_path):
    write("set/train.jsonl.gz", gzip.compress(b'{"question": "a", "answer": "b"}\n' * 3))
    write("set/test.jsonl.gz", gzip.compress(b'{"question": "a", "answer": "b"}\n' * 3))
    data = load_dataset([tmp_path / "set"])
    assert (data.rows, data.files) == (3, ["train.jsonl"])
    assert data.findings[0] == "test.jsonl.gz in the folder set is not trained on."


@pytest.mark.parametrize("content", [zip_of(**{"../x.csv": b"a"}), gzip.compress(CSV.encode())[:-9]])
def test_a_bad_archive_leaves_nothing_behind(services, write, content):
    with pytest.raises(DataInvalid, match="data.zip"):
        keep_files(services, [write("data.zip", content)])
    assert not os.listdir(services.settings.uploads_dir)


def test_only_archives_are_copied_while_they_are_read(write):
    plain, packed = write("a.csv", CSV), write("b.csv.gz", gzip.compress(CSV.encode()))
    with unpacked([plain, packed]) as found:
        first, second = found.files
        assert first == plain and second in found.made and second.read_text() == CSV
    assert not second.exists()
