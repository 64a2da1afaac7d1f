"""The prediction browser without a web browser: what a click opens, in which order, and that text and figure agree."""

import re

import pytest
import torch

from ftcourse.assets import InputError
from ftcourse.data import Split
from ftcourse.evaluation import Report, evaluate
from ftcourse.explain import attributions, gradcam
from ftcourse.models import load_model
from ftcourse.widgets import PredictionBrowser


@pytest.fixture(scope="module")
def split(cifar):
    return cifar.test.per_class(8)


@pytest.fixture(scope="module")
def model(split):
    return load_model("resnet18", split.classes, weights="bundled", seed=4)


@pytest.fixture(scope="module")
def report(model, split):
    return evaluate(model, split)


def made(n=200, classes=3, seed=0):
    """A report of random logits, and a split of blank images that it is about."""
    g = torch.Generator().manual_seed(seed)
    names = [f"class {i}" for i in range(classes)]
    labels = torch.randint(classes, (n,), generator=g)
    split = Split(torch.zeros(n, 3, 8, 8, dtype=torch.uint8), labels, names)
    return Report(torch.randn(n, classes, generator=g), labels, names), split


def by_hand(report, true, predicted):
    """The examples of a cell, by a loop."""
    row, column = report.classes.index(true), report.classes.index(predicted)
    cell = [i for i in range(report.n) if int(report.labels[i]) == row and int(report.predicted[i]) == column]
    return sorted(cell, key=lambda i: float(report.probabilities[i].max()) * (1 if row == column else -1))


def titles(figure):
    """Those of a figure that stand above examples."""
    return [ax.get_title() for ax in figure.axes if ax.get_title().startswith("example")]


def numbers(titles):
    return [int(re.match(r"example (\d+)", title).group(1)) for title in titles]


def test_every_button_opens_its_cell_worst_first():
    report, split = made()
    browser = PredictionBrowser(report, split)
    assert browser.view and len(browser.buttons) == 9
    for (true, predicted), button in browser.buttons.items():
        expected = by_hand(report, true, predicted)
        button.click()
        assert browser.rows == expected and browser.shown == expected[:6] and browser.page == 0
        assert button.tooltip == f"true {true}, predicted {predicted}: {len(expected)} examples"
        assert browser.text.startswith(button.tooltip) and button.description == f"▸{len(expected)}"
        assert [b.description.startswith("▸") for b in browser.buttons.values()].count(True) == 1
        assert f"example {expected[0]}: confidence {float(report.probabilities[expected[0]].max()):.2f}" in browser.text
        assert browser.text.splitlines()[0] in browser.view.children[-1].value        # what stands on the page
        assert browser.text.splitlines()[0] in browser.view.children[-2].value        # and what stands for the picture


def test_it_opens_with_the_largest_mistake():
    report, split = made()
    wrong = report.confusion - report.confusion.diag().diag()
    browser = PredictionBrowser(report, split)
    assert len(browser.rows) == int(wrong.max()) and browser.true != browser.predicted
    labels = split.labels[:10].clamp(max=1)
    right = Report(torch.eye(2)[labels], labels, ["a", "b"])
    browser = PredictionBrowser(right, Split(split.inputs[:10], labels, right.classes))
    assert browser.true == browser.predicted == "a"                        # there is none: the first right answers


