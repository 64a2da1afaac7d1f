"""Wrong answers as people write them, each with a part of the sentence that should name the mistake."""

WRONG = {
    "models.1": [
        ("not where the network looks for it", """
def new_head(model, name, classes):
    width = model.get_submodule(name).in_features
    model.head_new = nn.Linear(width, classes)
    model.head_new.weight.data.normal_(0, 0.01)
    model.head_new.bias.data.zero_()
"""),
        ("`out_features` is only a note", """
def new_head(model, name, classes):
    for key, module in model.named_modules():
        if key == name:
            module.out_features = classes
"""),
        ("stands behind the old one", """
def new_head(model, name, classes):
    place, last = name.split(".")
    old = getattr(getattr(model, place), last)
    new = nn.Linear(old.out_features, classes)
    torch.nn.init.normal_(new.weight, 0, 0.01)
    torch.nn.init.constant_(new.bias, 0)
    setattr(getattr(model, place), last, nn.Sequential(old, new))
"""),
        ("the whole block was replaced", """
def new_head(model, name, classes):
    new = nn.Linear(model.get_submodule(name).in_features, classes)
    new.weight.data = torch.randn(classes, new.in_features) * 0.01
    new.bias.data = torch.zeros(classes)
    setattr(model, name.partition(".")[0], new)
"""),
        ("do not have the standard deviation 0.01", """
def new_head(model, name, classes):
    place, _, last = name.rpartition(".")
    new = nn.Linear(model.get_submodule(name).in_features, classes)
    nn.init.xavier_normal_(new.weight)
    nn.init.zeros_(new.bias)
    setattr(model.get_submodule(place), last, new)
"""),
        ("neither weights nor bias", """
def new_head(model, name, classes):
    place, _, last = name.rpartition(".")
    setattr(model.get_submodule(place), last, nn.Linear(model.get_submodule(name).in_features, classes))
"""),
        ("the bias is not 0", """
def new_head(model, name, classes):
    place, _, last = name.rpartition(".")
    new = nn.Linear(model.get_submodule(name).in_features, classes)
    with torch.no_grad():
        new.weight.normal_(std=0.01)
    setattr(model.get_submodule(place), last, new)
"""),
        ("all weights are 0", """
def new_head(model, name, classes):
    place, _, last = name.rpartition(".")
    new = nn.Linear(model.get_submodule(name).in_features, classes)
    for p in new.parameters(): nn.init.zeros_(p)
    setattr(model.get_submodule(place), last, new)
"""),
        ("initialised anew", """
def new_head(model, name, classes):
    place, _, last = name.rpartition(".")
    setattr(model.get_submodule(place), last, nn.Linear(model.get_submodule(name).in_features, classes))
    def start(m):
        if isinstance(m, (nn.Linear, nn.Conv2d)):
            nn.init.normal_(m.weight, std=0.01)
            nn.init.zeros_(m.bias)
    model.apply(start)
"""),
        ("`_new_head` of the library is called", """
from ftcourse.models import _new_head
def new_head(model, name, classes):
    _new_head(model, classes, 0)
"""),
        ("not where the network looks for it", """
def new_head(model, name, classes):
    new = nn.Linear(model.get_submodule(name).in_features, classes)
    nn.init.normal_(new.weight, std=0.01)
    nn.init.zeros_(new.bias)
    setattr(model, name, new)
"""),
    ],
    "models.2": [
        ("these are the bare modules", """
def cut(model):
    conv, norm, block, fc = model.children()
    return [nn.Sequential(conv, norm), nn.Sequential(block), fc]
"""),
        ("the shortcut is missing", """
def cut(model):
    return [nn.Sequential(model.conv, model.norm, nn.ReLU()), nn.Sequential(model.block, nn.ReLU()),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.fc)]
"""),
        ("the ReLU that follows the norm is missing", """
class Body(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block
    def forward(self, x): return (x + self.block(x)).relu()
def cut(model):
    return [nn.Sequential(model.conv, model.norm), Body(model.block),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.fc)]
"""),
        ("the ReLU that follows the sum is missing", """
class Body(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block
    def forward(self, x): return x + self.block(x)
def cut(model):
    return [nn.Sequential(model.conv, model.norm, nn.ReLU()), Body(model.block),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.fc)]
"""),
        ("stands before the sum", """
class Body(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = nn.Sequential(block, nn.ReLU())
    def forward(self, x): return self.block(x) + x
def cut(model):
    return [nn.Sequential(model.conv, model.norm, nn.ReLU()), Body(model.block),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.fc)]
"""),
        ("the parts hold copies", """
import copy
class Body(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = copy.deepcopy(block)
    def forward(self, x): return F.relu(x + self.block(x))
def cut(model):
    return [nn.Sequential(copy.deepcopy(model.conv), copy.deepcopy(model.norm), nn.ReLU()), Body(model.block),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), copy.deepcopy(model.fc))]
"""),
        ("each part holds the whole network", """
class Part(nn.Module):
    def __init__(self, model, which):
        super().__init__()
        self.model, self.which = model, which
    def forward(self, x):
        m = self.model
        if self.which == 0: return F.relu(m.norm(m.conv(x)))
        if self.which == 1: return F.relu(x + m.block(x))
        return m.fc(x.mean((2, 3)))
def cut(model): return [Part(model, i) for i in range(3)]
"""),
        ("the stem's ReLU is in the body", """
class Body(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block
    def forward(self, x):
        x = x.clamp(min=0)
        return (x + self.block(x)).clamp(min=0)
def cut(model):
    return [nn.Sequential(model.conv, model.norm), Body(model.block),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.fc)]
"""),
        ("the pooling is in the body", """
class Body(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block
    def forward(self, x): return F.relu(x + self.block(x))
def cut(model):
    return [nn.Sequential(model.conv, model.norm, nn.ReLU()),
            nn.Sequential(Body(model.block), nn.AdaptiveAvgPool2d(1), nn.Flatten()), model.fc]
"""),
        ("`stages` of the library is called", """
from ftcourse.models import stages
def cut(model): return [stage.module for stage in stages(model)]
"""),
    ],
    "models.3": [
        ("nothing was loaded, and nothing was raised", """
def load_fitting(model, state):
    own = model.state_dict()
    good = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    own.update(good)
    model.load_state_dict(own)
    return sorted(k for k in own if k not in good)
"""),
        ("takes out every `module.`", """
def load_fitting(model, state):
    own = model.state_dict()
    left = set(own)
    for k, v in state.items():
        k = k.replace("module.", "")
        if k in own and own[k].shape == v.shape:
            own[k].copy_(v)
            left.remove(k)
    return sorted(left)
"""),
        ("strips any of these *letters*", """
def load_fitting(model, state):
    own = model.state_dict()
    good = {k.lstrip("module."): v for k, v in state.items()}
    good = {k: v for k, v in good.items() if k in own and own[k].shape == v.shape}
    model.load_state_dict(good, strict=False)
    return sorted(k for k in own if k not in good)
"""),
        ("the buffers were not loaded: BatchNorm", """
def load_fitting(model, state):
    left = list(model.state_dict())
    for k, p in model.named_parameters():
        v = state.get("module." + k)
        if v is not None and v.shape == p.shape:
            p.data.copy_(v)
            left.remove(k)
    return sorted(left)
"""),
        ("and your list does not say so", """
def load_fitting(model, state):
    left = []
    for k, p in model.named_parameters():
        v = state.get("module." + k)
        if v is not None and v.shape == p.shape: p.data.copy_(v)
        else: left.append(k)
    return sorted(left)
"""),
        ("what was left over in `state`: ", """
def load_fitting(model, state):
    own, left = model.state_dict(), []
    for k, v in state.items():
        k = k[len("module."):]
        if k in own and own[k].shape == v.shape: own[k].copy_(v)
        else: left.append(k)
    return sorted(left)
"""),
        ("with the `module.` in front", """
def load_fitting(model, state):
    own, left = model.state_dict(), []
    for k, v in state.items():
        name = k.split(".", 1)[1]
        if name in own and own[name].shape == v.shape: own[name].copy_(v)
        else: left.append(k)
    return sorted(left)
"""),
        ("whose shape did not fit are missing", """
def load_fitting(model, state):
    own = model.state_dict()
    state = {k.removeprefix("module."): v for k, v in state.items()}
    for k in state:
        if k in own and own[k].shape == state[k].shape: own[k].copy_(state[k])
    return sorted(set(own) - set(state))
"""),
        ("but not sorted", """
def load_fitting(model, state):
    own = model.state_dict()
    state = {k.removeprefix("module."): v for k, v in state.items()}
    good = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    return model.load_state_dict(good, strict=False).missing_keys
"""),
        ("the model is as it was", """
def load_fitting(model, state):
    own = model.state_dict()
    state = {k.removeprefix("module."): v for k, v in state.items()}
    good = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    own.update(good)
    return sorted(set(own) - set(good))
"""),
        ("size mismatch for head.weight", """
def load_fitting(model, state):
    state = {k.removeprefix("module."): v for k, v in state.items()}
    return sorted(model.load_state_dict(state, strict=False).missing_keys)
"""),
    ],
    "models.4": [
        ("`eps` is missing", """
def fold(conv, norm):
    g = norm.weight / norm.running_var ** 0.5
    b = conv.bias if conv.bias is not None else 0
    new = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,
                    groups=conv.groups)
    with torch.no_grad():
        new.weight.copy_(conv.weight * g.view(-1, 1, 1, 1))
        new.bias.copy_((b - norm.running_mean) * g + norm.bias)
    return new
"""),
        ("the root is missing", """
import copy
def fold(conv, norm):
    g = norm.weight / (norm.running_var + norm.eps)
    b = conv.bias if conv.bias is not None else torch.zeros_like(g)
    new = copy.deepcopy(conv)
    new.weight = nn.Parameter(conv.weight.data * g.reshape(-1, 1, 1, 1))
    new.bias = nn.Parameter(norm.bias.data + g.data * (b.data - norm.running_mean))
    return new
"""),
        ("to the standard deviation: it belongs", """
import copy
def fold(conv, norm):
    g = norm.weight / (norm.running_var.sqrt() + norm.eps)
    b = conv.bias if conv.bias is not None else torch.zeros_like(g)
    new = copy.deepcopy(conv)
    new.weight = nn.Parameter(conv.weight.data * g.reshape(-1, 1, 1, 1))
    new.bias = nn.Parameter(norm.bias.data + g.data * (b.data - norm.running_mean))
    return new
"""),
        ("the convolution's own bias is lost", """
def fold(conv, norm):
    g = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    new = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,
                    groups=conv.groups)
    new.weight.data = conv.weight.data * g.data[:, None, None, None]
    new.bias.data = norm.bias.data - norm.running_mean * g.data
    return new
"""),
        ("own bias has to be scaled too", """
def fold(conv, norm):
    g = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    new = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,
                    groups=conv.groups)
    new.weight.data = conv.weight.data * g.data[:, None, None, None]
    new.bias.data = norm.bias.data - norm.running_mean * g.data
    if conv.bias is not None: new.bias.data += conv.bias.data
    return new
"""),
        ("running mean has to be scaled too", """
def fold(conv, norm):
    g = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    new = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,
                    groups=conv.groups)
    new.weight.data = conv.weight.data * g.data[:, None, None, None]
    new.bias.data = norm.bias.data - norm.running_mean
    if conv.bias is not None: new.bias.data += conv.bias.data * g.data
    return new
"""),
        ("own weight is missing", """
def fold(conv, norm):
    s = torch.rsqrt(norm.running_var + norm.eps)
    new = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,
                    groups=conv.groups)
    new.weight.data = conv.weight.data * s[:, None, None, None]
    new.bias.data = norm.bias.data - norm.running_mean * s + (0 if conv.bias is None else conv.bias.data * s)
    return new
"""),
        ("the norm's own bias is missing", """
def fold(conv, norm):
    g = (norm.weight * torch.rsqrt(norm.running_var + norm.eps)).data
    new = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,
                    groups=conv.groups)
    new.weight.data = conv.weight.data * g[:, None, None, None]
    new.bias.data = ((0 if conv.bias is None else conv.bias.data) - norm.running_mean) * g
    return new
"""),
        ("another stride or padding", """
def fold(conv, norm):
    g = (norm.weight * torch.rsqrt(norm.running_var + norm.eps)).data
    new = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, groups=conv.groups)
    new.weight.data = conv.weight.data * g[:, None, None, None]
    new.bias.data = ((0 if conv.bias is None else conv.bias.data) - norm.running_mean) * g + norm.bias.data
    return new
"""),
        ("and not its padding", """
def fold(conv, norm):
    g = (norm.weight * torch.rsqrt(norm.running_var + norm.eps)).data
    new = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, stride=conv.stride, groups=conv.groups)
    new.weight.data = conv.weight.data * g[:, None, None, None]
    new.bias.data = ((0 if conv.bias is None else conv.bias.data) - norm.running_mean) * g + norm.bias.data
    return new
"""),
        ("the given convolution was changed itself", """
def fold(conv, norm):
    with torch.no_grad():
        g = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        conv.weight *= g.view(-1, 1, 1, 1)
        b = 0 if conv.bias is None else conv.bias
        conv.bias = nn.Parameter((b - norm.running_mean) * g + norm.bias)
    return conv
"""),
    ],
    "models.5": [
        ("It is not the only bug", """
def prepare(images, mean, std):
    x = images.view(len(images), 3, images.shape[1], images.shape[2]).float()
    return torch.stack([(x[:, i] - mean[i]) / std[i] for i in range(3)], 1)
"""),
        ("And the order of the channels is to be turned", """
def prepare(images, mean, std):
    n, h, w, c = images.shape
    x = images.reshape(n, c, h, w) / 255.0
    mean, std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    return (x - mean) / std
"""),
        ("yours are thirds of the image", """
def prepare(images, mean, std):
    n, h, w, c = images.shape
    x = images[..., [2, 1, 0]].reshape(n, c, h, w).float()
    mean, std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    return (x - mean) / std
"""),
        ("it counts the same bytes off differently. `permute`", """
def prepare(images, mean, std):
    n, h, w, c = images.shape
    x = images.reshape(n, c, h, w)[:, [2, 1, 0]] / 255.0
    mean, std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    return (x - mean) / std
"""),
        ("And blue is still first", """
def prepare(images, mean, std):
    x = images.movedim(3, 1).float()
    mean, std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    return (x - mean) / std
"""),
        ("the pixels still go from 0 to 255", """
def prepare(images, mean, std):
    x = (images[..., [2, 1, 0]].float() - torch.tensor(mean)) / torch.tensor(std)
    return x.permute(0, 3, 1, 2)
"""),
        ("blue is still first: ", """
def prepare(images, mean, std):
    x = (images.float() / 255 - torch.tensor(mean)) / torch.tensor(std)
    return x.permute(0, 3, 1, 2)
"""),
        ("blue got the mean of red", """
def prepare(images, mean, std):
    x = (images.float() / 255 - torch.tensor(mean)) / torch.tensor(std)
    return x.permute(0, 3, 1, 2)[:, [2, 1, 0]]
"""),
        ("comes too late", """
def prepare(images, mean, std):
    x = (images.flip(3).float() - torch.tensor(mean)) / torch.tensor(std)
    return x.permute(0, 3, 1, 2) / 255
"""),
        ("height and width are exchanged", """
def prepare(images, mean, std):
    x = images.transpose(1, 3).flip(1).float() / 255
    mean, std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    return (x - mean) / std
"""),
        ("the images are mirrored", """
def prepare(images, mean, std):
    x = images.permute(0, 3, 1, 2).flip(-1).float() / 255
    mean, std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    return (x - mean) / std
"""),
        ("those of this batch", """
def prepare(images, mean, std):
    x = images.permute(0, 3, 1, 2).flip(1).float() / 255
    mean, std = x.mean((0, 2, 3)).view(3, 1, 1), x.std((0, 2, 3)).view(3, 1, 1)
    return (x - mean) / std
"""),
    ],
    "models.6": [
        ("one channel gives a third", """
def adapt(conv, channels):
    new = nn.Conv2d(channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
    new.weight.data = conv.weight.data.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)
    new.bias.data = conv.bias.data.clone()
    return new
"""),
        ("added up once for each", """
def adapt(conv, channels):
    new = nn.Conv2d(channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
    with torch.no_grad():
        for i in range(channels): new.weight[:, i] = conv.weight.sum(1)
        new.bias.copy_(conv.bias)
    return new
"""),
        ("over three already", """
def adapt(conv, channels):
    new = nn.Conv2d(channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
    with torch.no_grad():
        for i in range(channels): new.weight[:, i] = conv.weight.mean(1) / channels
        new.bias.copy_(conv.bias)
    return new
"""),
        ("only the kernel of the first channel", """
def adapt(conv, channels):
    new = nn.Conv2d(channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
    with torch.no_grad():
        for i in range(channels): new.weight[:, i] = conv.weight[:, 0]
        new.bias.copy_(conv.bias)
    return new
"""),
        ("are repeated in turn: ", """
def adapt(conv, channels):
    new = nn.Conv2d(channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
    new.weight.data = conv.weight.data.repeat(1, 4, 1, 1)[:, :channels] * (3 / channels)
    new.bias.data = conv.bias.data.clone()
    return new
"""),
        ("0.299, 0.587 and 0.114", """
def adapt(conv, channels):
    new = nn.Conv2d(channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
    r, g, b = conv.weight.data.unbind(1)
    gray = 0.299 * r + 0.587 * g + 0.114 * b
    new.weight.data = gray[:, None].repeat(1, channels, 1, 1) / channels
    new.bias.data = conv.bias.data.clone()
    return new
"""),
        ("the bias is not the old one", """
def adapt(conv, channels):
    new = nn.Conv2d(channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
    new.weight.data = (conv.weight.data.sum(1, keepdim=True) / channels).repeat(1, channels, 1, 1)
    return new
"""),
        ("stride or padding", """
def adapt(conv, channels):
    new = nn.Conv2d(channels, conv.out_channels, conv.kernel_size)
    new.weight.data = (conv.weight.data.sum(1, keepdim=True) / channels).repeat(1, channels, 1, 1)
    new.bias.data = conv.bias.data.clone()
    return new
"""),
        ("the old stem itself was changed", """
def adapt(conv, channels):
    conv.in_channels = channels
    conv.weight = nn.Parameter((conv.weight.data.sum(1, keepdim=True) / channels).repeat(1, channels, 1, 1))
    return conv
"""),
    ],
}
