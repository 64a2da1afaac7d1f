"""The widgets without a browser: what a click does, what the text says, and that nothing slows the training down."""

import statistics
import threading
import time
from dataclasses import replace

import pytest
import torch

from ftcourse import InputError, Recipe, Task, finetune, freeze, load_model, load_task
from ftcourse.models import stages
from ftcourse.training import _RANGES, Stopped, Watch, estimate, lr_factor
from ftcourse.widgets import (
    Explore,
    FreezeExplorer,
    Guess,
    Interactive,
    LRFinder,
    RecipeForm,
    TrainingMonitor,
    field_help,
    schedule,
)


@pytest.fixture(scope="module")
def small():
    task = load_task("cifar10")
    return Task(**{**vars(task), "train": task.train.per_class(12), "valid": task.valid.per_class(5)})


@pytest.fixture
def model(small):
    return freeze(load_model("resnet18", classes=small.classes, weights=None, size=32), "head")


def shown(widget: Interactive) -> str:
    """The HTML of the text and the picture as they stand on the page."""
    return widget.view.children[-1].value + widget.view.children[-2].value


def look_at(widget: Interactive) -> None:
    """Show it, as a notebook does."""
    widget._repr_mimebundle_()


# The hook in the loop.


class Listener(Watch):
    def __init__(self, stop_after: int | None = None):
        self.heard, self.stop_after = [], stop_after

    def begins(self, run, steps):
        self.heard.append(("begins", steps))

    def step(self, loss, groups):
        self.heard.append(("step", float(loss), {group["name"]: group["lr"] for group in groups}))

    def epoch(self, record):
        self.heard.append(("epoch", record["train_loss"]))
        if self.stop_after == record["epoch"] + 1:
            raise Stopped


def test_a_watch_hears_of_every_step_and_epoch_and_changes_nothing(small, model, tmp_path):
    recipe, listener = Recipe(epochs=2, batch_size=50, lr=1e-3, weight_decay=0, warmup=0), Listener()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    finetune(model, small, recipe, tmp_path / "watched", watch=listener)
    watched = {key: value.clone() for key, value in model.state_dict().items()}
    model.load_state_dict(before)
    finetune(model, small, recipe, tmp_path / "alone")
    assert all(torch.equal(watched[key], value) for key, value in model.state_dict().items())
    assert [kind for kind, *_ in listener.heard] == [
        "begins",
        "step",
        "step",
        "step",
        "epoch",
        "step",
        "step",
        "step",
        "epoch",
    ]
    assert listener.heard[0][1] == 6
    losses = [entry[1] for entry in listener.heard[1:4]]  # 50, 50 and 20 images
    assert listener.heard[4][1] == pytest.approx((50 * losses[0] + 50 * losses[1] + 20 * losses[2]) / 120)
    assert listener.heard[2][2]["head, decay"] == pytest.approx(1e-3 * lr_factor(1, 6, 0, "cosine"))


def test_a_stopped_run_keeps_its_best_and_goes_on_to_the_same_end(small, tmp_path):
    fresh = lambda: load_model("resnet18", classes=small.classes, weights=None, size=32)
    recipe = Recipe(epochs=3, freeze="last", lr=1e-3)
    whole = finetune(fresh(), small, recipe, tmp_path / "whole")
    stopped = finetune(fresh(), small, recipe, tmp_path / "cut", watch=Listener(stop_after=1))
    assert stopped.info["status"] == "stopped" and len(stopped.history) == 1
    gone_on = finetune(fresh(), small, recipe, tmp_path / "cut", resume=True)
    assert gone_on.info["status"] == "complete" and len(gone_on.history) == 3
    assert all(
        torch.equal(a, b)
        for a, b in zip(gone_on.model().state_dict().values(), whole.model().state_dict().values(), strict=True)
    )


def test_stopped_before_the_first_epoch_says_that_nothing_is_kept(small, model, tmp_path):
    class Impatient(Watch):
        def step(self, loss, groups):
            raise Stopped

    with pytest.raises(InputError, match="before the first epoch had finished"):
        finetune(model, small, Recipe(epochs=2), tmp_path / "run", watch=Impatient())


