"""The command `ftcourse` on texts: the same commands as for images, files and standard input, and every bad text."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_cli import answer, in_processes_of_their_own, place, refused, shell, stopped  # noqa: F401

from ftcourse import cli
from ftcourse.assets import data_dir
from ftcourse.cli import _Flags, _recipe, _short, main
from ftcourse.data import load_task
from ftcourse.evaluation import Report, evaluate
from ftcourse.models import load_model, predict, stages
from ftcourse.training import Recipe, Run, default_recipe

QUICK = ["--weights", "none", "--epochs", "1", "--size", "16"]
FILES = {
    "run.json",
    "history.jsonl",
    "model.safetensors",
    "test.safetensors",
    "summary.png",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
}


def write(path, rows, names=("text", "label"), delimiter=","):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([names, *rows])
    return Path(path)


@pytest.fixture(scope="module")
def rows():
    """Thirty negative and thirty positive sentences of the bundled reviews."""
    with open(data_dir() / "reviews" / "reviews.csv", encoding="utf-8", newline="") as file:
        every = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    some = lambda label: [row for row in every if row[1] == label][:30]
    return [row for pair in zip(some("negative"), some("positive"), strict=True) for row in pair]


@pytest.fixture(scope="module")
def films(place, rows):  # noqa: F811
    return write(place / "films.csv", rows)


def tiny(folder, kind, **more):
    """A folder with a tiny network of transformers, random weights, and MiniLM's tokenizer."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes = dict(hidden_size=32, intermediate_size=64, num_attention_heads=2, vocab_size=30522)
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **sizes | more)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(data_dir() / "minilm" / name, folder)
    return folder


@pytest.fixture(scope="module")
def small(place):  # noqa: F811
    return str(tiny(place / "small-bert", "bert", num_hidden_layers=4))


@pytest.fixture(scope="module")
def done(place, films):  # noqa: F811
    """A finished run of MiniLM's shape, made in this process, and the JSON that it printed."""
    result = answer(["finetune", str(films), *QUICK, "--out", "done", "--json"])
    return (place / "done").resolve(), result


@pytest.fixture(scope="module")
def swift(place, films, small):  # noqa: F811
    """A finished run of the tiny network."""
    answer(["finetune", str(films), *QUICK, "--model", small, "--out", "swift", "--json"])
    return place / "swift"


def standard_input(monkeypatch, data: bytes):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


# --- the good way -----------------------------------------------------------------------------------------------------


def test_finetune_answers_the_contract(done, films):
    run, result = done
    assert result["inputs"] == "texts" and result["next"] == 'ftcourse predict done "a text"'
    assert result["model"]["name"] == "minilm" and result["classes"] == ["negative", "positive"]
    expected = {**vars(default_recipe(load_model("minilm", 2, weights=None).preprocess)), "epochs": 1}
    assert Run.load(run).recipe == Recipe(**expected) == Recipe(**result["recipe"])
    assert set(result["parameters"]["trainable"]) == {"embeddings"}
    assert set(os.listdir(run)) == FILES
    command = Run.load(run).info["command"]
    assert command["task"] == str(films) and command["size"] == 16 and command["text"] is command["label"] is None


def test_the_numbers_are_those_of_the_library(done, films):
    run, result = done
    task, model = load_task(films), Run.load(run).model()
    report = evaluate(model, task.test)
    assert result["test"]["n"] == len(task.test) == 12 and model.preprocess.max_length == 16
    assert result["test"]["accuracy"] == report.accuracy and result["test"]["interval"] == list(report.interval)
    assert torch.equal(Report.load(run / "test.safetensors").logits, report.logits)
    untrained = load_model("minilm", task.classes, weights=None, size=16)
    assert result["before"]["accuracy"] == evaluate(untrained, task.test).accuracy
    assert not torch.equal(predict(untrained, task.test.inputs), report.logits)


def test_transformers_reads_the_run(done, films):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    run, _ = done
    texts = load_task(films).test.inputs
    network, tokenizer = AutoModelForSequenceClassification.from_pretrained(run), AutoTokenizer.from_pretrained(run)
    with torch.no_grad():
        cut = tokenizer(texts, padding=True, truncation=True, max_length=16, return_tensors="pt")
        logits = network.eval()(**cut).logits
    assert torch.allclose(logits, Report.load(run / "test.safetensors").logits, atol=1e-5)
    assert network.config.id2label == {0: "negative", 1: "positive"}


