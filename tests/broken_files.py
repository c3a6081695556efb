"""Builds files that are broken or odd, each with what must become of it, and imports them for the test in tests/jobs/data.

`python -m tests.broken_files` takes a path on each line of its input and answers with a line of JSON.
"""

import gzip
import io
import json
import os
import random
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

SECRET = "server-secret.txt"  # a file of the server that rows name; nothing may ever open it
QA = ("question", "answer")


@dataclass(frozen=True)
class BrokenFile:
    """One file: `rows` went in and those at the lines `left_out` must be left out, or it is refused with these words.

    `line` is what a refusal must name, `first` what the first example must hold.
    """

    name: str
    content: bytes | Callable[[Path], bytes | None]  # a function gives it, or writes it itself
    rows: int = 0
    left_out: tuple[int, ...] = ()
    refused: str = ""
    line: int = 0
    first: str = ""

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        content = self.content(path) if callable(self.content) else self.content
        if content is not None:
            path.write_bytes(content)
        return path


def pairs(count: int, start: int = 0) -> list[dict]:
    return [{"question": f"What is {number} plus one?", "answer": f"It is {number + 1}."} for number in range(start, start + count)]


def csv_text(rows: Iterable[dict], separator: str = ",", end: str = "\n") -> str:
    return end.join([separator.join(QA), *(separator.join(row.values()) for row in rows), ""])


def json_lines(rows: Iterable) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def with_line(text: str, line: int, content: str) -> str:
    """The text with another line in the place of one, counted from 1."""
    lines = text.splitlines(keepends=True)
    lines[line - 1] = content + "\n"
    return "".join(lines)


CSV = csv_text(pairs(20))
JSONL = json_lines(pairs(20))
LIST = json.dumps(pairs(20), indent=1)
LONG = "x" * 10_000_000
SENTENCE = "EU\tB-ORG\nrejects\tO\nGerman\tB-MISC\ncall\tO\n\n"
LABELLED = {
    "cp1252": ["Où est passée la carte que j'ai commandée l'été dernier ?", "Ça ne marche pas, même après plusieurs essais."],
    "cp1250": ["Dlaczego moja karta płatnicza jeszcze nie dotarła?", "Źródło wody znajduje się za wzgórzem, obok dużej łąki."],
    "cp1251": ["Почему моя карта ещё не пришла?", "Сколько стоит перевод за границу?"],
    "cp1253": ["Γιατί δεν έχει φτάσει ακόμα η κάρτα μου;", "Πόσο κοστίζει μια μεταφορά στο εξωτερικό;"],
    "cp1254": ["Kartım neden hâlâ gelmedi?", "Hesabımın şifresini değiştirmek istiyorum."],
    "cp1255": ["מדוע הכרטיס שלי עדיין לא הגיע?", "כמה עולה העברה לחוץ לארץ?"],
    "cp1256": ["لماذا لم تصل بطاقتي حتى الآن؟", "كم تكلفة التحويل إلى الخارج؟"],
    "cp1257": ["Kāpēc mana karte vēl nav atnākusi?", "Bērni skrēja pāri pļavai uz upi."],
    "cp874": ["ทำไมบัตรของฉันยังไม่มาถึง", "ฉันต้องการเปลี่ยนรหัสผ่านของบัญชี"],
    "cp932": ["なぜ私のカードはまだ届いていないのですか。", "アカウントのパスワードを変更したいです。"],
    "gb18030": ["为什么我的卡还没有到?", "孩子们跑过草地来到河边。"],
    "cp949": ["제 카드가 왜 아직 도착하지 않았나요?", "계정의 비밀번호를 바꾸고 싶습니다."],
    "cp950": ["為什麼我的卡還沒有到?", "孩子們跑過草地來到河邊。"],
}


def labelled(texts: list[str], encoding: str) -> bytes:
    return ("text,label\n" + "".join(f"\"{texts[number % 2]}\",{'ab'[number % 2]}\n" for number in range(10))).encode(encoding)


def broken_files() -> list[BrokenFile]:
    """All of them."""
    return [*_encodings(), *_tables(), *_json_lines(), *_documents(), *_columnar(), *_tokens_and_texts(), *_archives(), *_others()]


