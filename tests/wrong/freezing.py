"""Wrong answers as people write them, each with a part of the sentence that should name the mistake."""

WRONG = {
    "freezing.1": [
        ("running mean moved: the stage is frozen but still in train mode", """
def hold(model, names):
    for name, p in model.named_parameters():
        if name.split(".")[0] in names:
            p.requires_grad = False
"""),
        ("`model.train()`, with which each epoch begins, undoes it", """
def hold(model, names):
    for name in names:
        getattr(model, name).eval()
        for p in getattr(model, name).parameters():
            p.requires_grad = False
"""),
        ("the weights moved", """
def hold(model, names):
    for name in names:
        part = getattr(model, name)
        part.eval()
        part.train = lambda mode=True: part
"""),
        ("dropout is still at work", """
def hold(model, names):
    for name in names:
        part = getattr(model, name)
        part.requires_grad_(False)
        for m in part.modules():
            if "BatchNorm" in type(m).__name__:
                m.eval()
                m.train = lambda mode=True: None
"""),
        ("nothing learns any more", """
def hold(model, names):
    model.requires_grad_(False)
    model.eval()
    for m in model.modules():
        m.train = lambda mode=True: None
"""),
        ("`freeze` of the library is called", """
from ftcourse import freeze
def hold(model, names):
    freeze(model, "head")
"""),
    ],
    "freezing.2": [
        ("the wrong way", """
def rates(model, lr, decay):
    return [{"params": list(s.parameters()), "lr": lr * decay ** k} for k, s in enumerate(model)]
"""),
        ("one step too far", """
def rates(model, lr, decay):
    out = []
    for stage in reversed(list(model)):
        lr = lr * decay
        out.append({"params": list(stage.parameters()), "lr": lr})
    return out
"""),
        ("every stage before the head has the same rate", """
def rates(model, lr, decay):
    stages = list(model)
    return [{"params": stages[-1].parameters(), "lr": lr}] + [{"params": s.parameters(), "lr": lr * decay} for s in stages[:-1]]
"""),
        ("from tensor to tensor", """
def rates(model, lr, decay):
    groups = []
    for p in list(model.parameters())[::-1]:
        groups.append({"params": [p], "lr": lr})
        lr *= decay
    return groups
"""),
        ("no rate of their own", """
def rates(model, lr, decay):
    return model.parameters()
"""),
    ],
    "freezing.3": [
        ("the scales of the norms are still decayed", """
def groups(model, weight_decay):
    decay, rest = [], []
    for name, p in model.named_parameters():
        if not p.requires_grad: continue
        (rest if "bias" in name else decay).append(p)
    return [{"params": decay, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0}]
"""),
        ("frozen parameters are in your groups", """
def groups(model, weight_decay):
    decay, rest = [], []
    for p in model.parameters():
        (rest if p.ndim == 1 else decay).append(p)
    return [{"params": decay, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0}]
"""),
        ("are in no group", """
def groups(model, weight_decay):
    return [{"params": [p for p in model.parameters() if p.ndim > 1 and p.requires_grad], "weight_decay": weight_decay}]
"""),
        ("exchanged", """
def groups(model, weight_decay):
    wide = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    thin = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": thin, "weight_decay": weight_decay}, {"params": wide, "weight_decay": 0.0}]
"""),
    ],
    "freezing.4": [
        ("does not know its parameters", """
def release(model, optimizer, name, lr):
    for p in getattr(model, name).parameters():
        p.requires_grad = True
    getattr(model, name).train()
"""),
        ("is still False", """
def release(model, optimizer, name, lr):
    getattr(model, name).train()
    optimizer.add_param_group({"params": list(getattr(model, name).parameters()), "lr": lr})
"""),
        ("still in evaluation mode", """
def release(model, optimizer, name, lr):
    stage = getattr(model, name)
    for p in stage.parameters(): p.requires_grad = True
    optimizer.add_param_group(dict(params=list(stage.parameters()), lr=lr))
"""),
        ("does not learn at `lr`", """
def release(model, optimizer, name, lr):
    stage = getattr(model, name)
    stage.requires_grad_(True)
    stage.train()
    optimizer.param_groups.append({**optimizer.param_groups[0], "params": list(stage.parameters())})
"""),
        ("a new optimizer starts from nothing", """
def release(model, optimizer, name, lr):
    stage = getattr(model, name)
    stage.requires_grad_(True)
    stage.train()
    old = optimizer.param_groups[0]
    return torch.optim.SGD([{"params": old["params"]}, {"params": stage.parameters(), "lr": lr}], lr=old["lr"], momentum=0.9)
"""),
    ],
    "freezing.5": [
        ("a small change was forgiven", """
def moved(before, after):
    return sorted(k for k in before if not torch.allclose(before[k].float(), after[k].float(), atol=1e-4))
"""),
        ("the buffers are missing", """
def moved(before, after):
    return sorted(k for k in before if k.endswith(("weight", "bias")) and (before[k] != after[k]).any())
"""),
        ("equal sums", """
def moved(before, after):
    return sorted(k for k in before if abs(before[k].double().sum() - after[k].double().sum()) > 1e-8)
"""),
        ("stayed the same", """
def moved(before, after):
    return sorted(k for k in before if torch.equal(before[k], after[k]))
"""),
    ],
    "freezing.6": [
        ("all parameters of the network", """
def learning(classes, until):
    return sum(p.numel() for p in resnet18(num_classes=classes).parameters())
"""),
        ("these are the frozen ones", """
def learning(classes, until):
    net = resnet18(num_classes=classes)
    names = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]
    last = names.index({"head": "fc"}.get(until, until))
    return sum(p.numel() for n in names[:last] for p in getattr(net, n).parameters())
"""),
        ("tensors are counted", """
def learning(classes, until):
    net = resnet18(num_classes=classes)
    names = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]
    return sum(len(list(getattr(net, n).parameters())) for n in names[names.index({"head": "fc"}.get(until, until)):])
"""),
        ("still has its 1,000 classes", """
def learning(classes, until):
    net = resnet18()
    names = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]
    return sum(p.numel() for n in names[names.index({"head": "fc"}.get(until, until)):] for p in getattr(net, n).parameters())
"""),
    ],
    "freezing.7": [
        ("plain weight decay", """
def penalty(model, start, strength):
    return strength / 2 * sum((p ** 2).sum() for n, p in model.named_parameters() if n in start)
"""),
        ("the half is missing", """
def penalty(model, start, strength):
    total = 0
    for n, p in model.named_parameters():
        if n in start: total = total + ((p - start[n]) ** 2).sum()
    return strength * total
"""),
        ("take the sum", """
def penalty(model, start, strength):
    return strength * 0.5 * sum(((p - start[n]) ** 2).mean() for n, p in model.named_parameters() if n in start)
"""),
        ("the root is too much", """
def penalty(model, start, strength):
    return strength * 0.5 * sum(torch.dist(p, start[n]) for n, p in model.named_parameters() if n in start)
"""),
        ("no gradient flows", """
def penalty(model, start, strength):
    total = 0.0
    for n, p in model.named_parameters():
        if n in start: total += ((p - start[n]) ** 2).sum().item()
    return strength / 2 * total
"""),
    ],
    "freezing.8": [
        ("nothing was learned", """
def adapt(model, images, labels):
    return torch.optim.Adam(model.parameters())
"""),
        ("the weights of `first` moved", """
def adapt(model, images, labels):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
"""),
        ("BatchNorm's running mean moved", """
def adapt(model, images, labels):
    for p in model.first.parameters(): p.requires_grad = False
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
"""),
        ("more steps, or another rate", """
def adapt(model, images, labels):
    model.train()
    model.first.requires_grad_(False)
    model.first.eval()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
"""),
        ("the head alone can't do it", """
def adapt(model, images, labels):
    model.train()
    model.first.eval()
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    optimizer = torch.optim.Adam(model.head.parameters(), lr=0.003)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
"""),
        ("other stages than it had", """
def adapt(model, images, labels):
    model.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10))
"""),
        ("NaN", """
def adapt(model, images, labels):
    model.train()
    model.first.requires_grad_(False).eval()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=float("nan"))
    for _ in range(3):
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
"""),
    ],
}