def test_the_table_speaks_of_texts(films, small, capsys):
    assert main(["finetune", str(films), "--model", small, "--epochs", "2", "--size", "16"]) == 0
    table = capsys.readouterr().out
    run = Path(next(line.split()[1] for line in table.splitlines() if line.startswith("run ")))
    assert run.name.startswith("films.csv-small-bert-") and (run / "summary.png").exists()
    assert "   12 texts\n" in table and "images" not in table
    assert f'next           ftcourse predict {run} "a text"' in table


def test_the_default_plan_fits_any_number_of_stages(place, small, films, capsys):  # noqa: F811
    four = load_model(small, 2)
    assert [s.name for s in stages(four)] == ["embeddings", "layer.0", "layer.1", "layer.2", "layer.3", "head"]
    default = default_recipe(four.preprocess)
    assert _recipe(_Flags(), four) == default and default.freeze == "none"
    minilm = load_model("minilm", 2, weights=None)
    assert _recipe(_Flags(), minilm) == default_recipe(minilm.preprocess)
    assert _recipe(_Flags(freeze="head"), minilm).freeze == "head"
    assert _recipe(_Flags(epochs=9), minilm).unfreeze == () and _recipe(_Flags(lr=1e-5), minilm).lr == 1e-5
    whole = str(tiny(place / "electra", "electra", num_hidden_layers=1, embedding_size=16))
    assert _recipe(_Flags(), load_model(whole, 2)).freeze == "none"
    result = answer(["finetune", str(films), "--model", whole, "--epochs", "1", "--size", "16", "--json"])
    assert result["parameters"]["trainable"] == {"network": result["parameters"]["total"]}
    line = refused(["finetune", films, "--model", whole, "--freeze", "layer.0"], capsys, "layer.0")
    assert "its stages are network" in line


@pytest.mark.parametrize(
    ("flags", "flip"), [({}, True), ({"no_flip": True}, False), ({"flip": True}, True), ({"crop": 0}, True)]
)
def test_flags_of_images_stay_what_they_were(flags, flip):
    recipe = _recipe(_Flags(**flags))
    assert recipe.flip is flip and recipe.crop == flags.get("crop", default_recipe().crop)


def test_columns_are_named_and_stored(place, rows, small, capsys):  # noqa: F811
    table = write(place / "sheet.tsv", [("x", y, t) for t, y in rows], ("remark", "verdict", "said"), "\t")
    job = ["finetune", str(table), "--model", small, "--epochs", "1", "--size", "16", "--out", "sheet"]
    refused(job, capsys, "which column", "remark", "verdict", "said", "--text")
    assert not Path("sheet").exists()
    result = answer([*job, "--text", "said", "--label", "verdict", "--json"])
    assert result["classes"] == ["negative", "positive"]
    assert answer(["evaluate", "sheet", "--json"])["test"]["accuracy"] == result["test"]["accuracy"]
    refused(["evaluate", "sheet", "--on", table], capsys, "which column")
    again = answer(["evaluate", "sheet", "--on", str(table), "--text", "said", "--label", "verdict", "--json"])
    assert again["test"]["n"] == 12
    refused(["predict", "sheet", table], capsys, "which column", "--text")
    assert len(answer(["predict", "sheet", str(table), "--text", "said", "--json"])["predictions"]) == 60
    refused(["predict", "sheet", table, "--text", "sayd"], capsys, "did you mean 'said'")


def test_a_run_of_before_there_were_texts_goes_on(done):
    run, result = done
    old = Path(shutil.copytree(run, "old"))
    info = json.loads((old / "run.json").read_text())
    del info["command"]["text"], info["command"]["label"]
    (old / "run.json").write_text(json.dumps(info))
    (old / "test.safetensors").unlink()
    assert answer(["evaluate", "old", "--json"])["test"]["accuracy"] == result["test"]["accuracy"]


def test_a_folder_of_tables_and_a_saved_network(place, rows, done):  # noqa: F811
    (place / "parts").mkdir()
    write(place / "parts" / "train.csv", rows[:40])
    write(place / "parts" / "dev.csv", rows[40:50])
    write(place / "parts" / "test.csv", rows[50:])
    job = ["finetune", "parts", "--model", str(done[0]), "--epochs", "1", "--freeze", "head", "--json"]
    result = answer(job)
    assert result["test"]["n"] == 10 and Run.load(result["run"]).model().preprocess.max_length == 16


def test_compare_is_paired(done, films, capsys):
    run, result = done
    other = answer(["finetune", str(films), *QUICK, "--freeze", "head", "--lr", "0.01", "--out", "other", "--json"])
    found = answer(["compare", str(run), "other", "--json"])
    assert found["n"] == 12
    assert found["difference"] == pytest.approx(other["test"]["accuracy"] - result["test"]["accuracy"])
    assert found["both"] + found["only_a"] + found["only_b"] + found["neither"] == 12


