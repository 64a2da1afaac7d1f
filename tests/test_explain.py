"""explain: captum against the same by hand, the sum of the words against the logits, a loop; and every refusal."""

import copy
import re
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer

from ftcourse.assets import InputError
from ftcourse.evaluation import Report, evaluate
from ftcourse.explain import (
    _lines,
    _shades,
    _tokens,
    attributions,
    captions,
    confused,
    draw_images,
    draw_words,
    gradcam,
    places,
    words_html,
)
from ftcourse.freezing import freeze
from ftcourse.models import Preprocess, fingerprint, load_model, stages

CLASSES = ["ant", "bee", "cat"]
SENTENCES = ["the plot is thin , but the acting isn't .", "An unwatchably overdirected film…", "good"]


def images(n=5, side=40, seed=0):
    return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def state(model):
    """All that must not change: bits, modes, gradients, what learns, hooks."""
    modules = [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    learns = [(p.requires_grad, p.grad if p.grad is None else p.grad.tolist()) for p in model.parameters()]
    return fingerprint(model), modules, learns


@pytest.fixture(scope="module")
def resnet():
    return load_model("resnet18", CLASSES, weights=None, size=64, seed=3)


@pytest.fixture(scope="module")
def reader():
    """MiniLM with a head that says something: ten times the weights that a new head has."""
    model = load_model("minilm", ["negative", "positive"], size=32)
    with torch.no_grad(): model.classifier.weight.mul_(10)
    return model


def tiny_cnn(classes=2, inplace=False):
    """A backbone and a head without a type of its own; 8 x 8 maps."""
    torch.manual_seed(5)
    layers = [nn.Conv2d(3, 6, 3, padding=1, stride=2), nn.Tanh() if not inplace else nn.ReLU(inplace=True)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes)).eval()
    model.preprocess, model.classes = Preprocess(16), CLASSES[:classes]
    return model


def by_hand(parts, x, target):
    """Grad-CAM from the paper's formula: `parts` is what comes before the maps, and what comes after them."""
    with torch.no_grad(): maps = parts[0](x)
    maps = maps.clone().requires_grad_()
    logits = parts[1](maps.clone())                                        # a clone: what follows may work in place
    gradient, = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), maps)
    alpha = gradient.mean(dim=(2, 3), keepdim=True)                        # N x C x 1 x 1
    low = (alpha * maps).sum(dim=1, keepdim=True).relu().detach()
    high = torch.stack([F.interpolate(one[None], (40, 40), mode="bilinear")[0, 0] for one in low])
    return torch.stack([one / one.max() if one.max() > 0 else one for one in high])


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_b0", "convnext_tiny"])
@pytest.mark.parametrize("back", [1, 2], ids=["last stage", "one before"])
def test_gradcam_equals_the_formula(name, back):
    model = load_model(name, CLASSES, weights=None, size=64, seed=1)
    parts = [stage.module for stage in stages(model)]
    halves = nn.Sequential(*parts[: -back]), nn.Sequential(*parts[-back:])
    target = torch.tensor([0, 1, 2, 0, 1])
    found = gradcam(model, images(), target, stage=stages(model)[-1 - back].name, batch_size=2)
    assert found.shape == (5, 40, 40) and found.dtype == torch.float32
    torch.testing.assert_close(found, by_hand(halves, model.preprocess(images()), target), atol=1e-4, rtol=0)
    if back == 1: assert torch.equal(found, gradcam(model, images(), target.tolist(), batch_size=2))


