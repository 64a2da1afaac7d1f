"""Each widget in a real page: moved with mouse and keyboard, read by its text, judged by axe-core, in both themes."""

import re
import time

import pytest
from browser import OUTPUTS, THEMES, axe_violations

pytestmark = pytest.mark.browser
expect = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install '.[dev]'").expect

SETUP = """
from ftcourse import Recipe, Task, freeze, load_model, load_task
from ftcourse.widgets import *
task = load_task("cifar10")
small = Task(**{**vars(task), "train": task.train.per_class(12), "valid": task.valid.per_class(5)})
model = freeze(load_model("resnet18", classes=task.classes, weights=None, size=32), "head")
"""


@pytest.fixture
def page(lab):
    """Write, open and run a notebook: the set-up, then these cells."""

    def shown(name: str, *cells: str):
        lab.write(f"{name}.ipynb", SETUP, *cells)
        lab.open(f"{name}.ipynb")
        lab.run_all(120)
        assert lab.errors() == []
        return lab

    return shown


def told(lab):
    """The text equivalent of the first widget."""
    return lab.page.locator(f"{OUTPUTS} .widget-html pre").first


def good_to_look_at(lab, name: str) -> None:
    """Nothing that axe-core finds, in dark and in light; a picture of each."""
    for theme in THEMES:
        lab.theme(theme)
        lab.screenshot(f"{name} {theme.split()[-1]}", whole=True)
        assert axe_violations(lab.page) == []


def press(lab, name: str) -> None:
    lab.page.get_by_role("button", name=name, exact=True).click()


def test_explore(page):
    lab = page(
        "explore",
        "Explore(lambda axes, n: axes.plot(range(n)), lambda n: f'{n} points', name='points', n=(1, 99))",
    )
    expect(told(lab)).to_have_text("50 points")
    before = lab.page.get_by_role("img", name=re.compile("points: 50 points")).get_attribute("src")
    lab.drag(lab.slider("n"), 80)
    expect(told(lab)).not_to_have_text("50 points")
    expect(told(lab)).to_have_text(re.compile(r"^(79|80|81) points$"))
    assert lab.page.get_by_role("img", name=re.compile("points: ")).get_attribute("src") != before
    lab.slider("n").press("ArrowRight")
    expect(told(lab)).to_have_text(re.compile(r"^(80|81|82) points$"))
    good_to_look_at(lab, "explore")


def test_guess(page):
    lab = page("guess", "guess = Guess('How many?', 0, 100)\nguess", "print('the next cell')")
    lab.drag(lab.slider("Your guess"), 20)
    press(lab, "That is my guess")
    expect(told(lab)).to_contain_text(re.compile("You say (19|20|21)"))
    good_to_look_at(lab, "guess")
    lab.write("guess2.ipynb", SETUP, "guess = Guess('How many?', 0, 100)\nguess", "guess.reveal(30)")
    lab.open("guess2.ipynb")
    lab.run_all()
    expect(told(lab)).to_contain_text("Measured: 30. You made no guess.")


def test_freeze_explorer(page):
    lab = page("freeze", "explorer = FreezeExplorer(model, small, Recipe(epochs=1, batch_size=32))\nexplorer")
    expect(told(lab)).to_contain_text("Learning starts at head")
    lab.page.get_by_role("button", name="layer4").click()
    expect(told(lab)).to_contain_text("Learning starts at layer4; frozen: stem, layer1, layer2, layer3.")
    expect(told(lab)).to_contain_text("8,398,858 of 11,181,642")
    lab.page.get_by_role("button", name="layer3").press("Enter")
    expect(told(lab)).to_contain_text("Learning starts at layer3; frozen: stem, layer1, layer2.")
    expect(lab.page.get_by_role("button", name="❄ layer2")).to_be_visible()
    good_to_look_at(lab, "freeze")


