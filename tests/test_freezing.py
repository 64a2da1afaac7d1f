"""Frozen stages stand still whatever the loop does, the audit sees when not, groups hold each parameter once."""

import copy
import functools
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import OTHERS, STAGED
from torch import nn

from ftcourse.assets import InputError
from ftcourse.freezing import audit, boundary, freeze, param_groups, unfreeze
from ftcourse.models import load_model, stages

pytestmark = pytest.mark.usefixtures("one_thread")
SIZES = {"maxvit_t": 224, "inception_v3": 75, "alexnet": 64, "densenet121": 32, "squeezenet1_1": 32}


@functools.cache
def _original(name):
    model = load_model(name, 10, weights=None, size=SIZES.get(name, 32))
    if name in ("vgg11_bn", "alexnet"):  # thinner, or their 10**8 numbers would take most of the time
        linear = [i for i, m in enumerate(model.classifier) if isinstance(m, nn.Linear)][:2]
        wide = model.classifier[linear[0]].in_features
        model.classifier[linear[0]], model.classifier[linear[1]] = nn.Linear(wide, 64), nn.Linear(64, 64)
        model.classifier[-1] = nn.Linear(64, 10)
    return model


def network(name):
    """A fresh copy of the network with random weights: building some of them takes seconds."""
    return copy.deepcopy(_original(name))


