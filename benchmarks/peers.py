"""The contestants: each trains a `Job` as its documentation shows ("default") or as fast as it can be asked to ("best").

All get the same network, examples, batch size, optimizer (AdamW, a constant rate, no decay, no clipping), threads and
environment; all validate once an epoch and leave the network on disk. Default: images as PIL images through torchvision's transforms one by one, texts
padded to the longest of a shuffled batch (plain PyTorch: to the longest allowed), `requires_grad=False` for what is frozen.
Best: inputs made ready once and sliced by the batch, texts of like length together, a fused optimizer, what is frozen in
evaluation mode, nothing written or drawn that can be left out. No peer keeps what the frozen part gives.
"""

import contextlib
import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.workloads import Job
from ftcourse import Recipe, Split, evaluate, finetune
from ftcourse.training import Watch

# What the peers are fed.


class Pictures(Dataset):
    """Images as torchvision's datasets give them: a PIL image, and transforms that are run on it."""

    def __init__(self, split: Split, preprocess):
        self.split = split
        self.transform = v2.Compose([v2.ToImage(), v2.Resize(preprocess.size, antialias=True), v2.ToDtype(torch.float32, scale=True),
                                     v2.Normalize(preprocess.mean, preprocess.std)])
        self.images = [v2.functional.to_pil_image(image) for image in split.inputs]

    def __len__(self): return len(self.images)

    def __getitem__(self, i): return self.transform(self.images[i]), self.split.labels[i]


class Whole(Dataset):
    """Images made ready all at once; a batch is a slice."""

    def __init__(self, split: Split, preprocess):
        images = v2.functional.resize(split.inputs.float() / 255, [preprocess.size], antialias=True)
        self.images, self.labels = v2.functional.normalize(images, preprocess.mean, preprocess.std), split.labels

    def __len__(self): return len(self.labels)

    def __getitems__(self, rows): return self.images[rows], self.labels[rows]


class Texts(Dataset):
    """Texts as token ids, cut once; `padded`: each to the longest that is allowed."""

    def __init__(self, split: Split, preprocess, padded: bool = False):
        self.rows = preprocess.tokenizer(list(split.inputs), truncation=True, max_length=preprocess.max_length,
                                         padding="max_length" if padded else False)["input_ids"]
        self.labels, self.pad = split.labels, preprocess.tokenizer.pad_token_id

    def __len__(self): return len(self.rows)

    def __getitem__(self, i): return self.rows[i], self.labels[i]

    @property
    def lengths(self) -> list[int]: return [len(row) for row in self.rows]


def padded_batch(items, pad: int) -> tuple[dict, torch.Tensor]:
    """Token ids and their mask, each n x L with L the longest of these, and the labels."""
    rows, labels = zip(*items, strict=True)
    ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=pad)
    return {"input_ids": ids, "attention_mask": (ids != pad).long()}, torch.stack(labels)


def dataset(job: Job, split: Split, best: bool, padded: bool = False) -> Dataset:
    """The examples as a contestant is fed them."""
    if job.workload.of_texts: return Texts(split, job.model.preprocess, padded)
    return (Whole if best else Pictures)(split, job.model.preprocess)


def collation(data: Dataset) -> Callable | None:
    if isinstance(data, Texts): return functools.partial(padded_batch, pad=data.pad)
    return (lambda batch: batch) if isinstance(data, Whole) else None


def loader(job: Job, split: Split, best: bool, shuffle: bool, padded: bool = False) -> DataLoader:
    """A DataLoader over the examples; best: texts of like length together."""
    from transformers.trainer_pt_utils import LengthGroupedSampler

    data, n = dataset(job, split, best, padded), job.workload.batch_size
    grouped = best and job.workload.of_texts
    sampler = LengthGroupedSampler(n, lengths=data.lengths) if grouped and shuffle else None
    if grouped and not shuffle: sampler = sorted(range(len(data)), key=data.lengths.__getitem__)
    return DataLoader(data, n, shuffle=shuffle and sampler is None, sampler=sampler, collate_fn=collation(data))


