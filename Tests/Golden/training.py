"""Golden values of training: one step of a small network, three steps of every optimizer, and the losses."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

import formula
import networks

CLASSES, STEPS = 5, (1, 3)
INPUT, LABELS = (4, 8, 8, 3), [3, 0, 4, 3]

# Name: (PyTorch class, its arguments, what else). `decays` says which parameters have weight decay: "all", or
# "weights" (rank 2 and 4, not BN and bias). `clip` is the largest global norm of the gradients.
OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.1}, {}),
    "sgd_momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}, {}),
    "sgd_nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}, {}),
    "sgd_l2": ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}, {}),
    "sgd_nesterov_l2_weights": (
        "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}, {"decays": "weights"},
    ),
    "sgd_clipped": ("SGD", {"lr": 0.1, "momentum": 0.9}, {"clip": 0.5}),
    "sgd_label_smoothing": ("SGD", {"lr": 0.1}, {"label_smoothing": 0.1}),
    "adam": ("Adam", {"lr": 0.01}, {}),
    "adam_large_epsilon": ("Adam", {"lr": 0.01, "eps": 0.01}, {}),
    "adam_l2": ("Adam", {"lr": 0.01, "weight_decay": 0.05}, {}),
    "adamw": ("AdamW", {"lr": 0.01, "weight_decay": 0.05}, {}),
    "adamw_weights": ("AdamW", {"lr": 0.01, "betas": [0.8, 0.95], "weight_decay": 0.05}, {"decays": "weights"}),
    "rmsprop": ("RMSprop", {"lr": 0.001, "alpha": 0.9}, {}),
    "rmsprop_momentum": ("RMSprop", {"lr": 0.001, "alpha": 0.9, "momentum": 0.9}, {}),
    "rmsprop_large_epsilon": ("RMSprop", {"lr": 0.001, "alpha": 0.9, "eps": 0.01}, {}),
    "rmsprop_centered": ("RMSprop", {"lr": 0.001, "alpha": 0.9, "centered": True}, {}),
}


class Trainer:
    """A network, its inputs and labels, in one precision."""

    def __init__(self, dtype):
        self.network = networks.fill(networks.tiny(INPUT[3], CLASSES)).train().to(dtype)
        self.x = torch.from_numpy(formula.values("input", INPUT)).permute(0, 3, 1, 2).to(dtype)
        self.labels = torch.tensor(LABELS)

    def state(self):
        """Parameters and running statistics by name, copied."""
        everything = self.network.state_dict().items()
        return {name: value.clone() for name, value in everything if not name.endswith("num_batches_tracked")}

    def backward(self, label_smoothing=0.0):
        """Leaves the gradients in the network; returns logits and loss."""
        self.network.zero_grad()
        logits = self.network(self.x)
        loss = F.cross_entropy(logits, self.labels, label_smoothing=label_smoothing)
        loss.backward()
        return logits.detach(), loss.detach()

    def gradients(self):
        return {name: parameter.grad.clone() for name, parameter in self.network.named_parameters()}

    def train(self, kind, arguments, decays="all", clip=None, label_smoothing=0.0):
        """Trains; yields (step, loss before it, norm of the gradients or None) after each step."""
        parameters = list(self.network.parameters())
        groups = [{"params": parameters}]
        if decays == "weights":
            groups = [
                {"params": [p for p in parameters if p.dim() > 1]},
                {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
            ]
        optimizer = getattr(torch.optim, kind)(groups, **arguments)
        for step in range(1, max(STEPS) + 1):
            _, loss = self.backward(label_smoothing)
            norm = nn.utils.clip_grad_norm_(parameters, clip) if clip else None
            optimizer.step()
            yield step, loss, norm


def training_tensors(dtype):
    """Everything but the losses, computed in this precision."""
    trainer = Trainer(dtype)
    tensors = {
        "input": trainer.x.permute(0, 2, 3, 1).contiguous(), "labels": trainer.labels,
        **{f"initial/{name}": value for name, value in trainer.state().items()},
    }
    tensors["logits"], tensors["loss"] = trainer.backward()
    tensors |= {f"gradient/{name}": value for name, value in trainer.gradients().items()}
    after = trainer.state()
    tensors |= {f"running/{name}": value for name, value in after.items() if "running_" in name}
    smoothed = Trainer(dtype)
    _, tensors["label_smoothing/loss"] = smoothed.backward(0.1)
    tensors |= {f"label_smoothing/gradient/{name}": value for name, value in smoothed.gradients().items()}
    for name, (kind, arguments, extra) in OPTIMIZERS.items():
        trainer, losses, norms = Trainer(dtype), [], []
        for step, loss, norm in trainer.train(kind, copy.deepcopy(arguments), **extra):
            losses.append(loss)
            norms.append(norm)
            if step in STEPS:
                state = trainer.state().items()
                # The running statistics do not depend on the optimizer before the second step.
                kept = [(key, value) for key, value in state if step > 1 or "running_" not in key]
                tensors |= {f"{name}/after{step}/{key}": value for key, value in kept}
        tensors[f"{name}/losses"] = torch.stack(losses)
        if "clip" in extra:
            tensors[f"{name}/norms"] = torch.stack(norms)
    return tensors


def losses():
    """Losses over the last axis as Keras reduces them: one number a row, and the mean of the rows.

    The dloss/dprediction given is that of the mean.
    """
    tensors, descriptions = {}, {}
    rows, classes = 6, 5
    labels = torch.tensor([1, 4, 0, 0, 3, 2])

    def probabilities(name):
        return torch.softmax(torch.from_numpy(formula.values(name, (rows, classes), 3.0)).double(), -1).float()

    def add(case, function, per_row, prediction, target, from_logits=False, label_smoothing=0.0):
        leaf = prediction.double().requires_grad_()
        each = per_row(leaf, target if target.dtype == torch.int64 else target.double())
        mean = each.mean()
        mean.backward()
        tensors.update({
            f"loss/{case}/prediction": prediction, f"loss/{case}/target": target, f"loss/{case}/rows": each,
            f"loss/{case}/mean": mean, f"loss/{case}/gradient": leaf.grad,
        })
        descriptions[case] = {"function": function, "from_logits": from_logits, "label_smoothing": label_smoothing}

    def cross_entropy(smoothing):
        return lambda p, t: F.cross_entropy(p, t, reduction="none", label_smoothing=smoothing)

    def cross_entropy_of_probabilities(p, t):
        return F.nll_loss(p.log(), t, reduction="none") if t.dtype == torch.int64 else -(t * p.log()).sum(-1)

    def binary(smoothing, function):
        def loss(p, t):
            return function(p, t * (1 - smoothing) + smoothing / 2, reduction="none").mean(-1)

        return loss

    logits = torch.from_numpy(formula.values("loss/logits", (rows, classes), 4.0))
    large = torch.from_numpy(formula.values("loss/large_logits", (rows, classes), 200.0))
    soft, other = probabilities("loss/soft"), probabilities("loss/other")
    bits = torch.from_numpy((formula.values("loss/bits", (rows, classes)) > 0).astype("float32"))
    inside = torch.from_numpy(formula.values("loss/inside", (rows, classes), 0.45, 0.5))
    with_logits = F.binary_cross_entropy_with_logits

    for prefix, name, target in (
        ("sparse", "sparse_categorical_crossentropy", labels), ("categorical", "categorical_crossentropy", soft),
    ):
        add(f"{prefix}_logits", name, cross_entropy(0.0), logits, target, True)
        add(f"{prefix}_large_logits", name, cross_entropy(0.0), large, target, True)
        add(f"{prefix}_logits_smoothed", name, cross_entropy(0.1), logits, target, True, 0.1)
        add(f"{prefix}_probabilities", name, cross_entropy_of_probabilities, other, target)
    name = "binary_crossentropy"
    add("binary_logits", name, binary(0.0, with_logits), logits, bits, True)
    add("binary_large_logits", name, binary(0.0, with_logits), large, bits, True)
    add("binary_logits_smoothed", name, binary(0.1, with_logits), logits, bits, True, 0.1)
    add("binary_probabilities", name, binary(0.0, F.binary_cross_entropy), inside, bits)

    def mean_squared_error(p, t):
        return F.mse_loss(p, t, reduction="none").mean(-1)

    def kl_divergence(p, t):
        return F.kl_div(p.log(), t, reduction="none").sum(-1)

    add("mean_squared_error", "mean_squared_error", mean_squared_error, logits, soft)
    add("kl_divergence", "kl_divergence", kl_divergence, other, soft)
    return tensors, descriptions


def training():
    """The tensors and the document of training_step.safetensors."""
    tensors = training_tensors(torch.float64)
    loss_tensors, descriptions = losses()
    optimizers = {
        name: {"kind": kind, "arguments": arguments, **extra} for name, (kind, arguments, extra) in OPTIMIZERS.items()
    }
    return {**tensors, **loss_tensors}, {"optimizers": optimizers, "losses": descriptions, "steps": list(STEPS)}
