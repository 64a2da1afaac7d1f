"""Pretrain the bundled ResNet-18 on Tiny ImageNet: `python benchmarks/pretrain_resnet18.py IMAGES --compare`.

IMAGES is a folder of train-*.npz and val.npz (`webp`: files end to end, `offsets`: where each begins, `labels`) and
wnids.txt. `--compare` first trains four networks briefly, which learn from the labels alone, and from a teacher's
logits, features or both beside them, and measures how well each transfers; the long run takes the `--targets` that won.
The teacher is MobileNetV2 with ImageNet weights; it sees the same crop as the student, sharp and at twice the size.
Interrupted, the same command goes on after the last state that was written: after an epoch, a minute or more apart.
Written are DIR/model.safetensors (half precision) and DIR/history.json. Meant for a GPU; on two cores reckon in days.
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
SIDES = ((48, 0.4), (56, 0.7), (64, 1.0))              # the images' side in pixels, until which share of the epochs
BATCH, LR, DECAY, SMOOTHING = 1024, 3e-3, 0.05, 0.1
AREA, RATIO, COARSE, COLOUR = (0.35, 1.0), (3 / 4, 4 / 3), 0.5, 0.2
TEACHER, TEACHER_SIZE, TEMPERATURE = "mobilenet_v2", 128, 2.0
TARGETS = ("labels", "logits", "features", "both")


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


def sides(epochs: int) -> list[int]:
    """The side of the images in each epoch."""
    return [next(side for side, share in SIDES if epoch < round(share * epochs)) for epoch in range(epochs)]


def cropped(images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    """A random piece of each image at the image's size, half of them mirrored: uint8 N x 3 x H x W in and out.

    Source: Szegedy et al. 2015, with a smallest area for images of 64 pixels.
    """
    low, high = torch.tensor(RATIO).log()
    area, ratio, x, y = torch.rand(4, len(images), device=images.device, generator=draws)
    area, ratio = AREA[0] + (AREA[1] - AREA[0]) * area, (low + (high - low) * ratio).exp()
    width, height = (area * ratio).sqrt().clamp_max(1), (area / ratio).sqrt().clamp_max(1)
    turn = torch.zeros(len(images), 2, 3, device=images.device)
    turn[:, 0, 0], turn[:, 1, 1] = width, height
    turn[:, 0, 2], turn[:, 1, 2] = (1 - width) * (2 * x - 1), (1 - height) * (2 * y - 1)
    grid = F.affine_grid(turn, list(images.shape), align_corners=False)
    pieces = F.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)
    return augment(pieces.round().to(torch.uint8), flip=True, colour=COLOUR, generator=draws)


def coarse(images: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    """A share of the images at half their resolution, as small photographs are that were enlarged: uint8 in and out."""
    chosen = torch.rand(len(images), 1, 1, 1, device=images.device, generator=draws) < COARSE
    scale = lambda x, side: F.interpolate(x, (side, side), mode="bilinear", antialias=True)
    small = scale(scale(images.float(), images.shape[-1] // 2), images.shape[-1])
    return torch.where(chosen, small.round().to(torch.uint8), images)


class Teacher(nn.Module):
    """MobileNetV2 with ImageNet weights: what it makes of images, and what its own head makes of that."""

    def __init__(self):
        super().__init__()
        network = load_model(TEACHER, weights="imagenet", size=TEACHER_SIZE).requires_grad_(False).eval()
        self.scale, self.head = network.preprocess, network.classifier[-1]
        network.classifier = nn.Identity()
        self.body = network.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 N x 3 x H x W to features, N x 1280."""
        return self.body(self.scale(images))


