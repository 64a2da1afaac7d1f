"""evaluation: every number against an oracle (scikit-learn, scipy, or a slow loop), and every refusal."""

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from torch import nn

from ftcourse.assets import InputError
from ftcourse.data import Split
from ftcourse.evaluation import Comparison, Report, _fingerprint, _mcnemar, bootstrap, compare, evaluate, wilson

NAMES = [f"class {i}" for i in range(30)]


def synthetic(n=400, classes=5, strength=2.0, seed=0, **fields):
    """A report whose logits lean towards the label by `strength` standard deviations."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=g)
    logits = torch.randn(n, classes, generator=g)
    logits[torch.arange(n), labels] += strength
    return Report(logits, labels, NAMES[:classes], **fields)


def of_rights(right, seed=0):
    """A two-class report that is right exactly where `right` says so."""
    right = torch.as_tensor(right)
    labels = torch.arange(len(right)) % 2
    predicted = torch.where(right, labels, 1 - labels)
    return Report(nn.functional.one_hot(predicted, 2).float() * 3, labels, ["no", "yes"], seed=seed)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(1, 60), st.integers(0, 10_000))
def test_numbers_equal_scikit_learn(classes, n, seed):
    report = synthetic(n, classes, strength=1.0, seed=seed)
    true, guess, ids = report.labels.numpy(), report.predicted.numpy(), list(range(classes))
    assert report.accuracy == pytest.approx(sklearn.metrics.accuracy_score(true, guess))
    assert report.confusion.tolist() == sklearn.metrics.confusion_matrix(true, guess, labels=ids).tolist()
    probabilities = report.logits.double().softmax(dim=1)
    assert report.loss == pytest.approx(sklearn.metrics.log_loss(true, probabilities, labels=ids), rel=1e-9)
    oracle = sklearn.metrics.precision_recall_fscore_support(true, guess, labels=ids, zero_division=0)
    for i, row in enumerate(report.per_class.values()):
        assert list(row) == ["precision", "recall", "f1", "support"]
        assert list(row.values()) == pytest.approx([o[i] for o in oracle], abs=1e-6)


def test_calibration_error_equals_a_loop():
    report = synthetic(500, 4)
    confidence, predicted = report.probabilities.max(dim=1)
    total = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            gap = (report.right[inside].float().mean() - confidence[inside].mean()).abs()
            total += float(gap) * int(inside.sum()) / report.n
    assert report.ece == pytest.approx(total, abs=1e-5)


def test_calibration_error_is_zero_for_honest_confidence_and_large_for_loud():
    n = 1000
    honest = torch.tensor([[math.log(0.8), math.log(0.2)]]).repeat(n, 1)
    labels = (torch.arange(n) % 5 == 0).long()  # class 0 is right in 80 % of the cases, and says so
    assert Report(honest, labels, ["a", "b"]).ece == pytest.approx(0, abs=1e-5)
    assert Report(honest * 20, labels, ["a", "b"]).ece == pytest.approx(0.2, abs=1e-3)


@pytest.mark.parametrize("right, n", [(80, 100), (7, 10), (842, 1000)])
def test_bootstrap_equals_scipy(right, n):
    sample = np.arange(n) < right
    oracle = scipy.stats.bootstrap((sample,), np.mean, method="percentile", n_resamples=10_000, rng=0)
    assert bootstrap(right, n) == pytest.approx(tuple(oracle.confidence_interval), abs=max(1.01 / n, 0.003))


@pytest.mark.parametrize("right, n", [(0, 1), (1, 1), (12, 12), (80, 100), (0, 40)])
def test_wilson_equals_scipy(right, n):
    oracle = scipy.stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right, n) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


@pytest.mark.parametrize("right, n", [(13, 12), (-1, 5), (0, 0)])
@pytest.mark.parametrize("interval", [bootstrap, wilson])
def test_impossible_counts_are_refused(interval, right, n):
    with pytest.raises(InputError, match=f"{right} right of {n}"):
        interval(right, n)


def test_interval_is_seeded_contains_the_accuracy_and_shrinks():
    small, large = synthetic(100, 5, 1.5), synthetic(10_000, 5, 1.5)
    assert small.interval == synthetic(100, 5, 1.5).interval == bootstrap(int(small.right.sum()), 100, seed=0)
    for r in (small, large):
        assert r.interval[0] < r.accuracy < r.interval[1]
    width = lambda r: r.interval[1] - r.interval[0]
    assert 7 < width(small) / width(large) < 14  # the square root of 100, up to the noise of 100 examples


@pytest.mark.parametrize("n", [1, 12])
def test_all_right_is_not_certainty(n):
    low, high = of_rights([True] * n).interval
    assert high == 1.0 and low == wilson(n, n)[0] < 1.0
    low, high = of_rights([False] * n).interval
    assert low == 0.0 and high == wilson(0, n)[1] > 0.0


def test_coverage_is_what_it_claims():
    rng, truth, n = np.random.default_rng(3), 0.8, 500
    counts = rng.binomial(n, truth, 3000)
    table = {int(k): bootstrap(int(k), n) for k in np.unique(counts)}
    held = np.mean([table[int(k)][0] <= truth <= table[int(k)][1] for k in counts])
    assert 0.93 < held < 0.965


def test_a_class_that_never_occurs_and_is_never_predicted():
    report = Report(torch.tensor([[2.0, 0, -9], [0, 2.0, -9]]), torch.tensor([0, 1]), ["a", "b", "ghost"])
    assert report.per_class["ghost"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}
    assert report.confusion.shape == (3, 3)
    repr(report), report._repr_html_(), report.plot(), json.dumps(report.to_dict(), allow_nan=False)


def test_one_example():
    report = Report(torch.tensor([[0.0, 1.0]]), torch.tensor([1]), ["a", "b"])
    assert report.n == 1 and report.accuracy == 1.0 and report.interval[0] < 0.5
    repr(report), report.plot()


def test_worst_lists_wrong_answers_by_confidence():
    logits = torch.tensor([[9.0, 0], [1.0, 0], [0, 5.0], [3.0, 0]])
    report = Report(logits, torch.tensor([0, 1, 0, 1]), ["a", "b"])
    assert [e["index"] for e in report.worst(9)] == [2, 3, 1]
    first = report.worst(1)[0]
    assert (first["true"], first["predicted"]) == ("a", "b")
    assert first["confidence"] == pytest.approx(1 / (1 + math.exp(-5)))


def test_worst_shows_inputs_of_either_kind():
    logits = torch.tensor([[9.0, 0], [1.0, 0], [0, 5.0], [3.0, 0]])
    labels, classes = torch.tensor([0, 1, 0, 1]), ["a", "b"]
    report = Report(logits, labels, classes)
    texts = ["one", "two", "three", "four"]
    errors = report.worst(9, Split(texts, labels, classes, [f"f.csv:{i}" for i in range(4)]))
    assert [(e["input"], e["name"]) for e in errors] == [("three", "f.csv:2"), ("four", "f.csv:3"), ("two", "f.csv:1")]
    assert [{k: v for k, v in e.items() if k not in ("input", "name")} for e in errors] == report.worst(9)
    images = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    errors = report.worst(2, Split(images, labels, classes))
    assert [int(e["input"].max()) for e in errors] == [2, 3] and errors[0]["name"] is None
    for other in (Split(texts, 1 - labels, classes), Split(texts[:2], labels[:2], classes)):
        with pytest.raises(InputError, match="these [24] examples are not the 4 of the report"):
            report.worst(2, other)
    report.examples = _fingerprint(Split(texts, labels, classes))
    with pytest.raises(InputError, match="are not the 4 of the report"):
        report.worst(2, Split(texts[::-1], labels, classes))  # the same labels, other texts


def test_fingerprint_tells_texts_apart_by_their_words_and_images_by_name_or_pixels():
    labels, classes = torch.tensor([0, 1]), ["a", "b"]
    mark = lambda inputs, names=None: _fingerprint(Split(inputs, labels, classes, names))
    lines = ["f.csv:2", "f.csv:3"]
    assert mark(["x", "y"], lines) != mark(["x", "z"], lines)  # an edited file, the same lines
    assert mark(["x", "y"]) == mark(["x", "y"], lines)
    black, white = (torch.full((2, 3, 2, 2), value, dtype=torch.uint8) for value in (0, 255))
    assert mark(black) != mark(white) and mark(black, ["1.png", "2.png"]) == mark(white, ["1.png", "2.png"])
    assert mark(["\ud800", ""])  # half a surrogate pair


@pytest.mark.parametrize(
    "logits, labels, classes, message",
    [
        (torch.tensor([[0.0, float("nan")], [0, 0]]), [0, 1], ["a", "b"], "logits of example 0 are not finite"),
        (torch.tensor([[0.0, 1], [float("inf"), 0]]), [0, 1], ["a", "b"], "logits of example 1 are not finite"),
        (torch.zeros(2, 2), [0, 2], ["a", "b"], "label 2 of example 1: labels are 0 to 1"),
        (torch.zeros(2, 2), [-1, 0], ["a", "b"], "label -1 of example 0"),
        (torch.zeros(2, 2), [0], ["a", "b"], "give N integers"),
        (torch.zeros(2, 2), [0.5, 1.0], ["a", "b"], "give N integers"),
        (torch.zeros(0, 2), [], ["a", "b"], "at least 1 example"),
        (torch.zeros(2, 1), [0, 0], ["a"], "2 classes"),
        (torch.zeros(2, 2, dtype=torch.int64), [0, 1], ["a", "b"], "give floats"),
        (torch.zeros(2, 2), [0, 1], ["a"], "one name a class"),
        (torch.zeros(2, 2), [0, 1], ["a", "a"], "no two equal"),
    ],
)
def test_what_cannot_be_a_report_is_refused_in_one_line(logits, labels, classes, message):
    with pytest.raises(InputError, match=message) as error:
        Report(logits, torch.tensor(labels), classes)
    assert "\n" not in str(error.value)


HOSTILE = [
    "<script>alert(1)</script>",
    "a&b\"'",
    "$\\frac{1}{",
    "line\nbreak\ttab",
    "\x1b[31mred",
    "名" * 60,
    "\u202eevil",
    "",
]


def hostile_report():
    labels = torch.arange(80) % 8
    logits = torch.randn(80, 8, generator=torch.Generator().manual_seed(0))
    return Report(logits, labels, HOSTILE, name="<b>test", notes=["<i>"])


def test_hostile_names_are_disarmed_everywhere(tmp_path):
    report = hostile_report()
    page = report._repr_html_()
    assert "<script" not in page and "<b>test" not in page and "<i>" not in page and "&lt;script&gt;" in page
    text = repr(report)
    assert all(c.isprintable() or c == "\n" for c in text) and text.count("\n") == len(HOSTILE) + 5
    wide = lambda line: sum(2 if c == "名" else 1 for c in line)
    assert max(map(wide, text.splitlines())) <= 100
    report.plot().savefig(tmp_path / "plot.png")  # mathtext in a name must not be parsed
    assert Report.load(report.save(tmp_path / "r.safetensors")).classes == HOSTILE


@pytest.mark.parametrize("classes", [2, 10, 20, 30])
def test_displays_fit_for_few_and_many_classes(classes, tmp_path):
    report = synthetic(300, classes)
    lines = repr(report).splitlines()
    assert max(map(len, lines)) <= 100 and len(lines) <= 27
    figure = report.plot()
    figure.savefig(tmp_path / "plot.png")
    written = [t.get_text() for t in figure.axes[0].texts]
    assert len(written) == (int((report.confusion > 0).sum()) if classes <= 20 else 0)


def test_save_and_load_round_trip(tmp_path):
    fields = dict(seconds=2.0, notes=["one file skipped"], source={"model": {"name": "m"}}, examples="ab")
    report = synthetic(50, 3, seed=4, **fields)
    again = Report.load(report.save(tmp_path / "r.safetensors"))
    assert again.to_dict() == report.to_dict() and torch.equal(again.logits, report.logits)
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False)) == report.to_dict()
    assert report.throughput == 25.0
    assert [p.name for p in tmp_path.iterdir()] == ["r.safetensors"]


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_what_is_not_a_report_is_refused_on_load(tmp_path):
    from safetensors.torch import save

    meta = dict(classes=["a", "b"], name="t", seconds=0, source={}, examples="", notes=[], seed=0)
    tensors = {"logits": torch.zeros(2, 2), "labels": torch.tensor([0, 1])}
    as_meta = lambda **change: {"ftcourse.report": json.dumps(meta | change)}
    files = {
        "junk": b"not a report",
        "empty": b"",
        "pickle": pickle.dumps(Bomb(str(tmp_path / "exploded"))),
        "no metadata": save(tensors),
        "no labels": save({"logits": tensors["logits"]}, as_meta()),
        "no json": save(tensors, {"ftcourse.report": "{"}),
        "extra field": save(tensors, as_meta(more=1)),
        "wrong kind": save(tensors, as_meta(notes="x")),
        "wrong note": save(tensors, as_meta(notes=[1])),
        "list": save(tensors, {"ftcourse.report": "[]"}),
        "labels out of range": save(tensors | {"labels": torch.tensor([0, 5])}, as_meta()),
        "nan": save(tensors | {"logits": torch.full((2, 2), float("nan"))}, as_meta()),
        "classes": save(tensors, as_meta(classes=["a"])),
        "truncated": save(tensors, as_meta())[:-4],
    }
    for name, data in files.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(InputError) as error:
            Report.load(path)
        assert "\n" not in str(error.value), name
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(OSError):
        Report.load(tmp_path / "absent")


def test_a_full_disk_leaves_the_old_report_whole(tmp_path, monkeypatch):
    path = synthetic(20, 3).save(tmp_path / "r.safetensors")
    old = path.read_bytes()

    def full(tensors, file, metadata):
        Path(file).write_bytes(b"the first bytes")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space"):
        synthetic(20, 3, seed=1).save(path)
    assert path.read_bytes() == old and [p.name for p in tmp_path.iterdir()] == ["r.safetensors"]


@pytest.mark.parametrize("only_a, only_b", [(0, 0), (0, 1), (3, 9), (10, 10), (40, 80), (900, 1000)])
def test_mcnemar_equals_the_exact_binomial_test(only_a, only_b):
    oracle = scipy.stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert _mcnemar(only_a, only_b) == pytest.approx(oracle, rel=1e-9)


def test_compare_sees_what_overlapping_intervals_hide():
    n = 1000
    a, b = np.arange(n) < 800, np.arange(n) < 820  # b is right wherever a is, and 20 times more
    ra, rb = of_rights(a), of_rights(b)
    assert ra.interval[1] > rb.interval[0]  # alone, nothing is shown
    c = compare(ra, rb)
    assert (c.both, c.only_a, c.only_b, c.neither) == (800, 0, 20, 180)
    assert c.difference == pytest.approx(0.02) and c.interval[0] > 0 and c.p_value == pytest.approx(2 * 0.5**20)
    back = compare(rb, ra)
    assert back.difference == -c.difference and back.p_value == c.p_value and back.interval[1] < 0


def test_paired_interval_equals_resampling_the_examples():
    a, b = synthetic(300, 3, 1.0, seed=1), synthetic(300, 3, 1.0, seed=1)
    b.logits = b.logits + torch.randn(b.logits.shape, generator=torch.Generator().manual_seed(5)) * 0.7
    b = Report(b.logits, b.labels, b.classes)
    gain = (b.right.int() - a.right.int()).numpy()
    oracle = scipy.stats.bootstrap((gain,), np.mean, method="percentile", n_resamples=10_000, rng=0)
    assert compare(a, b).interval == pytest.approx(tuple(oracle.confidence_interval), abs=0.005)


def test_a_model_compared_with_itself_is_not_certainty():
    report = synthetic(100, 3)
    c = compare(report, report)
    assert c.difference == 0 and c.p_value == 1 and c.interval[0] < 0 < c.interval[1]
    assert isinstance(c, Comparison) and "no difference shown" in repr(c) and "no difference shown" in c._repr_html_()
    assert json.loads(json.dumps(c.to_dict())) == c.to_dict()


def test_compare_refuses_different_examples():
    report = synthetic(50, 3, examples="x")
    for other in (synthetic(49, 3), synthetic(50, 4), synthetic(50, 3, seed=1), synthetic(50, 3, examples="y")):
        with pytest.raises(InputError, match="different examples"):
            compare(report, other)


class Shades:
    """What stands for a network's preprocessing: grey values 0..1."""

    def prepare(self, images):
        return images

    def __call__(self, images):
        return images.float() / 255