def test_pages_have_six_and_end_at_the_ends():
    report, split = made()
    browser = PredictionBrowser(report, split)
    assert browser.view
    seen = list(browser.shown)
    while not browser.forth.disabled:
        assert len(browser.shown) == 6 and not browser.view.children[1].children[1].disabled
        browser.forth.click()
        seen += browser.shown
        assert f"page {browser.page + 1} of {browser.pages}" in browser.text and not browser.back.disabled
    assert seen == browser.rows and browser.pages == -(-len(seen) // 6) > 1
    browser.forth.click()
    assert browser.page == browser.pages - 1
    for _ in range(browser.pages + 2): browser.back.click()
    assert browser.page == 0 and browser.back.disabled and browser.shown == seen[:6]


def test_the_figure_shows_what_the_text_tells(report, split, model):
    browser = PredictionBrowser(report, split, model, stage="layer3")
    whole = browser.figure()
    assert numbers(titles(whole)) == browser.shown == [int(i) for i in re.findall(r"example (\d+)", browser.text)]
    grid, reliability = whole.subfigs[0].axes
    written = [(int(t.get_position()[1]), int(t.get_position()[0]), int(t.get_text())) for t in grid.texts]
    assert written == [(r, c, int(report.confusion[r, c])) for r, c in report.confusion.nonzero().tolist()]
    for name, row in zip(report.classes, report.confusion.tolist(), strict=True):
        line = next(line for line in browser.text.splitlines() if line.startswith(f"{name} ") and " right" in line)
        assert f"{row[report.classes.index(name)]} of 8 right" in line
        called = {k: int(v) for k, v in re.findall(r"(\w+) (\d+)", line.partition("; called ")[2])}
        assert called == {c: n for c, n in zip(report.classes, row, strict=True) if n and c != name}
    dots = reliability.collections[0].get_offsets().tolist()
    told = re.findall(r"(\d\.\d\d) -> (\d\.\d\d) \(", browser.text)
    assert [f"{x:.2f} {y:.2f}" for x, y in dots] == [" ".join(pair) for pair in told]
    assert f"calibration error {report.ece:.3f}" in browser.text
    whole.canvas.draw()


def test_heat_maps_are_those_of_the_predicted_class(report, split, model):
    browser = PredictionBrowser(report, split, model, stage="layer3")
    answer = report.classes.index(browser.predicted)
    expected = gradcam(model, split.inputs[browser.shown], [answer] * len(browser.shown), "layer3")
    torch.testing.assert_close(torch.stack(browser.found), expected)
    assert "of 4 x 4 places" in browser.text
    heat = expected[0] / expected[0].sum()
    line = next(line for line in browser.text.splitlines() if "heat upper left" in line)
    quarters = [heat[:16, :16], heat[:16, 16:], heat[16:, :16], heat[16:, 16:]]
    assert [int(part) for part in re.findall(r"(\d+) %", line)] == [round(100 * float(part.sum())) for part in quarters]
    pictures = browser.figure().subfigs[-1]
    while pictures.subfigs: pictures = pictures.subfigs[0]
    drawn = [ax.images[1].get_array() for ax in pictures.axes[len(browser.shown) :]]
    for one, two in zip(drawn, expected, strict=True): assert torch.equal(torch.tensor(one.data), two)


def test_in_a_live_widget_the_figure_is_the_page_alone(report, split, model):
    browser = PredictionBrowser(report, split, model)
    assert len(browser.figure().subfigs) == 2
    browser.view.children[-2]
    assert not browser.figure().subfigs and numbers(titles(browser.figure())) == browser.shown
    diagram = browser.view.children[0].children[1].value
    assert "reliability diagram, calibration error" in diagram and "data:image/png" in diagram


def test_many_classes_show_the_twelve_of_lowest_f1():
    report, split = made(900, classes=15)
    browser = PredictionBrowser(report, split)
    f1 = [report.per_class[name]["f1"] for name in report.classes]
    hardest = sorted(sorted(range(15), key=lambda i: (f1[i], i))[:12])
    assert browser.view
    assert [*dict.fromkeys(true for true, _ in browser.buttons)] == [report.classes[i] for i in hardest]
    assert len(browser.buttons) == 144 and "Of 15 classes, the 12 of the lowest F1 are in the grid." in browser.text
    row = report.confusion[hardest[0]]
    line = next(line for line in browser.text.splitlines() if line.startswith(f"{report.classes[hardest[0]]} "))
    called = re.findall(r" (\d+)(?:,|$)", line.partition("; called")[2])
    assert " others " in line and sum(map(int, called)) == int(row.sum() - row[hardest[0]])
    left_out = next(name for i, name in enumerate(report.classes) if i not in hardest)
    assert browser.choose(left_out, left_out) == by_hand(report, left_out, left_out)  # by code any cell can be opened
    browser.figure().canvas.draw()


def test_a_cell_without_examples_says_so():
    labels = torch.tensor([0, 0, 1])
    report = Report(torch.tensor([[1.0, 0], [2, 0], [0, 1]]), labels, ["$a$", "<b>"])
    browser = PredictionBrowser(report, Split(torch.zeros(3, 3, 8, 8, dtype=torch.uint8), labels, report.classes))
    assert browser.view and browser.buttons["$a$", "<b>"].disabled
    assert browser.buttons["<b>", "<b>"].tooltip == "true <b>, predicted <b>: 1 example"
    assert browser.choose("$a$", "<b>") == [] and "0 examples; page 1 of 1" in browser.text
    grid = browser.view.children[0].children[0]
    headings = [part.value for part in grid.children if hasattr(part, "value")]
    assert [h for h in headings if "<b>" in h] == [] and len([h for h in headings if "&lt;b&gt;" in h]) == 2
    browser.figure().canvas.draw()


@pytest.fixture(scope="module")
def texts():
    sentences = ["a good film", "a bad film .\nand long", "<i>fine</i> $x$", "dull"] + [" ".join(["word"] * 70)] * 8
    return Split(sentences, torch.tensor([1, 0, 1, 0] + [1] * 8), ["bad", "good"])


def test_texts_are_told_with_or_without_a_model(texts):
    report = Report(torch.tensor([[2.0, 0.0]] * 12), texts.labels, texts.classes)
    browser = PredictionBrowser(report, texts)
    assert browser.rows == [0, 2, 4, 5, 6, 7, 8, 9, 10, 11] and "    a good film" in browser.text
    browser.choose("bad", "bad")
    assert "a bad film . and long" in browser.text
    browser.figure().canvas.draw()
    assert "&lt;i&gt;" not in browser.text and browser.choose("good", "bad") and browser.view
    assert "&lt;i&gt;fine&lt;/i&gt; $x$" in browser.view.children[-1].value


def test_words_are_those_of_the_predicted_class(texts):
    model = load_model("minilm", ["bad", "good"], size=80)
    with torch.no_grad(): model.classifier.weight.mul_(20)
    report = evaluate(model, texts)
    browser = PredictionBrowser(report, texts, model)
    answer = report.classes.index(browser.predicted)
    expected = attributions(model, texts.subset(browser.shown).inputs, [answer] * len(browser.shown))
    for found, words in zip(browser.found, expected, strict=True):
        assert found[:60] == words[:60] and len(found) == min(61, len(words))
        assert sum(v for _, v in found) == pytest.approx(sum(v for _, v in words), abs=1e-4)
    assert "more words]" in browser.text and f"+ speaks for {browser.predicted}, - against it" in browser.text
    for word, number in re.findall(r"(\w+) ([+-]\d\.\d+)", browser.text): assert word and float(number)
    browser.figure().canvas.draw()


def test_a_network_that_has_nothing_to_show_says_so(split):
    model = load_model("vit_b_32", split.classes, weights=None, size=32)
    browser = PredictionBrowser(evaluate(model, split), split, model)
    assert browser.found == [] and "Nothing to show of what it looked at: before its head this Vision" in browser.text
    assert numbers(titles(browser.figure())) == browser.shown != []


@pytest.mark.parametrize("give, message", [
    (lambda r, s: (r, s.subset([1, 0, *range(2, len(s))])), "are not the 80 of the report: give the split that was"),
    (lambda r, s: (r, s, load_model("resnet18", 2, weights=None, size=32)), r"the model's classes are 2 \(0, 1\)"),
], ids=["another split", "another model"])
def test_refusals(report, split, give, message):
    with pytest.raises(InputError, match=message): PredictionBrowser(*give(report, split))
    browser = PredictionBrowser(report, split)
    with pytest.raises(InputError, match="no class 'unicorn'"): browser.choose("cat", "unicorn")
