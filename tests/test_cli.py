"""The command `ftcourse`: what it prints where, how it ends, what it leaves, on good input and on bad."""

import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import ftcourse.cli as cli
from ftcourse.cli import _Flags, _recipe, main
from ftcourse.data import load_images, load_task
from ftcourse.evaluation import Report, evaluate
from ftcourse.models import load_model, predict
from ftcourse.training import Recipe, Run, default_recipe

SMALL = ["--size", "32", "--weights", "none", "--epochs", "1", "--freeze", "head"]


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """A cache and a working folder of our own; the verified weights of the user's cache stay where they are."""
    folder = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTCOURSE_CACHE", str(folder / "cache"))
        patch.setenv("FTCOURSE_PROFILE", "quick")
        patch.setenv("FTCOURSE_OFFLINE", "1")
        patch.setenv("FTCOURSE_PROGRESS", "0")
        patch.setenv("OMP_NUM_THREADS", "1")  # jobs this small lose time to a second thread
        patch.chdir(folder)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield folder
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pets(place):
    """Three classes of 20 real images of 32 pixels, cut from the bundled CIFAR-10."""
    split = load_task("cifar10").train
    for name in ("cat", "dog", "ship"):
        (place / "pets" / name).mkdir(parents=True)
        chosen = (split.labels == split.classes.index(name)).nonzero().flatten()[:20].tolist()
        for k, i in enumerate(chosen):
            Image.fromarray(split.inputs[i].permute(1, 2, 0).contiguous().numpy()).save(
                place / "pets" / name / f"{k:02d}.png"
            )
    return place / "pets"


@pytest.fixture(scope="module")
def done(place, pets):
    """A finished run, made in this process, and the JSON that it printed."""
    result = answer(["finetune", str(pets), *SMALL, "--out", "done", "--json"])
    return Path("done").resolve(), result


def answer(argv):
    """The object that a command prints, in this process."""
    import contextlib
    import io

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(argv)
    assert status == 0, err.getvalue()
    return json.loads(out.getvalue())


def refused(argv, capsys, *words):
    """Status 2, nothing on standard output, one line on standard error that has all `words`."""
    capsys.readouterr()
    assert main([str(a) for a in argv]) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("ftcourse: ")]
    assert out == "" and len(lines) == 1 and "Traceback" not in err, err
    for word in words:
        assert str(word) in lines[0], lines[0]
    return lines[0]


