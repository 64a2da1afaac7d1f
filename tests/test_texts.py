"""The text half of ftcourse.data: any table becomes rows, nothing is left out in silence, batches of like length."""

import csv
import io
import json
import unicodedata
from collections import Counter

import pyarrow
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from ftcourse import data as D
from ftcourse.assets import InputError, assets

PARTS = ["train", "valid", "test"]


def write(path, rows, columns=("text", "label"), encoding="utf-8", **options):
    """A CSV file as Python's csv module writes it."""
    out = io.StringIO()
    csv.writer(out, **options).writerows([columns, *rows])
    path.write_bytes(out.getvalue().encode(encoding))
    return path


def some(n=60, start=0): return [(f"review number {i}", "good" if i % 2 else "bad") for i in range(start, start + n)]


def read(path, text=None, label=None, skip_bad=False): return D._read_table(path, (text, label), skip_bad)[0]


def splits(task): return [getattr(task, part) for part in PARTS]


def pairs(task):
    return sorted((text, task.classes[y]) for s in splits(task)
                  for text, y in zip(s.inputs, s.labels.tolist(), strict=True))


def refuses(path, *words, **options):
    with pytest.raises(InputError) as error: D.load_task(path, **options)
    message = str(error.value)
    assert "\n" not in message and all(word in message for word in words), message


# Named sets


def test_reviews():
    task = D.load_task("reviews")
    assert [len(s) for s in splits(task)] == [6142, 682, 1706] and task.classes == ["negative", "positive"]
    assert [s.counts() for s in splits(task)] == [[3071] * 2, [341] * 2, [853] * 2] and task.notes == []
    assert task.source == {"name": "reviews", "source": "bundled with ftcourse", "sha256": assets()["reviews"].sha256}
    texts = [text for s in splits(task) for text in s.inputs]
    assert len({D._digest(text) for text in texts}) == 8530
    assert D.load_task("reviews", seed=1).test.names != task.test.names == D.load_task("reviews").test.names


def test_reviews_against_the_csv_module():
    from ftcourse.assets import fetch

    with open(fetch("reviews"), encoding="utf-8", newline="") as file: rows = list(csv.reader(file))
    task = D.load_task("reviews")
    assert pairs(task) == sorted(map(tuple, rows[1:]))
    for name, text in zip(task.valid.names, task.valid.inputs, strict=True):  # no text holds a line break here
        assert rows[int(name.split(":")[1]) - 1][0] == text


# Tables that are in order

NICE = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff", exclude_categories=["Cs", "Cc", "Cf"]),
               min_size=1).filter(str.strip)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NICE | st.sampled_from(['a "b" c', "a, b", "two\nlines", "a\r\nb", '"', '""', "x,bad\ny"]),
                          st.sampled_from(["good", "bad", 'so, "so"'])), min_size=1, max_size=12),
       st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(["\n", "\r\n"]))
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows, mark, ending):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    write(path, rows, delimiter=mark, lineterminator=ending, quoting=csv.QUOTE_ALL)
    got = read(path)
    assert list(zip(got.texts, got.labels, strict=True)) == rows and not got.left_out and not got.mended


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".ndjson", ".parquet"])
def test_every_format_gives_the_same_task(tmp_path, suffix):
    rows, path = some(), tmp_path / f"a{suffix}"
    items = [{"text": text, "label": label} for text, label in rows]
    if suffix == ".parquet": parquet.write_table(pyarrow.Table.from_pylist(items), path)
    elif suffix == ".json": path.write_text(json.dumps(items))
    elif suffix[1] in "jn": path.write_text("".join(json.dumps(item) + "\n" for item in items))
    else: write(path, rows, delimiter="\t" if suffix == ".tsv" else ",")
    task = D.load_task(path)
    assert pairs(task) == sorted(rows) and [len(s) for s in splits(task)] == [44, 4, 12] and not task.notes
    assert task.name == "a" and task.source["source"] == f"file {path}" and len(task.source["sha256"]) == 64
    assert len({name for s in splits(task) for name in s.names}) == 60
    assert task.train.names[0].startswith(f"a{suffix}:")


