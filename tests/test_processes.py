"""Two processes beside one: the loss curve, who sees what, who writes, and what happens when one is killed."""

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from processes import images, train
from safetensors.torch import load_file
from test_text_models import make

import ftcourse.training as training
from ftcourse.training import Run, _generator, _other, _share

SGD = {"optimizer": "sgd", "lr": 1e-2, "epochs": 2, "freeze": "head"}
JOBS = {  # name: network, recipe, and what is unusual
    "head": ("resnet18", SGD | {"batch_size": 20}, {}),
    "adamw": ("resnet18", {"epochs": 3, "freeze": "head", "batch_size": 7}, {}),
    "anew": ("mobilenet_v2", SGD | {"batch_size": 9, "keep_gb": 0}, {}),
    "file": ("mobilenet_v2", SGD | {"batch_size": 20, "keep_gb": 1e-6}, {}),
    "singles": ("mobilenet_v2", SGD | {"batch_size": 1}, {"counts": {"train": 1, "valid": 1}}),
    "norms": ("resnet18", SGD | {"epochs": 1, "lr": 1e-5, "freeze": "last", "batch_size": 30, "ema": 0.5}, {}),
    "texts": ("bert", SGD | {"freeze": "layer.1", "batch_size": 11, "max_tokens": 60}, {}),
    "phases": ("bert", SGD | {"epochs": 4, "unfreeze": ["1:layer.2", "2:none"], "batch_size": 13, "micro_batch": 3,
                              "l2sp": 0.05, "ema": 0.5, "clip": 0.1}, {"differs": True}),
}
DRAWS = {"network": "mobilenet_v2", "recipe": {"epochs": 3, "freeze": "head", "unfreeze": ["1:last"], "batch_size": 16,
                                               "flip": True, "ema": 0.5, "mixup": 0.2}}


def environments(count: int = 2) -> list[dict]:
    """What a launcher sets for each of its processes."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    shared = {"WORLD_SIZE": f"{count}", "LOCAL_WORLD_SIZE": f"{count}", "MASTER_ADDR": "127.0.0.1",
              "MASTER_PORT": f"{port}", "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return [os.environ | shared | {"RANK": str(i), "LOCAL_RANK": str(i)} for i in range(count)]


def launch(jobs: list[dict], folder: Path) -> list[tuple[int, str, str]]:
    """Status, output and errors of two processes that do `jobs` together."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, Path(__file__).with_name("processes.py"), folder / "jobs.json"]
    processes = [subprocess.Popen(command, text=True, env=env, stdout=-1, stderr=-1) for env in environments()]
    try:
        said = [process.communicate(timeout=100) for process in processes]
        return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]
    finally:
        for process in processes: process.kill()


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    bert = str(make(tmp_path_factory.mktemp("bert")))
    return [{"name": name, "network": bert if network == "bert" else network, "recipe": recipe, **unusual}
            for name, (network, recipe, unusual) in JOBS.items()]


@pytest.fixture(scope="module")
def one(jobs, tmp_path_factory):
    """All jobs, by this process alone."""
    folder, threads = tmp_path_factory.mktemp("one"), torch.get_num_threads()
    torch.set_num_threads(1)
    yield {job["name"]: train(job, folder) for job in jobs}
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def two(jobs, tmp_path_factory):
    """All jobs, by two processes; and one more, which others break."""
    folder = tmp_path_factory.mktemp("two")
    ended = launch([*jobs, DRAWS | {"name": "whole"}], folder)
    assert [status for status, *_ in ended] == [0, 0], ended
    results = [json.loads((folder / f"results-{i}.json").read_text()) for i in range(2)]
    return SimpleNamespace(folder=folder, ended=ended, results=results)


@pytest.mark.parametrize("name", [name for name in JOBS if name != "norms"])
def test_the_loss_curve_is_that_of_one_process(one, two, name):
    """Tolerance 1e-5, a hundred times what is measured: the sum over two processes is added in another order."""
    first, second = (result[name]["history"] for result in two.results)
    for alone, ours, theirs in zip(one[name]["history"], first, second, strict=True):
        for key in ("train_loss", "valid_loss"):
            assert ours[key] == pytest.approx(alone[key], rel=1e-5)
            assert ours[key] == theirs[key]
        assert ours["valid_accuracy"] == alone["valid_accuracy"] == theirs["valid_accuracy"]


@pytest.mark.parametrize("name", JOBS)
def test_each_example_is_seen_once_an_epoch(one, two, name):
    epochs = JOBS[name][1]["epochs"]
    everything = dict.fromkeys({i for index in one[name]["seen"] for i in index}, epochs)
    assert dict(Counter(i for part in two.results for index in part[name]["seen"] for i in index)) == everything
    shares = [sum(map(len, part[name]["seen"])) for part in two.results]
    assert name == "singles" or min(shares) > 0.4 * sum(shares)