# The prediction.


def test_memory_is_what_one_counts_by_hand(small, model):
    found = estimate(model, small, Recipe(epochs=1, batch_size=30, freeze="head", keep_gb=1))
    weights = 4 * sum(p.numel() for p in model.parameters())
    head = 4 * (512 * 10 + 10)
    kept = 4 * 512 * (120 + 50)  # float32 features of every image
    assert found.trainable == 5130 and found.update_bytes == head
    rest = found.memory - weights - 3 * head - kept
    assert rest == found.activations
    assert (
        30 * 512 * 4 <= found.activations <= 30 * 1024 * 4 + 10_000
    )  # the head's input, kept for its gradient, and the logits
    whole = estimate(model, small, Recipe(epochs=1, batch_size=30, freeze="none", flip=True))
    assert whole.activations > 50 * found.activations and whole.update_bytes == weights


def test_the_prediction_leaves_the_network_alone(small, model):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    learns = [p.requires_grad for p in model.parameters()]
    estimate(model, small, Recipe(epochs=2, unfreeze=("1:last",)))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == learns


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(epochs=2, freeze="none", batch_size=32),
        Recipe(epochs=6, freeze="head", unfreeze=("3:last",), batch_size=32),
    ],
    ids=["everything", "two phases"],
)
def test_the_predicted_time_is_of_the_right_size(recipe, tmp_path):
    task = load_task("cifar10")
    task = Task(**{**vars(task), "train": task.train.per_class(40), "valid": task.valid.per_class(10)})
    model = load_model("resnet18", classes=task.classes, weights=None, size=32)
    ratios = []
    for i in range(3):  # shared machines: the middle one of three
        predicted = estimate(model, task, recipe).seconds
        ratios.append(finetune(model, task, recipe, tmp_path / str(i)).seconds / predicted)
    assert 0.4 < statistics.median(ratios) < 2.5, ratios


def test_a_prediction_refuses_what_a_training_refuses(small):
    with pytest.raises(InputError, match="classes"):
        estimate(load_model("resnet18", classes=3, weights=None, size=32), small, Recipe())


# What they have in common.


def test_shows_a_widget_or_picture_and_text(monkeypatch):
    widget = Explore(lambda axes, n: axes.plot(range(n)), lambda n: f"{n} points", n=(1, 9))
    assert "application/vnd.jupyter.widget-view+json" in widget._repr_mimebundle_()
    monkeypatch.setenv("FTCOURSE_WIDGETS", "0")
    still = widget._repr_mimebundle_()
    assert set(still) == {"text/plain", "image/png"} and still["text/plain"] == "5 points"


def test_the_text_is_escaped_and_the_picture_described():
    widget = Explore(lambda axes, n: None, lambda n: '<b>"x"</b>', name="a <name>", n=(1, 9))
    assert "<b>" not in shown(widget) and "alt='a &lt;name&gt;: &lt;b&gt;&quot;x&quot;&lt;/b&gt;'" in shown(widget)


def test_explore_follows_its_controls():
    widget = Explore(
        lambda axes, n, kind: axes.set_title(kind), lambda n, kind: f"{kind} {n}", n=(1, 9), kind=["a", "b"]
    )
    assert "a 5" in shown(widget)
    before = shown(widget)
    widget.inputs["kind"].value = "b"
    assert "b 5" in shown(widget) and shown(widget) != before and widget.figure().axes[0].get_title() == "b"


def test_guess_by_button_then_revealed():
    guess = Guess("How many?", 1, 1000, "images", log=True)
    slider, button = guess.view.children[:2]
    slider.value = 100
    button.click()
    assert guess.guessed == 100 and "You say 100 images" in shown(guess)
    assert guess.reveal(20) == "Measured: 20 images. You said 100 images: 5.0 times too high."
    assert "5.0 times too high" in shown(guess) and len(guess.figure().axes[0].lines) == 2
    slider.value = 20
    button.click()
    assert guess.guessed == 100  # it was revealed: no second try
    assert "no guess" in Guess("?", 0, 1).reveal(0.5)
    for low, high, log in [(1, 1, False), (0, 1, True), (2, 1, False)]:
        with pytest.raises(InputError, match="a guess between"):
            Guess("?", low, high, log=log)