def test_names_are_lines_of_the_file(tmp_path):
    path = write(tmp_path / "a.csv", [("one\ntwo\nthree", "x"), ("four", "y"), ("five", "x")])
    assert read(path).lines == [2, 5, 6]


@pytest.mark.parametrize("ending", ["\r", "\r\n", "\n"])
def test_line_endings(tmp_path, ending):
    (tmp_path / "a.csv").write_bytes(ending.join(["text,label", "a,x", "", "b,y"]).encode())
    assert read(tmp_path / "a.csv").texts == ["a", "b"] and not read(tmp_path / "a.csv").told()


def test_labels_of_other_types(tmp_path):
    values = [1, 1.0, True, "1", None, float("nan"), [1], 2.5, " yes "]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": "t", "label": v}) + "\n" for v in values))
    rows = read(tmp_path / "a.jsonl")
    assert rows.labels == ["1", "1", "true", "1", "2.5", "yes"] and rows.left_out == {"label is missing": [5, 6, 7]}


def test_classes_are_in_natural_order(tmp_path):
    path = write(tmp_path / "a.csv", [(f"{k} {i}", str(k)) for k in (10, 9, 1) for i in range(5)])
    assert D.load_task(path).classes == ["1", "9", "10"]


# Encodings

FRENCH = "Ce film est très réussi, l'héroïne est formidable à chaque scène ; où est la suite ? Un chef-d’œuvre. "
CHINESE = "这部电影非常好看，演员的表演也很出色，剧情紧凑，值得再看一遍。"
JAPANESE = "この映画はとても面白かったです。もう一度見たいと思います。退屈で途中で寝てしまいました。"
RUSSIAN = "Отличный фильм, очень понравилась игра актёров, скучно не было ни минуты. "


@pytest.mark.parametrize("sentence, encoding", [
    (FRENCH, "utf-8"), (FRENCH, "utf-8-sig"), (FRENCH, "utf-16"), (FRENCH, "utf-32"), (FRENCH, "cp1252"),
    (FRENCH.replace("’", "'").replace("œ", "oe"), "latin-1"), (CHINESE, "gb18030"), (CHINESE, "utf-16"),
    (JAPANESE, "shift-jis"), (JAPANESE, "euc-jp"), (RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"),
    ("plain words ", "utf-16-le"), ("plain words ", "utf-16-be"), (FRENCH, "utf-16-le")])
def test_encodings(tmp_path, sentence, encoding):
    rows = [(f"{sentence}{i}", "oui" if i % 2 else "non") for i in range(40)]
    got = read(write(tmp_path / "a.csv", rows, encoding=encoding))
    assert got.texts == [text for text, _ in rows]
    guessed = encoding not in ("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be")
    assert bool(got.notes) == guessed and (not guessed or "looks like" in got.notes[0])


SPANISH = "Una película excelente, ¿los actores? están muy bien. No la recomiendo a ningún niño. "
GERMAN = "Ein großartiger Film mit überzeugenden Schauspielern, „sehr“ schön gefilmt. "
PORTUGUESE = "Um filme muito bom, atuações ótimas. Não gostei, é chato e longo; a direção não ajuda. "
CZECH = "Velmi dobrý film, herci byli skvělí a příběh mě dojal. Nuda, už nikdy víc, škoda peněz. "
POLISH = "Świetny film, gra aktorów była znakomita. Nudny i zbyt długi, żałuję wydanych pieniędzy. "
TURKISH = "Çok güzel bir film, oyuncular harikaydı. Sıkıcı ve uzun, beğenmedim, şaşırtıcı değil. "


@pytest.mark.parametrize("n", [1, 20])
@pytest.mark.parametrize("sentence, encoding", [
    (FRENCH, "cp1252"), (SPANISH, "cp1252"), (GERMAN, "cp1252"), (PORTUGUESE, "latin-1"), (CZECH, "cp1250"),
    (POLISH, "cp1250"), (TURKISH, "cp1254"), (FRENCH, "mac_roman"), (SPANISH.replace("¿", ""), "cp850")])
def test_latin_scripts_even_from_one_line(tmp_path, sentence, encoding, n):
    got = read(write(tmp_path / "a.csv", [(sentence, "x")] * n + [("plain", "y")] * 3, encoding=encoding))
    assert got.texts[0] == sentence and "looks like" in got.notes[0]


@pytest.mark.parametrize("n", [1, 3])
def test_a_few_western_letters_are_enough(tmp_path, n):
    got = read(write(tmp_path / "a.csv", [("Trés bon film", "pos")] * n + [("bad", "neg")] * 5, encoding="latin-1"))
    assert got.texts[0] == "Trés bon film" and "cp1252" in got.notes[0]


def test_broken_utf8_is_replaced_and_counted(tmp_path):
    content = ("text,label\n" + "".join(f"{FRENCH!r}{i}".replace(",", "") + ",x\n" for i in range(20))).encode()
    (tmp_path / "a.csv").write_bytes(content.replace("à".encode(), b"\xc3", 2))
    got = read(tmp_path / "a.csv")
    assert len(got.texts) == 20 and "2 bytes" in got.notes[0] and "très" in got.texts[0] and "\ufffd" in got.texts[0]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]),
       st.sampled_from([b"", b"text,label\n", b'text\tlabel\n"', b'{"text": "a", "label": 1}\n']))
