"""Every file of a corpus of broken and odd ones is imported whole, or refused with a sentence; no row is ever lost in silence."""

import json
import queue
import random
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.broken_files import BrokenFile, broken_files, damaged, json_lines, pairs

SECONDS = 30
MOST_GROWTH = 500_000_000
ROOT = Path(__file__).parents[3]


class Importer:
    """A process that imports one file after another."""

    def __init__(self):
        self.process = None

    def ask(self, path: Path) -> dict:
        """What becomes of the file; a hang or an end of the process is an error."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        self.process.stdin.write(json.dumps(str(path)) + "\n")
        self.process.stdin.flush()
        try:
            return json.loads(self.answers.get(timeout=SECONDS) or '{"error": "the process ended"}')
        except queue.Empty:
            self.stop()
            return {"error": f"no answer after {SECONDS} seconds"}

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "tests.broken_files"], cwd=ROOT, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self.listen, args=(self.process, self.answers), daemon=True).start()

    @staticmethod
    def listen(process: subprocess.Popen, answers: queue.Queue) -> None:
        for line in process.stdout:
            answers.put(line)
        answers.put("")

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


def faults_of(file: BrokenFile, answer: dict) -> list[str]:
    """What is wrong with what became of a file."""
    shown = file.name.encode(errors="surrogateescape").decode(errors="replace")
    if "error" in answer:
        return [answer["error"]]
    faults = []
    if answer["grown"] > MOST_GROWTH:
        faults.append(f"{answer['grown'] / 1e6:.0f} MB more memory")
    if answer["opened_secret"]:
        faults.append("a file that a row names was opened")
    if "refused" in answer:
        sentence = answer["refused"]
        if not file.refused or file.refused not in sentence:
            faults.append(f"refused: {sentence}")
        stem = shown.split(".")[0].replace("-named", "")
        if not any(name in sentence for name in (shown, stem, "train.csv")):
            faults.append(f"the sentence does not name the file: {sentence}")
        if file.line and f"line {file.line:,}" not in sentence:
            faults.append(f"the sentence does not name line {file.line}: {sentence}")
        return faults
    if file.refused:
        faults.append(f"imported {answer['rows']} rows, and should be refused")
    if answer["rows"] != answer["kept"] + len(answer["left_out"]) or answer["kept"] != answer["examples"]:
        faults.append("rows are not those kept and those left out")
    if (answer["rows"], tuple(answer["left_out"])) != (file.rows, file.left_out):
        faults.append(f"{answer['rows']} rows of {file.rows}, left out {answer['left_out'][:9]} {answer['reasons']}")
    if file.first not in answer["first"]:
        faults.append(f"the first example is {answer['first'][:100]}")
    return faults


@pytest.fixture(scope="module")
def importer():
    importer = Importer()
    yield importer
    importer.stop()


def test_every_broken_file_is_imported_whole_or_refused_with_a_sentence(importer, tmp_path, capsys):
    files = broken_files()
    assert len({file.name for file in files}) == len(files) >= 60
    outcomes, faults, refused, with_line, silent, largest = [], {}, 0, 0, 0, 0
    for file in files:
        path = file.write(tmp_path)
        answer = importer.ask(path)
        path.unlink()
        if found := faults_of(file, answer):
            faults[file.name] = found
        refused += "refused" in answer
        with_line += bool(re.search(r"\b(line|row)s? \d", answer.get("refused", "")))
        silent += "rows" in answer and max(0, file.rows - answer["kept"] - len(answer["left_out"]))
        largest = max(largest, answer.get("grown", 0))
        outcomes.append(f"  {ascii(file.name)[1:-1]:48} " + (
            ascii(answer["refused"])[1:131] if "refused" in answer else answer.get("error") or
            f"imported, {answer['kept']:,} of {answer['rows']:,} rows"))
    with capsys.disabled():
        print("\n" + "\n".join(outcomes))
        print(f"files: {len(files)}, imported: {len(files) - refused}, refused: {refused} (with line: {with_line}), "
              f"silent losses: {silent}, most memory for one: {largest / 1e6:.0f} MB")
    assert not faults, "\n".join(f"{name}: {'; '.join(found)}" for name, found in faults.items())
    assert silent == 0


def test_a_large_file_takes_little_memory(importer, tmp_path):
    path = tmp_path / "large.jsonl"
    with path.open("w") as stream:
        for row in pairs(60_000):
            stream.write(json_lines([{**row, "question": row["question"] * 40}]))
    assert path.stat().st_size > 50_000_000
    answer = importer.ask(path)
    assert (answer["rows"], answer["kept"]) == (60_000, 60_000)
    assert answer["grown"] < 100_000_000


def test_no_damage_by_chance_loses_a_row_or_is_a_surprise(importer, tmp_path):
    chance = random.Random(20_261_121)
    files = [file for file in broken_files() if isinstance(file.content, bytes) and 0 < len(file.content) < 50_000]
    files += [file for file in broken_files() if file.name in ("good.parquet", "good.arrow", "stream.arrow")]
    for number in range(500):
        file = files[number % len(files)]
        path = file.write(tmp_path)
        path.write_bytes(damaged(path.read_bytes(), chance))
        answer = importer.ask(path)
        assert "error" not in answer, (file.name, number, answer)
        assert answer["grown"] < MOST_GROWTH and not answer["opened_secret"]
        if "rows" in answer:
            assert answer["rows"] == answer["kept"] + len(answer["left_out"]) and answer["kept"] == answer["examples"], file.name
        path.unlink()
