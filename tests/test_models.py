"""The stages law, the round trip through files, plain torchvision as the oracle, and what bad input gets."""

import copy
import functools
import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
import torchvision.transforms.v2.functional as vision
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import OTHERS, STAGED
from torch import nn

from ftcourse import models as m
from ftcourse.assets import AssetError, InputError
from ftcourse.models import fingerprint, load_model, predict, save_model, stages, summary

pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS = {
    "resnet18": 4,
    "resnet34": 4,
    "resnet50": 4,
    "mobilenet_v2": 7,
    "efficientnet_b0": 7,
    "convnext_tiny": 4,
    "vit_b_16": 12,
}
SIZES = {"maxvit_t": 224, "inception_v3": 75}


@functools.cache
def network(name):
    return load_model(name, 10, weights=None, size=SIZES.get(name, 64))


def pixels(size=64, n=3, seed=0):
    return torch.randint(256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def refused(call, *words, kind=InputError, longest=600):
    """The call raises `kind`, in one line of fewer than `longest` characters, with all the words."""
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and len(text) < longest, text
    for word in words:
        assert word in text, text


# ---- the law of stages


@pytest.mark.parametrize("name", [*STAGED, *OTHERS])
def test_stages_law(name):
    model = network(name)
    names = [stage.name for stage in stages(model)]
    layers = [f"layer{i}" for i in range(1, LAYERS.get(name, 0) + 1)]
    assert names == (["stem", *layers, "head"] if name in STAGED else ["backbone", "head"])
    held = [id(t) for s in stages(model) for t in [*s.module.parameters(), *s.module.buffers()]]
    assert sorted(held) == sorted(id(t) for t in [*model.parameters(), *model.buffers()])
    x = out = model.preprocess(pixels(model.preprocess.size, n=2))
    with torch.no_grad():
        for stage in stages(model):
            out = stage.module(out)
        assert torch.equal(out, model(x)) and out.shape == (2, 10)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "convnext_tiny", "googlenet", "regnet_y_400mf"])
def test_stages_law_in_train_mode(name):
    """The same random draws give the same output, and the statistics of BatchNorm move alike."""
    whole = copy.deepcopy(network(name)).train()
    parts = copy.deepcopy(whole)
    x = torch.randn(4, 3, 64, 64)
    torch.manual_seed(0)
    expected = whole(x)
    torch.manual_seed(0)
    for stage in stages(parts):
        x = stage.module(x)
    assert torch.equal(x, expected)
    assert fingerprint(parts) == fingerprint(whole)


def test_stages_of_every_classifier_cover_it():
    """All of torchvision's classifiers, without memory: each parameter and buffer in exactly one stage."""
    for name in torchvision.models.list_models(module=torchvision.models):
        model = m._build(name, m._check_size(name, None), hollow=True)
        held = [id(t) for s in stages(model) for t in [*s.module.parameters(), *s.module.buffers()]]
        assert sorted(held) == sorted(id(t) for t in [*model.parameters(), *model.buffers()]), name
        assert stages(model)[-1].name == "head"


def test_a_new_architecture_registers_its_stages():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(self.a(x).mean((2, 3)))

    assert [s.name for s in stages(Own())] == ["backbone", "head"]

    @stages.register
    def _(model: Own):
        return {"first": model.a, "head": model.fc}

    assert [s.name for s in stages(Own())] == ["first", "head"]
    refused(lambda: stages(nn.ReLU()), "no Linear")


# ---- loading