def test_any_bytes_give_rows_or_one_line(tmp_path_factory, content, suffix, start):
    path = tmp_path_factory.mktemp("any") / f"a{suffix}"
    path.write_bytes(start + content)
    try: rows = read(path)
    except InputError as error: assert "\n" not in str(error)
    else: assert len(rows.texts) == len(rows.labels) == len(rows.lines) > 0 and all(map(str.strip, rows.labels))


# Columns


@pytest.mark.parametrize("columns, want", [
    (["text", "label"], (0, 1)), (["LABEL", "Text "], (1, 0)), (["id", "review", "sentiment"], (1, 2)),
    (["sentence", "idx", "label"], (0, 2)), (["text", "comment", "class"], (0, 2)),
    (["label", "target", "content"], (2, 0)),
    (["utterance", "who"], (0, 1)), (["words", "category"], (0, 1))])
def test_columns_are_found(columns, want): assert D._choose(columns, (None, None), "f") == want


@pytest.mark.parametrize("columns, words", [
    (["review", "comment", "label"], ["which column of f is the text", "'review', 'comment', 'label'", "--text"]),
    (["text", "stars", "sentiment"], ["which column of f is the label", "--label"]),
    (["a", "b", "c"], ["is the text", "'a', 'b', 'c'"]), (["a", "b"], ["is the text"]),
    (["text"], ["one column, 'text'"]), (["text", "text", "label"], ["is the text"])])
def test_in_doubt_a_question(columns, words):
    with pytest.raises(InputError) as error: D._choose(columns, (None, None), "f")
    assert all(word in str(error.value) for word in words), error.value


def test_named_columns(tmp_path):
    path = write(tmp_path / "a.csv", [(a, a + "!", b, b) for a, b in some()], ["review", "comment", "stars", "Stufe"])
    task = D.load_task(path, text="comment", label="stufe")
    assert all(text.endswith("!") for text in task.train.inputs)
    assert "'comment'" in task.notes[0] and "'Stufe'" in task.notes[0]
    refuses(path, "no column 'reviw'", "did you mean 'review'", "'Stufe'", text="reviw")
    refuses(path, "must differ", text="stars", label="stars")


# What is wrong with real tables


def test_bad_rows_are_left_out_counted_and_named(tmp_path, capsys):
    lines = [f"{text},{label}" for text, label in some()]
    spoil = {2: ",good", 5: "   ,good", 7: "\u200b\u3000,bad", 9: "no label,", 11: "lonely", 13: "one, two, three,bad",
             15: 'nu\0l,good', 17: ',,,'}
    for at, line in spoil.items(): lines[at - 2] = line  # line 1 is the header
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *lines]))
    task = D.load_task(tmp_path / "a.csv")
    notes = "\n".join(task.notes)
    assert "4 rows left out, text is empty (a.csv:2, a.csv:5, a.csv:7 and 1 more)" in notes
    assert "1 row left out, label is missing (a.csv:9)" in notes
    assert "1 row left out, 1 fields instead of 2 (a.csv:11)" in notes
    assert "1 row left out, 4 fields instead of 2 (a.csv:13)" in notes
    assert "1 row with NUL bytes removed (a.csv:15)" in notes and ("nul", "good") in pairs(task)
    assert len(pairs(task)) == 60 - 7
    assert all(f"a: {note}" in capsys.readouterr().err for note in task.notes[:1])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["fine", "so, so", 'the "best" one', "well"]),
                          st.sampled_from(["good", "bad"]), st.booleans()), min_size=4, max_size=25), st.booleans())
