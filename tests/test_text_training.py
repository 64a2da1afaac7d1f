"""Fine-tuning on texts: against a plain loop over transformers' own model; kept hidden states; batches; resume."""

import copy
import random
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from test_text_models import KINDS, WORDS, make
from test_training import distance, no_dropout, same

import ftcourse.training as training
from ftcourse.assets import InputError
from ftcourse.data import Split, Task, lengths, windows
from ftcourse.evaluation import evaluate
from ftcourse.freezing import audit, freeze, param_groups
from ftcourse.models import load_model, predict, stages
from ftcourse.training import Recipe, _generator, default_recipe, find_lr, finetune, lr_factor

pytestmark = pytest.mark.usefixtures("one_thread")
PLAIN = Recipe(epochs=2, batch_size=8, optimizer="sgd", lr=1e-2)


@pytest.fixture(scope="module")
def texts():
    """Sentences of 1 to 30 words; the label is whether "good" is among them."""
    draw = random.Random(0)

    def split(n):
        inputs = [" ".join(draw.choices(WORDS, k=draw.randint(1, 30))) for _ in range(n)]
        return Split(inputs, torch.tensor([int("good" in text.split()) for text in inputs]), ["other", "good"])

    return Task("words", split(60), split(30), split(30), ["other", "good"],
                {"name": "words", "source": "drawn", "sha256": "0" * 64})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("bert"), "bert")


def plain_loop(model, task, recipe):
    """What `finetune` should compute, written over transformers' own forward pass, tokenizer and padding."""
    groups = param_groups(model, recipe.lr, weight_decay=recipe.weight_decay, layer_decay=recipe.layer_decay)
    peaks = [group["lr"] for group in groups]
    optimizer = torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=True)
    many = lengths(model.preprocess.prepare(task.train.inputs))
    step, steps = 0, recipe.epochs * -(-len(task.train) // recipe.batch_size)
    for epoch in range(recipe.epochs):
        model.train()
        order = torch.randperm(len(task.train), generator=_generator("cpu", recipe.seed, 3, epoch))
        for rows in windows(order, many, recipe.batch_size):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * lr_factor(step, steps, recipe.warmup, recipe.schedule)
            batch = model.preprocess.tokenizer([task.train.inputs[i] for i in rows], truncation=True, padding=True,
                                               max_length=model.preprocess.max_length, return_tensors="pt")
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            loss = F.cross_entropy(logits, task.train.labels[rows])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], recipe.clip)
            optimizer.step()
            step += 1
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("until", ["none", "layer.1", "head"])
def test_the_loop_is_the_plain_loop(texts, tmp_path, monkeypatch, kind, until):
    """Nothing is kept here: what half precision changes is the next test's subject."""
    one = no_dropout(load_model(make(tmp_path / "model", kind), texts.classes))
    two = copy.deepcopy(one)
    monkeypatch.setattr(training._Weights, "use_best", lambda self: None)      # the last weights, not the best
    finetune(one, texts, replace(PLAIN, freeze=until, keep_gb=0), tmp_path / "run")
    start = copy.deepcopy(two)
    plain_loop(freeze(two, until=until), texts, PLAIN)
    assert distance(one, two) < 1e-3 < distance(one, start)


@pytest.mark.parametrize("until", ["layer.1", "last", "head"])
def test_keeping_hidden_states_changes_no_prediction(texts, folder, tmp_path, until):
    nets = []
    for keep in (2.0, 1e-7, 0.0):
        nets.append(no_dropout(load_model(folder, texts.classes)))
        finetune(nets[-1], texts, replace(PLAIN, freeze=until, keep_gb=keep), tmp_path / f"{keep}")
    assert same(nets[0], nets[1])                                    # memory or file: the same numbers
    assert distance(nets[0], nets[2]) < 0.01
    kept, anew = (predict(net, texts.test.inputs) for net in (nets[0], nets[2]))
    assert torch.equal(kept.argmax(1), anew.argmax(1)) and (kept - anew).abs().max() < 0.01


def test_hidden_states_are_kept_as_half_without_their_padding(texts, folder, tmp_path, monkeypatch):
    stores, original = [], training._Rows.__init__

    def watched(self, *args):
        original(self, *args)
        stores.append(self)

    monkeypatch.setattr(training._Rows, "__init__", watched)
    net = load_model(folder, texts.classes)
    finetune(net, texts, replace(PLAIN, freeze="layer.1"), tmp_path / "small")
    assert stores[0].values.dtype == torch.float32                   # a few kilobytes are not worth halving
    stores.clear()
    monkeypatch.setattr(training, "_SMALL", 0)
    net = load_model(folder, texts.classes)
    many = lengths(net.preprocess.prepare(texts.train.inputs))
    finetune(net, texts, replace(PLAIN, freeze="layer.1"), tmp_path / "a")
    assert stores[0].values.shape == (int(many.sum()), 32) and stores[0].values.dtype == torch.float16
    stores.clear()
    finetune(load_model(folder, texts.classes), texts, replace(PLAIN, freeze="head"), tmp_path / "b")
    assert stores[0].values.shape == (len(texts.train), 32)          # the head looks at the first token only
    stores.clear()
    monkeypatch.setattr(training, "_half_suffices", lambda *args: False)
    finetune(load_model(folder, texts.classes), texts, replace(PLAIN, freeze="layer.1"), tmp_path / "c")
    assert stores[0].values.dtype == torch.float32


def test_half_precision_is_refused_where_it_changes_a_prediction(texts, folder):
    net = load_model(folder, texts.classes)
    x = net.preprocess(texts.train.inputs)
    parts = stages(net)
    for stage in parts[:2]:
        x = stage.module(x)
    phase = type("Phase", (), {"suffix": torch.nn.Sequential(*(stage.module for stage in parts[2:]))})
    assert training._half_suffices(phase, x)
    assert not training._half_suffices(phase, x._replace(hidden=x.hidden * 1e6))      # beyond what half can hold