PIECES = [b'"', b"\n", b"\r", b",", b"\0", b"\xff", b"{", b"}", b"[", b"]", b"\\",
          b"\\ud800", b"\t", b";", b"\xef\xbb\xbf", b"#", b"PK"]


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The same with some bytes changed, taken away, put in or repeated."""
    data = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at, more = chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)
        data[at:at + chance.choice((0, 0, 1, 1, 10, 100))] = chance.choice(
            (b"", chance.randbytes(1), chance.choice(PIECES), data[more:more + chance.choice((5, 50, 500))]))
        if chance.random() < 0.1:
            del data[at:]
    return bytes(data)


def _encodings() -> list[BrokenFile]:
    text = csv_text([{"question": "Was kostet ein Brötchen?", "answer": "Fünfzig Cent – „ungefähr“."}] * 12)
    mark = "\ufeff"
    stray = CSV.encode().replace(b"What is 5 plus", b"What is \xe95 plus")
    mixed = b"question,answer\n" + b"".join(
        f"Où est {number} ?,là\n".encode("cp1252" if number % 5 == 2 else "utf-8") for number in range(20))
    return [
        *(BrokenFile(f"{encoding}.csv", labelled(texts, encoding), 10, first=texts[0]) for encoding, texts in LABELLED.items()),
        BrokenFile("utf8-with-bom.csv", (mark + text).encode(), 12, first="Fünfzig"),
        BrokenFile("bom-inside.jsonl", (JSONL + mark + json_lines(pairs(5, 20))).encode(), 25),
        BrokenFile("bom-before-header-twice.csv", (mark + mark + CSV).encode(), 20),
        BrokenFile("utf16-le.csv", (mark + text).encode("utf-16-le"), 12, first="Fünfzig"),
        BrokenFile("utf16-be.jsonl", (mark + JSONL).encode("utf-16-be"), 20),
        BrokenFile("utf16-le-without-bom.csv", text.encode("utf-16-le"), 12, first="Fünfzig"),
        BrokenFile("utf16-be-without-bom.json", LIST.encode("utf-16-be"), 20),
        BrokenFile("utf16-le-without-bom-russian.csv", labelled(LABELLED["cp1251"], "utf-16-le"), 10, first="Почему"),
        BrokenFile("utf16-le-without-bom-chinese.csv", labelled(LABELLED["gb18030"], "utf-16-le"), 10, first="为什么"),
        BrokenFile("utf16-cut-in-a-letter.csv", (mark + text).encode("utf-16-le")[:-3], 12, (13,)),
        BrokenFile("utf32.csv", (mark + text).encode("utf-32-le"), 12, first="Fünfzig"),
        BrokenFile("stray-byte.csv", CSV.replace("20.", "zwölf").encode().replace(b"What is 5 plus", b"What is \xe95 plus"),
                   20, (7,)),
        BrokenFile("stray-byte-in-ascii.csv", stray, 20),
        BrokenFile("stray-byte.jsonl", JSONL.replace("What is 9", "Wäs is 9").encode().replace(b"What is 5", b"What \xff5"),
                   20, (6,)),
        BrokenFile("stray-byte.json", LIST.replace("What is 9", "Wäs is 9").encode().replace(b"What is 5", b"What \xff5"),
                   20, (6,)),
        BrokenFile("stray-byte.txt", "eins\nzwö\n".encode() + b"dr\xffei\n" + b"vier\n", 4, (3,)),
        BrokenFile("mixed-encodings.csv", mixed, 20, (4, 9, 14, 19)),
        BrokenFile("nul-bytes.csv", (csv_text(pairs(50)).replace("What is 7 plus", "What\0is 7 plus")).encode(), 50),
        BrokenFile("nul-bytes.jsonl", JSONL.encode().replace(b"What is 7 plus", b"What\0is 7 plus"), 20, (8,)),
        BrokenFile("nul-escapes.jsonl", JSONL.replace("What is 7 plus", "What\\u0000is 7 plus").encode(), 20),
        BrokenFile("nothing-but-nul.csv", bytes(5000), refused="a binary file"),
        BrokenFile("right-to-left.csv", csv_text([{"question": "\u202eשלום \u200fעולם\u202c", "answer": "مرحبا"}] * 9).encode(), 9,
                   first="שלום"),
        BrokenFile("emoji-and-combining-marks.jsonl", json_lines(
            [{"question": "👩🏽‍🚀🇺🇳 e\u0301\u0323",
                        "answer": "Z\u0351\u036b\u0343a\u0328lgo ﷽"}] * 9).encode(), 9, first="👩🏽‍🚀🇺🇳 e\u0301\u0323"),
        BrokenFile("unusual-line-separators.jsonl", JSONL.replace("plus one", "plus\u2028one\u0085").encode(), 20),
        BrokenFile("unusual-line-separators.csv", CSV.replace("plus one", "plus\u2028one\u0085\x0c").encode(), 20),
    ]


def _tables() -> list[BrokenFile]:
    wide = ",".join(f"feature {number}" for number in range(1998))
    too_wide = ",".join(f"c{number}" for number in range(20_000))
    swallowed = CSV + 'a,"open\n' + csv_text(pairs(20)).split("\n", 1)[1] + 'last,"\n' + "What?,That.\n"
    return [
        BrokenFile("empty.csv", b"", refused="is empty"),
        BrokenFile("white-space.csv", b" \n\t\n \r\n", refused="is empty"),
        BrokenFile("header-only.csv", b"question,answer\n", refused="no rows"),
        BrokenFile("semicolons.csv", csv_text(pairs(20), ";").replace("plus one", "plus one, please").encode(), 20),
        BrokenFile("tabs.csv", csv_text(pairs(20), "\t").encode(), 20),
        BrokenFile("vertical-bars.csv", csv_text(pairs(20), "|").encode(), 20),
        BrokenFile("separator-line.csv", ("sep=;\n" + csv_text(pairs(20), ";")).encode(), 20),
        BrokenFile("carriage-returns.csv", csv_text(pairs(20), end="\r").encode(), 20),
        BrokenFile("mixed-line-ends.csv", (csv_text(pairs(5), end="\r\n") + "a,b\rc,d\ne,f\r\n").encode(), 8),
        BrokenFile("blank-lines.csv", CSV.replace("\n", "\n\n \n".replace(" ", "")).encode(), 20),
        BrokenFile("no-end-of-line.csv", CSV.rstrip("\n").encode(), 20),
        BrokenFile("nested-quotes.csv", (CSV + '"He said ""She said """"no"""" to me"".","So it is, ""really""."\n').encode(), 21),
        BrokenFile("line-breaks-in-cells.csv", (CSV + '"One\ntwo\r\n\nthree",four\nfive,six\n').encode(), 22),
        BrokenFile("quote-not-closed.csv", with_line(CSV, 8, '"What is six,seven').encode(), 20, (8,)),
        BrokenFile("quote-not-closed-at-the-end.csv", (CSV + '"What?,That\n').encode(), 21, (22,)),
        BrokenFile("quote-not-doubled.csv", with_line(CSV, 8, '"What is "six" plus?",seven').encode(), 20, (8,)),
        BrokenFile("quote-that-swallows-rows.csv", swallowed.encode(), 43, (22, 43)),
        BrokenFile("ten-quotes-not-closed.csv", "".join(
            f'"{line}' if number % 7 == 3 else line for number, line in enumerate(csv_text(pairs(70)).splitlines(True))).encode(),
            70, tuple(range(4, 71, 7))),
        BrokenFile("ragged.csv", (CSV + "only one\na,b,c\na,b,,\n").encode(), 23, (22, 23)),
        BrokenFile("spaces-after-separators.csv", b'question, answer\n"Yes, or no?", "Yes, of course."\nWhat?, That.\n' * 1, 2,
                   first="Yes, of course."),
        BrokenFile("header-of-one-name.csv", b"text,text,label\n" + b"good,day,a\nbad,day,b\n" * 5, 10),
        BrokenFile("header-without-names.csv", b"question,answer,,\n" + b"What?,That.,,\nWho?,They.,,\n", 2),
        BrokenFile("header-again.csv", (CSV + CSV).encode(), 41),
        BrokenFile("two-thousand-columns.csv", (f"text,label,{wide}\n" + "".join(
            f"text {number},{'ab'[number % 2]},{','.join(['1'] * 1998)}\n" for number in range(300))).encode(), 300),
        BrokenFile("twenty-thousand-columns.csv", f"{too_wide}\n{too_wide}\n".encode(),
                   refused="more than 10,000 different columns"),
        BrokenFile("ten-megabytes-in-a-cell.csv", lambda _: f'question,answer\n"{LONG}",short\nWhat?,That.\n'.encode(), 2,
                   first="xxxxxxxx"),
        BrokenFile("fifty-megabytes-in-a-line.csv",
                   lambda _: f"question,answer\n{LONG * 5},short\nWhat?,That.\nWho?,They.\n".encode(),
                   3, (2,)),
        BrokenFile("fifty-megabytes-in-quotes.csv",
                   lambda _: ('question,answer\n"' + f"{LONG[:999_999]}\n" * 50 + '",short\n').encode(),
                   refused="a quotation mark that is never closed (lines 2 and 52)"),
        BrokenFile("a-million-separators.csv",
                   lambda _: b"question,answer\nWhat?,That.\nWho?,They.\n" + b"," * 5_000_000 + b"\n", 3, (4,)),
        BrokenFile("formulas.csv", (CSV + "=cmd|' /C calc'!A0,@SUM(1+1)\n").encode(), 21),
        BrokenFile("one-column-with-commas.csv", b"text\nhello, world\nwell, well, well\nno\n", 3),
        BrokenFile("quotes-in-tabs.tsv", (csv_text(pairs(20), "\t") + '"Well" he said\t5" pipe\n').encode(), 21),
        BrokenFile("data-in-the-first-line.csv", b"What?,That.\nWho?,They.\nWhen?,Now.\n", 2),
        BrokenFile("empty-cells.csv", (CSV + ",\n,answer\nquestion,\n").encode(), 23, (22, 23, 24)),
    ]


def _json_lines() -> list[BrokenFile]:
    many_keys = [{f"key {number} {name}": "x" for name in range(50)} for number in range(2000)]
    other_keys = json_lines([*pairs(3000), *({**row, f"extra {number}": 1} for number, row in enumerate(pairs(3000)))])
    return [
        BrokenFile("broken-line.jsonl", with_line(JSONL, 5, '{"question": "What?" "answer": "That."}').encode(), 20, (5,)),
        BrokenFile("cut-in-the-last-line.jsonl", JSONL.encode()[:-20], 20, (20,)),
        BrokenFile("lines-of-other-kinds.jsonl", (JSONL + '["a"]\n"b"\n7\nnull\ntrue\n').encode(), 25, (21, 22, 23, 24, 25)),
        BrokenFile("blank-lines.jsonl", JSONL.replace("\n", "\n \n\n").encode(), 20),
        BrokenFile("carriage-returns.jsonl", JSONL.replace("\n", "\r").encode(), 20),
        BrokenFile("commas-after-lines.jsonl", JSONL.replace("}\n", "},\n").encode(), refused="None of the 20 rows"),
        BrokenFile("nan-and-infinity.jsonl", (JSONL + '{"question": NaN, "answer": Infinity}\n').encode(), 21, (21,)),
        BrokenFile("huge-integers.jsonl", (JSONL + '{"question": %s, "answer": "many"}\n' % ("9" * 400)).encode(), 21),
        BrokenFile("integer-of-5000-digits.jsonl", (JSONL + '{"question": %s, "answer": "many"}\n' % ("9" * 5000)).encode(),
                   21, (21,)),
        BrokenFile("deep-nesting.jsonl", (JSONL + '{"question": ' + "[" * 100_000 + "\n").encode(), 21, (21,)),
        BrokenFile("deep-but-closed.jsonl",
                   (JSONL + '{"question": ' + "[" * 9000 + "]" * 9000 + ', "answer": "x"}\n').encode(), 21, (21,)),
        BrokenFile("lone-surrogates.jsonl", (JSONL + '{"question": "\\ud83d", "answer": "x"}\n').encode(), 21, (21,)),
        BrokenFile("lone-surrogate-in-a-name.jsonl", (JSONL + '{"question": "a", "answer": "b", "\\udc00": 1}\n').encode(),
                   21, (21,)),
        BrokenFile("escaped-emoji.jsonl", (JSONL + '{"question": "\\ud83d\\ude00", "answer": "\\u00e9"}\n').encode(), 21),
        BrokenFile("duplicate-keys.jsonl", (JSONL + '{"question": "a", "question": "b", "answer": "c"}\n').encode(), 21),
        BrokenFile("mixed-types.jsonl", (JSONL + '{"question": 5, "answer": 1.5}\n{"question": {"a": 1}, "answer": ["x", 2]}\n'
                                         '{"question": true, "answer": null}\n').encode(), 23, (22, 23)),
        BrokenFile("ten-megabytes-in-a-line.jsonl",
                   lambda _: (json_lines([{"question": LONG, "answer": "x"}]) + JSONL).encode(), 21),
        BrokenFile("fifty-megabytes-in-a-line.jsonl",
                   lambda _: (JSONL + '{"question": "' + LONG * 5 + '", "answer": "x"}\n').encode(),
                   21, (21,)),
        BrokenFile("millions-of-lists-in-a-line.jsonl",
                   lambda _: (JSONL + '{"question": [' + "[]," * 6_000_000 + "[]]}\n").encode(),
                   21, (21,)),
        BrokenFile("other-names-in-every-row.jsonl", json_lines(many_keys).encode(), refused="more than 10,000 different columns"),
        BrokenFile("a-new-column-in-every-row.jsonl", other_keys.encode(), 6000),
        BrokenFile("an-unknown-role.jsonl", (json_lines(
            [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}] * 5)
            + '{"messages": [{"role": "%s", "content": "c"}]}\n' % ("wizard " * 1000)).encode(), 6, (6,)),
        BrokenFile("image-path.jsonl", json_lines(
            [{"image": {"path": SECRET}, "image_path": f"file://{SECRET}", **row} for row in pairs(20)]).encode(), 20),
        BrokenFile("single-quotes.jsonl", b"{'question': 'a', 'answer': 'b'}\n" * 3, refused="None of the 3 rows"),
        BrokenFile("text-named-jsonl.jsonl", b"Hello there, this is a letter.\n", refused="None of the 1 rows", line=1),
    ]


def _documents() -> list[BrokenFile]:
    broken = LIST.replace('"It is 6."\n', '"It is 6"."\n', 1)
    return [
        BrokenFile("truncated.json", LIST.encode()[:-40], refused="breaks off here", line=79),
        BrokenFile("missing-comma.json", LIST.replace(" },\n {", " }\n {", 1).encode(), refused="not valid JSON", line=6),
        BrokenFile("trailing-comma.json", LIST.replace("\n]", ",\n]").encode(), refused="not valid JSON", line=82),
        BrokenFile("quote-inside.json", broken.encode(), refused="not valid JSON", line=24),
        BrokenFile("text-after-the-end.json", (LIST + "\nthe end").encode(), refused="more text after", line=83),
        BrokenFile("comments.json", ("// rows\n" + LIST).encode(), refused="not valid JSON", line=1),
        BrokenFile("python-notation.json", str(pairs(3)).encode(), refused="not valid JSON", line=1),
        BrokenFile("a-million-numbers.json", lambda _: json.dumps(list(range(1_000_000))).encode(),
                   refused="a number where an object"),
        BrokenFile("a-number.json", b"42", refused="a number without a list of rows"),
        BrokenFile("empty-list.json", b"[ ]", refused="empty list"),
        BrokenFile("empty-object.json", b"{}", refused="without a list of rows"),
        BrokenFile("texts-among-objects.json", json.dumps([*pairs(10), "a text", None, 3]).encode(), 13, (11, 12, 13)),
        BrokenFile("rows-in-an-object.json", json.dumps({"version": 1, "data": pairs(20), "note": "x"}).encode(), 20),
        BrokenFile("several-lists.json", json.dumps({"train": pairs(5), "test": pairs(5)}).encode(), refused="several lists"),
        BrokenFile("lists-of-columns.json", json.dumps({"question": ["a", "b"], "answer": ["c", "d"]}).encode(),
                   refused="without a list of rows"),
        BrokenFile("columns-by-number.json", json.dumps({name: {"0": "a", "1": "b"} for name in QA}).encode(),
                   refused="holds columns"),
        BrokenFile("objects-one-after-another.json", "".join(json.dumps(row, indent=1) + "\n" for row in pairs(20)).encode(), 20),
        BrokenFile("deep-nesting.json", b"[" * 200_000, refused="nested too deeply"),
        BrokenFile("lone-surrogate.json", LIST.replace("What is 7", "What \\ud800 7").encode(), 20, (8,)),
        BrokenFile("twenty-megabytes-in-one-line.json", lambda _: json.dumps(pairs(200_000)).encode(), 200_000),
        BrokenFile("a-document-that-never-ends.json", lambda _: b'[{"question": "' + LONG.encode() * 5,
                   refused="more than 40,000,000", line=1),
    ]


def _parquet(change: Callable[[bytes], bytes] = lambda data: data, columns: dict | None = None, **options):
    def write(path: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        rows = pairs(2000)
        table = pyarrow.table(columns if columns is not None else {name: [row[name] for row in rows] for name in QA})
        parquet.write_table(table, path, **options)
        path.write_bytes(change(path.read_bytes()))
    return write


def _arrow(kind: str, change: Callable[[bytes], bytes] = lambda data: data):
    def write(path: Path) -> None:
        import pyarrow

        rows = pairs(2000)
        table = pyarrow.table({name: [row[name] for row in rows] for name in QA})
        sink = io.BytesIO()
        with (pyarrow.ipc.new_file if kind == "file" else pyarrow.ipc.new_stream)(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=100)
        path.write_bytes(change(sink.getvalue()))
    return write


def _columnar() -> list[BrokenFile]:
    def same_names(path: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        texts = pyarrow.array(["one", "two"] * 10)
        parquet.write_table(pyarrow.Table.from_arrays([texts, texts, texts], names=["text", "text", "label"]), path)

    def bad_text(path: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        raw = pyarrow.array([b"good", b"b\xffd", b"fine"] * 5, pyarrow.binary())
        texts = pyarrow.StringArray.from_buffers(15, *raw.buffers()[1:])
        parquet.write_table(pyarrow.table({"question": texts, "answer": ["x"] * 15}), path)

    def odd_times(path: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        times = pyarrow.array([2**62, 1, None] * 5, pyarrow.timestamp("ns"))
        parquet.write_table(pyarrow.table({"question": ["a"] * 15, "answer": ["b"] * 15, "when": times}), path)

    def many_rows(path: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        nothing = pyarrow.nulls(20_000_000, pyarrow.string())
        parquet.write_table(pyarrow.table({"question": nothing, "answer": nothing}), path)

    def page_damaged(data: bytes) -> bytes:
        return data[:1000] + bytes(byte ^ 0x5A for byte in data[1000:3000]) + data[3000:]

    cut = "damaged or cut short"
    return [
        BrokenFile("good.parquet", _parquet(), 2000),
        BrokenFile("truncated.parquet", _parquet(lambda data: data[:-200]), refused=cut),
        BrokenFile("first-half.parquet", _parquet(lambda data: data[: len(data) // 2]), refused=cut),
        BrokenFile("damaged-page.parquet", _parquet(page_damaged), refused=cut),
        BrokenFile("only-the-mark.parquet", b"PAR1", refused=cut),
        BrokenFile("without-rows.parquet", _parquet(columns={"question": [], "answer": []}), refused="no rows"),
        BrokenFile("text-named.parquet", CSV.encode(), refused="does not begin with PAR1"),
        BrokenFile("columns-of-one-name.parquet", same_names, 20),
        BrokenFile("text-that-is-not-utf8.parquet", bad_text, 15, (2, 5, 8, 11, 14)),
        BrokenFile("times-of-a-nanosecond.parquet", odd_times, 15),
        BrokenFile("twenty-million-empty-rows.parquet", many_rows, refused="far more than fit in it"),
        BrokenFile("good.arrow", _arrow("file"), 2000),
        BrokenFile("stream.arrow", _arrow("stream"), 2000),
        BrokenFile("truncated.arrow", _arrow("file", lambda data: data[:-100]), refused=cut),
        BrokenFile("truncated-stream.arrow", _arrow("stream", lambda data: data[: len(data) // 2 + 7]), refused=cut),
        BrokenFile("parquet-named.arrow", _parquet(), 2000),
    ]


def _tokens_and_texts() -> list[BrokenFile]:
    hash_tokens = "#NLProc\tO\nrocks\tO\n\n# a comment\n#\tO\n1\tO\n\n"
    forms = "# sent_id = 1\n1\tDogs\tdog\tNOUN\tN\t_\t2\tnsubj\t_\t_\n"
    forms += "2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_\n2\tdo\tdo\tAUX\tV\t_\t0\troot\t_\t_\n\n"
    return [
        BrokenFile("good.conll", (SENTENCE * 20).encode(), 20),
        BrokenFile("ragged.conll", (SENTENCE * 10 + "one\tO\ntwo\n\n" + SENTENCE * 10 + "one\tO\ttoo many\n").encode(), 22,
                   (51, 104)),
        BrokenFile("no-tag.conll", (SENTENCE * 10 + "one\t\ntwo\tO\n\n").encode(), 11, (51,)),
        BrokenFile("documents-and-windows-ends.conll",
                   ("-DOCSTART- -X- -X- O\r\n\r\n" + "EU NNP B-NP B-ORG\r\nrejects VBZ B-VP O\r\n\r\n" * 20).encode(), 20),
        BrokenFile("hash-tokens.conll", (hash_tokens * 10).encode(), 20),
        BrokenFile("universal-dependencies.conllu", (forms * 20).encode(), 20),
        BrokenFile("tags-in-a-text-file.txt", (SENTENCE * 20).encode(), 20),
        BrokenFile("without-sentence-ends.conll", lambda _: ("word\tO\n" * 150_000 + "\n" + SENTENCE * 3).encode(), 4, (1,)),
        BrokenFile("stray-byte.conll", (SENTENCE * 4).encode() + b"caf\xe9\tO\n\n" + (SENTENCE * 4 + "é\tO\n").encode(), 10, (21,)),
        BrokenFile("paragraphs.txt", b"one\ntwo\n\n\nthree\n\n" * 10, 20),
        BrokenFile("fifty-megabytes-in-a-line.txt", lambda _: b"one line\n" + LONG.encode() * 5 + b"\nthe last line\n", 3, (2,)),
        BrokenFile("fifty-megabytes-in-a-paragraph.txt",
lambda _:                    b"one\n\ntwo\n\n" + b"the same line again\n" * 2_600_000 + b"\nend\n", 4, (5,)),
        BrokenFile("white-space.txt", b"\n\n   \n", refused="is empty"),
        BrokenFile("invisible.txt", "\u200b\u200b\nseen\nagain\n".encode(), 3),
    ]


def zip_of(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _zip_entry(name: str, content: bytes, mode: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        archive.writestr(entry, content)
        archive.writestr("train.csv", CSV)
    return buffer.getvalue()


def _encrypted() -> bytes:
    data = bytearray(zip_of(**{"train.csv": CSV.encode()}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def _says_smaller() -> bytes:
    """A zip whose list says that the file in it has ten bytes."""
    data = bytearray(zip_of(**{"train.csv": CSV.encode()}))
    at = data.index(b"PK\x01\x02") + 24
    data[at:at + 4] = (10).to_bytes(4, "little")
    return bytes(data)


def _archives() -> list[BrokenFile]:
    packed = gzip.compress(JSONL.encode() * 500, mtime=0)
    many = {f"{number}.csv": b"x" for number in range(10_001)}
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo("train.csv")
        entry.size = len(CSV)
        archive.addfile(entry, io.BytesIO(CSV.encode()))
    good = zip_of(**{"train.csv": CSV.encode()})
    bomb = b"question,answer\n" + b"aaaaaaa,bbbbbbb\n" * 2_000_000
    return [
        BrokenFile("good.csv.gz", gzip.compress(CSV.encode(), mtime=0), 20),
        BrokenFile("two-members.jsonl.gz", gzip.compress(JSONL.encode(), mtime=0) * 2, 40),
        BrokenFile("truncated.jsonl.gz", packed[: len(packed) // 2], refused="breaks off in the middle"),
        BrokenFile("damaged.jsonl.gz", packed[:-8] + b"\0" * 8, refused="is damaged"),
        BrokenFile("rubbish-behind.jsonl.gz", packed + b"rubbish", refused="is damaged"),
        BrokenFile("bomb.csv.gz", lambda _: gzip.compress(bomb, mtime=0), refused="100 times its own size"),
        BrokenFile("not-packed.csv.gz", CSV.encode(), 20),
        BrokenFile("picture.csv.gz", gzip.compress(b"\x89PNG\r\n\x1a\n" + bytes(99), mtime=0), refused="a PNG image"),
        BrokenFile("packed-twice.csv.gz", gzip.compress(gzip.compress(CSV.encode())), refused="a gzip archive"),
        BrokenFile("tar.tgz", gzip.compress(tar.getvalue()), refused="a tar archive"),
        BrokenFile("good.zip", good, 20),
        BrokenFile("with-a-test-file.zip",
                   zip_of(**{"a/train.csv": CSV.encode(), "a/test.csv": CSV.encode(), "a/x.png": b"x"}), 20),
        BrokenFile("two-of-one-name.zip", zip_of(**{"a/x.csv": CSV.encode(), "b/x.csv": CSV.encode()}), 40),
        BrokenFile("hidden-files.zip", zip_of(**{"x.csv": CSV.encode(), "__MACOSX/._x.csv": b"\0\5\x16", ".DS_Store": b"\0"}), 20),
        BrokenFile("bomb.zip", lambda _: zip_of(**{"train.csv": bomb}), refused="100 times its own size"),
        BrokenFile("says-that-it-is-smaller.zip", _says_smaller(), refused="is damaged"),
        BrokenFile("out-of-the-folder.zip", _zip_entry("../../evil.csv", CSV.encode(), 0o644), refused="points out of the archive"),
        BrokenFile("out-of-the-folder-as-in-windows.zip", zip_of(**{"..\\evil.csv": CSV.encode()}),
                   refused="points out of the archive"),
        BrokenFile("absolute-name.zip", _zip_entry("/tmp/evil.csv", CSV.encode(), 0o644), refused="points out of the archive"),
        BrokenFile("link.zip", _zip_entry("link.csv", b"/etc/passwd", stat.S_IFLNK | 0o777), refused="a link or a device"),
        BrokenFile("device.zip", _zip_entry("zero.csv", b"", stat.S_IFCHR | 0o644), refused="a link or a device"),
        BrokenFile("encrypted.zip", _encrypted(), refused="is encrypted"),
        BrokenFile("archive-in-it.zip", zip_of(**{"inner.zip": good}), refused="an archive itself"),
        BrokenFile("ten-thousand-and-one-files.zip", zip_of(**many), refused="10,001 files"),
        BrokenFile("without-data.zip", zip_of(**{"a.png": b"x", "README.md": b"x"}), refused="holds no data file"),
        BrokenFile("empty.zip", zip_of(), refused="holds no data file"),
        BrokenFile("cut.zip", good[:-40], refused="is damaged"),
        BrokenFile("damaged.zip", good.replace(good[60:80], bytes(20)), refused="is damaged"),
    ]


def _others() -> list[BrokenFile]:
    noise = random.Random(7).randbytes(50_000)
    sheet = zip_of(**{"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>", "xl/worksheets/sheet1.xml": b"<x/>"})
    return [
        BrokenFile("workbook.xlsx", sheet, refused="an Excel workbook"),
        BrokenFile("workbook-named.csv", sheet, refused="an Excel workbook"),
        BrokenFile("web-page.csv", b"\n<!DOCTYPE html>\n<html><body>Not found</body></html>", refused="a web page"),
        BrokenFile("feed.csv", b'<?xml version="1.0"?><rows><row/></rows>', refused="an XML file"),
        BrokenFile("picture.jsonl", b"\x89PNG\r\n\x1a\n" + bytes(100), refused="a PNG image"),
        BrokenFile("document.txt", b"%PDF-1.7\n" + noise, refused="a PDF document"),
        BrokenFile("database.csv", b"SQLite format 3\x00" + bytes(100), refused="an SQLite database"),
        BrokenFile("pickle.json", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94.",
                   refused="a binary file"),
        BrokenFile("noise.csv", noise, refused="a binary file"),
        BrokenFile("noise-without-nul.csv", noise.replace(b"\0", b""), refused="a binary file"),
        BrokenFile("unknown.xyz", CSV.encode(), refused="a '.xyz' file"),
        BrokenFile(os.fsdecode(b"na\xefve name.csv"), CSV.encode(), 20),
    ]


def memory(name: str) -> int:
    """VmRSS (now) or VmHWM (the most since the last reset) of this process, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