def test_random_weights_come_from_the_seed_and_disturb_nothing():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    one, same, other = (load_model("resnet18", 10, weights=None, size=32, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)
    assert one.source == {"name": "resnet18", "source": "random initialisation, seed 1", "sha256": None}
    assert not one.training


def test_new_head():
    head = network("resnet18").fc
    assert head.weight.shape == (10, 512) and 0.009 < head.weight.std() < 0.011 and not head.bias.any()
    conv = network("squeezenet1_1").classifier[1]
    assert isinstance(conv, nn.Conv2d) and conv.weight.shape == (10, 512, 1, 1)


def test_imagenet_is_plain_torchvision():
    model = load_model("mobilenet_v2", size=64)
    path = m.fetch("mobilenet_v2")
    plain = torchvision.models.mobilenet_v2().eval()
    plain.load_state_dict(torch.load(path, weights_only=True))
    x = pixels()
    reference = vision.normalize(x.float() / 255, m.Preprocess(1).mean, m.Preprocess(1).std)
    with torch.no_grad():
        assert torch.allclose(predict(model, x), plain(reference), atol=1e-4)
    assert len(model.classes) == 1000 and model.classes[0] == "tench" and model.source["sha256"].startswith("b0353104")


def test_preprocess_is_torchvisions(cifar):
    x = cifar.test.inputs[:20]
    theirs = vision.resize(x.float(), [50, 50], antialias=True)
    theirs = vision.normalize(theirs / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert torch.allclose(m.Preprocess(50)(x), theirs, atol=1e-5)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_that_transform_inside(name, tmp_path):
    """torchvision's own network undoes ImageNet's normalisation inside; ours is never given it. Both see the same."""
    options = dict(weights=None, aux_logits=True, init_weights=False, transform_input=True)
    plain = torchvision.models.get_model(name, **options).eval()
    torch.save(plain.state_dict(), tmp_path / "w.pth")
    model = load_model(name, weights=tmp_path / "w.pth", size=96)
    x = pixels(96)
    reference = m.Preprocess(96)(x)
    with torch.no_grad():
        assert torch.allclose(predict(model, x), plain(reference), atol=1e-3)
    assert isinstance(model.train()(reference), torch.Tensor)


def test_old_densenet_names(tmp_path):
    state = network("densenet121").state_dict()
    old = {
        key.replace("norm1", "norm.1").replace("norm2", "norm.2").replace("conv1", "conv.1").replace("conv2", "conv.2")
        if "denselayer" in key
        else key: value
        for key, value in state.items()
        if "num_batches" not in key
    }
    torch.save(old, tmp_path / "old.pth")
    model = load_model("densenet121", 10, weights=tmp_path / "old.pth", size=64)
    assert torch.equal(predict(model, pixels()), predict(network("densenet121"), pixels()))


def test_vit_takes_another_size():
    big, small = network("vit_b_16"), load_model("vit_b_16", 2, weights=None, size=32)
    assert small.encoder.pos_embedding.shape == (1, 5, 768) and big.encoder.pos_embedding.shape == (1, 17, 768)
    state, rows = m._fit(big.state_dict(), {"name": "vit_b_16", "size": 32, "stem": None}, "w")
    assert state["encoder.pos_embedding"].shape == (1, 5, 768) and rows == 10
    assert torch.equal(state["encoder.pos_embedding"][:, 0], big.encoder.pos_embedding[:, 0])


def test_predict_keeps_mode_and_order(cifar):
    model = copy.deepcopy(network("resnet18")).train()
    model.layer1.eval()
    x = cifar.test.inputs[:30]
    logits = predict(model, x, batch_size=7)
    assert model.training and not model.layer1.training and not logits.requires_grad and logits.dtype == torch.float32
    assert torch.allclose(logits, predict(model, x), atol=1e-5) and predict(model, x[:0]).shape == (0, 10)


# ---- files


@pytest.mark.parametrize("name", STAGED)
def test_round_trip_and_plain_torchvision(name, tmp_path):
    model, x = network(name), pixels()
    path = save_model(model, tmp_path / "deep" / "model.safetensors")
    again = load_model(path)
    assert fingerprint(again) == fingerprint(model) and again.spec == model.spec and again.classes == model.classes
    assert again.preprocess == model.preprocess and len(again.source["sha256"]) == 64
    extra = {"image_size": 64} if name.startswith("vit") else {}
    plain = torchvision.models.get_model(name, num_classes=10, **extra).eval()
    plain.load_state_dict(safetensors.torch.load_file(path), strict=True)
    with torch.no_grad():
        assert torch.equal(plain(model.preprocess(x)), predict(again, x))
    assert sorted(os.listdir(path.parent)) == ["model.safetensors"]


def test_small_stem_round_trip_and_plain_torchvision(tmp_path):
    model = load_model("resnet18", ["cat", "dog"], weights=None, size=32, stem="small")
    path = save_model(model, tmp_path / "m.safetensors")
    assert fingerprint(load_model(path)) == fingerprint(model) and load_model(path).classes == ["cat", "dog"]
    plain = torchvision.models.resnet18(num_classes=2).eval()
    plain.conv1, plain.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    plain.load_state_dict(safetensors.torch.load_file(path), strict=True)
    with torch.no_grad():
        assert torch.equal(plain(model.preprocess(pixels(32))), predict(model, pixels(32)))


def test_another_head_keeps_the_backbone_and_says_so(tmp_path, capsys):
    model = load_model("resnet18", ["a", "b", "c"], weights=None, size=32)
    path = save_model(model, tmp_path / "three.safetensors")
    capsys.readouterr()
    same = load_model(path, 3)
    assert same.classes == ["a", "b", "c"] and capsys.readouterr().err == ""
    for call in (lambda: load_model(path, 5), lambda: load_model("resnet18", 5, weights=path, size=32)):
        five = call()
        assert (
            "three.safetensors has a head for 3 other classes: backbone kept, new head made" in capsys.readouterr().err
        )
        assert five.fc.out_features == 5 and five.spec["classes"] == five.classes == list("01234")
        assert all(
            torch.equal(v, model.state_dict()[k]) for k, v in five.state_dict().items() if not k.startswith("fc")
        )


def full(tensors, path, metadata):
    """A disk that takes the first bytes and no more, as the library tells it."""
    Path(path).write_bytes(b"the first bytes")
    raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = save_model(network("mobilenet_v2"), tmp_path / "m.safetensors")
    old = path.read_bytes()
    monkeypatch.setattr(m.safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        save_model(network("mobilenet_v2"), path)
    assert path.read_bytes() == old and os.listdir(tmp_path) == ["m.safetensors"]


def test_saving_what_cannot_be_rebuilt(tmp_path):
    refused(lambda: save_model(torchvision.models.resnet18(), tmp_path / "m.safetensors"), "no spec", "load_model")
    refused(lambda: save_model(network("resnet18"), tmp_path / "m.bin"), "m.bin", ".safetensors")


# ---- the small stem


def test_small_stem_answers_as_the_large_one_on_the_enlarged_image():
    """Oracle: enlarge by 7 with no smoothing, let each large weight cover 3 x 3 of those pixels. Exact, not close."""
    torch.manual_seed(0)
    kernels, x = torch.randn(8, 3, 7, 7, dtype=torch.float64), torch.randn(2, 3, 9, 9, dtype=torch.float64)
    small = nn.functional.conv2d(x, m._seven_to_three(kernels), padding=1)
    large = x.repeat_interleave(7, 2).repeat_interleave(7, 3)  # each pixel 7 x 7
    spread = kernels.repeat_interleave(3, 2).repeat_interleave(3, 3) / 9  # each weight 3 x 3: 21 x 21 in all
    expected = nn.functional.conv2d(large, spread, stride=7, padding=7)
    assert torch.allclose(small, expected)


def test_small_stem_shapes():
    resnet = load_model("resnet50", 10, weights=None, size=32, stem="small")
    assert stages(resnet)[0].module(torch.zeros(1, 3, 32, 32)).shape == (1, 64, 32, 32)
    mobile, plain = (load_model("mobilenet_v2", 10, weights=None, size=32, stem=stem) for stem in ("small", None))
    assert stages(mobile)[0].module(torch.zeros(1, 3, 32, 32)).shape == (1, 32, 32, 32)
    assert fingerprint(mobile) == fingerprint(plain)  # the same kernels
    refused(lambda: load_model("convnext_tiny", 10, weights=None, stem="small"), "ConvNeXt", "leave it out")
    refused(lambda: load_model("resnet18", 10, weights=None, stem="tiny"), "'tiny'", "small")


# ---- bad input


def test_unknown_names(tmp_path):
    refused(lambda: load_model("resnet81"), "'resnet81'", "resnet18", "save_model")
    refused(lambda: load_model("x" * 9999), "no model")
    refused(lambda: load_model(None), "no model 'None'")
    refused(lambda: load_model(str(tmp_path / "none.safetensors")), "no file")
    refused(lambda: load_model("resnet18", weights="imagnet"), "'imagnet'", "imagenet", "bundled")
    refused(lambda: load_model("resnet18", weights=3), "no weights '3'")
    refused(lambda: load_model("vgg16", weights="bundled"), "no bundled weights for vgg16")


def test_weights_that_cannot_be_had(monkeypatch, tmp_path):
    monkeypatch.setenv("FTCOURSE_OFFLINE", "1")
    monkeypatch.setenv("FTCOURSE_CACHE", str(tmp_path))
    with pytest.raises(AssetError, match="resnet34"):
        load_model("resnet34", 10, weights="imagenet", size=32)


@pytest.mark.parametrize(
    "size, name",
    [
        (0, "resnet18"),
        (-5, "resnet18"),
        (10**6, "resnet18"),
        (64.0, "resnet18"),
        (True, "resnet18"),
        (100, "vit_b_16"),
        (128, "maxvit_t"),
        (32, "inception_v3"),
    ],
)
def test_sizes_that_do_not_fit(size, name):
    refused(lambda: load_model(name, 10, weights=None, size=size), f"size={size!r}", name, "pixels")


@pytest.mark.parametrize("classes", [0, 1, -3, True, 10**9, [], ["a"], ["a", "a"], ["a", 3], ["a", ""], "ab", 2.0])
def test_classes_that_make_no_classifier(classes):
    refused(lambda: load_model("resnet18", classes, weights=None, size=32), "class")


class _Code:
    def __reduce__(self):
        return os.system, ("touch ran",)


def test_weight_files_that_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {"code.pth": {"w": _Code()}, "list.pth": [1, 2], "numbers.pth": {"a": 1}}
    for name, content in files.items():
        torch.save(content, name)
    torch.save(network("shufflenet_v2_x0_5").state_dict(), "good.pth")
    data = (tmp_path / "good.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    (tmp_path / "notes.txt").write_text("hello")
    words = {
        "code.pth": "carries code",
        "list.pth": "no state dict",
        "numbers.pth": "no state dict",
        "cut.pth": "damaged",
        "empty.pth": "damaged",
        "text.pth": "damaged",
        "cut.safetensors": "damaged",
        "notes.txt": ".safetensors",
    }
    for name, word in words.items():
        refused(lambda name=name: load_model("shufflenet_v2_x0_5", 10, weights=name, size=32), name, word)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_network(tmp_path):
    state = dict(network("resnet18").state_dict())
    del state["layer1.0.conv1.weight"]
    state["stranger"] = torch.zeros(1)
    state["conv1.weight"] = torch.zeros(64, 3, 5, 5)
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    refused(
        lambda: load_model("resnet18", 10, weights=tmp_path / "w.safetensors", size=32),
        "1 missing (first: 'layer1.0.conv1.weight')",
        "1 unexpected (first: 'stranger')",
        "1 of another shape (first: 'conv1.weight')",
    )


def _with_metadata(path, state, spec):
    safetensors.torch.save_file(state, path, metadata={"ftcourse": spec if isinstance(spec, str) else json.dumps(spec)})
    return path


GOOD = {
    "name": "shufflenet_v2_x0_5",
    "classes": [str(i) for i in range(10)],
    "stem": None,
    "size": 64,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.2, 0.2, 0.2],
}


def test_hostile_metadata(tmp_path):
    path, state = tmp_path / "m.safetensors", network("shufflenet_v2_x0_5").state_dict()
    assert load_model(_with_metadata(path, state, GOOD)).preprocess.mean == (0.5, 0.5, 0.5)
    wrong = {
        "name": ["../x", 3, None, ["resnet18"]],
        "classes": [3, "ab", ["a"], ["a"] * 10, ["x" * 10**4, "b"], [1, 2]],
        "stem": ["tiny", 3],
        "size": [10**9, "64", -1, None, 1.5, True],
        "mean": [[1, 2], "abc", [None] * 3, [1e9] * 3],
        "std": [[0, 1, 1], [-1, 1, 1], [float("nan")] * 3],
    }
    for field, values in wrong.items():
        for value in values:
            refused(
                lambda spec=GOOD | {field: value}: load_model(_with_metadata(path, state, spec)),
                repr(field),
                "metadata",
            )
    for spec in ("", "[]", "{", "[" * 10**5, "null"):
        refused(lambda spec=spec: load_model(_with_metadata(path, state, spec)), "'name'")
    refused(
        lambda: load_model(_with_metadata(path, state, GOOD | {"classes": ["a", "b"]})), "names 2 classes", "10 logits"
    )
    huge = GOOD | {"name": "regnet_y_128gf"}  # 2.6 GB of parameters: refused without building them
    refused(lambda: load_model(_with_metadata(path, state, huge)), "does not fit regnet_y_128gf", "missing")
    safetensors.torch.save_file(state, path)
    refused(lambda: load_model(path), "not made by save_model")


# ---- fingerprint, summary


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_fingerprint_sees_any_single_change(data):
    model = copy.deepcopy(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    before = fingerprint(model)
    assert fingerprint(copy.deepcopy(model)) == before and len(before) == 64
    key = data.draw(st.sampled_from(list(model.state_dict())))
    flat = model.state_dict()[key].reshape(-1)
    flat[data.draw(st.integers(0, len(flat) - 1))] += 1
    assert fingerprint(model) != before


def test_summary_counts():
    model = copy.deepcopy(network("resnet18"))
    model.layer1.requires_grad_(False)
    table = summary(model)
    assert table.total == sum(p.numel() for p in model.parameters())
    assert table.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert "layer1" in repr(table) and "frozen" in repr(table) and f"{table.total:,}" in table._repr_html_()


def test_summary_plot_hatches_what_is_frozen():
    import matplotlib

    matplotlib.use("agg")
    model = copy.deepcopy(network("resnet18"))
    model.layer1.requires_grad_(False)
    ax = summary(model).plot()
    assert [bar.get_hatch() is not None for bar in ax.patches] == [False, True, False, False, False, False]
    assert [text.get_text() for text in ax.get_xticklabels()] == [
        "stem",
        "layer1",
        "layer2",
        "layer3",
        "layer4",
        "head",
    ]


# ---------------------------------------------------------------------------------------------- the bundled ResNet-18

BUNDLED = Path(__file__).parents[1] / "data" / "resnet18-tinyimagenet"


def test_bundled_weights_are_what_the_card_says():
    data = (BUNDLED / "model.safetensors").read_bytes()
    card = (BUNDLED / "README.md").read_text()
    assert hashlib.sha256(data).hexdigest() in card and len(data) < 24e6
    state = safetensors.torch.load(data)
    torchvision.models.resnet18(num_classes=len(state["fc.bias"])).load_state_dict(state, strict=True)
    model = load_model("resnet18", weights="bundled")
    assert model.preprocess.size == 64 and len(model.classes) == len(state["fc.bias"])
    assert next(model.parameters()).dtype == torch.float32
    epochs = json.loads((BUNDLED / "history.json").read_text())["epochs"]
    assert len(epochs) >= 8 and f"**{epochs[-1]['valid_accuracy']:.3f}**" in card


def test_without_a_network_auto_takes_the_bundled_ones_and_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("FTCOURSE_OFFLINE", "1")
    monkeypatch.setenv("FTCOURSE_CACHE", str(tmp_path))
    model, same = load_model("resnet18", 10), load_model("resnet18", 10, weights="bundled")
    assert torch.equal(model.conv1.weight, same.conv1.weight)
    assert "using the bundled weights, resnet18-tinyimagenet" in capsys.readouterr().err
    refused(lambda: load_model("resnet18", 10, weights="imagenet"), "resnet18", "network")


def test_bundled_features_transfer(cifar):
    """scikit-learn's logistic regression finds CIFAR-10's classes in them, and far less in a random network's."""
    from sklearn.linear_model import LogisticRegression

    train, test = cifar.train.per_class(60), cifar.test.per_class(40)
    reached = {}
    for weights in ("bundled", None):
        model = load_model("resnet18", weights=weights, size=64)
        model.fc, model.classes = torch.nn.Identity(), [""] * 512
        x, y = predict(model, train.inputs), predict(model, test.inputs)
        fit = LogisticRegression(C=0.01, max_iter=300).fit((x - x.mean(0)) / (x.std(0) + 1e-6), train.labels)
        reached[weights] = fit.score((y - x.mean(0)) / (x.std(0) + 1e-6), test.labels)
    assert reached["bundled"] > reached[None] + 0.15, reached


# ------------------------------------------------------------------------------------------------------------- memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library gives memory out by rules of its own")
@pytest.mark.parametrize("environment, kept", [({}, True), ({"MALLOC_ARENA_MAX": "4"}, False)])
def test_freed_memory_is_kept_for_the_next_tensor_unless_the_environment_says_how(environment, kept):
    """Counted by the system: the pages of memory that it had to lend out and clear."""
    program = """if True:
        import resource, torch
        from ftcourse.models import keep_memory
        keep_memory()
        torch.ones(2**24)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10): torch.ones(2**24)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", program], env=own | environment, capture_output=True, text=True,
                          check=True)
    share = int(done.stdout) / (10 * 2**26 / os.sysconf("SC_PAGE_SIZE"))               # of all that was asked for
    assert share < 0.2 if kept else share > 0.5
