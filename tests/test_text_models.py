"""Networks for texts: the stages law, the mask, files that other programs read, the hub, and what bad input gets."""

import copy
import functools
import hashlib
import json
import random
import shutil
import subprocess
import sys
import time

import pytest
import safetensors.torch
import test_models
import torch
from hub import COMMIT, Hub, serve
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ftcourse import assets as a
from ftcourse import models as m
from ftcourse.assets import AssetError, fetch_hub, provenance
from ftcourse.freezing import audit, boundary, freeze, param_groups
from ftcourse.models import fingerprint, load_model, predict, save_model, stages, summary

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = "the a film plot actor is was not very good bad great dull end ##ing ##ly , . !".split()
TEXTS = ["a good film .", "the plot was not very good , the end is dull !", "", "   ", "bad", "unknown the", "a " * 300]


def tokenizer(kind):
    """A small tokenizer of the kind that the architecture uses; RoBERTa's padding id is 1."""
    names = ["<s>", "<pad>", "</s>", "<unk>"] if kind == "roberta" else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    first, last, pad, unknown = (names[i] for i in ((0, 2, 1, 3) if kind == "roberta" else (2, 3, 0, 1)))
    vocabulary = {word: i for i, word in enumerate([*names, *WORDS])}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    inner.normalizer, inner.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(first, vocabulary[first]), (last, vocabulary[last])])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token=pad, unk_token=unknown, cls_token=first, sep_token=last, model_max_length=40)


def config(kind, **changes):
    rest = {"vocab_size": 23, "max_position_embeddings": 42 if kind == "roberta" else 40}
    shape = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    if kind == "distilbert":
        small = {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 64, "pad_token_id": 0}
        return transformers.DistilBertConfig(**small, **rest | changes)
    if kind == "roberta":
        return transformers.RobertaConfig(pad_token_id=1, **shape, **rest | changes)
    own = {"bert": transformers.BertConfig, "electra": transformers.ElectraConfig}[kind]
    return own(pad_token_id=0, **shape | changes.pop("shape", {}), **rest | changes)


def make(folder, kind="bert", network=transformers.AutoModel, **changes):
    """A folder as the hub has it: a bare backbone of random weights with its tokenizer."""
    torch.manual_seed(0)
    network.from_config(config(kind, **changes)).save_pretrained(folder)
    tokenizer(kind).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    return functools.cache(lambda kind: make(tmp_path_factory.mktemp(kind), kind))


KINDS = ["bert", "distilbert", "roberta"]


refused = functools.partial(test_models.refused, longest=700)


def run_stages(model, x):
    for stage in stages(model):
        x = stage.module(x)
    return x


# ---- the law of stages