def shell(argv, **options):
    """`python -m ftcourse` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "ftcourse", *map(str, argv)], capture_output=True, text=True, timeout=120, **options
    )


# --- the good way -----------------------------------------------------------------------------------------------------


def test_finetune_answers_the_contract(done, pets):
    run, result = done
    assert {"test", "before", "valid", "seconds", "run", "model", "weights", "data", "recipe", "parameters"} <= set(
        result
    )
    assert {"accuracy", "interval", "n"} <= set(result["test"]) and {"accuracy", "interval"} <= set(result["before"])
    for key in ("model", "weights", "data"):
        assert {"name", "source", "sha256"} <= set(result[key]), key
    assert result["model"]["name"] == "mobilenet_v2" and Path(result["run"]).resolve() == run
    assert Recipe(**result["recipe"]) == Run.load(run).recipe == Recipe(**result["recipe"] | {"freeze": "head"})
    assert {"run.json", "history.jsonl", "model.safetensors", "test.safetensors", "summary.png"} == set(os.listdir(run))
    with Image.open(run / "summary.png") as picture:
        assert min(picture.size) > 500


def test_the_numbers_are_those_of_the_library(done, pets):
    run, result = done
    task = load_task(str(pets), seed=0, size=32)
    report = evaluate(Run.load(run).model(), task.test)
    assert result["test"]["accuracy"] == report.accuracy and result["test"]["interval"] == list(report.interval)
    assert result["test"]["n"] == len(task.test) == 12
    untrained = load_model("mobilenet_v2", task.classes, weights=None, size=32, seed=0)
    assert result["before"]["accuracy"] == evaluate(untrained, task.test).accuracy
    assert result["valid"]["accuracy"] == pytest.approx(evaluate(Run.load(run).model(), task.valid).accuracy)
    assert result["parameters"]["total"] == sum(p.numel() for p in untrained.parameters())
    assert result["parameters"]["trainable"] == {"head": 1280 * 3 + 3}
    assert torch.equal(Report.load(run / "test.safetensors").logits, report.logits)


def test_the_table_says_what_the_json_says(pets, capsys):
    assert main(["finetune", str(pets), *SMALL]) == 0
    table = capsys.readouterr().out
    run = Path(next(line.split()[1] for line in table.splitlines() if line.startswith("run ")))
    assert run.parts[0] == "runs" and run.name.startswith("pets-mobilenet_v2-") and (run / "summary.png").exists()
    report = Report.load(run / "test.safetensors")
    assert (
        f"{report.accuracy:.3f}   95 % interval {report.interval[0]:.3f} to {report.interval[1]:.3f}   12 images"
        in table
    )
    for word in (
        "test, before",
        "validation",
        "2,227,715 in all; 3,843 learn from head on",
        "seconds",
        "weights",
        "data",
        f"ftcourse predict {run} IMAGE…",
    ):
        assert word in table


def test_json_is_alone_on_standard_output(pets, place):
    ended = shell(["finetune", pets, *SMALL, "--out", "alone", "--json"])
    assert ended.returncode == 0 and json.loads(ended.stdout)["run"] == "alone", ended.stderr
    assert ended.stdout.count("\n{") == 0 and ended.stdout.startswith("{")


def test_evaluate_repeats_the_result_and_takes_other_data(done, pets):
    run, result = done
    again = answer(["evaluate", str(run), "--json"])
    assert (
        again["test"]["accuracy"] == result["test"]["accuracy"]
        and again["test"]["interval"] == result["test"]["interval"]
    )
    assert again["data"] == result["data"] and again["test"]["classes"] == ["cat", "dog", "ship"]
    assert answer(["evaluate", str(run), "--on", str(pets), "--json"])["test"]["n"] == 12


def test_predict_equals_the_library(done, pets):
    run, _ = done
    files = sorted((pets / "cat").iterdir())[:3]
    found = answer(["predict", str(run), *map(str, files), str(pets / "ship"), "--json"])
    assert [row["file"] for row in found["predictions"]] == [
        str(f) for f in [*files, *sorted((pets / "ship").iterdir())]
    ]
    images, _ = load_images(files, 32)
    chances = predict(Run.load(run).model(), images).softmax(dim=1)
    for row, p in zip(found["predictions"], chances, strict=False):
        assert row["top"][0]["class"] == ["cat", "dog", "ship"][int(p.argmax())] and len(row["top"]) == 3
        assert row["top"][0]["probability"] == pytest.approx(float(p.max()), abs=1e-5)
        assert sum(t["probability"] for t in row["top"]) == pytest.approx(1, abs=1e-5)


def test_predict_names_a_bad_file_and_can_skip_it(done, pets, place, capsys):
    run, _ = done
    (place / "broken.png").write_bytes((pets / "cat" / "00.png").read_bytes()[:200])
    refused(["predict", run, pets / "cat" / "01.png", "broken.png"], capsys, "broken.png")
    found = answer(["predict", str(run), str(pets / "cat" / "01.png"), "broken.png", "--skip-bad", "--json"])
    assert found["skipped"] == ["broken.png"] and len(found["predictions"]) == 1
    refused(["predict", run, "absent.png"], capsys, "absent.png")
    refused(["predict", run], capsys, "no files given")
    (place / "nothing").mkdir()
    refused(["predict", run, "nothing"], capsys, "nothing has no images")


def test_compare_is_paired_and_refuses_other_examples(done, pets, capsys):
    run, result = done
    other = answer(["finetune", str(pets), *SMALL, "--lr", "0.01", "--out", "other", "--json"])
    found = answer(["compare", str(run), "other", "--json"])
    assert (
        found["difference"] == pytest.approx(other["test"]["accuracy"] - result["test"]["accuracy"])
        and found["n"] == 12
    )
    answer(["finetune", str(pets), *SMALL, "--seed", "1", "--out", "seed1", "--json"])
    refused(["compare", run, "seed1"], capsys, "different examples")
    (Path("other") / "test.safetensors").unlink()
    refused(["compare", run, "other"], capsys, "ftcourse evaluate other")


def test_assets_lists_and_fetches(capsys):
    table = answer(["assets", "--json"])["assets"]
    names = {row["name"]: row for row in table}
    assert {"cifar10", "cifar10-full", "mobilenet_v2", "resnet18"} <= set(names) and names["cifar10"]["here"]
    fetched = answer(["assets", "cifar10", "--json"])["fetched"]
    assert fetched[0]["source"] == "bundled with ftcourse" and Path(fetched[0]["path"]).exists()
    assert main(["assets"]) == 0 and len(capsys.readouterr().out.splitlines()) == len(table) + 1
    refused(["assets", "nope"], capsys, "nope", "known are")


def test_doctor_looks_and_estimates():
    found = answer(["doctor", "--json"])
    assert {"cores", "memory_gb", "gpu", "torch", "cache", "profile", "network", "device", "main_job_seconds"} <= set(
        found
    )
    assert found["network"] is False and 1 < found["main_job_seconds"] < 3600


LOOK = "import sys; from ftcourse.__main__ import main; print(main(['--help']), *sys.modules, file=sys.stderr)"


def test_the_list_of_commands_is_told_without_loading_torch():
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True)
        seconds.append(time.perf_counter() - began)
    assert done.stderr.startswith("0 ") and not {"torch", "tyro", "numpy"} & set(done.stderr.split())
    told = " ".join(done.stdout.split())
    for name, command in cli._COMMANDS.items():
        assert f" {name} {' '.join(command.__doc__.split()).split('. ')[0].rstrip('.')}" in told, name
    assert cli._ABOUT in told
    assert min(seconds) < 1, "0.12 s where this was written: is something heavy imported?"


def test_without_a_command_the_list_goes_to_standard_error():
    done = subprocess.run([sys.executable, "-m", "ftcourse"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == "" and "finetune" in done.stderr


def test_a_reader_of_the_list_may_go_away():
    script = f"({sys.executable} -m ftcourse --help; echo status $? >&2) | true"
    for _ in range(5):
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
        assert done.stderr.split() == ["status", "0"], done.stderr


def test_help_has_every_field_of_the_recipe(capsys):
    assert main(["finetune", "--help"]) == 0
    text = capsys.readouterr().out
    for f in fields(Recipe):
        assert f"--{f.name.replace('_', '-')}" in text or f"--no-{f.name}" in text, f.name
    for words in ("Peak learning rate", "Examples per optimizer step", "in pixels"):
        assert words in text


def test_the_plan_spreads_over_the_epochs_asked_for():
    of = lambda **given: _recipe(_Flags(**given))
    assert of() == default_recipe()
    assert of(epochs=1).unfreeze == () and of(epochs=1).freeze == "head"
    for epochs in (2, 3, 7, 50):
        assert 0 < int(of(epochs=epochs).unfreeze[0].split(":")[0]) < epochs
    assert of(freeze="head").unfreeze == () and of(unfreeze=("2:last",)).freeze == "head"


# --- interrupted ------------------------------------------------------------------------------------------------------


def stopped(job, run, how):
    """Begin a job, send it the signal `how` after three epochs of its `run`: the process, its output, its errors."""
    words = [sys.executable, "-m", "ftcourse", *job]
    process = subprocess.Popen(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    history, until = run / "history.jsonl", time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if history.exists() and len(history.read_text().splitlines()) >= 3:
            break
        time.sleep(0.005)
    process.send_signal(how)
    return process, *process.communicate(timeout=60)


def test_ctrl_c_keeps_the_last_epoch_and_resume_ends_bit_identical(pets, place):
    job = [
        "finetune",
        str(pets),
        "--size",
        "32",
        "--weights",
        "none",
        "--epochs",
        "30",
        "--unfreeze",
        "25:last",
        "--lr",
        "0.01",
    ]
    whole = answer([*job, "--out", "whole", "--json"])
    process, out, err = stopped([*job, "--out", "cut", "--json"], place / "cut", signal.SIGINT)
    assert process.returncode == 130 and out == "" and "Traceback" not in err, err
    assert "ftcourse resume cut" in err.splitlines()[-1] and 3 <= len(Run.load("cut").history) < 30
    assert "ftcourse resume cut" in shell([*job, "--out", "cut"]).stderr
    resumed = answer(["resume", "cut", "--json"])
    a, b = load_file("whole/model.safetensors"), load_file("cut/model.safetensors")
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    assert resumed["test"] == whole["test"] and resumed["before"] == whole["before"]


def test_resume_finishes_a_run_that_was_cut_after_the_training(done, capsys):
    run, result = done
    shutil.copytree(run, "unjudged")
    for name in ("test.safetensors", "summary.png"):
        (Path("unjudged") / name).unlink()
    assert answer(["resume", "unjudged", "--json"])["test"] == result["test"]
    refused(["resume", "unjudged"], capsys, "complete")


# --- bad input, each in a process of its own --------------------------------------------------------------------------


class Bomb:
    """Pickled, it writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def cut_disk(limit=2**20):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