def test_a_stray_quote_never_swallows_other_rows(tmp_path_factory, rows, label_first):
    """Rows of any kind, some with an opening quote that nobody closes: every other row is there, on its own line."""
    lines, want = [], []
    for text, label, stray in rows:
        cell = '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text
        if stray: cell = '"' + text.replace(",", "")
        lines.append(f"{label},{cell}" if label_first else f"{cell},{label}")
        want.append((cell if stray else text, label))
    known = ["good,fine", "bad,fine"] if label_first else ["fine,good", "fine,bad"]  # labels of rows without a quote
    path = tmp_path_factory.mktemp("stray") / "a.csv"
    path.write_text("\n".join(["label,text" if label_first else "text,label", *known, *lines]) + "\n")
    got = read(path, skip_bad=True)
    found = dict(zip(got.lines, zip(got.texts, got.labels, strict=True), strict=True))
    assert [found[i] for i in range(4, 4 + len(rows))] == want
    assert sum(map(len, got.mended.values())) >= sum(stray for *_, stray in rows)


def test_quotes_inside_a_quoted_cell(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\n"He said "hi" to me, and left",pos\nplain,neg\n"a ""fine"" one",pos\n')
    got = read(tmp_path / "a.csv")
    assert got.texts == ['He said "hi" to me, and left', "plain", 'a "fine" one']
    assert got.mended == {"a stray quote read as a letter": [2]}


def test_many_stray_quotes_do_not_take_for_ever(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabel\n" + "".join(f'"word {i}\t{i % 2}\n' for i in range(3000)))
    assert len(read(tmp_path / "a.tsv").texts) == 3000


def test_a_text_of_a_million_characters(tmp_path):
    before = csv.field_size_limit()
    path = write(tmp_path / "a.csv", [*some(), ("long " * 200_000, "good")])
    task = D.load_task(path)
    assert "1 row with text cut after 100,000 characters (a.csv:62)" in task.notes
    assert max(len(text) for text, _ in pairs(task)) == 100_000 and csv.field_size_limit() == before


@pytest.mark.parametrize("name, content, words", [
    ("a.csv", b"", ["is empty"]), ("a.csv", b" \n\n", ["is empty"]), ("a.jsonl", b"\xef\xbb\xbf", ["is empty"]),
    ("a.parquet", b"", ["is empty"]), ("a.parquet", b"no parquet", ["cannot be read as Parquet"]),
    ("a.csv", b"text,label\n", ["no rows"]), ("a.csv", b"text,label\n,\n,\n", ["2 of the 2 rows", "text is empty"]),
    ("a.csv", b"text,label\na,x\nb,\nc,\n", ["2 of the 3 rows", "label is missing", "--skip-bad"]),
    ("a.csv", b"text,label\n" + b"a,x\nb,x\n", ["one class, 'x'", "two or more", "--label"]),
    ("a.csv", b"hello world", ["one column, 'hello world'"]),
    ("a.csv", b"great,5\nbad,1\n", ["is the text", "first line"]),
    ("a.csv", b"PK\x03\x04....", ["workbook"]), ("a.jsonl", b"hello\nworld\n", ["no JSON objects"]),
    ("a.json", b'{"text": "a"', ["no JSON objects"]), ("a.jsonl", b"[" * 100_000, ["no JSON objects"]),
    ("a.csv", b"text,label\na,x\nb,y\n", ["class 'x' has 1", "of the 3 texts needed"]),
])
def test_nothing_sensible_is_refused_in_one_line(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    refuses(tmp_path / name, *words)


@pytest.mark.parametrize("label", [str, lambda i: f"{i / 7:.3f}", lambda i: f"id-{i}"])
def test_ids_and_numbers_are_no_classes(tmp_path, label):
    few = [(f"t{i}", label(i)) for i in range(100)]
    refuses(write(tmp_path / "a.csv", few), "100 different values", "numbers or ids")
    many = [(f"t{i}", label(i % 1001)) for i in range(5000)]
    refuses(write(tmp_path / "b.csv", many), "1,001 different values")


def test_most_rows_bad_can_be_allowed(tmp_path):
    path = write(tmp_path / "a.csv", [*some(20), *[("", "good")] * 30])
    refuses(path, "30 of the 50 rows")
    assert len(pairs(D.load_task(path, skip_bad=True))) == 20


def test_limits_are_said(tmp_path, monkeypatch):
    path = write(tmp_path / "a.csv", some())
    monkeypatch.setattr(D, "_MAX_ROWS", 50)
    refuses(path, "60 rows", "50 can be read")
    monkeypatch.setattr(D, "_MAX_BYTES", 100)
    refuses(path, "can be read, cut it")


# Splits


def test_classes_that_differ_in_capitals_are_told(tmp_path):
    task = D.load_task(write(tmp_path / "a.csv", [(f"t{i}", ("Good", "good", "bad")[i % 3]) for i in range(30)]))
    assert len(task.classes) == 3 and "'Good', 'good' differ only in capitals" in task.notes[0]


def test_copies_in_any_form_are_removed_before_the_cut(tmp_path):
    rows = [*some(), ("review  number\t1", "good"), (" review number 1 ", "good"), ("caf\u00e9", "bad"),
            ("cafe\u0301", "bad"), ("review number 4", "good")]
    task = D.load_task(write(tmp_path / "a.csv", rows))
    assert task.notes[0].startswith("3 exact duplicates removed (a.csv:62 is a.csv:3, a.csv:63 is a.csv:3")
    assert task.notes[1] == "1 text with two labels left out of train (a.csv:6 and a.csv:66)"
    assert len(pairs(task)) == 65 - 3 - 2 and all(text != "review number 4" for text, _ in pairs(task))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["", " ", "  "]), st.integers(0, 1),
                          st.sampled_from(PARTS)), max_size=40))