@pytest.mark.parametrize("kind", KINDS)
def test_stages_law(folders, kind):
    model = load_model(folders(kind), 3)
    assert [s.name for s in stages(model)] == ["embeddings", "layer.0", "layer.1", "layer.2", "head"]
    held = [id(t) for s in stages(model) for t in [*s.module.parameters(), *s.module.buffers()]]
    assert sorted(held) == sorted(id(t) for t in [*model.parameters(), *model.buffers()])
    for texts in (TEXTS, TEXTS[:1], TEXTS[2:4]):
        x = model.preprocess(texts)
        with torch.no_grad():
            torch.testing.assert_close(run_stages(model, x), model(**x).logits, rtol=0, atol=1e-6)
    assert summary(model).total == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_stages_law_in_train_mode(folders, kind):
    """The same draws of dropout, and the same gradients; only the second half of the last layer draws for one token."""
    whole = load_model(folders(kind), 3).train()
    for name, module in whole.named_modules():
        if name.endswith("layer.2.output.dropout"): module.eval()
    parts = copy.deepcopy(whole)
    x = whole.preprocess(TEXTS)
    torch.manual_seed(1)
    expected = whole(**x).logits
    torch.manual_seed(1)
    given = run_stages(parts, x)
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-6)
    expected.square().sum().backward()
    given.square().sum().backward()
    for (name, p), q in zip(whole.named_parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(q.grad, p.grad, msg=name, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_last_layer_does_no_work_that_nobody_reads(folders, kind):
    """Its feed-forward half runs for the first token; the one before runs for all."""
    model = load_model(folders(kind), 3)
    x = model.preprocess(TEXTS)
    cost = {}
    with torch.no_grad():
        for stage in stages(model):
            with FlopCounterMode(display=False) as counter: x = stage.module(x)
            cost[stage.name] = counter.get_total_flops()
    inner, width = model.config.intermediate_size, model.config.hidden_size
    spared = model.preprocess(TEXTS)["attention_mask"][:, 1:].numel() * 2 * 2 * inner * width
    assert cost["layer.1"] - cost["layer.2"] == spared > 0


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_predict_takes_the_short_way(folders, kind):
    model = load_model(folders(kind), 3)
    x = model.preprocess(TEXTS[1:2])
    whole, short = FlopCounterMode(display=False), FlopCounterMode(display=False)
    with torch.no_grad(), whole: expected = model(**x).logits
    with short: given = predict(model, TEXTS[1:2])
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-5)
    assert short.get_total_flops() < whole.get_total_flops()


@pytest.mark.parametrize("until", ["layer.1", "layer.2", "head"])
def test_kept_prefix_and_trained_suffix(folders, until):
    """What is kept at the boundary, copied and cut into rows, gives what the whole network gives."""
    model = freeze(load_model(folders("bert"), 3), until)
    x, cut = model.preprocess(TEXTS), boundary(model)
    with torch.no_grad():
        kept = x
        for stage in stages(model)[:cut]:
            kept = stage.module(kept)
        rows = m.Hidden(kept.hidden.clone()[2:5], kept.mask.clone()[2:5])
        assert kept.hidden.shape[1] == (1 if until == "head" else x["input_ids"].shape[1])
        out = rows
        for stage in stages(model)[cut:]:
            out = stage.module(out)
        torch.testing.assert_close(out, model(**x).logits[2:5], rtol=0, atol=1e-6)
    before = audit(model).frozen
    suffix = nn.Sequential(*(stage.module for stage in stages(model)[cut:])).train()
    optimizer = torch.optim.AdamW(param_groups(model, 1e-2))
    suffix(kept).square().sum().backward()
    optimizer.step()
    assert audit(model).frozen == before and not audit(model).problems
    with torch.no_grad():
        suffix.eval()
        torch.testing.assert_close(suffix(kept), model.eval()(**x).logits, rtol=0, atol=1e-5)


def test_another_architecture_is_one_stage(tmp_path, capsys):
    model = load_model(make(tmp_path, "electra"), 3)
    assert [s.name for s in stages(model)] == ["network"] and "freezing by stage" in capsys.readouterr().err
    x = model.preprocess(TEXTS)
    with torch.no_grad():
        assert torch.equal(run_stages(model, x), model(**x).logits)
    held = [id(t) for s in stages(model) for t in [*s.module.parameters(), *s.module.buffers()]]
    assert sorted(held) == sorted(id(t) for t in [*model.parameters(), *model.buffers()])
    refused(lambda: freeze(model, "head"), "network")
    assert boundary(freeze(model, "none")) == 0
    save_model(model, tmp_path / "run" / "model.safetensors")
    assert torch.equal(predict(load_model(tmp_path / "run"), TEXTS), predict(model, TEXTS))


def test_a_decoder_is_one_stage(folders):
    """A BERT that masks the future would break the views' mask."""
    cfg = config("bert", is_decoder=True)
    model = transformers.BertForSequenceClassification(cfg).eval()
    assert [s.name for s in stages(model)] == ["network"]


# ---- the mask


@pytest.mark.parametrize("kind", [*KINDS, "electra"])
def test_a_text_gives_the_same_alone_and_in_any_batch(tmp_path, folders, kind):
    model = load_model(folders(kind), 3, size=40)
    draw = random.Random(0)
    texts = TEXTS + [" ".join(draw.choices(WORDS, k=draw.randint(0, 60))) for _ in range(40)]
    alone = torch.cat([m._forward(model, model.preprocess([t])).detach() for t in texts])
    assert model.preprocess([texts[6]])["input_ids"].shape == (1, 40)
    for size, tokens in ((1, 8192), (7, 8192), (256, 100), (256, 8192), (3, 1)):
        together = predict(model, texts, batch_size=size, max_tokens=tokens)
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    order = torch.randperm(len(texts)).tolist()
    torch.testing.assert_close(predict(model, [texts[i] for i in order]), alone[order], rtol=0, atol=1e-5)


def test_predict_of_nothing_and_modes(folders):
    model = load_model(folders("bert"), 3).train()
    assert predict(model, []).shape == (0, 3) and model.training
    predict(model, TEXTS)
    assert model.training


def test_tokens_are_those_of_transformers(folders):
    model = load_model(folders("roberta"), 3, size=12)
    cut = model.preprocess.tokenizer(TEXTS, truncation=True, max_length=12, padding=True, return_tensors="pt")
    given = model.preprocess(model.preprocess.prepare(TEXTS))
    assert torch.equal(given["input_ids"], cut["input_ids"])
    assert torch.equal(given["attention_mask"], cut["attention_mask"])


def test_strange_texts(folders):
    model = load_model(folders("bert"), 3, size=16)
    strange = ["x" * 10**6, "good " * 200_000, "\0", "a\0b", "\ud800 film", "é ü 漢字", "[SEP] [PAD]", "\n\t\u2028"]
    assert predict(model, strange).isfinite().all()


def test_images_are_no_texts_and_texts_no_images(folders):
    model = load_model(folders("bert"), 3)
    refused(lambda: predict(model, torch.zeros(2, 3, 32, 32, dtype=torch.uint8)), "texts")
    refused(lambda: predict(model, ["good", None]), "NoneType", "texts")
    refused(lambda: predict(model, "one text"), "list")
    images = load_model("mobilenet_v2", 2, weights=None, size=32)
    refused(lambda: predict(images, ["good"]), "images")


# ---- loading


def test_minilm_is_the_published_network(cached_minilm):
    model = load_model("minilm", ["negative", "positive"])
    assert type(model) is transformers.BertForSequenceClassification and not model.training
    assert model.source["sha256"].startswith("53aa5117") and model.preprocess.max_length == 128
    plain = transformers.BertModel.from_pretrained(cached_minilm).eval()
    x = model.preprocess(TEXTS)
    with torch.no_grad():
        expected = plain(**x).pooler_output
        assert torch.equal(model.bert(**x).pooler_output, expected)
        torch.testing.assert_close(run_stages(model, x), model(**x).logits, rtol=0, atol=1e-6)
    assert len(stages(model)) == 8 and model.config.id2label == {0: "negative", 1: "positive"}


@pytest.fixture
def cached_minilm(tmp_path):
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(a.data_dir() / "minilm" / file, tmp_path)
    shutil.copy(a.fetch("minilm"), tmp_path / "model.safetensors")
    return tmp_path


def test_random_minilm_needs_no_weights(monkeypatch):
    monkeypatch.setattr(m, "fetch", lambda name: pytest.fail("weights were fetched"))
    model = load_model("minilm", 2, weights=None)
    assert sum(p.numel() for p in model.parameters()) == 22_713_986 and model.source["sha256"] is None


def test_importing_ftcourse_does_not_import_transformers():
    code = "import sys, ftcourse.models as m; m.stages(m.load_model('resnet18', 2, weights=None, size=32)); " \
           "print('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_random_state_and_seed(folders):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = load_model(folders("bert"), 3, seed=1), load_model(folders("bert"), 3, seed=1)
    assert torch.rand(1) == expected and fingerprint(first) == fingerprint(second)
    other = load_model(folders("bert"), 3, seed=2)
    assert fingerprint(other.bert.encoder) == fingerprint(first.bert.encoder)
    assert not torch.equal(other.classifier.weight, first.classifier.weight)
    assert first.classifier.weight.std() < 0.02 and not first.classifier.bias.any()
    fresh = load_model(folders("bert"), 3, weights=None, seed=1)
    assert fingerprint(fresh) != fingerprint(first) and "random" in fresh.source["source"]
    assert [p.shape for p in fresh.parameters()] == [p.shape for p in first.parameters()]


def test_a_head_is_kept_for_its_own_classes(tmp_path, capsys):
    names = {0: "no", 1: "maybe", 2: "yes"}
    make(tmp_path, "distilbert", transformers.AutoModelForSequenceClassification, id2label=names)
    stored = safetensors.torch.load_file(tmp_path / "model.safetensors")
    kept = load_model(tmp_path)
    assert kept.classes == ["no", "maybe", "yes"] and torch.equal(kept.classifier.weight, stored["classifier.weight"])
    assert torch.equal(load_model(tmp_path, 3).classifier.weight, stored["classifier.weight"])
    new = load_model(tmp_path, ["a", "b"])
    assert new.classifier.weight.shape == (2, 32) and "new head" in capsys.readouterr().err
    assert torch.equal(new.pre_classifier.weight, stored["pre_classifier.weight"])


def test_old_names_and_other_heads(tmp_path):
    """A file with gamma and beta, and the head of masked language modelling, as the first BERTs have."""
    make(tmp_path, "bert", transformers.AutoModelForMaskedLM)
    file = tmp_path / "model.safetensors"
    state = safetensors.torch.load_file(file)
    old = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
           for k, v in state.items()}
    safetensors.torch.save_file(old, file)
    model = load_model(tmp_path, 2)
    given = model.state_dict()
    for key in ("bert.encoder.layer.1.output.LayerNorm.weight", "bert.embeddings.word_embeddings.weight"):
        assert torch.equal(given[key], state[key])


