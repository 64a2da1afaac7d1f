"""Pretrain the bundled ResNet-18 on Tiny ImageNet: `python benchmarks/pretrain_resnet18.py IMAGES --compare`.

IMAGES is a folder of train-*.npz and val.npz (`webp`: files end to end, `offsets`: where each begins, `labels`) and
wnids.txt. `--compare` first trains three networks briefly, which learn from the labels alone, from a teacher's logits
beside them, and from a teacher's features beside them, and measures how well each transfers; the long run takes the
`--targets` that won. The teacher is MobileNetV2 with ImageNet weights. Interrupted, the same command goes on after the
last finished epoch. Written are DIR/model.safetensors (half precision) and DIR/history.json.
"""

import argparse
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from ftcourse import Split, Task, evaluate, load_model, load_task, save_model
from ftcourse.assets import data_dir, progress_bar
from ftcourse.data import augment
from ftcourse.models import Preprocess, predict
from ftcourse.training import environment, lr_factor

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
EPOCHS = (40,) * 3 + (48,) * 6 + (56,) * 3 + (64,) * 4  # the images' side in pixels, epoch by epoch
CONTEST = (40,) * 3                                    # of 38,400 images
BATCH, LR, DECAY, SMOOTHING, CROP = 128, 2e-3, 0.05, 0.1, 8
TEACHER, TEACHER_SIZE, TEMPERATURE = "mobilenet_v2", 128, 2.0
TARGETS = ("labels", "logits", "features")


def decoded(folder: Path, part: str, work: Path) -> Split:
    """All images of a part as uint8 N x 3 x 64 x 64, decoded once and mapped from `work`."""
    path = work / f"{part}.npy"
    names = (folder / "wnids.txt").read_text().split()
    archives = [np.load(file, allow_pickle=False) for file in sorted(folder.glob(f"{part}*.npz"))]
    labels = np.concatenate([archive["labels"] for archive in archives])
    if not path.exists():
        pixels = np.lib.format.open_memmap(work / "partial.npy", "w+", np.uint8, (len(labels), 3, 64, 64))
        at = 0
        for archive in archives:
            blob, offsets = archive["webp"].tobytes(), archive["offsets"]
            files = [blob[a:b] for a, b in zip(offsets[:-1], offsets[1:], strict=True)]
            with ThreadPoolExecutor() as pool:
                for image in pool.map(_pixels, files):
                    pixels[at] = image
                    at += 1
        pixels.flush()
        (work / "partial.npy").rename(path)
    pixels = torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
    return Split(pixels, torch.from_numpy(labels.astype(np.int64)), names)


def _pixels(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file), formats=["WEBP"]) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


@torch.inference_mode()
def taught(split: Split, work: Path) -> torch.Tensor:
    """The teacher's features, the mean over an image and its mirror image: float16 N x 1280, kept in `work`."""
    path = work / "teacher.npy"
    if not path.exists():
        teacher = load_model(TEACHER, weights="imagenet", size=TEACHER_SIZE).to(DEVICE)
        teacher.classifier = nn.Identity()
        teacher.classes = [""] * 1280                    # what comes out of `predict` is 1280 features, not logits
        features = np.empty((len(split), 1280), np.float16)
        with progress_bar(len(split), "teacher") as bar:
            for at in range(0, len(split), 256):
                images = split.inputs[at : at + 256]
                both = predict(teacher, torch.cat([images, images.flip(3)]), batch_size=512)
                features[at : at + 256] = both.view(2, len(images), -1).mean(0).numpy()
                bar.update(len(images))
        np.save(work / "partial.npy", features)
        (work / "partial.npy").rename(path)
    return torch.from_numpy(np.load(path, allow_pickle=False))