def test_no_text_leaks(tmp_path_factory, items):
    """Given train, valid and test files: no text is in two parts, none twice or with two labels in train."""
    folder = tmp_path_factory.mktemp("leak")
    solid = [(f"sound {part} {i}", "01"[i % 2], part) for part in PARTS for i in range(4)]
    for part in PARTS:
        write(folder / f"{part}.csv", [(f"x{text}{space}y", y) for text, space, y, p in items if p == part]
              + [(text, y) for text, y, p in solid if p == part])
    task = D.load_task(folder)
    norm = lambda text: " ".join(unicodedata.normalize("NFC", text).split())
    train, valid, test = ([norm(text) for text in s.inputs] for s in splits(task))
    assert not {*train} & {*valid} and not {*train} & {*test} and not {*valid} & {*test} and len(train) == len({*train})
    given_test = [norm(f"x{text}{space}y") for text, space, _, part in items if part == "test"]
    assert Counter(t for t in test if t[0] == "x") == Counter(given_test)  # the given test part stays as it is
    for text in train:
        assert len({str(y) for t, space, y, _ in items if norm(f"x{t}{space}y") == text}) <= 1


# Folders of tables


@pytest.mark.parametrize("valid", ["valid", "val", "dev", "validation"])
def test_folder_of_files(tmp_path, valid):
    for name, start, n in (("train", 0, 40), (valid, 100, 8), ("test", 200, 12)):
        write(tmp_path / f"{name}.csv", some(n, start), ["Satz", "Klasse"])
    (tmp_path / "README.md").write_text("not a table")
    task = D.load_task(tmp_path, text="satz", label="klasse")
    assert [len(s) for s in splits(task)] == [40, 8, 12] and task.source["source"] == f"folder {tmp_path}"
    assert task.test.names[0] == "test.csv:2" and task.name == tmp_path.name
    key = task.source["sha256"]
    write(tmp_path / "test.csv", some(12, 300), ["Satz", "Klasse"])
    assert D.load_task(tmp_path, text="satz", label="klasse").source["sha256"] != key