def test_lr_finder(page):
    lab = page(
        "finder",
        "from ftcourse import find_lr",
        "finder = LRFinder(find_lr(model, small, Recipe(batch_size=32), steps=30))\nfinder",
    )
    expect(told(lab)).to_contain_text("before the lowest point")
    lab.drag(lab.slider("learning rate"), float(lab.slider("learning rate").get_attribute("max")))
    expect(told(lab)).to_contain_text("beyond the lowest point: too high")
    good_to_look_at(lab, "finder")


def steps(lab) -> int:
    return int(re.search(r"epochs, ([\d,]+) of", told(lab).inner_text())[1].replace(",", ""))


def test_training_monitor_paused_reloaded_stopped(page):
    lab = page(
        "monitor",
        "monitor = TrainingMonitor(model, small, Recipe(epochs=20_000, freeze='head', batch_size=8))\nmonitor",
    )
    expect(told(lab)).to_contain_text("Training not begun")
    press(lab, "Start")
    expect(told(lab)).to_contain_text("Training running")
    expect(told(lab)).to_contain_text("time left", timeout=20_000)
    press(lab, "Pause")
    expect(told(lab)).to_contain_text("Training paused")
    time.sleep(1.5)
    held = steps(lab)
    time.sleep(1.5)
    assert steps(lab) == held
    good_to_look_at(lab, "monitor")
    press(lab, "Go on")
    expect(told(lab)).to_contain_text("Training running")
    lab.reload()
    told(lab).wait_for()
    before = steps(lab)
    assert before >= held
    expect(told(lab)).not_to_contain_text(f" {before:,} of ", timeout=20_000)  # it goes on
    assert steps(lab) > before
    press(lab, "Stop, keep the best")
    expect(told(lab)).to_contain_text("Training stopped", timeout=20_000)
    for name in ("Start", "Pause", "Stop, keep the best"):
        expect(lab.page.get_by_role("button", name=name, exact=True)).to_be_disabled()
    expect(lab.page.get_by_role("img", name=re.compile("training: Training stopped"))).to_be_visible()
    lab.screenshot("monitor stopped", whole=True)


def test_recipe_form(page):
    lab = page("recipe", "form = RecipeForm(model, small, Recipe(epochs=2, freeze='head', batch_size=32))\nform")
    start = lab.page.get_by_role("button", name="Start", exact=True)
    expect(start).to_be_disabled()
    epochs = lab.page.get_by_label("epochs", exact=True)
    epochs.fill("3")
    epochs.press("Enter")
    expect(told(lab)).to_contain_text(re.compile(r"epochs +3\n"))
    lab.page.get_by_label("unfreeze", exact=True).fill("9:last")
    expect(told(lab)).to_contain_text("can't work")
    lab.page.get_by_label("unfreeze", exact=True).fill("2:last")
    expect(told(lab)).to_contain_text("Press Predict")
    press(lab, "Predict")
    expect(told(lab)).to_contain_text("Predicted on this machine", timeout=30_000)
    good_to_look_at(lab, "recipe")
    start.click()
    expect(lab.outputs).to_contain_text("Training complete: 3 of 3 epochs, 12 of 12 steps", timeout=60_000)
    lab.screenshot("recipe trained", whole=True)


def test_prediction_browser(page):
    lab = page(
        "predictions",
        "from ftcourse import evaluate",
        "few = task.test.per_class(6)\nreport = evaluate(model, few)",
        "best = report.confusion.diag().argmax()\nname = report.classes[best]\n"
        "print(f'true {name}, predicted {name}: {report.confusion[best, best]} examples')",
        "PredictionBrowser(report, few, model)",
    )
    cell = lab.outputs.first.inner_text().strip()
    lab.page.get_by_title(cell).click()
    expect(told(lab)).to_contain_text(cell)
    expect(lab.page.get_by_role("img", name=re.compile(re.escape(cell)))).to_be_visible()
    good_to_look_at(lab, "predictions")
