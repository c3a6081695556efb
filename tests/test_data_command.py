"""`data` with kept data and with an export, as a person or a script types it."""

import json
import os
import subprocess
import sys

import pytest

from jobs.services import open_services
from jobs.uploads import keep_files
from tests.conftest import ROOT


@pytest.fixture
def studio(settings, tmp_path):
    def studio(*arguments, code: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run([sys.executable, str(ROOT / "app.py"), *map(str, arguments)], capture_output=True, text=True,
                              cwd=tmp_path, env={**os.environ, "STUDIO_HOME": str(settings.home), "COLUMNS": "200"}, timeout=120)
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done
    return studio


def test_files_and_kept_data_are_exported_as_the_name_says(studio, settings, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text('{"prompt": "=1", "completion": "a"}\n{"prompt": "p", \n{"prompt": "p", "completion": "b"}\n')
    found = json.loads(studio("data", "rows.jsonl", "--export", "rows.csv", "--json").stdout.splitlines()[-1])
    assert found == {"file": "rows.csv", "format": "csv", "rows": 2, "unreadable": 1, "bytes": 31}
    assert (tmp_path / "rows.csv").read_bytes() == b"prompt,completion\r\n'=1,a\r\np,b\r\n"
    kept = keep_files(open_services(settings), [source])
    done = studio("data", kept.id, "--export", tmp_path / "again.parquet")
    assert "2 rows are in" in done.stdout and "1 broken line could not be read and is not in it." in done.stdout
    assert json.loads(studio("data", kept.id, "--json").stdout.splitlines()[-1])["kept"] == 2
    assert "not as 'xlsx'" in studio("data", "rows.jsonl", "--export", "rows.xlsx", code=2).stderr