@pytest.mark.parametrize("given, sizes", [(["train"], [44, 4, 12]), (["train", "test"], [54, 6, 20]),
                                          (["train", "dev"], [48, 20, 12])])
def test_what_is_missing_is_cut_from_train(tmp_path, given, sizes):
    for part in given:
        rows = some(60 if part == "train" else 20, 100 * len(part))
        write(tmp_path / f"{part}.tsv", rows, delimiter="\t")
    assert [len(s) for s in splits(D.load_task(tmp_path))] == sizes


def test_shards_are_one_part(tmp_path):
    for i in range(2):
        items = [{"text": t, "label": y} for t, y in some(30, 30 * i)]
        parquet.write_table(pyarrow.Table.from_pylist(items), tmp_path / f"train-0000{i}-of-00002.parquet")
    assert pairs(D.load_task(tmp_path)) == sorted(some())


def test_folders_that_are_in_doubt(tmp_path):
    write(tmp_path / "mine.csv", some())
    refuses(tmp_path, "holds mine.csv but no train file", "give the file itself")
    write(tmp_path / "train.csv", some())
    (tmp_path / "train.jsonl").write_text("{}")
    refuses(tmp_path, "two train files")
    (tmp_path / "train.jsonl").unlink()
    write(tmp_path / "test.csv", [("t", "awful"), ("u", "good")])
    refuses(tmp_path, "class 'awful' is in test but not in train")
    write(tmp_path / "test.csv", [("t", "1")], ["text", "id"])
    refuses(tmp_path, "no column 'label' in test.csv")
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    refuses(tmp_path / "a.xlsx", "is a file", ".parquet")


# Tokens, windows, pieces

TEXTS = st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=9), max_size=12)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.data())
def test_tokens_against_lists(texts, data):
    tokens = D.Tokens.of(texts)
    assert len(tokens) == len(texts) and tokens.lengths.tolist() == [len(t) for t in texts]
    rows = data.draw(st.lists(st.integers(-len(texts), len(texts) - 1), max_size=15)) if texts else []
    part = slice(*data.draw(st.tuples(st.none() | st.integers(-14, 14), st.none() | st.integers(-14, 14))))
    picked = tokens[torch.tensor(rows, dtype=torch.int64)]
    for some, want in ((picked, [texts[i] for i in rows]), (tokens[part], texts[part])):
        ids, mask = some.padded(pad=-7)
        longest = max(map(len, want), default=0)
        assert ids.dtype == torch.int64 and mask.dtype == torch.bool and ids.shape == mask.shape == (len(want), longest)
        assert ids.tolist() == [t + [-7] * (longest - len(t)) for t in want]
        assert mask.tolist() == [[i < len(t) for i in range(longest)] for t in want]
        assert some.ids.dtype == torch.int32 and some.offsets.dtype == torch.int64


def test_tokens_refuse_and_move():
    with pytest.raises(InputError, match="int32"): D.Tokens(torch.zeros(3), torch.tensor([0, 3]))
    with pytest.raises(IndexError): D.Tokens.of([[1]])[torch.tensor([1])]
    tokens = D.Tokens.of([[1, 2], [3]]).to("cpu", non_blocking=True)
    assert tokens.ids.tolist() == [1, 2, 3] and repr(tokens) == "Tokens(2 texts, 3 tokens)"
    split = D.Split(tokens, torch.tensor([0, 1]), ["a", "b"]).subset([1])
    assert split.inputs.ids.tolist() == [3] and len(split) == 1


def test_lengths():
    assert D.lengths(torch.zeros(4, 3, 2, 2)).tolist() == [1] * 4
    assert D.lengths(D.Tokens.of([[1, 2], []])).tolist() == [2, 0]
    with pytest.raises(InputError, match="list"): D.lengths(["a"])


def today(order, size):
    """How the loop cut an epoch before there were texts."""
    cut = list(order.split(size))
    if len(cut) > 1 and len(cut[-1]) == 1 and size > 1: cut[-2:] = [torch.cat(cut[-2:])]
    return cut