class Lesson(nn.Module):
    """A student with what it is asked: the label, and what the teacher makes of the same image."""

    def __init__(self, classes: list[str], some: torch.Tensor, targets: str, seed: int):
        """`some`: images, uint8, by which the teacher's features are brought to mean 0 and deviation 1."""
        super().__init__()
        self.student = load_model("resnet18", classes=classes, weights=None, size=64, seed=seed)
        self.student.fc, width = nn.Identity(), self.student.fc.in_features
        self.targets = targets
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.label, self.logits, self.features = (nn.Linear(width, n) for n in (len(classes), 1000, 1280))
        self.teacher = [] if targets == "labels" else [Teacher().to(some.device)]     # in a list: it is not saved
        known = self.teacher[0](some).float() if self.teacher else torch.zeros(2, 1280)
        self.register_buffer("mean", known.mean(0))
        self.register_buffer("std", known.std(0) + 1e-3)

    def loss(self, x: torch.Tensor, labels: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """x: float N x 3 x S x S; labels: int64 N; images: the same ones for the teacher, uint8 N x 3 x H x W."""
        hidden = self.student(x)                         # N x 512
        loss = F.cross_entropy(self.label(hidden), labels, label_smoothing=SMOOTHING)
        if self.targets == "labels": return loss
        known = self.teacher[0](images)
        if self.targets in ("features", "both"):
            loss = loss + 4 * F.mse_loss(self.features(hidden).float(), (known.float() - self.mean) / self.std)
        if self.targets in ("logits", "both"):           # times T squared: Hinton et al. 2015
            wanted = F.log_softmax(self.teacher[0].head(known).float() / TEMPERATURE, 1)
            guess = F.log_softmax(self.logits(hidden).float() / TEMPERATURE, 1)
            loss = loss + TEMPERATURE**2 * F.kl_div(guess, wanted, log_target=True, reduction="batchmean")
        return loss

    def network(self) -> nn.Module:
        """The student with its own head for the labels: what is kept."""
        model = load_model("resnet18", classes=self.student.classes, weights=None, size=64)
        state = {**self.student.state_dict(), "fc.weight": self.label.weight, "fc.bias": self.label.bias}
        model.load_state_dict(state)
        model.source = {"name": "resnet18", "source": "pretraining on Tiny ImageNet", "sha256": None}
        return model


def pretrain(train: Split, valid: Split, epochs: int, targets: str, work: Path,
             seed: int = 0) -> tuple[nn.Module, list[dict]]:
    """Train for so many epochs: the network, and a record an epoch. Goes on where it stopped."""
    work.mkdir(parents=True, exist_ok=True)
    pixels, labels = train.inputs.to(DEVICE), train.labels.to(DEVICE)
    lesson = Lesson(train.classes, pixels[:512], targets, seed).to(DEVICE, memory_format=torch.channels_last)
    decayed = [p for p in lesson.parameters() if p.ndim > 1]
    groups = [{"params": decayed, "weight_decay": DECAY},
              {"params": [p for p in lesson.parameters() if p.ndim == 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, fused=True)
    history = _load(work / "state.safetensors", lesson, optimizer)
    steps, saved = len(train) // BATCH, time.monotonic()
    for epoch, size in list(enumerate(sides(epochs)))[len(history):]:
        began, worked, total = time.perf_counter(), time.process_time(), 0.0
        draws = torch.Generator(DEVICE).manual_seed(seed * 1000 + epoch)
        order, scale = torch.randperm(len(train), generator=draws, device=DEVICE), Preprocess(size)
        lesson.train()
        with progress_bar(steps * BATCH, f"{targets}, epoch {epoch + 1} of {epochs}, {size} px") as bar:
            for step, rows in enumerate(order[: steps * BATCH].split(BATCH)):
                for group in optimizer.param_groups:
                    group["lr"] = LR * lr_factor(epoch * steps + step, epochs * steps)
                images = cropped(pixels[rows], draws)
                with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
                    loss = lesson.loss(scale(coarse(images, draws)), labels[rows], images)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                total += loss.detach()
                bar.update(len(rows))
        record = {"epoch": epoch, "size": size, "train_loss": round(float(total) / steps, 4),
                  "train_seconds": round(time.perf_counter() - began, 1)}
        report = evaluate(lesson.network().to(DEVICE), valid, name="valid", progress="validation")
        record |= {"valid_accuracy": round(report.accuracy, 4), "seconds": round(time.perf_counter() - began, 1),
                   "cpu_seconds": round(time.process_time() - worked, 1)}
        if not np.isfinite(record["train_loss"]): raise SystemExit(f"the loss is not finite in epoch {epoch + 1}")
        history.append(record)
        if len(history) == epochs or time.monotonic() - saved > 60:
            _save(work / "state.safetensors", lesson, optimizer, history)
            saved = time.monotonic()
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
        slots = {slot: state.get(f"{slot}/{name}") for slot in ("step", "exp_avg", "exp_avg_sq")}
        if slots["step"] is None: continue                # a head that these targets don't use
        optimizer.state[p] = {slot: value.to(DEVICE) for slot, value in slots.items()}
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


def contest(train: Split, valid: Split, epochs: int, work: Path) -> dict:
    """Train briefly with each kind of target: accuracy on its own validation images, and of a probe on CIFAR-10's."""
    task, results = load_task("cifar10"), {}
    for targets in TARGETS:
        model, history = pretrain(train, valid, epochs, targets, work / f"contest-{targets}")
        results[targets] = {**history[-1], "epochs": epochs, "cifar10_probe": round(probe(model, task), 4)}
        print(targets, json.dumps(results[targets]), flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--work", type=Path, default=Path("pretraining"), help="for what is kept between runs")
    parser.add_argument("--out", type=Path, default=data_dir() / "resnet18-tinyimagenet")
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--compare", type=int, nargs="?", const=6, metavar="EPOCHS",
                        help="measure the four kinds of targets first, in so many epochs each (6)")
    parser.add_argument("--targets", choices=TARGETS, help="what the student learns from; default: the best")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    train, valid = decoded(args.images, "train", args.work), decoded(args.images, "val", args.work)
    results = args.work / "contest.json"
    if args.compare and not results.exists():
        results.write_text(json.dumps(contest(train, valid, args.compare, args.work)))
    measured = json.loads(results.read_text()) if results.exists() else {}
    targets = args.targets or max(measured, key=lambda t: measured[t]["cifar10_probe"], default="both")
    model, history = pretrain(train, valid, args.epochs, targets, args.work / f"long-{targets}", args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    save_model(model.half(), args.out / "model.safetensors")
    record = {"targets": targets, "seed": args.seed, "batch": BATCH, "lr": LR, "weight_decay": DECAY,
              "label_smoothing": SMOOTHING, "area": AREA, "ratio": RATIO, "coarse": COARSE, "colour": COLOUR,
              "teacher": TEACHER, "teacher_size": TEACHER_SIZE, "temperature": TEMPERATURE, "epochs": history,
              "cifar10_probe": round(probe(model.float(), load_task("cifar10")), 4), "contest": measured,
              "environment": environment()}
    (args.out / "history.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