# --- predict ----------------------------------------------------------------------------------------------------------


def test_predict_equals_the_library(swift, rows):
    run = swift
    texts = [text for text, _ in rows[:3]]
    found = answer(["predict", str(run), *texts, "--json"])["predictions"]
    assert [row["text"] for row in found] == texts and found[2]["from"] == "argument:3"
    chances = predict(Run.load(run).model(), texts).softmax(dim=1)
    for row, p in zip(found, chances, strict=True):
        assert row["top"][0]["class"] == ["negative", "positive"][int(p.argmax())] and len(row["top"]) == 2
        assert row["top"][0]["probability"] == pytest.approx(float(p.max()), abs=1e-5)


def test_files_of_every_kind_give_the_same(swift, rows, films, place, monkeypatch):  # noqa: F811
    import pyarrow
    from pyarrow import parquet

    run, texts = str(swift), [text for text, _ in rows]
    expected = [row["top"] for row in answer(["predict", run, *texts, "--json"])["predictions"]]
    (place / "t.txt").write_text("\n".join(texts), encoding="utf-8")
    write(place / "t.tsv", rows, delimiter="\t")
    write(place / "alone.csv", [(t,) for t in texts], ("text",))
    (place / "t.jsonl").write_text("".join(json.dumps({"review": t}) + "\n" for t in texts))
    (place / "t.json").write_text(json.dumps([{"text": t, "id": i} for i, t in enumerate(texts)]))
    parquet.write_table(pyarrow.table({"sentence": texts, "id": range(60)}), place / "t.parquet")
    for file in ("films.csv", "t.txt", "t.tsv", "alone.csv", "t.jsonl", "t.json", "t.parquet"):
        found = answer(["predict", run, file, "--json"])["predictions"]
        assert [row["text"] for row in found] == texts, file
        for row, top in zip(found, expected, strict=True):
            assert row["from"].startswith(f"{file}:")
            assert [t["class"] for t in row["top"]] == [t["class"] for t in top]
            assert row["top"][0]["probability"] == pytest.approx(top[0]["probability"], abs=1e-5)
    monkeypatch.setattr(cli, "_PIECE", 7)
    pieces = answer(["predict", run, "one text", "t.txt", "another", "--json"])["predictions"]
    assert [row["text"] for row in pieces] == ["one text", *texts, "another"]
    assert pieces[1]["top"][0]["probability"] == pytest.approx(expected[0][0]["probability"], abs=1e-5)


def test_an_unquoted_comma_in_a_table_of_one_column(swift, place):  # noqa: F811
    (place / "comma.csv").write_text("text\nwarm, funny, short\nplain\n")
    found = answer(["predict", str(swift), "comma.csv", "--json"])["predictions"]
    assert [row["text"] for row in found] == ["warm, funny, short", "plain"]


def test_standard_input_in_a_real_pipe(swift):
    run = swift
    ended = shell(["predict", run], input="a fine film\r\nwhat a bore\n")
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0 and len(lines) == 2, ended.stderr
    assert lines[0].startswith("a fine film: ") and lines[1].startswith("what a bore: ")


def test_standard_input_by_its_sign_and_empty(swift, monkeypatch, capsys):
    run = swift
    standard_input(monkeypatch, "schön\n".encode())
    found = answer(["predict", str(run), "first", "-", "--json"])["predictions"]
    assert [(row["from"], row["text"]) for row in found] == [("argument:1", "first"), ("standard input:1", "schön")]
    standard_input(monkeypatch, b"")
    refused(["predict", run], capsys, "no texts in standard input", '"a text"')


def test_what_can_be_mended_is_mended_and_said(swift, place, capsys, monkeypatch):  # noqa: F811
    run = swift
    broken = "wunderschön, köstlich, für Größe und Güte geübt".encode() + b" \xff!\n"
    (place / "odd.txt").write_bytes(b"good\0 film\n" + b"word " * 200_000 + b"\n" + broken)
    result = answer(["predict", str(run), "odd.txt", "--json"])
    said = " ".join(result["notes"])
    assert "NUL bytes removed (odd.txt:1)" in said and "cut after 100,000 characters (odd.txt:2)" in said
    assert "1 bytes of odd.txt are no utf-8" in said
    texts = [row["text"] for row in result["predictions"]]
    assert texts[0] == "good film" and len(texts[1]) == 100_000 and texts[2].endswith("\ufffd!")
    million = answer(["predict", str(run), "ha " * 333_334, "--json"])
    assert len(million["predictions"][0]["text"]) == 100_000 and "argument:1" in million["notes"][0]
    standard_input(monkeypatch, "naïve café\nç'est très bien, déjà vu\n".encode("cp1252"))
    latin = answer(["predict", str(run), "--json"])
    assert latin["predictions"][0]["text"] == "naïve café" and "looks like cp1252" in latin["notes"][0]