def import_one(path: Path) -> dict:
    """What becomes of a file: the same way that `python app.py data` takes."""
    from jobs.data import load_dataset, summary
    from storage.problems import DataInvalid

    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    try:
        data = load_dataset([path])
        found = summary(data)
        answer = {"rows": found["rows"], "kept": found["kept"], "left_out": [row["line"] for row in found["left_out"]],
                  "reasons": [row["reason"] for row in found["left_out"]][:3], "findings": found["findings"],
                  "examples": len(data.examples), "first": json.dumps(data.examples[0], ensure_ascii=False)[:2000]}
    except DataInvalid as problem:
        answer = {"refused": str(problem)}
    except Exception as error:  # the test fails with it
        answer = {"error": f"{type(error).__name__}: {error}"[:2000]}
    return answer | {"grown": memory("VmHWM") - before}


def serve() -> None:
    opened: list[str] = []
    import pyarrow.parquet  # noqa: F401  its own memory is not the file's

    import jobs.data.loading  # noqa: F401

    sys.addaudithook(lambda event, values: opened.append(str(values[0])) if event == "open" else None)
    for line in sys.stdin:
        opened.clear()
        answer = import_one(Path(json.loads(line)))
        print(json.dumps(answer | {"opened_secret": any(SECRET in name for name in opened)}), flush=True)


if __name__ == "__main__":
    serve()