FORK = """
import json, os, sys
from ftcourse.cli import main
for argv in json.load(sys.stdin):
    child = os.fork()
    if not child:
        for fd, name in (1, "case.out"), (2, "case.err"):
            os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), fd)
        status = main(argv)
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)  # taking down all of torch would cost two seconds
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([status, open("case.out").read(), open("case.err").read()]), flush=True)
"""


def in_processes_of_their_own(commands, folder, ready=""):
    """Each command in a real process with real file descriptors; forked after the imports, and what `ready` does."""
    forker = subprocess.run(
        [sys.executable, "-c", ready + FORK],
        input=json.dumps(commands),
        text=True,
        capture_output=True,
        timeout=300,
        cwd=folder,
    )
    assert forker.returncode == 0, forker.stderr
    rows = [json.loads(line) for line in forker.stdout.splitlines()]
    return [subprocess.CompletedProcess(argv, *row) for argv, row in zip(commands, rows, strict=True)]


@pytest.fixture(scope="module")
def bad(place, pets, done):
    """Every bad command of the list, run two at a time: name -> (the ended process, words that its line must have)."""
    run, _ = done
    made = lambda name: shutil.copytree(pets, place / name)
    one = made("one")
    shutil.rmtree(one / "dog")
    shutil.rmtree(one / "ship")
    lonely = made("lonely")
    [p.unlink() for p in sorted((lonely / "dog").iterdir())[1:]]
    corrupt = made("corrupt")
    (corrupt / "cat" / "03.png").write_bytes(b"no image")
    cut = made("cut-image")
    (cut / "cat" / "04.png").write_bytes((pets / "cat" / "04.png").read_bytes()[:-300])
    (place / "empty").mkdir()
    torch.save({"classifier.1.weight": Bomb(place / "exploded")}, place / "hostile.pth")
    (place / "pickle.pth").write_bytes(pickle.dumps(Bomb(place / "exploded")))
    (place / "text.safetensors").write_text("no weights")
    other = shutil.copytree(run, place / "other-head")
    tensors = load_file(run / "model.safetensors")
    tensors["classifier.1.weight"], tensors["classifier.1.bias"] = torch.zeros(5, 1280), torch.zeros(5)
    save_file(tensors, other / "model.safetensors", json_header(run / "model.safetensors"))
    (place / "cache" / "assets").mkdir(parents=True, exist_ok=True)
    job = lambda *more, task=pets: ["finetune", task, *SMALL, "--out", "refused", *more]
    cases = {
        "no command": ([], ["Expected one of"]),
        "unknown flag": (job("--bogus"), ["bogus"]),
        "unknown task": (job(task="nope"), ["nope", "cifar10"]),
        "unknown model": (job("--model", "resnet19"), ["resnet19"]),
        "unknown stage": (job("--freeze", "layer99"), ["layer99", "layer7", "head"]),
        "unknown later stage": (job("--epochs", "3", "--unfreeze", "1:layer99"), ["layer99"]),
        "unknown weights": (job("--weights", "mine.pth"), ["mine.pth"]),
        "empty folder": (job(task="empty"), ["empty"]),
        "one class": (job(task=one), ["one class"]),
        "a class of one": (job(task=lonely), ["dog", "1"]),
        "corrupt image": (job(task=corrupt), ["03.png", "--skip-bad"]),
        "cut image": (job(task=cut), ["04.png"]),
        "hostile weights": (job("--weights", "hostile.pth"), ["hostile.pth"]),
        "pickled weights": (job("--weights", "pickle.pth"), ["pickle.pth"]),
        "weights that are none": (job("--weights", "text.safetensors"), ["text.safetensors"]),
        "no source": (job("--weights", "imagenet", "--model", "resnet34"), ["resnet34", "FTCOURSE_OFFLINE"]),
        "existing run": (["finetune", pets, *SMALL, "--out", run], ["exists already", "--out"]),
        "zero epochs": (job("--epochs", "0"), ["epochs=0"]),
        "size 0": (job("--size", "0"), ["--size 0"]),
        "a head that does not fit": (["evaluate", other], ["5", "3"]),
        "other classes": (["evaluate", run, "--on", "cifar10"], ["classes are 3", "10"]),
        "no run": (["evaluate", pets], ["is not the folder of a run"]),
    }
    ended = in_processes_of_their_own([list(map(str, argv)) for argv, _ in cases.values()], place)
    return {name: (process, words) for (name, (_, words)), process in zip(cases.items(), ended, strict=True)}