def test_empty_texts_are_named_and_can_be_skipped(swift, place, capsys):  # noqa: F811
    run = swift
    (place / "gaps.txt").write_text("one\n\n \u3000\nfour\n")
    refused(["predict", run, "gaps.txt"], capsys, "2 of 4 texts", "gaps.txt:2 (text is empty)", "--skip-bad")
    result = answer(["predict", str(run), "gaps.txt", "--skip-bad", "--json"])
    assert result["skipped"] == ["gaps.txt:2", "gaps.txt:3"] and len(result["predictions"]) == 2
    line = refused(["predict", run, " \t"], capsys, "argument:1 (text is empty)")
    assert "--skip-bad" not in line
    refused(["predict", run, " ", "--skip-bad"], capsys, "1 of 1 texts")
    (place / "gaps.jsonl").write_text('{"text": "one"}\n{"text": null}\n{"text": 5}\n[1]\n')
    refused(["predict", run, "gaps.jsonl"], capsys, "3 of 4", "text is missing", "text is no string")


def test_half_a_character_does_not_stop_the_output(swift, place):  # noqa: F811
    (place / "half.jsonl").write_text('{"text": "so \\ud83d what"}\n')
    ended = shell(["predict", swift, "half.jsonl", "--json"])
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["predictions"][0]["text"] == "so \ud83d what"
    ended = subprocess.run(
        [sys.executable.encode(), b"-m", b"ftcourse", b"predict", os.fsencode(swift), b"caf\xe9"],
        capture_output=True,
        timeout=120,
    )
    assert ended.returncode == 0 and ended.stdout.startswith(b"caf: "), ended.stderr