class Logits(nn.Module):
    """The network as a function of the first half of a batch; with `held`, modules that no call of `train` reaches."""

    def __init__(self, model: nn.Module, held=()):
        super().__init__()
        self.model, self.held = model, held

    def forward(self, inputs): return self.model(**inputs).logits if isinstance(inputs, dict) else self.model(inputs)

    def train(self, mode: bool = True):
        super().train(mode)
        for module in self.held: module.training = False
        return self


def network(job: Job, best: bool) -> Logits:
    """The network, what is frozen without gradients, and in the best setting in evaluation mode too."""
    learning = set(job.learning)
    for name, p in job.model.named_parameters(): p.requires_grad_(name in learning)
    return Logits(job.model, tuple(job.frozen) if best else ())


def adamw(job: Job, best: bool) -> torch.optim.AdamW:
    learning = [p for p in job.model.parameters() if p.requires_grad]
    return torch.optim.AdamW(learning, lr=job.workload.lr, weight_decay=0.0, **({"fused": True} if best else {}))


# The trainers. Each leaves `job.model` trained.


class _Last(Watch):
    """Holds the weights of the last epoch."""

    def __init__(self, model: nn.Module): self.model = model

    def epoch(self, record: dict) -> None: self.weights = {k: v.clone() for k, v in self.model.state_dict().items()}


def ftcourse(job: Job, best: bool) -> None:
    w, last = job.workload, _Last(job.model) if job.gate else None
    recipe = Recipe(epochs=w.epochs, freeze=w.learns, batch_size=w.batch_size, lr=w.lr, weight_decay=0, schedule="constant",
                    warmup=0, clip=0, seed=job.seed)
    finetune(job.model, job.task, recipe, job.folder, watch=last)
    if last: job.model.load_state_dict(last.weights)                 # it ends with those that validated best


def pytorch(job: Job, best: bool) -> None:
    model = network(job, best)
    padded = not best
    train, valid = loader(job, job.task.train, best, True, padded), loader(job, job.task.valid, best, False, padded)
    optimizer = adamw(job, best)
    for _ in range(job.workload.epochs):
        model.train()
        for inputs, labels in train:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
        accuracy_over(model, valid)


def accuracy_over(model: nn.Module, batches) -> float:
    """Share of right answers, as the tutorials count it."""
    model.eval()
    right = total = 0
    with torch.no_grad():
        for inputs, labels in batches:
            right += (model(inputs).argmax(1) == labels).sum().item()
            total += len(labels)
    return right / total


def accelerate(job: Job, best: bool) -> None:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    model = network(job, best)
    train, valid = loader(job, job.task.train, best, True), loader(job, job.task.valid, best, False)
    model, optimizer, train, valid = accelerator.prepare(model, adamw(job, best), train, valid)
    for _ in range(job.workload.epochs):
        model.train()
        for inputs, labels in train:
            loss = F.cross_entropy(model(inputs), labels)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        accuracy_over(model, valid)