class Tiny(nn.Module):
    """A linear classifier of the mean colour, with what load_model would set."""

    def __init__(self, classes):
        super().__init__()
        self.head, self.classes, self.source = nn.Linear(3, len(classes)), classes, {"name": "tiny"}
        self.preprocess = Shades()

    def forward(self, x):
        return self.head(x.mean(dim=(2, 3)))


def split_of(n=20, classes=("a", "b"), names=None, seed=0):
    g = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (n, 3, 8, 8), dtype=torch.uint8, generator=g)
    return Split(images, torch.arange(n) % len(classes), list(classes), names)


def test_evaluate_reports_on_the_models_answers():
    model, split = Tiny(["a", "b"]), split_of()
    model.train()
    report = evaluate(model, split)
    assert report.n == 20 and report.seconds > 0 and report.source["model"] == {"name": "tiny"} and model.training
    assert torch.equal(report.labels, split.labels)
    assert report.examples == evaluate(model, split_of()).examples != evaluate(model, split_of(seed=1)).examples
    with pytest.raises(InputError, match="different examples"):
        compare(report, evaluate(model, split_of(seed=1)))


def test_evaluate_refuses_empty_splits_other_classes_and_spoiled_models():
    with pytest.raises(InputError, match="no examples"):
        evaluate(Tiny(["a", "b"]), split_of(0))
    for classes in (["b", "a"], ["a", "b", "c"]):
        with pytest.raises(InputError, match="model's classes are"):
            evaluate(Tiny(classes), split_of())
    model = Tiny(["a", "b"])
    with torch.no_grad():
        model.head.bias[0] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        evaluate(model, split_of())