def test_weights_in_parts(tmp_path, folders):
    make(tmp_path / "whole", "bert")
    network = transformers.AutoModel.from_pretrained(tmp_path / "whole")
    network.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    tokenizer("bert").save_pretrained(tmp_path / "parts")
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    assert fingerprint(load_model(tmp_path / "parts", 2)) == fingerprint(load_model(tmp_path / "whole", 2))
    index = tmp_path / "parts" / "model.safetensors.index.json"
    facts = json.loads(index.read_text())
    facts["weight_map"]["x"] = "../../secret.safetensors"
    index.write_text(json.dumps(facts))
    refused(lambda: load_model(tmp_path / "parts", 2), "parts")


# ---- saving


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_and_transformers_itself(folders, tmp_path, kind):
    model = load_model(folders(kind), ["bad", "good", "so-so"], size=20)
    path = save_model(model, tmp_path / "run" / "model.safetensors")
    expected = predict(model, TEXTS)
    for place in (path, path.parent, str(path.parent)):
        again = load_model(place)
        assert torch.equal(predict(again, TEXTS), expected) and again.spec == model.spec
        assert again.classes == model.classes and again.preprocess.max_length == 20
        assert again.source["source"] == "saved model"
    network = transformers.AutoModelForSequenceClassification
    theirs, info = network.from_pretrained(path.parent, output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    assert theirs.config.id2label == {0: "bad", 1: "good", 2: "so-so"}
    cut = transformers.AutoTokenizer.from_pretrained(path.parent)(
        TEXTS, truncation=True, max_length=20, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = theirs.eval()(input_ids=cut["input_ids"], attention_mask=cut["attention_mask"]).logits
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)
    assert not [p.name for p in path.parent.iterdir() if p.name.startswith(".")]


def test_a_full_disk_leaves_the_old_file(folders, tmp_path, monkeypatch):
    model = load_model(folders("bert"), 2)
    path = save_model(model, tmp_path / "model.safetensors")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with torch.no_grad():
        model.classifier.bias += 1

    monkeypatch.setattr(m.safetensors.torch, "save_file", test_models.full)
    with pytest.raises(OSError, match="No space"):
        save_model(model, path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_class_names_of_the_file_win(folders, tmp_path):
    """Two models in one folder share a config.json; each keeps its own classes."""
    save_model(load_model(folders("bert"), ["a", "b"]), tmp_path / "one.safetensors")
    save_model(load_model(folders("bert"), ["c", "d"]), tmp_path / "two.safetensors")
    assert load_model(tmp_path / "one.safetensors").classes == ["a", "b"]


def test_an_image_run_loads_by_its_folder(tmp_path):
    model = load_model("mobilenet_v2", 2, weights=None, size=32)
    save_model(model, tmp_path / "model.safetensors")
    assert fingerprint(load_model(tmp_path)) == fingerprint(model)


# ---- bad input


def test_names_with_a_typo():
    refused(lambda: load_model("bert-base-uncasd", 2), "bert-base-uncased")
    refused(lambda: load_model("minlm", 2), "minilm")
    refused(lambda: load_model("resnet81", 2), "resnet")
    refused(lambda: load_model("roberta_base", 2), "roberta-base")


def test_arguments(folders):
    folder = folders("bert")
    refused(lambda: load_model(folder), "give classes")
    refused(lambda: load_model(folder, 2, size=41), "41", "40")
    refused(lambda: load_model(folder, 2, size=2), "3 to 40")
    refused(lambda: load_model(folder, 2, size=True), "True")
    refused(lambda: load_model(folder, 2, stem="small"), "stem")
    refused(lambda: load_model(folder, 2, weights="imagenet"), "auto", "None")
    assert load_model(folders("roberta"), 2, size=40).preprocess.max_length == 40
    refused(lambda: load_model(folders("roberta"), 2, size=41), "40")


def change(folder, file, **facts):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    return folder


@pytest.mark.parametrize("facts, words", [
    ({"auto_map": {"AutoConfig": "evil.Config"}}, ["auto_map"]),
    ({"model_type": "brt"}, ["brt", "bert"]),
    ({"model_type": 7}, ["7"]),
    ({"num_hidden_layers": 10**9}, ["num_hidden_layers"]),
    ({"hidden_size": 10**12}, ["hidden_size"]),
    ({"layer_norm_eps": float("nan")}, ["layer_norm_eps"]),
    ({"deep": {"num_layers": 10**6}}, ["num_layers"]),
    ({"hidden_size": 10**6, "intermediate_size": 10**7}, ["parameters"]),
    ({"vocab_size": 10**7}, ["another shape"]),
    ({"hidden_size": 64}, ["another shape"]),
    ({"hidden_size": -4}, []),
    ({"num_attention_heads": 5}, []),
    ({"num_attention_heads": 0}, []),
    ({"hidden_size": "wide"}, []),
    ({"num_hidden_layers": 5}, ["missing"]),
    ({"num_hidden_layers": 2}, ["unexpected"]),
    ({"hidden_act": "os.system"}, []),
    ({"quantization_config": {"quant_method": "gptq"}}, ["quantised"]),
    ({"id2label": [1, 2]}, []),
    ({"pad_token_id": 3}, ["pads"]),
])
def test_a_hostile_configuration(tmp_path, facts, words):
    refused(lambda: load_model(change(make(tmp_path), "config.json", **facts), 2), *words)


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff", '{"model_type": "bert", ' + '"x": [' * 5000])
def test_a_damaged_configuration(tmp_path, text):
    (make(tmp_path) / "config.json").write_bytes(text.encode("latin-1"))
    refused(lambda: load_model(tmp_path, 2), "config.json")


def test_damaged_weights(tmp_path):
    file = make(tmp_path) / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    refused(lambda: load_model(tmp_path, 2), "damaged")
    file.unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    refused(lambda: load_model(tmp_path, 2), "model.safetensors")


def test_a_tokenizer_of_another_model(tmp_path):
    folder = make(tmp_path / "a", vocab_size=12)
    refused(lambda: load_model(folder, 2), "does not belong", "22", "12")
    folder = make(tmp_path / "b", "roberta")
    tokenizer("bert").save_pretrained(folder)
    refused(lambda: load_model(folder, 2), "does not belong", "pads")
    change(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})
    refused(lambda: load_model(folder, 2), "auto_map")
    (folder / "tokenizer.json").write_text("{}")
    change(make(tmp_path / "c"), "tokenizer.json", model={"type": "WordPiece"})
    refused(lambda: load_model(tmp_path / "c", 2), "tokenizer")
    for file in make(tmp_path / "d").glob("tokenizer*"):
        file.unlink()
    refused(lambda: load_model(tmp_path / "d", 2), "no tokenizer")
    (tmp_path / "e").mkdir()
    refused(lambda: load_model(tmp_path / "e", 2), "config.json")


# ---- the hub, on this machine


@pytest.fixture
def hub(tmp_path, monkeypatch):
    files = make(tmp_path / "files", "bert")
    (files / "pytorch_model.bin").write_bytes(b"never asked for")
    hub = Hub({"someone/small-bert": files, "google-bert/bert-base-uncased": files,
               "someone/pickled": {"config.json": b"{}", "pytorch_model.bin": b"x"}})
    monkeypatch.setenv("FTCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FTCOURSE_OFFLINE", raising=False)
    with serve(hub) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield hub


def test_hub_success(hub, tmp_path, monkeypatch, capsys):
    folder = fetch_hub("someone/small-bert")
    stored = hub.repositories["someone/small-bert"]
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (folder / name).read_bytes() == stored[name]
    assert not any("pytorch_model" in line for line in hub.asked) and COMMIT[:12] in capsys.readouterr().err
    assert provenance("someone/small-bert") == {
        "name": "someone/small-bert", "source": f"hub someone/small-bert at {COMMIT}",
        "sha256": hashlib.sha256(stored["model.safetensors"]).hexdigest()}
    asked = len(hub.asked)
    monkeypatch.setenv("FTCOURSE_OFFLINE", "1")
    assert fetch_hub("someone/small-bert") == folder and len(hub.asked) == asked
    model = load_model("someone/small-bert", 2)
    assert model.source["source"].endswith(COMMIT) and predict(model, TEXTS).shape == (len(TEXTS), 2)
    assert fingerprint(model.bert.encoder) == fingerprint(load_model(tmp_path / "files", 2).bert.encoder)


def test_hub_weights_in_parts(hub, tmp_path):
    network = transformers.AutoModel.from_pretrained(tmp_path / "files")
    network.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    tokenizer("bert").save_pretrained(tmp_path / "parts")
    hub.repositories["someone/in-parts"] = {p.name: p.read_bytes() for p in (tmp_path / "parts").iterdir()}
    assert fingerprint(load_model("someone/in-parts", 2)) == fingerprint(load_model(tmp_path / "parts", 2))
    assert len(provenance("someone/in-parts")["sha256"]) == 64


def test_hub_short_name(hub):
    model = load_model("bert-base-uncased", 2)
    assert model.spec["name"] == "bert-base-uncased" and model.source["name"] == "google-bert/bert-base-uncased"


def test_hub_unknown(hub, tmp_path):
    refused(lambda: load_model("google-bert/bert-base-uncasd", 2), "no model", "bert-base-uncased", kind=AssetError)
    refused(lambda: fetch_hub("someone/pickled"), "safetensors", kind=AssetError)
    refused(lambda: fetch_hub("../../etc/passwd"), "no model", kind=AssetError)
    hub.gated.add("someone/small-bert")
    refused(lambda: fetch_hub("someone/small-bert"), "terms", kind=AssetError)
    hub.gated.clear()
    hub.status["someone/small-bert"] = 500
    refused(lambda: fetch_hub("someone/small-bert"), "500", kind=AssetError)


def left(tmp_path):
    """What would be used of the cache: complete files, and cards."""
    used = lambda p: p.name == "model.safetensors" or (p.suffix == ".json" and "--" in p.name)
    return [p for p in (tmp_path / "cache").rglob("*") if used(p)]


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_hub_wrong_hash(hub, tmp_path, file):
    hub.faults[file] = "flip"
    refused(lambda: fetch_hub("someone/small-bert"), file, "expected", kind=AssetError)
    hidden = "model.safetensors" if file == "model.safetensors" else "config.json"
    assert not [p for p in (tmp_path / "cache").rglob(hidden)] and not left(tmp_path)
    hub.faults.clear()
    assert (fetch_hub("someone/small-bert") / file).read_bytes() == hub.repositories["someone/small-bert"][file]


def test_hub_cut_connection(hub, tmp_path):
    hub.faults["model.safetensors"] = "cut"
    refused(lambda: fetch_hub("someone/small-bert"), "cut the connection", kind=AssetError)
    assert not left(tmp_path)
    hub.faults.clear()
    assert fetch_hub("someone/small-bert").is_dir()


def test_hub_damaged_cache(hub, tmp_path, capsys):
    folder = fetch_hub("someone/small-bert")
    blob = (folder / "model.safetensors").resolve()
    blob.write_bytes(b"\0" * blob.stat().st_size)
    again = fetch_hub("someone/small-bert") / "model.safetensors"
    assert again.read_bytes() == hub.repositories["someone/small-bert"]["model.safetensors"]
    assert "expected" in capsys.readouterr().err


def test_no_network(hub, monkeypatch):
    began = time.perf_counter()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    refused(lambda: load_model("roberta-base", 2), "roberta-base", "no connection", kind=AssetError)
    assert time.perf_counter() - began < 5
    monkeypatch.setenv("FTCOURSE_OFFLINE", "1")
    refused(lambda: load_model("distilbert-base-uncased", 2), "FTCOURSE_OFFLINE=1", kind=AssetError)


@pytest.mark.parametrize("part", ["", "bert", "bert.encoder.layer.2"])
def test_hooks_on_the_network_see_every_batch(part, folders):
    """Who looks on by a hook, on the network or a part of it, is not passed by on the short way."""
    model, seen = load_model(folders("bert"), 3), []
    plain = predict(model, TEXTS)
    with model.get_submodule(part).register_forward_hook(lambda *call: seen.append(1)): watched = predict(model, TEXTS)
    assert seen
    torch.testing.assert_close(watched, plain, rtol=0, atol=1e-6)
    with model.bert.encoder.layer[2].register_forward_hook(lambda *call: seen.append(2)):
        run_stages(model, model.preprocess(TEXTS))
    assert seen[-1] == 2