def batch(model, n=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    size = model.preprocess.size
    return torch.randn(n, 3, size, size, generator=g), torch.randint(10, (n,), generator=g)


def learn(model, steps=2):
    """What any training loop does, with the optimizer over *all* parameters and decay, as a careless one would."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    for step in range(steps):
        model.train()
        x, y = batch(model, seed=step)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def set_loose(model):
    """Undo the hold, as code that knows nothing of it might."""
    for module in model.modules():
        module.__dict__.pop("train", None)
    return model


@pytest.mark.parametrize("name", STAGED + OTHERS)
def test_frozen_is_frozen(name):
    model = freeze(network(name), until="last" if name in STAGED else "head")
    first, before = boundary(model), audit(model)
    assert before.problems == [] and list(before.frozen) == [s.name for s in stages(model)[:first]] and first >= 1
    learn(model)
    after = audit(model)
    assert after.frozen == before.frozen and after.problems == []
    assert after.learning["head"] != before.learning["head"]


@pytest.mark.parametrize("name", STAGED + OTHERS)
def test_let_loose_is_caught(name):
    """The test of the test: without the hold, the same loop must break the invariant wherever there is a BatchNorm."""
    model = freeze(network(name), until="last" if name in STAGED else "head")
    before = audit(model)
    set_loose(model)
    assert audit(model).problems
    learn(model, steps=1)
    after = audit(model)
    assert after.problems and all("train mode" in text for text in after.problems)
    has_batchnorm = any(isinstance(m, nn.BatchNorm2d) for s in stages(model)[:-1] for m in s.module.modules())
    assert (after.frozen != before.frozen) == has_batchnorm


@pytest.mark.parametrize("name", ["vgg11_bn", "efficientnet_b0", "convnext_tiny", "swin_t", "alexnet"])
def test_dropout_and_stochastic_depth_rest_in_frozen_stages(name):
    """The frozen part is a function: in train mode it gives twice the same, and what it gives in evaluation mode."""
    model = freeze(network(name), until="head")
    x, _ = batch(model)

    def prefix():
        out = x
        with torch.no_grad():
            for stage in stages(model)[:-1]:
                out = stage.module(out)
        return out

    expected = (model.eval(), prefix())[1]
    model.train()
    assert torch.equal(prefix(), expected) and torch.equal(prefix(), expected)
    if any(isinstance(m, nn.Dropout) for m in stages(model)[-1].module.modules()):
        assert not torch.equal(model(x), model(x))  # the head's dropout is awake


def test_deepcopy_stays_frozen_and_is_its_own():
    model = freeze(network("resnet18"), until="layer4")
    twin = copy.deepcopy(model)
    before = audit(twin)
    learn(twin)
    assert audit(twin).frozen == before.frozen and audit(twin).problems == []
    unfreeze(twin, "none")
    twin.train()
    assert twin.bn1.training and not model.train().bn1.training


def test_unfreeze_releases_and_never_freezes():
    model = freeze(network("resnet18"), until="head")
    model.train()
    unfreeze(model)
    assert boundary(model) == 4 and model.layer4[0].bn1.training and not model.layer3[0].bn1.training
    unfreeze(model, "head")
    assert boundary(model) == 4
    unfreeze(model, "layer2")
    assert boundary(model) == 2 and audit(model).problems == []
    unfreeze(model, "none")
    assert boundary(model) == 0 and audit(model).frozen == {}
    assert not any("train" in m.__dict__ for m in model.modules())


def test_freezing_again_moves_the_boundary_both_ways():
    model = network("mobilenet_v2")
    for until, expected in (("head", 8), ("layer3", 3), ("last", 7), ("none", 0), ("stem", 0)):
        assert boundary(freeze(model, until)) == expected
        learning = [any(p.requires_grad for p in s.module.parameters()) for s in stages(model)]
        assert learning == [i >= expected for i in range(9)]
        assert audit(model).problems == []


def test_state_dict_and_type_are_untouched():
    model, plain = freeze(network("resnet18"), until="head"), network("resnet18")
    assert list(model.state_dict()) == list(plain.state_dict()) and type(model.layer1) is type(plain.layer1)
    assert torch.equal(model(batch(model)[0]), plain(batch(plain)[0]))


def test_freeze_clears_gradients_and_audit_reports_them():
    model = network("resnet18")
    x, y = batch(model)
    F.cross_entropy(model(x), y).backward()
    freeze(model, until="layer4")
    assert model.conv1.weight.grad is None and model.fc.weight.grad is not None
    model.conv1.weight.grad = torch.ones_like(model.conv1.weight)
    assert audit(model).problems == ["stem: holds gradients, which an optimizer would apply"]
    assert "problem: stem" in repr(audit(model))


def test_unknown_stages_are_named():
    model = network("resnet18")
    for function in (freeze, unfreeze):
        with pytest.raises(
            InputError, match="no stage 'layer9' in ResNet; its stages are stem, layer1, layer2, layer3, layer4, head"
        ):
            function(model, "layer9")
    assert boundary(model) == 0  # nothing was half done


def test_nothing_learns_is_an_error():
    model = network("resnet18").requires_grad_(False)
    for function in (boundary, lambda m: param_groups(m, 1e-3)):
        with pytest.raises(InputError, match="no stage of this ResNet learns"):
            function(model)


# ---- parameter groups


def oracle(model, lr, weight_decay, layer_decay):
    """The same by a plain loop over the parameters' names: what each one's rate and decay must be."""
    owner = {id(p): i for i, s in enumerate(stages(model)) for p in s.module.parameters()}
    last, expected = len(stages(model)) - 1, {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        bare = name.split(".")[-1]
        decays = p.ndim > 1 and bare not in (
            "class_token",
            "pos_embedding",
            "layer_scale",
            "relative_position_bias_table",
        )
        rate = lr
        for _ in range(last - owner[id(p)]):
            rate *= layer_decay
        expected[name] = (rate, weight_decay if decays else 0.0)
    return expected


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_param_groups_against_an_oracle(data):
    name = data.draw(st.sampled_from(["resnet18", "mobilenet_v2", "convnext_tiny", "vit_b_16", "swin_t"]))
    model = _original(name)
    freeze(model, data.draw(st.sampled_from([s.name for s in stages(model)] + ["last", "none"])))
    numbers = data.draw(st.tuples(st.floats(1e-6, 1), st.floats(0, 0.5), st.floats(0.05, 1)))
    names = {id(p): n for n, p in model.named_parameters()}
    groups, expected = param_groups(model, *numbers), oracle(model, *numbers)
    freeze(model, "none")
    assert set(Counter(id(p) for g in groups for p in g["params"]).values()) == {1}
    found = {names[id(p)]: (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert found.keys() == expected.keys()
    for key, (rate, decay) in found.items():
        assert rate == pytest.approx(expected[key][0], rel=1e-9) and decay == expected[key][1], key
    assert len({g["name"] for g in groups}) == len(groups)


@pytest.mark.parametrize("name", ["googlenet", "efficientnet_b0"])
def test_an_optimizer_takes_the_groups_and_leaves_the_rest_alone(name):
    model = freeze(network(name), until="head")
    before = audit(model)
    optimizer = torch.optim.AdamW(param_groups(model, 1e-2, weight_decay=0.5))
    x, y = batch(model)
    F.cross_entropy(model.train()(x), y).backward()
    optimizer.step()
    assert audit(model).frozen == before.frozen and audit(model).learning != before.learning


@pytest.mark.parametrize(
    "wrong",
    [{"lr": 0}, {"lr": -1}, {"lr": float("nan")}, {"weight_decay": -0.1}, {"layer_decay": 0}, {"layer_decay": 1.5}],
)
def test_numbers_out_of_range(wrong):
    with pytest.raises(InputError, match="lr must be above 0") as caught:
        param_groups(_original("resnet18"), **{"lr": 1e-3, **wrong})
    assert "\n" not in str(caught.value)