def json_header(path):
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return file.metadata()


def test_bad_input_gets_one_line_and_status_2(bad, place):
    for name, (process, words) in bad.items():
        assert process.returncode == 2 and process.stdout == "" and "Traceback" not in process.stderr, (
            name,
            process.stderr,
        )
        lines = process.stderr.strip().splitlines()
        if name not in ("no command", "unknown flag"):  # those two are the parser's, which draws a box
            lines = [line for line in lines if line.startswith("ftcourse: ")]
            assert len(lines) == 1 and process.stderr.strip().endswith(lines[0]), (name, process.stderr)
        for word in words:
            assert word in " ".join(lines), (name, process.stderr)


def test_bad_input_leaves_nothing_and_runs_nothing(bad, place, done):
    assert not (place / "refused").exists() and not (place / "exploded").exists()
    assert {"run.json", "history.jsonl", "model.safetensors", "test.safetensors", "summary.png"} == set(
        os.listdir(done[0])
    )


def test_skip_bad_counts_what_it_left_out(bad, place):
    result = answer(["finetune", "corrupt", *SMALL, "--skip-bad", "--json"])
    assert any("03.png" in note for note in result["notes"])


def test_a_full_disk_is_one_line_and_leaves_no_half_file(pets, place):
    ended = shell(["finetune", pets, *SMALL, "--out", "full"], preexec_fn=cut_disk)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr, ended.stderr
    assert "too large" in ended.stderr.splitlines()[-1] or "space" in ended.stderr.splitlines()[-1]
    assert (
        all(not name.startswith(".") for name in os.listdir("full"))
        and not (place / "full" / "model.safetensors").exists()
    )