def test_a_number_is_placed_in_the_band_that_the_lesson_promises(monkeypatch):
    guess = Guess("How many?", 0, 10, "points")
    assert guess.reveal(4, expect=(3, 5)).splitlines() == [
        "Measured: 4 points. You made no guess.",
        "Expected, on two CPU cores in the profile quick: 3 points to 5 points; yours lies inside.",
    ]
    assert guess.kept is True and len(guess.figure().axes[0].patches) == 1
    assert guess.reveal(5.01, expect=(3, 5)).endswith("yours lies OUTSIDE.") and guess.kept is False
    assert "quick: 2 points; yours" in guess.reveal(2, expect=(2, 2)) and guess.kept is True
    assert "\n" not in guess.reveal(4) and guess.kept is None
    monkeypatch.setenv("FTCOURSE_PROFILE", "full")
    assert guess.reveal(99, expect=(3, 5)).endswith("another profile is used here.") and guess.kept is None


# Freezing.


def test_a_click_on_a_block_freezes_what_stands_before_it(small, model, monkeypatch):
    monkeypatch.setattr(
        "ftcourse.widgets.stored_runs", lambda network, task: [{"freeze": "head", "mean": 0.6, "sd": 0.01, "n": 3}]
    )
    explorer = FreezeExplorer(model, small, Recipe(epochs=1, batch_size=32))
    row = explorer.view.children[0].children
    assert [button.description for button in row][-2:] == ["❄ layer4", "head"]
    row[4].click()
    assert [button.description for button in row][-2:] == ["layer4", "head"] and explorer.until == "layer4"
    frozen = [stage.name for stage in stages(model) if not any(p.requires_grad for p in stage.module.parameters())]
    assert frozen == ["stem", "layer1", "layer2", "layer3"]
    assert f"{8_393_728 + 5130:,} of" in shown(explorer) and "is frozen: let learning start here" in row[0].tooltip
    assert "0.600" in shown(explorer) and "&lt;- this choice" not in shown(explorer)
    row[5].click()
    assert "&lt;- this choice" in shown(explorer)
    assert {"head", "layer4"} == set(explorer.costs)


# The learning rate.


class Curve:
    lrs, losses, suggestion = [1e-4, 1e-3, 1e-2, 1e-1], [2.0, 1.5, 1.0, 3.0], 1e-3

    def plot(self, ax):
        ax.semilogx(self.lrs, self.losses)
        return ax


def test_dragging_the_rate():
    finder = LRFinder(Curve())
    assert "where the loss is 1.500, before the lowest point" in shown(finder)
    finder.slider.value = 1e-1
    assert finder.lr == pytest.approx(0.1) and "too high" in shown(finder)
    finder.choose(1e-2)
    assert finder.slider.value == pytest.approx(1e-2)
    with pytest.raises(InputError, match="was not tried"):
        finder.choose(10)


# Watching a training.