def test_the_screen_gets_one_plain_line_of_each_text(swift, capsys):
    text = "\x1b[31mred\nand " + "very " * 40 + "long"
    assert main(["predict", str(swift), text]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 1 and "\x1b" not in out and out.startswith("[31mred and very") and "…: " in out
    assert len(_short("x" * 10**6)) == 60 and _short("short") == "short"


# --- interrupted ------------------------------------------------------------------------------------------------------


def test_a_killed_run_goes_on_and_ends_bit_identical(films, small, place):  # noqa: F811
    job = ["finetune", str(films), "--model", small, "--size", "16", "--epochs", "60", "--unfreeze", "50:layer.0"]
    job += ["--freeze", "layer.2", "--text", "text", "--label", "label"]
    whole = answer([*job, "--out", "whole", "--json"])
    process, _, _ = stopped([*job, "--out", "cut", "--json"], place / "cut", signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and 3 <= len(Run.load("cut").history) < 60
    resumed = answer(["resume", "cut", "--json"])
    a, b = load_file("whole/model.safetensors"), load_file("cut/model.safetensors")
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    assert resumed["test"] == whole["test"] and resumed["before"] == whole["before"]
    assert resumed["next"] == 'ftcourse predict cut "a text"'


# --- bad input, each in a process of its own --------------------------------------------------------------------------

READY = "from ftcourse.models import load_model, stages; stages(load_model('minilm', 2, weights=None))"


@pytest.fixture(scope="module")
def bad(place, rows, films, swift, small):  # noqa: F811
    """Every bad command: name -> (the ended process, words that its line must have)."""
    from PIL import Image

    run = swift
    table = lambda name, rows, *more: write(place / f"{name}.csv", rows, *more)
    (place / "nothing.csv").write_bytes(b"")
    (place / "nothing.txt").write_bytes(b"")
    (place / "archive.csv").write_bytes(b"PK\x03\x04 and so on")
    (place / "stray.csv").write_text('text,label\n"a stray quote,positive\nfine,positive\ndull,negative\n')
    Image.new("RGB", (8, 8)).save(place / "photo.png")
    (place / "photos").mkdir()
    cut = shutil.copytree(small, place / "no-tokenizer")
    (Path(cut) / "tokenizer.json").unlink()
    alien = tiny(place / "alien", "bert", num_hidden_layers=1, vocab_size=100)
    job = lambda *more, task=films: ["finetune", task, *QUICK, "--model", small, "--out", "refused", *more]
    third = [(t, "neutral") for t, _ in rows[:10]] + rows[10:]
    cases = {
        "empty file": (job(task="nothing.csv"), ["nothing.csv is empty"]),
        "no rows": (job(task=table("head", [])), ["no rows"]),
        "one class": (job(task=table("same", [(t, "good") for t, _ in rows])), ["one class", "'good'"]),
        "labels that are numbers": (job(task=table("ids", [(t, i) for i, (t, _) in enumerate(rows)])), ["--label"]),
        "only empty texts": (job(task=table("blank", [(" ", "a"), ("", "b")])), ["text is empty"]),
        "missing fields": (job(task=table("gaps", [("a", "x"), ("b",), ("c",), ("d",)])), ["--skip-bad", "fields"]),
        "stray quote": (job(task="stray.csv"), ["needed for train"]),
        "archive": (job(task="archive.csv"), ["archive", "CSV"]),
        "columns in doubt": (job(task=table("q", rows, ("a", "b"))), ["which column", "'a', 'b'", "--text"]),
        "no such column": (job("--text", "txt"), ["no column 'txt'", "did you mean 'text'"]),
        "no file": (job(task="absent.csv"), ["absent.csv"]),
        "images with minilm": (job("--model", "minilm", task="cifar10"), ["minilm is for texts", "mobilenet_v2"]),
        "texts with resnet18": (job("--model", "resnet18"), ["resnet18 is for images", "minilm"]),
        "columns of images": (["finetune", "cifar10", "--text", "a"], ["--text", "images"]),
        "stem": (job("--stem", "small"), ["stem", "images"]),
        "flip": (job("--flip"), ["flip is for image"]),
        "weights of images": (job("--weights", "imagenet"), ["imagenet"]),
        "too long": (job("--size", "513"), ["513", "tokens"]),
        "unknown stage": (job("--freeze", "layer4"), ["layer4", "layer.3"]),
        "typo of a hub name": (job("--model", "distilbert-base-uncase"), ["did you mean distilbert-base-uncased"]),
        "no network": (job("--model", "bert-base-uncased"), ["bert-base-uncased", "FTCOURSE_OFFLINE"]),
        "no tokenizer": (job("--model", cut), ["no tokenizer"]),
        "alien tokenizer": (job("--model", alien), ["does not belong"]),
        "folder of nothing": (job(task="photos"), ["photos"]),
        "other classes": (["evaluate", run, "--on", table("third", third)], ["'neutral'", "none of the run's classes"]),
        "evaluate on images": (["evaluate", run, "--on", "cifar10"], ["is for texts"]),
        "compare with nothing": (["compare", run, "nowhere"], ["nowhere"]),
        "predict an absent file": (["predict", run, "absent.txt"], ["absent.txt"]),
        "predict an image": (["predict", run, "photo.png"], ["photo.png", "standard input"]),
        "predict a folder": (["predict", run, "photos"], ["photos"]),
        "predict an empty file": (["predict", run, "nothing.txt"], ["no texts in nothing.txt"]),
        "predict an archive": (["predict", run, "archive.csv"], ["archive.csv is a zip"]),
        "predict in doubt": (["predict", run, "q.csv"], ["which column", ".txt"]),
    }
    ended = in_processes_of_their_own([list(map(str, argv)) for argv, _ in cases.values()], place, READY)
    return {name: (process, words) for (name, (_, words)), process in zip(cases.items(), ended, strict=True)}


def test_bad_input_gets_one_line_and_status_2(bad):
    for name, (process, words) in bad.items():
        assert process.returncode == 2 and process.stdout == "", (name, process.stderr)
        assert "Traceback" not in process.stderr, (name, process.stderr)
        lines = [line for line in process.stderr.splitlines() if line.startswith("ftcourse: ")]
        assert len(lines) == 1 and process.stderr.strip().endswith(lines[0]), (name, process.stderr)
        for word in words:
            assert word in lines[0], (name, lines[0])


def test_bad_input_leaves_nothing(bad, place, swift):  # noqa: F811
    assert not (place / "refused").exists() and set(os.listdir(swift)) == FILES


def test_rows_that_are_left_out_are_counted_and_named(rows, place, small):  # noqa: F811
    odd = [("", "positive"), ("no label", ""), (rows[0][0], "positive"), ("nul \0 byte", "negative"), *rows]
    write(place / "odd.csv", odd)
    result = answer(["finetune", "odd.csv", "--model", small, "--epochs", "1", "--size", "16", "--json"])
    said = " | ".join(result["notes"])
    for words in ("text is empty (odd.csv:2)", "label is missing (odd.csv:3)", "two labels", "NUL bytes removed"):
        assert words in said, said