@given(size=st.integers(1, 40), count=st.integers(1, 9))
def test_a_batch_is_cut_without_a_rest_and_nobody_is_left_with_one(size, count):
    """One of several: BatchNorm cannot learn from a single image."""
    processes = [SimpleNamespace(process_index=i, num_processes=count) for i in range(count)]
    shares = [_share(process, torch.arange(size)).tolist() for process in processes]
    assert sorted(i for share in shares for i in share) == list(range(size))
    assert size == 1 or 1 not in map(len, shares)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1 or size < 2 * count


def test_each_process_draws_its_own_and_the_main_one_draws_as_one_alone():
    processes = [SimpleNamespace(process_index=i) for i in range(3)]
    draws = [torch.rand(4, generator=_generator("cpu", 0, 2, 0, *_other(process))) for process in processes]
    assert torch.equal(draws[0], torch.rand(4, generator=_generator("cpu", 0, 2, 0)))
    assert not torch.equal(draws[0], draws[1]) and not torch.equal(draws[1], draws[2])


@pytest.mark.parametrize("name", JOBS)
def test_all_processes_end_with_the_same_network(one, two, name):
    """Also where they began with different ones ("phases"): the main one's count."""
    first, second = (result[name] for result in two.results)
    assert first["sums"] == second["sums"] and first["path"] == second["path"]
    assert name == "norms" or first["sums"] == pytest.approx(one[name]["sums"], rel=1e-3, abs=1e-3)


def test_batchnorm_in_a_trained_stage_has_statistics_of_each_process(one, two):
    """So the loss is near, not equal. The running means are averaged: that of two halves is that of the whole batch,
    at least in the first BatchNorm, whose input does not depend on another, at a learning rate of almost nothing."""
    alone, ours = one["norms"], two.results[0]["norms"]
    assert 1e-5 < abs(ours["history"][0]["train_loss"] / alone["history"][0]["train_loss"] - 1) < 0.2
    means = [torch.tensor(result["means"][0]) for result in (alone, ours)]
    assert (means[0] - means[1]).abs().max() < 1e-3 * means[0].abs().max()


def test_one_process_writes_and_speaks(two):
    (_, _, said), (_, *silent) = two.ended
    assert said.count("it is kept in a file") == 2 and silent == ["", ""]
    for name, (network, *_) in JOBS.items():
        files = {file.name for file in (two.folder / name).iterdir()}
        assert files >= {"run.json", "history.jsonl", "model.safetensors"} and (len(files) == 3 or network == "bert")
        assert Run.load(two.folder / name).info["processes"] == 2


def test_a_killed_process_ends_all_and_the_run_goes_on(two, tmp_path):
    """The other process dies. Resumed, the weights are bit for bit those without a break. Then the main one dies."""
    cut, again = DRAWS | {"name": "cut"}, DRAWS | {"name": "again", "dies": "0"}
    for victim, jobs in ((1, [cut | {"dies": "1"}]), (0, [cut | {"resume": True}, again])):
        began = time.monotonic()
        ended, folder = launch(jobs, tmp_path), tmp_path / jobs[-1]["name"]
        assert ended[victim][0] == -9 and ended[1 - victim][0] == 1 and time.monotonic() - began < 60
        assert "another process has ended (" in ended[1 - victim][2]
        assert f"1 of 3 epochs are kept in {folder}; go on with: ftcourse resume {folder}" in ended[1 - victim][2]
        assert Run.load(folder).info["status"] == "running" and len(Run.load(folder).history) == 1
    resumed, whole = (load_file(path / "model.safetensors") for path in (tmp_path / "cut", two.folder / "whole"))
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)
    assert [record["epoch"] for record in Run.load(tmp_path / "cut").history] == [0, 1, 2]


def test_the_command_in_two_processes(tmp_path):
    """Started by torchrun: standard output is one object, and the errors are those of one process."""
    split = images(train=20).train
    for k, (image, label) in enumerate(zip(split.inputs, split.labels.tolist(), strict=True)):
        if label > 1: continue
        folder = tmp_path / "pets" / split.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(folder / f"{k}.png")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launcher, "-m", "ftcourse", "finetune", "pets", "--size", "32", "--weights", "none", "--epochs", "2",
               "--json"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, env=env)
    assert done.returncode == 0, done.stderr
    run = Run.load(tmp_path / json.loads(done.stdout)["run"])
    assert run.info["processes"] == 2 and run.info["status"] == "complete" and (run.path / "test.safetensors").exists()
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_launcher_that_starts_one_process_for_several_is_reported(monkeypatch, capfd):
    """`accelerate launch --cpu --num_processes 2` without MPI leaves these variables, and no number of processes."""
    monkeypatch.setenv("MASTER_PORT", "29500")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "False")
    training._accelerator("fp32")
    assert "one was started: on CPUs it needs MPI" in capfd.readouterr().err