def same(a, b): return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=80), st.integers(1, 9), st.integers(1, 5), st.integers(0, 99))
def test_windows(counts, size, group, seed):
    counts = torch.tensor(counts)
    order = torch.randperm(len(counts), generator=torch.Generator().manual_seed(seed))
    state = torch.get_rng_state()
    got = D.windows(order, counts, size, group)
    assert sorted(torch.cat(got).tolist()) == list(range(len(counts)))  # every example exactly once
    assert same(got, D.windows(order, counts, size, group)) and torch.equal(state, torch.get_rng_state())
    assert Counter(map(len, got)) == Counter(map(len, today(order, size)))
    equal = D.windows(order, torch.full_like(counts, 7), size, group)
    assert same(equal, today(order, size))
    stretches = [set(s.tolist()) for s in order.split(size * group)]
    for window in got:
        homes = [i for i, s in enumerate(stretches) if s & set(window.tolist())]
        assert len(homes) == 1 or len(window) == size + 1  # sorted only within its stretch
        if len(homes) == 1: assert counts[window].diff().ge(0).all()


def test_windows_of_a_part_of_the_examples_and_stable():
    counts = torch.tensor([5, 1, 5, 1, 9, 9])
    got = D.windows(torch.tensor([4, 0, 3, 2, 1]), counts, 2)
    assert sorted(tuple(w.tolist()) for w in got) == [(0, 2, 4), (3, 1)]


def test_windows_meet_others_in_each_epoch_and_save_padding():
    counts = torch.randint(3, 60, (4000,), generator=torch.Generator().manual_seed(0))
    cost = lambda cut: sum(int(counts[w].max()) * len(w) for w in cut)
    orders = [torch.randperm(4000, generator=torch.Generator().manual_seed(s)) for s in (1, 2)]
    a, b = (D.windows(order, counts, 32) for order in orders)
    assert cost(a) < 1.05 * int(counts.sum()) < 0.7 * cost(orders[0].split(32))
    assert not {tuple(sorted(w.tolist())) for w in a} & {tuple(sorted(w.tolist())) for w in b}
    longest = torch.tensor([int(counts[w].max()) for w in a]).float()
    assert abs(torch.corrcoef(torch.stack([longest, torch.arange(len(a)).float()]))[0, 1]) < 0.3  # not short ones first


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(1, 9), st.integers(1, 60), st.integers(0, 99))
def test_pieces(counts, size, budget, seed):
    counts = torch.tensor(counts)
    rows = torch.randperm(len(counts), generator=torch.Generator().manual_seed(seed))[: 1 + len(counts) // 2]
    got = D.pieces(rows, counts, size, budget)
    assert sorted(torch.cat(got).tolist()) == sorted(rows.tolist())
    for piece in got:
        assert len(piece) <= size and (len(piece) == 1 or len(piece) * int(counts[piece].max()) <= budget)
    if len(counts[rows].unique()) > 1: assert counts[torch.cat(got)].diff().le(0).all()  # longest first
    else: assert torch.equal(torch.cat(got), rows)
    equal = D.pieces(rows, torch.ones_like(counts), size, 10**6)
    assert torch.equal(torch.cat(equal), rows)
    if len(rows) % size != 1: assert same(equal, today(rows, size))
    elif size > 2 and len(rows) > 1: assert min(map(len, equal)) > 1  # BatchNorm cannot learn from one example


def test_pieces_of_nothing(): assert D.pieces(torch.tensor([], dtype=torch.int64), torch.ones(3), 4, 8) == []


# What only images can have


def test_augment_and_mix_leave_texts_alone_and_say_so():
    tokens, targets = D.Tokens.of([[1, 2], [3]]), torch.eye(2)
    assert D.augment(tokens) is tokens and D.augment(tokens, generator=torch.Generator()) is tokens
    got = D.mix(tokens, targets)
    assert got[0] is tokens and got[1] is targets
    for options in (dict(flip=True), dict(crop=2), dict(colour=0.1), dict(randaugment=1)):
        with pytest.raises(InputError, match=f"{next(iter(options))} is for image tensors, not for Tokens"):
            D.augment(tokens, **options)
    with pytest.raises(InputError, match="mixup, cutmix are for image"): D.mix(tokens, targets, mixup=0.2, cutmix=1.0)
    with pytest.raises(InputError, match="not for dict"): D.mix({"input_ids": tokens.ids}, targets, mixup=0.2)