def test_each_text_passes_the_frozen_layers_once(texts, folder, tmp_path):
    net, seen = load_model(folder, texts.classes), []
    net.bert.embeddings.register_forward_hook(lambda module, args, out: seen.append(len(out)))
    finetune(net, texts, replace(PLAIN, epochs=5, freeze="head", unfreeze=("2:layer.2",)), tmp_path / "run")
    looked = 2 * 2                                                   # two to see the shape
    assert sum(seen) == len(texts.train) + len(texts.valid) + looked


@pytest.mark.parametrize("limit", [1, 40, 100])
def test_a_token_limit_gives_the_step_of_the_whole_batch(texts, folder, tmp_path, limit):
    nets = []
    for tokens in (8192, limit):
        nets.append(no_dropout(load_model(folder, texts.classes)))
        finetune(nets[-1], texts, replace(PLAIN, epochs=1, freeze="none", max_tokens=tokens), tmp_path / f"{tokens}")
    assert distance(*nets) < 1e-3


def test_no_forward_pass_exceeds_the_token_limit(texts, folder, tmp_path):
    net, seen = load_model(folder, texts.classes), []
    net.bert.embeddings.register_forward_hook(lambda module, args, out: seen.append(out.shape[0] * out.shape[1]))
    finetune(net, texts, replace(PLAIN, freeze="none", max_tokens=100), tmp_path / "run")
    assert max(seen) <= 100 < sum(seen)


def test_on_a_processor_no_pass_that_learns_takes_many_tokens_unless_asked_to(texts, folder, tmp_path):
    """Attention stores the square of a text's length: 32 texts of 512 tokens took 9 GB in pieces of 8,192 tokens."""
    many = Split([" ".join(30 * WORDS[:1])] * 120, torch.arange(120) % 2, texts.classes)
    task = Task(**{**vars(texts), "train": many})
    for limit, most in ((0, 2048), (8192, 120 * 32)):
        net, seen = load_model(folder, texts.classes), []
        net.bert.embeddings.register_forward_hook(
            lambda module, args, out, seen=seen: seen.append(out.shape[0] * out.shape[1] * module.training))
        finetune(net, task, replace(PLAIN, epochs=1, freeze="none", batch_size=120, max_tokens=limit),
                 tmp_path / f"run-{limit}")
        assert sum(seen) == 120 * 32 and most - 32 < max(seen) <= most


def test_frozen_layers_stand_still_and_what_learns_moves(texts, folder, tmp_path):
    net = freeze(load_model(folder, texts.classes), until="layer.2")
    before = audit(net)
    finetune(net, texts, replace(PLAIN, optimizer="adamw"), tmp_path / "run")
    after = audit(net)
    assert after.frozen == before.frozen and not after.problems
    assert all(after.learning[name] != before.learning[name] for name in ("layer.2", "head"))


def test_stopped_and_resumed_is_the_run_without_a_break(texts, folder, tmp_path, monkeypatch):
    recipe = Recipe(epochs=4, batch_size=8, freeze="head", unfreeze=("2:layer.1",), lr=1e-3)
    whole = load_model(folder, texts.classes)
    finetune(whole, texts, recipe, tmp_path / "whole")
    original, epochs = training._train_epoch, []

    def interrupted(phase, epoch, bar):
        epochs.append(epoch)
        if epoch == 3: raise KeyboardInterrupt
        return original(phase, epoch, bar)

    monkeypatch.setattr(training, "_train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finetune(load_model(folder, texts.classes), texts, recipe, tmp_path / "part")
    monkeypatch.setattr(training, "_train_epoch", original)
    again = load_model(folder, texts.classes)
    finetune(again, texts, recipe, tmp_path / "part", resume=True)
    assert epochs == [0, 1, 2, 3] and same(whole, again)


def test_it_learns(texts, tmp_path, folder):
    net = load_model(folder, texts.classes)
    before = evaluate(net, texts.train).accuracy
    finetune(net, texts, Recipe(epochs=15, batch_size=8, lr=3e-3), tmp_path / "run")
    assert evaluate(net, texts.train).accuracy > max(0.9, before)


def test_a_network_of_one_stage_trains_too(texts, tmp_path, capfd):
    net = load_model(make(tmp_path / "electra", "electra"), texts.classes)
    assert "no stages" in capfd.readouterr().err
    before = copy.deepcopy(net)
    run = finetune(net, texts, replace(PLAIN, freeze=None), tmp_path / "run")
    assert not same(net, before) and run.history[0]["phase"] == "network"


def test_the_rate_finder_takes_texts(texts, folder):
    curve = find_lr(load_model(folder, texts.classes), texts, Recipe(batch_size=8), steps=20)
    assert len(curve.losses) > 3


@pytest.mark.parametrize("wrong", [{"flip": True}, {"crop": 2}, {"randaugment": 1, "views": 2}, {"mixup": 0.2}])
def test_what_only_images_can_have_is_refused_before_training(texts, folder, tmp_path, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        finetune(load_model(folder, texts.classes), texts, replace(PLAIN, **wrong), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_images_and_texts_are_not_mixed_up(texts, tiny, folder, tmp_path):
    with pytest.raises(InputError, match="reads texts"):
        finetune(load_model(folder, tiny.classes), tiny, PLAIN, tmp_path / "run")
    with pytest.raises(InputError):
        finetune(load_model("resnet18", texts.classes, weights=None, size=32), texts, PLAIN, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_default_recipe_knows_texts_from_images(folder):
    net = load_model(folder, 2)
    assert not default_recipe(net.preprocess).augments and default_recipe().augments