class _WithLoss(Logits):
    def forward(self, inputs, labels):
        logits = super().forward(inputs)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def _trainer(job: Job, best: bool):
    """transformers' Trainer over a network, its examples and its settings."""
    from torch.utils.data import default_collate
    from transformers import Trainer, TrainingArguments
    from transformers.trainer_pt_utils import LengthGroupedSampler

    w, inner = job.workload, network(job, best)
    train, valid = dataset(job, job.task.train, best), dataset(job, job.task.valid, best)
    collate = collation(train) or default_collate
    quiet = {"save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True} if best else {}
    settings = TrainingArguments(
        job.folder, num_train_epochs=w.epochs, per_device_train_batch_size=w.batch_size, per_device_eval_batch_size=w.batch_size,
        learning_rate=w.lr, lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=0.0, eval_strategy="epoch",
        remove_unused_columns=False, label_names=["labels"], report_to="none", seed=job.seed,
        use_cpu=not torch.cuda.is_available(), **quiet)

    class Grouped(Trainer):
        def _get_train_sampler(self, data=None): return LengthGroupedSampler(w.batch_size, lengths=train.lengths)

    kind = Grouped if best and w.of_texts else Trainer       # its own way to group wants dicts with the ids on top
    return kind(_WithLoss(inner.model, inner.held), settings, train_dataset=train, eval_dataset=valid,
                data_collator=lambda items: dict(zip(("inputs", "labels"), collate(items), strict=True)),
                compute_metrics=lambda told: {"accuracy": float((told.predictions.argmax(1) == told.label_ids).mean())})


def transformers(job: Job, best: bool) -> None: _trainer(job, best).train()


def _lightning(job: Job, best: bool):
    """Lightning's Trainer and a module that trains the network and validates it."""
    import lightning

    model = network(job, best)

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def training_step(self, batch, _):
            inputs, labels = batch
            loss = F.cross_entropy(self.model(inputs), labels)
            if not best: self.log("train_loss", loss)
            return loss

        def validation_step(self, batch, _):
            inputs, labels = batch
            self.log("accuracy", (self.model(inputs).argmax(1) == labels).float().mean(), batch_size=len(labels))

        test_step = validation_step

        def configure_optimizers(self): return adamw(job, best)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False,
             "num_sanity_val_steps": 0} if best else {}
    trainer = lightning.Trainer(max_epochs=job.workload.epochs, default_root_dir=job.folder, **quiet)
    return trainer, Module().train()


def lightning(job: Job, best: bool) -> None:
    trainer, module = _lightning(job, best)
    trainer.fit(module, loader(job, job.task.train, best, True), loader(job, job.task.valid, best, False))


def _learner(job: Job, best: bool, train: DataLoader, valid: DataLoader):
    """fastai's Learner, whose own `freeze` decides what learns: by default every BatchNorm too."""
    import fastai.callback.progress  # its usual bar, as `fastai.vision.all` brings it
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.metrics import accuracy
    from fastai.optimizer import Adam, OptimWrapper

    model = Logits(job.model.requires_grad_(True), tuple(job.frozen) if best else ())
    first = {name for name, _ in job.model.named_parameters()} - set(job.learning)
    halves = lambda m: [part for part in ([p for n, p in m.model.named_parameters() if n in first],
                                          [p for n, p in m.model.named_parameters() if n not in first]) if part]
    optimizer = functools.partial(OptimWrapper, opt=torch.optim.AdamW, fused=True, weight_decay=0.0) if best else Adam
    learner = Learner(DataLoaders(train, valid), model, loss_func=F.cross_entropy, opt_func=optimizer, lr=job.workload.lr,
                      wd=0.0, splitter=halves, metrics=accuracy, train_bn=not best, path=job.folder)
    if best: learner.remove_cb(fastai.callback.progress.ProgressCallback)
    if first: learner.freeze()
    return learner


def fastai(job: Job, best: bool) -> None:
    learner = _learner(job, best, loader(job, job.task.train, best, True), loader(job, job.task.valid, best, False))
    with learner.no_logging() if best else contextlib.nullcontext(): learner.fit(job.workload.epochs)


TRAINERS = {"ftcourse": ftcourse, "pytorch": pytorch, "accelerate": accelerate, "transformers": transformers,
            "lightning": lightning, "fastai": fastai}


# The evaluations: each gives the accuracy on the test examples.


def evaluation(peer: str, job: Job, best: bool) -> float:
    """The share of `job`'s test examples that the network gets right, as `peer` finds it."""
    if peer == "ftcourse": return evaluate(job.model, job.task.test).accuracy
    if peer == "transformers":
        return _trainer(job, best).evaluate(dataset(job, job.task.test, best))["eval_accuracy"]
    batches = loader(job, job.task.test, best, False, padded=peer == "pytorch" and not best)
    if peer == "lightning":
        trainer, module = _lightning(job, best)
        return trainer.test(module, batches, verbose=not best)[0]["accuracy"]
    if peer == "fastai":
        learner = _learner(job, best, batches, batches)
        return float(learner.validate()[1])
    model = network(job, best)
    if peer == "accelerate":
        from accelerate import Accelerator

        model, batches = Accelerator(cpu=not torch.cuda.is_available()).prepare(model, batches)
    return accuracy_over(model, batches)