def test_monitor_trains_as_finetune_does(small, tmp_path):
    fresh = lambda: load_model("resnet18", classes=small.classes, weights=None, size=32)
    recipe = Recipe(epochs=2, freeze="last", batch_size=40)
    expected = finetune(fresh(), small, recipe, tmp_path / "plain").model().state_dict()
    monitor = TrainingMonitor(fresh(), small, recipe, tmp_path / "watched")
    assert "not begun" in shown(monitor)
    monitor.buttons["start"].click()
    run = monitor.result()
    assert monitor.state == "complete" and len(monitor.losses) == monitor.steps == 6
    assert all(torch.equal(value, expected[key]) for key, value in run.model().state_dict().items())
    assert "2 of 2 epochs, 6 of 6 steps" in shown(monitor)
    assert all(button.disabled for button in monitor.buttons.values())
    assert f"best {run.best['valid_accuracy']:.3f}" in monitor.text


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_pause_holds_and_stop_keeps_the_best(small, model, tmp_path):
    monitor = TrainingMonitor(model, small, Recipe(epochs=5000, freeze="head", batch_size=40), tmp_path / "run")
    look_at(monitor)
    began = time.perf_counter()
    monitor.start()
    wait_for(lambda: monitor.records)
    monitor.buttons["pause"].click()
    assert monitor.state == "paused" and monitor.buttons["pause"].description == "Go on"
    time.sleep(0.3)
    held = len(monitor.losses)
    time.sleep(2)
    assert len(monitor.losses) == held
    monitor.buttons["pause"].click()
    wait_for(lambda: len(monitor.losses) > held + 3)
    assert monitor.seconds < time.perf_counter() - began - 2  # the pause is not counted as work
    monitor.buttons["stop"].click()
    run = monitor.result(60)
    assert monitor.state == "stopped" and 1 <= len(run.history) < 5000
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), run.model().state_dict().values(), strict=True)
    )


def test_a_failing_training_is_told_and_raised_where_one_waits(small, model, tmp_path):
    monitor = TrainingMonitor(model, small, Recipe(epochs=1, freeze="layer9"), tmp_path / "run")
    with pytest.raises(InputError, match="call start"):
        monitor.result()
    look_at(monitor)
    monitor.start()
    with pytest.raises(InputError, match="no stage 'layer9'"):
        monitor.result()
    assert monitor.state == "failed" and "no stage" in shown(monitor)


def test_no_bar_is_drawn_by_the_monitors_training(small, model, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "tqdm.std.tqdm.__init__",
        lambda self, *a, **k: seen.append(k["disable"]) or object.__setattr__(self, "disable", True),
    )
    monkeypatch.delenv("FTCOURSE_PROGRESS", raising=False)
    from ftcourse.assets import no_progress, progress_bar

    with no_progress():
        progress_bar(3, "x")
    assert seen == [True]
    other = []
    thread = threading.Thread(target=lambda: other.append(progress_bar(3, "x")))
    with no_progress():
        thread.start()
        thread.join()
    assert seen[1] is not True  # another thread's bars are its own affair


def test_looking_on_costs_less_than_two_percent(small, model, tmp_path):
    """Time in the monitor's own methods, of 40 seconds of training, with a page that is looked at.

    A process's first drawing (most of a second, whoever asks for it) is paid before, here by another picture.
    """
    look_at(Explore(lambda axes, n: axes.set(title=f"{n}", xlabel="x"), lambda n: f"{n}", n=(1, 9, 1)))
    monitor = TrainingMonitor(model, small, Recipe(epochs=100_000, freeze="head", batch_size=1), tmp_path / "run")
    look_at(monitor)
    looks, original, pictures = [], monitor._look, []
    fill = monitor._fill

    def timed(now):
        at = time.thread_time()
        original(now)
        looks.append(time.thread_time() - at)

    def counted(picture=True):
        pictures.append(picture)
        fill(picture=picture)

    monitor._look, monitor._fill = timed, counted
    monitor.start()
    time.sleep(40)
    monitor.stop().result(60)
    assert len(looks) >= 10 and sum(pictures) >= 3  # text often, and a drawing beside those of start and end
    loss, at = monitor.losses[-1], time.perf_counter()
    steps, monitor._told, monitor._end = len(monitor.losses), float("inf"), False
    for _ in range(1000): monitor.step(loss, monitor.groups)
    spent = sum(looks) + steps * (time.perf_counter() - at) / 1000
    assert spent < 0.02 * 40, (spent, sum(looks), len(looks), steps)