@pytest.mark.parametrize("name", ["densenet121", "vgg11_bn", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t"])
def test_networks_without_stages_of_their_own_have_maps_too(name):
    model = load_model(name, CLASSES, weights=None, size=96, seed=1)
    found = gradcam(model, images(2, side=30), [0, 1])
    assert found.shape == (2, 30, 30) and 0 <= found.min() and found.max() <= 1 and min(places(model, images())) > 1


@pytest.mark.parametrize("inplace", [False, True], ids=["", "in place"])
def test_maps_of_a_plain_network_equal_the_formula(inplace):
    model, target = tiny_cnn(3, inplace), torch.tensor([0, 2, 1, 1, 0])
    expected = by_hand((model[:2], model[2:]), model.preprocess(images()), target)
    torch.testing.assert_close(gradcam(model, images(), target), expected, atol=1e-5, rtol=0)
    assert places(model, images()) == (8, 8)


def test_the_weight_of_a_map_is_a_finite_difference():
    model = tiny_cnn().double()
    maps = model[:2](model.preprocess(images(1)).double()).detach()
    logit = lambda maps: model[2:](maps)[0, 1].item()
    alpha = torch.zeros(6)
    for channel in range(6):                                               # all places of a map up by h: 64 gradients
        step = torch.zeros_like(maps)
        step[:, channel] = 1e-4
        alpha[channel] = (logit(maps + step) - logit(maps - step)) / 2e-4 / 64
    low = (alpha.view(1, 6, 1, 1) * maps).sum(dim=1, keepdim=True).relu()
    expected = F.interpolate(low.float(), (40, 40), mode="bilinear")[0, 0]
    torch.testing.assert_close(gradcam(model.float(), images(1), [1])[0], expected / expected.max(), atol=1e-4, rtol=0)


def test_where_nothing_speaks_for_the_class_the_map_is_zero():
    model = tiny_cnn(inplace=True)
    with torch.no_grad(): model[-1].weight.fill_(-1)                       # maps are >= 0, so nothing can speak for it
    assert gradcam(model, images(2), [0, 1]).eq(0).all()


def test_batches_and_neighbours_do_not_matter(resnet):
    together = gradcam(resnet, images(7), [0, 1, 2, 0, 1, 2, 0], batch_size=3)
    alone = torch.cat([gradcam(resnet, images(7)[i : i + 1], [i % 3]) for i in range(7)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    assert gradcam(resnet, images(0), []).shape == (0, 40, 40)


PREPARED = {
    "training": lambda m: m.train(),
    "frozen": lambda m: freeze(m, "head").train(),
    "no gradients": lambda m: m.requires_grad_(False),
    "mixed": lambda m: m.layer2.train(),
}


@pytest.mark.parametrize("prepare", PREPARED.values(), ids=PREPARED)
def test_the_network_is_left_as_it_was(resnet, prepare):
    model = copy.deepcopy(resnet)
    model.fc.weight.grad = torch.ones_like(model.fc.weight)
    expected = gradcam(resnet, images(), [0, 1, 2, 0, 1])
    prepare(model)
    before = state(model)
    with torch.no_grad(): found = gradcam(model, images(), [0, 1, 2, 0, 1])
    with torch.inference_mode(): inside = gradcam(model, images(), [0, 1, 2, 0, 1])
    assert state(model) == before
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(inside, expected, atol=1e-5, rtol=0)


def test_it_is_left_as_it_was_when_it_fails(resnet):
    model = copy.deepcopy(resnet).train()
    before = state(model)
    with pytest.raises(InputError, match="maps of a single place: give it larger images, or gradcam an earlier stage"):
        model.preprocess = Preprocess(32)
        gradcam(model, images(), [0] * 5)
    assert state(model) == before


def small_vit():
    model = VisionTransformer(32, patch_size=16, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=8, num_classes=3)
    model.preprocess, model.classes = Preprocess(32), CLASSES
    return model


@pytest.mark.parametrize("call, message", [
    (lambda r, t: gradcam(small_vit(), images(1), [0]), "this VisionTransformer makes no maps: gradcam is for"),
    (lambda r, t: gradcam(t, images(1), [0]), "BertForSequenceClassification reads texts: gradcam is for images"),
    (lambda r, t: gradcam(r, images(1).float(), [0]), "images are torch.float32, (1, 3, 40, 40): give uint8"),
    (lambda r, t: gradcam(r, images(2), [0]), "1 classes for 2 inputs: give one for each"),
    (lambda r, t: gradcam(r, images(1), [3]), "class '3' is none of the model's: give numbers, 0 to 2"),
    (lambda r, t: gradcam(r, images(1), ["cat"]), "class 'cat' is none of the model's"),
    (lambda r, t: gradcam(r, images(1), [True]), "class 'True' is none of the model's"),
    (lambda r, t: gradcam(r, images(1), [0], stage="head"), "no stage 'head' before the head; there are stem, layer1"),
    (lambda r, t: attributions(r, ["a"], [0]), "ResNet sees images: attributions is for texts, gradcam for images"),
    (lambda r, t: attributions(t, "a film", [0]), "texts hold str: give a list of str"),
    (lambda r, t: attributions(t, ["a", None], [0, 1]), "texts hold NoneType: give a list of str"),
    (lambda r, t: attributions(t, ["a", "b"], [0]), "1 classes for 2 inputs"),
    (lambda r, t: attributions(t, ["a"], [2]), "class '2' is none of the model's: give numbers, 0 to 1"),
])
def test_refusals_are_one_line(resnet, reader, call, message):
    with pytest.raises(InputError) as caught: call(resnet, reader)
    assert message in str(caught.value) and "\n" not in str(caught.value)


# Words.


def logit(model, ids, target):
    with torch.no_grad(): return float(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, target])


def difference(model, text, target):
    ids, blank, _ = _tokens(model.preprocess, text, "cpu")
    return logit(model, ids[None], target) - logit(model, blank[None], target)


def test_words_sum_to_the_difference_of_the_logits(reader):
    """Within 0.02 and 2 % of the difference, at 32 steps; the network's logits differ by about 1."""
    from ftcourse.data import load_task

    texts = SENTENCES + load_task("reviews").test.inputs[:9]
    targets = [i % 2 for i in range(len(texts))]
    for text, target, words in zip(texts, targets, attributions(reader, texts, targets), strict=True):
        expected = difference(reader, text, target)
        assert sum(value for _, value in words) == pytest.approx(expected, abs=0.02, rel=0.02)


def test_attributions_equal_the_integral_by_hand(reader):
    """Gradients at the middles of 200 pieces of the line, against captum's Gauss-Legendre points."""
    text = "a dull and lifeless film"
    ids, blank, _ = _tokens(reader.preprocess, text, "cpu")
    embed = reader.get_input_embeddings()
    start, end = embed(blank[None]).detach(), embed(ids[None]).detach()
    alphas = (torch.arange(200) + 0.5) / 200
    points = (start + alphas.view(-1, 1, 1) * (end - start)).requires_grad_()
    logits = reader(inputs_embeds=points, attention_mask=torch.ones(200, len(ids))).logits[:, 1].sum()
    gradient, = torch.autograd.grad(logits, points)
    expected = ((end - start)[0] * gradient.mean(dim=0)).sum(dim=1)[1:-1]  # without [CLS] and [SEP]
    words, values = zip(*attributions(reader, [text], [1], steps=64)[0], strict=True)
    assert words == ("a", "dull", "and", "lifeless", "film")
    pieces = reader.preprocess.tokenizer.tokenize(text)
    assert len(pieces) == 5 or pieces == ["a", "dull", "and", "life", "##less", "film"]
    if len(pieces) == 6: expected = torch.cat([expected[:3], expected[3:5].sum()[None], expected[5:]])
    assert list(values) == pytest.approx(expected.tolist(), abs=0.002)


def test_neighbours_and_pieces_do_not_matter(reader):
    """A long text among short ones, padded; alone; and in steps of a few tokens."""
    texts, classes, seen = [*SENTENCES, "a word " * 14, ""], [1, 0, 1, 1, 0], []
    hook = reader.bert.embeddings.register_forward_hook(lambda module, args, out: seen.append(out[..., 0].numel()))
    together = attributions(reader, texts, classes)
    assert max(seen) > 1000
    seen.clear()
    in_pieces = attributions(reader, texts, classes, max_tokens=100)
    assert max(seen) <= 100
    hook.remove()
    alone = [attributions(reader, [text], [target])[0] for text, target in zip(texts, classes, strict=True)]
    for given in (in_pieces, alone):
        for a, b in zip(together, given, strict=True):
            assert [w for w, _ in a] == [w for w, _ in b]
            assert [v for _, v in a] == pytest.approx([v for _, v in b], abs=1e-4)
    assert attributions(reader, [], []) == []


def test_a_long_text_is_read_as_far_as_the_network_reads_it(reader):
    text = " ".join(f"word{i}" for i in range(200))
    words = attributions(reader, [text], [0])[0]
    ids = reader.preprocess.prepare([text]).ids
    assert len(ids) == 32 and 5 <= len(words) < 30 and [w for w, _ in words] == text.split()[: len(words)]
    assert torch.equal(_tokens(reader.preprocess, text, "cpu")[0], ids.long())
    assert sum(value for _, value in words) == pytest.approx(difference(reader, text, 0), abs=0.02, rel=0.02)


@pytest.mark.parametrize("text, expected", [
    ("An unwatchably overdirected film…", ["An", "unwatchably", "overdirected", "film", "…"]),
    ("isn't it state-of-the-art?!", ["isn't", "it", "state-of-the-art", "?!"]),
    ("电影 très bien", ["电", "影", "très", "bien"]),
    ("a\n\tb  c", ["a", "b", "c"]),
    ("half \ud83d pair", ["half", "?", "pair"]),
    ("👍🏽 good", ["👍🏽", "good"]),
    ("", []),
    ("   ", []),
])
def test_words_stand_as_in_the_text(reader, text, expected):
    found = attributions(reader, [text], [1], steps=2)[0]
    assert [word for word, _ in found] == expected


@pytest.mark.parametrize("mode", ["train", "frozen"])
def test_the_reader_is_left_as_it_was(reader, mode):
    model = copy.deepcopy(reader)
    if mode == "train": model.train()
    else: freeze(model, "head").train()
    before, expected = state(model), attributions(reader, SENTENCES[:1], [1])[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.no_grad(): found = attributions(model, SENTENCES[:1], [1])[0]
    assert state(model) == before
    assert [v for _, v in found] == pytest.approx([v for _, v in expected], abs=1e-5)      # dropout was off


def test_another_tokenizer_and_another_network(tmp_path):
    """A byte-level tokenizer, spaces inside its tokens, padding that moves positions: RoBERTa, small and random."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaConfig, RobertaForSequenceClassification, RobertaTokenizerFast

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(["a good film . a bad film !"] * 50, vocab_size=300, show_progress=False,
                            special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    bpe.save_model(str(tmp_path))
    tokenizer = RobertaTokenizerFast(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"), model_max_length=40)
    small = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    config = RobertaConfig(vocab_size=300, max_position_embeddings=42, pad_token_id=1, num_labels=2, **small)
    torch.manual_seed(0)
    RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = load_model(tmp_path, ["bad", "good"], size=40)
    text = "a good  film ,\nthe best !"
    words = attributions(model, [text], [1])[0]
    assert [word for word, _ in words] == ["a", "good", "film", ",", "the", "best", "!"]
    assert sum(value for _, value in words) == pytest.approx(difference(model, text, 1), abs=1e-4)


# The confusion matrix, and drawings.


def test_confused_equals_a_slow_loop():
    g = torch.Generator().manual_seed(1)
    report = Report(torch.randn(300, 3, generator=g).round(decimals=1), torch.randint(3, (300,), generator=g), CLASSES)
    seen = []
    for row, true in enumerate(CLASSES):
        for column, predicted in enumerate(CLASSES):
            cell = []
            for i in range(300):
                if int(report.labels[i]) == row and int(report.predicted[i]) == column:
                    cell.append((float(report.probabilities[i, column]) * (1 if row == column else -1), i))
            expected = [i for _, i in sorted(cell)]                        # equals stay in the order of the split
            assert confused(report, true, predicted) == expected
            assert len(expected) == int(report.confusion[row, column])
            seen += expected
    assert sorted(seen) == list(range(300))


def test_confused_begins_where_the_report_does(resnet, tiny):
    model = load_model("resnet18", tiny.classes, weights=None, size=64)
    report = evaluate(model, tiny.test)
    worst = report.worst(1, tiny.test)[0]
    assert confused(report, worst["true"], worst["predicted"])[0] == worst["index"]
    with pytest.raises(InputError, match="no class 'unicorn' in this report; its classes are 10"):
        confused(report, "cat", "unicorn")
    title = captions(report, [worst["index"]])[0]
    assert title == f"true {worst['true']}\npredicted {worst['predicted']}\nconfidence {worst['confidence']:.2f}"


def test_the_figure_holds_every_image_its_title_and_its_map():
    heat = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    figure = draw_images(images(3), ["a", "$b$", "c\nd"], {"one": heat, "two": heat * 0})
    axes = figure.axes
    assert len(axes) == 9 and [ax.get_title() for ax in axes[:3]] == ["a", "$b$", "c\nd"]
    assert axes[3].get_ylabel() == "one" and axes[6].get_ylabel() == "two"
    for i in range(3):
        assert torch.equal(torch.as_tensor(axes[i].images[0].get_array().data.copy()), images(3)[i].permute(1, 2, 0))
        assert torch.equal(torch.as_tensor(axes[3 + i].images[1].get_array().data.copy()), heat[i])
    figure.canvas.draw()
    for bad in ((images(0), [], None), (images(2), ["a"], None), (images(1), ["a"], {"one": heat})):
        with pytest.raises(InputError, match="give one of each for every image"): draw_images(*bad)


def contrast(colour):
    """Of black text on a colour, by WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05) / 0.05


def test_words_stand_out_from_every_shade():
    words = [("w", value / 10) for value in range(-10, 11)]
    shades = _shades(words)
    assert min(map(contrast, shades)) >= 7 and len(set(shades)) == 21 and shades[10] == "#ffffff"
    assert _shades([("w", 0.0)]) == ["#ffffff"] and _shades([]) == []


def test_html_is_escaped_and_says_the_numbers():
    page = words_html([[("<b>", 0.5), ("fine", -0.25), ("of", -0.001)]], ["a <i> title"])
    assert "<b>&lt;" not in page and "&lt;b&gt;<br>" in page and "a &lt;i&gt; title" in page and "<i>" not in page
    assert re.findall(r"<small>([^<]*)</small>", page) == ["+0.50", "-0.25", "0.00"]
    assert page.count("color:#000;background:#") == 3                      # both set: no theme can spoil it
    with pytest.raises(InputError, match="0 texts and 0 titles: give one title for each, and at least 1 text"):
        words_html([], [])


def test_lines_are_not_too_long_and_lose_no_word():
    words = [("a" * (i % 37), i / 10 - 2) for i in range(60)] + [("x" * 300, 1.0), ("電影", 0.5)]
    lines = _lines(words, columns=40)
    assert all(x + width <= 40 for line in lines for x, width, *_ in line)
    assert all(a[0] + a[1] <= b[0] for line in lines for a, b in zip(line, line[1:], strict=False))
    assert [word for line in lines for _, _, word, *_ in line][:60] == [word for word, _ in words[:60]]
    figure = draw_words([words, []], ["$many$", "none"], columns=40)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "+1.00" in texts and "-2.00" in texts and any(text.startswith("$many$") for text in texts)
    figure.canvas.draw()
