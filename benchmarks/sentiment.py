"""MiniLM on film reviews beside counting words, and what padding costs: `python benchmarks/sentiment.py reviews`.

Fine-tunes with the default recipe (or the fields that are given) and evaluates on the test split. Then it reads some of
the training texts through the network in three ways in turn: padded to the limit, in shuffled batches, in batches of
like length. Last it fits TF-IDF with a logistic regression to the same training split, and compares the two on the same
texts. Written is benchmarks/sentiment-TASK.json. Interrupted, the same command goes on after the last finished epoch.
"""

import argparse
import json
import statistics
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn
from torch.nn import functional as F

from ftcourse import Report, Run, Task, compare, evaluate, finetune, load_model, load_task
from ftcourse.data import Split, windows
from ftcourse.training import default_recipe, environment

HERE = Path(__file__).parent
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def count_words(train: Split, test: Split) -> Report:
    """TF-IDF of words and pairs of words with a logistic regression, its strength chosen inside the training split."""
    counter = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    fit = make_pipeline(counter, LogisticRegression(max_iter=1000))
    search = GridSearchCV(fit, {"logisticregression__C": [1, 3, 10, 30]}, scoring="neg_log_loss", cv=3, n_jobs=-1)
    search.fit(train.inputs, train.labels)
    return Report(torch.from_numpy(search.predict_log_proba(test.inputs)), test.labels, test.classes)


@torch.no_grad()
def read(model: nn.Module, ids, batches: list, longest: int | None) -> tuple[int, float]:
    """Tokens and seconds of one pass over all batches; `longest` pads every text to so many tokens."""
    tokens, began = 0, time.perf_counter()
    for rows in batches:
        x = model.preprocess(ids[rows].to(model.device))
        if longest: x = {key: F.pad(value, (0, longest - value.shape[1])) for key, value in x.items()}
        model(**x)
        tokens += x["input_ids"].numel()
    if model.device.type == "cuda": torch.cuda.synchronize()
    return tokens, time.perf_counter() - began


def padding(model: nn.Module, task: Task, texts: int = 1024, batch: int = 32, rounds: int = 3) -> dict:
    """The same texts padded to the limit, to the longest of a shuffled batch, and in batches of like length."""
    model.eval()
    limit, draws = model.preprocess.max_length, torch.Generator().manual_seed(0)
    ids = model.preprocess.prepare(task.train.subset(torch.randperm(len(task.train), generator=draws)[:texts]).inputs)
    order = torch.randperm(len(ids), generator=draws)
    ways = {"limit": (order.split(batch), limit), "shuffled": (order.split(batch), None),
            "like length": (windows(order, ids.lengths, batch), None)}
    taken = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items(): taken[name].append(read(model, ids, *way))
    ratio = [a[1] / b[1] for a, b in zip(taken["limit"], taken["like length"], strict=True)]
    table = {name: {"tokens": runs[0][0], "seconds": [round(seconds, 2) for _, seconds in runs]}
             for name, runs in taken.items()}
    return {"texts": len(ids), "limit": limit, "real_tokens": int(ids.lengths.sum()), "ways": table,
            "limit_over_like_length": round(statistics.median(ratio), 2)}


def trained(name: str, size: int | None, work: Path, given: dict) -> tuple[Task, Run]:
    """The task, and MiniLM's run on it in `work`: read if it is complete, gone on with if it was begun, else new."""
    task = load_task(name, seed=given.get("seed", 0))
    began = (work / "run.json").exists()
    if began and Run.load(work).info["status"] == "complete": return task, Run.load(work)
    model = load_model("minilm", classes=task.classes, size=size, seed=given.get("seed", 0))
    return task, finetune(model, task, replace(default_recipe(model.preprocess), **given), work, resume=began)


def measure(task: Task, run: Run) -> None:
    """The network, what padding costs it, and the baseline; told one after the other."""
    model = run.model().to(DEVICE)
    network = evaluate(model, task.test)
    result = {
        "task": task.name, "examples": {part: len(getattr(task, part)) for part in ("train", "valid", "test")},
        "notes": task.notes, "recipe": asdict(run.recipe), "size": model.preprocess.max_length, "seconds": run.seconds,
        "epochs": run.history, "data": task.source, "environment": environment(),
        "accuracy": {"minilm": network.accuracy}, "interval": {"minilm": network.interval},
    }
    tell(result)
    result["padding"] = padding(model, task)
    tell(result)
    counted = count_words(task.train, task.test)
    difference = compare(counted, network)
    result["accuracy"]["counting words"], result["interval"]["counting words"] = counted.accuracy, counted.interval
    result |= {"difference": difference.difference, "difference_interval": difference.interval}
    tell(result)


def tell(result: dict) -> None:
    """Write what is known so far, and print it; the baseline takes minutes on long texts and comes last."""
    (HERE / f"sentiment-{result['task']}.json").write_text(json.dumps(result, indent=1) + "\n")
    shown = ("accuracy", "interval", "padding", "difference", "difference_interval")
    print(json.dumps({key: result[key] for key in shown if key in result}, indent=1), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["reviews", "imdb"])
    parser.add_argument("--size", type=int, help="longest text in tokens; default: the network's")
    parser.add_argument("--work", type=Path, required=True, help="the folder of the run, kept between calls")
    for name, kind in (("freeze", str), ("epochs", int), ("keep_gb", float), ("seed", int)):
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help="as in the recipe")
    args = vars(parser.parse_args())
    name, size, work = args.pop("task"), args.pop("size"), args.pop("work")
    measure(*trained(name, size, work, {key: value for key, value in args.items() if value is not None}))


if __name__ == "__main__":
    main()