def test_a_full_disk_at_the_report_can_be_resumed(pets, monkeypatch, capsys):
    def full(report, path):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Report, "save", full)
        refused(["finetune", pets, *SMALL, "--out", "late"], capsys, "No space left on device")
    assert answer(["resume", "late", "--json"])["test"]["n"] == 12


def test_a_loss_that_is_not_finite_says_where_and_keeps_the_best(pets, capsys):
    wild = [
        "--optimizer",
        "sgd",
        "--lr",
        "1e18",
        "--clip",
        "0",
        "--freeze",
        "none",
        "--epochs",
        "4",
        "--batch-size",
        "8",
    ]
    line = refused(["finetune", pets, *SMALL, *wild, "--out", "wild"], capsys, "epoch")
    if "are kept in" in line:
        assert all(t.isfinite().all() for t in load_file("wild/model.safetensors").values())
    else:
        assert "no epoch had finished" in line and not Path("wild/model.safetensors").exists()


def test_a_later_divergence_keeps_the_best_epoch(pets, capsys, monkeypatch):
    from ftcourse import training

    def not_finite_in_epoch_2(phase, losses, epoch, *more):
        if epoch == 2:
            raise training.Diverged("the loss became nan in epoch 2, step 0")

    monkeypatch.setattr(training, "_must_be_finite", not_finite_in_epoch_2)
    refused(["finetune", pets, *SMALL, "--epochs", "4", "--out", "later"], capsys, "in epoch 2", "are kept in later")
    assert len(Run.load("later").history) == 2
    assert all(t.isfinite().all() for t in load_file("later/model.safetensors").values() if t.is_floating_point())


# --- the edges --------------------------------------------------------------------------------------------------------


def test_version(capsys):
    from ftcourse import __version__

    assert main(["--version"]) == 0 and capsys.readouterr().out == f"ftcourse {__version__}\n"


def test_a_reader_that_goes_away_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "ftcourse", "assets"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=60) == 0 and err == b""


def test_out_of_memory_is_one_line(pets, capsys, monkeypatch):
    def hungry(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr("ftcourse.cli.finetune", hungry)
    refused(["finetune", pets, *SMALL, "--out", "hungry"], capsys, "out of memory", "--micro-batch")


def test_an_interrupt_before_training_says_that_nothing_was_written(pets, capsys, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("ftcourse.cli.evaluate", interrupted)
    assert main(["finetune", str(pets), *SMALL, "--out", "early"]) == 130
    assert "nothing was written" in capsys.readouterr().err and not Path("early").exists()


def test_two_runs_that_begin_in_one_second_have_folders_of_their_own(place, monkeypatch):
    monkeypatch.setattr(cli.time, "strftime", lambda form: "20260101-000000")
    first, second = (cli._new_folder(None, "cifar10", "resnet18") for _ in range(2))
    assert first == second
    first.mkdir(parents=True)
    assert cli._new_folder(None, "cifar10", "resnet18").name == f"{first.name}-2"