class Lesson(nn.Module):
    """A student with what it is asked: the label, and what the teacher makes of the same image."""

    def __init__(self, classes: list[str], features: torch.Tensor, targets: str, seed: int):
        super().__init__()
        self.student = load_model("resnet18", classes=classes, weights=None, size=64, seed=seed)
        self.student.fc, width = nn.Identity(), self.student.fc.in_features
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.label = nn.Linear(width, len(classes))
            if targets != "labels": self.guess = nn.Linear(width, {"logits": 1000, "features": 1280}[targets])
        self.targets = targets
        some = features[:10_000].float()
        self.register_buffer("mean", some.mean(0), persistent=False)
        self.register_buffer("std", some.std(0) + 1e-3, persistent=False)
        teacher = load_model(TEACHER, weights="imagenet", size=TEACHER_SIZE).classifier[-1].requires_grad_(False)
        self.teacher_head = [teacher.to(DEVICE)]         # in a list: it is no part of this module's state

    def loss(self, x: torch.Tensor, labels: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """x: float N x 3 x S x S; labels: int64 N; features: N x 1280, of the teacher."""
        hidden = self.student(x)                         # N x 512
        loss = F.cross_entropy(self.label(hidden), labels, label_smoothing=SMOOTHING)
        if self.targets == "labels": return loss
        guess = self.guess(hidden)
        if self.targets == "features": return loss + 4 * F.mse_loss(guess, (features - self.mean) / self.std)
        wanted = F.log_softmax(self.teacher_head[0](features) / TEMPERATURE, 1)
        guess = F.log_softmax(guess / TEMPERATURE, 1)    # times T squared: Hinton et al. 2015
        return loss + TEMPERATURE**2 * F.kl_div(guess, wanted, log_target=True, reduction="batchmean")

    def network(self) -> nn.Module:
        """The student with its own head for the labels: what is kept."""
        model = load_model("resnet18", classes=self.student.classes, weights=None, size=64)
        state = {**self.student.state_dict(), "fc.weight": self.label.weight, "fc.bias": self.label.bias}
        model.load_state_dict(state)
        model.source = {"name": "resnet18", "source": "pretraining on Tiny ImageNet", "sha256": None}
        return model


def pretrain(train: Split, valid: Split, features: torch.Tensor, sizes: tuple[int, ...], targets: str, work: Path,
             seed: int = 0) -> tuple[nn.Module, list[dict]]:
    """Train with one epoch for each of `sizes`: the network, and a record an epoch. Goes on where it stopped."""
    work.mkdir(parents=True, exist_ok=True)
    lesson = Lesson(train.classes, features, targets, seed).to(DEVICE, memory_format=torch.channels_last)
    decayed = [p for p in lesson.parameters() if p.ndim > 1]
    groups = [{"params": decayed, "weight_decay": DECAY},
              {"params": [p for p in lesson.parameters() if p.ndim == 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, fused=True)
    history = _load(work / "state.safetensors", lesson, optimizer)
    steps = -(-len(train) // BATCH)
    for epoch, size in list(enumerate(sizes))[len(history):]:
        began, worked, total = time.perf_counter(), time.process_time(), 0.0
        draws = torch.Generator().manual_seed(seed * 1000 + epoch)
        order, scale = torch.randperm(len(train), generator=draws), Preprocess(size)
        lesson.train()
        with progress_bar(len(train), f"{targets}, epoch {epoch + 1} of {len(sizes)}, {size} px") as bar:
            for step, rows in enumerate(order.split(BATCH)):
                for group in optimizer.param_groups:
                    group["lr"] = LR * lr_factor(epoch * steps + step, len(sizes) * steps, schedule="linear")
                images = augment(train.inputs[rows], flip=True, crop=CROP, generator=draws).to(DEVICE)
                with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
                    loss = lesson.loss(scale(images), train.labels[rows].to(DEVICE), features[rows].to(DEVICE).float())
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                total += loss.detach() * len(rows)
                bar.update(len(rows))
        report = evaluate(lesson.network().to(DEVICE), valid, name="valid", progress="validation")
        record = {"epoch": epoch, "size": size, "train_loss": round(float(total) / len(train), 4),
                  "valid_accuracy": round(report.accuracy, 4), "seconds": round(time.perf_counter() - began, 1),
                  "cpu_seconds": round(time.process_time() - worked, 1)}
        if not np.isfinite(record["train_loss"]): raise SystemExit(f"the loss is not finite in epoch {epoch + 1}")
        history.append(record)
        _save(work / "state.safetensors", lesson, optimizer, history)
        print(targets, json.dumps(record), flush=True)
    return lesson.network(), history


def _save(path: Path, lesson: Lesson, optimizer, history: list[dict]) -> None:
    state = {f"lesson/{key}": value.contiguous() for key, value in lesson.state_dict().items()}
    for name, p in lesson.named_parameters():
        state |= {f"{slot}/{name}": value.contiguous() for slot, value in optimizer.state[p].items()}
    save_file(state, path.with_suffix(".partial"), {"history": json.dumps(history)})
    path.with_suffix(".partial").rename(path)


def _load(path: Path, lesson: Lesson, optimizer) -> list[dict]:
    """Fill the network and the optimizer from a state file, if there is one; the records of the epochs already done."""
    if not path.exists(): return []
    with safe_open(path, "pt") as file:
        state, history = {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["history"])
    lesson.load_state_dict({k.removeprefix("lesson/"): v for k, v in state.items() if k.startswith("lesson/")})
    for name, p in lesson.named_parameters():
        slots = ("step", "exp_avg", "exp_avg_sq")
        optimizer.state[p] = {slot: state[f"{slot}/{name}"].to(DEVICE if slot != "step" else "cpu") for slot in slots}
    return history


def probe(model: nn.Module, task: Task) -> float:
    """How well the features transfer: accuracy of logistic regression on CIFAR-10's training images, five-fold."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model.fc, model.classes = nn.Identity(), [""] * model.fc.in_features      # `predict` now gives the features
    features = torch.cat([predict(model.to(DEVICE), split.inputs) for split in (task.train, task.valid)])
    labels = torch.cat([task.train.labels, task.valid.labels])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    return float(cross_val_score(classifier, features.numpy(), labels.numpy(), cv=5).mean())


def contest(train: Split, valid: Split, features: torch.Tensor, work: Path) -> dict:
    """Train briefly with each kind of target: three epochs of 38,400 images at 40 pixels. Accuracy, here and there."""
    draws = torch.Generator().manual_seed(7)
    rows, task, results = torch.randperm(len(train), generator=draws)[:38_400], load_task("cifar10"), {}
    some, part = valid.subset(torch.arange(0, len(valid), 4)), train.subset(rows)
    for targets in TARGETS:
        model, history = pretrain(part, some, features[rows], CONTEST, targets, work / f"contest-{targets}")
        results[targets] = {**history[-1], "images": len(part), "cifar10_probe": round(probe(model, task), 4)}
        print(targets, json.dumps(results[targets]), flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--work", type=Path, default=Path("pretraining"), help="for what is kept between runs")
    parser.add_argument("--out", type=Path, default=data_dir() / "resnet18-tinyimagenet")
    parser.add_argument("--compare", action="store_true", help="measure the three kinds of targets first")
    parser.add_argument("--targets", choices=TARGETS, help="what the student learns from; default: the best")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    train, valid = decoded(args.images, "train", args.work), decoded(args.images, "val", args.work)
    features, results = taught(train, args.work), args.work / "contest.json"
    if args.compare and not results.exists(): results.write_text(json.dumps(contest(train, valid, features, args.work)))
    measured = json.loads(results.read_text()) if results.exists() else {}
    targets = args.targets or max(measured, key=lambda t: measured[t]["cifar10_probe"], default="logits")
    model, history = pretrain(train, valid, features, EPOCHS, targets, args.work / f"long-{targets}", args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    save_model(model.half(), args.out / "model.safetensors")
    record = {"targets": targets, "seed": args.seed, "batch": BATCH, "lr": LR, "weight_decay": DECAY,
              "label_smoothing": SMOOTHING, "crop": CROP, "teacher": TEACHER, "teacher_size": TEACHER_SIZE,
              "temperature": TEMPERATURE, "epochs": history, "contest": measured, "environment": environment()}
    (args.out / "history.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