def test_a_slow_text_does_not_silence_the_monitor(small, model, tmp_path):
    """A first text that waits 0.3 s for a busy notebook was followed by a minute of silence."""
    monitor = TrainingMonitor(model, small, Recipe(epochs=100_000, freeze="head", batch_size=8), tmp_path / "run")
    look_at(monitor)
    tellings, fill = [], monitor._fill

    def slow(picture=True):
        if monitor.losses: tellings.append(time.perf_counter())
        if len(tellings) == 1: time.sleep(0.3)
        fill(picture=picture)

    monitor._fill = slow
    monitor.start()
    time.sleep(8)
    running = len(tellings)
    monitor.stop().result(60)
    assert running >= 3 and tellings[1] - tellings[0] < 6, tellings


# The recipe.


def test_every_field_has_its_help_and_limits_in_the_form(small, model):
    form = RecipeForm(model, small)
    look_at(form)
    help = field_help()
    for name, control in form.inputs.items():
        assert help[name] in control.tooltip
        if name in _RANGES and not isinstance(form.values[name], bool):
            assert control.min == _RANGES[name][0]
    assert set(help) == set(Recipe.__dataclass_fields__)


def test_the_form_starts_only_what_was_predicted(small, model):
    form = RecipeForm(model, small, Recipe(epochs=2, freeze="head", batch_size=32))
    look_at(form)
    assert form.buttons["start"].disabled
    form.inputs["lr"].value = 0.01
    assert form.recipe == Recipe(epochs=2, freeze="head", batch_size=32, lr=0.01)
    form.buttons["predict"].click()
    assert not form.buttons["start"].disabled and "Predicted on this machine" in shown(form)
    form.inputs["epochs"].value = 3
    assert form.buttons["start"].disabled and "Press Predict" in shown(form)
    form.buttons["predict"].click()
    form.buttons["start"].click()
    assert len(form.monitor.result().history) == 3


def test_what_cannot_work_is_said_and_not_started(small, model):
    form = RecipeForm(model, small, Recipe(epochs=2, freeze="head", batch_size=32))
    look_at(form)
    form.inputs["unfreeze"].value = "9:last"
    assert "can&#x27;t work" in shown(form).lower() and "each epoch must lie between 1 and 1" in shown(form)
    form.buttons["predict"].click()
    assert form.estimate is None and form.buttons["start"].disabled
    with pytest.raises(InputError, match="no field"):
        form.set(learning_rate=3)


def test_a_stage_that_is_not_there_and_a_refusal_are_told(small, model, monkeypatch):
    form = RecipeForm(model, small, Recipe(epochs=2, freeze="head", batch_size=32))
    look_at(form)
    form.inputs["unfreeze"].value = "1:layer9"
    assert "no stage &#x27;layer9&#x27; in ResNet" in shown(form)
    form.inputs["unfreeze"].value = "1:layer4"
    assert "can&#x27;t work" not in shown(form)

    def refuse(*_):
        raise InputError("the disk is full")

    monkeypatch.setattr("ftcourse.widgets.estimate", refuse)
    form.buttons["predict"].click()
    assert "the disk is full" in shown(form) and form.buttons["start"].disabled
    form.inputs["epochs"].value = 3
    assert "the disk is full" not in shown(form)


def test_the_schedule_is_the_one_that_is_trained(small, model, tmp_path):
    recipe = Recipe(epochs=4, freeze="head", unfreeze=("2:last",), batch_size=120, layer_decay=0.5)

    class Rates(Watch):
        seen = []

        def step(self, loss, groups):
            self.seen.append({group["name"].split(",")[0]: group["lr"] for group in groups})

    finetune(model, small, recipe, tmp_path / "run", watch=Rates())
    drawn = schedule(model, recipe, points=1)
    assert set(drawn) == {"layer4", "head"}
    assert drawn["head"] == pytest.approx([rates["head"] for rates in Rates.seen])
    assert drawn["layer4"] == pytest.approx([rates.get("layer4", 0) for rates in Rates.seen])


def test_a_form_for_texts_has_no_augmentation():
    reviews = load_task("reviews")
    form = RecipeForm(load_model("minilm", classes=reviews.classes, weights=None), reviews)
    assert "flip" not in form.fields and "lr" in form.fields and form.recipe == replace(form.base)
