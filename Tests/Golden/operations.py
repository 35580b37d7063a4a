"""Golden values of single operations: forward and gradient, computed by PyTorch in float64.

Activations are NHWC, weights PyTorch's (OIHW, [out, in]). Inputs, parameters and upstream gradients are float32 values
of the formula, named like the tensor that holds them.
"""

import math

import torch
import torch.nn.functional as F

import formula


class Cases:
    """Collects the cases: tensors by `case/role`, and a description of each case."""

    def __init__(self):
        self.tensors, self.descriptions = {}, {}

    def add(self, case, operation, attributes, function, inputs, parameters=(), updated=(), **notes):
        """Runs one case forward and backward.

        - function: takes the inputs, then the parameters by keyword, all float64; returns y.
        - inputs: shapes, or (shape, scale); parameters: name -> (shape, scale, offset).
        - updated: names of parameters that the forward pass changes in place and that have no gradient.
        """
        xs = []
        for index, shape in enumerate(inputs):
            shape, scale = shape if isinstance(shape[0], tuple) else (shape, 1.0)
            xs.append(self._input(f"{case}/x{index}", shape, scale))
        parameters = dict(parameters)
        leaves = {
            name: self._input(f"{case}/parameter:{name}", *how) for name, how in parameters.items()
        }
        constant = [name for name in leaves if name.startswith("running_")]
        for name in constant:
            leaves[name].requires_grad_(False)
        given = {name: leaf.clone() if name in updated else leaf for name, leaf in leaves.items()}
        y = function(*xs, **given)
        dy = self._input(f"{case}/dy", tuple(y.shape), 1.0).detach()
        self.tensors[f"{case}/y"] = y.contiguous()
        wanted = xs + [leaf for name, leaf in leaves.items() if name not in constant]
        labels = [f"dx{i}" for i in range(len(xs))] + [f"gradient:{name}" for name in leaves if name not in constant]
        for label, gradient in zip(labels, torch.autograd.grad(y, wanted, dy)):
            self.tensors[f"{case}/{label}"] = gradient.contiguous()
        for name in updated:
            self.tensors[f"{case}/updated:{name}"] = given[name]
        self.descriptions[case] = {
            "operation": operation, "attributes": attributes, "inputs": len(xs), "parameters": list(parameters),
            **notes,
        }

    def _input(self, name, shape, scale, offset=0.0):
        tensor = torch.from_numpy(formula.values(name, shape, scale, offset))
        self.tensors[name] = tensor
        return tensor.double().requires_grad_()


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def padded(x, padding, value=0.0):
    """`x` (NCHW) with (top, left, bottom, right) rows and columns of `value` around it."""
    top, left, bottom, right = padding
    return F.pad(x, (left, right, top, bottom), value=value)


def same_padding(sizes, kernel, stride, dilation=(1, 1)):
    """TensorFlow's `same`: the output has ceil(size / stride) elements, and an odd remainder goes behind."""
    before, after = [], []
    for size, window, step, spread in zip(sizes, kernel, stride, dilation):
        total = max(0, (math.ceil(size / step) - 1) * step + (window - 1) * spread + 1 - size)
        before.append(total // 2)
        after.append(total - total // 2)
    return before + after


def convolutions(cases):
    def add(case, shape, weight, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1, bias=False, **notes):
        if padding == "same":
            padding = same_padding(shape[1:3], weight[2:], stride, dilation)
            notes["same_padding"] = True
        attributes = {
            "stride": list(stride), "dilation": list(dilation), "groups": groups, "padding": list(padding),
            "bias": bias,
        }
        parameters = {"weight": (weight, math.sqrt(3 / math.prod(weight[1:])))}
        if bias:
            parameters["bias"] = ((weight[0],), 0.5)

        def function(x, weight, bias=None):
            return nhwc(F.conv2d(padded(nchw(x), padding), weight, bias, stride, 0, dilation, groups))

        cases.add(case, "conv2d", attributes, function, [shape], parameters, **notes)

    add("conv2d_3x3", (2, 6, 5, 3), (4, 3, 3, 3), padding=(1, 1, 1, 1))
    add("conv2d_3x3_bias", (1, 5, 7, 3), (17, 3, 3, 3), padding=(1, 1, 1, 1), bias=True)
    add("conv2d_3x3_unpadded", (2, 5, 4, 2), (3, 2, 3, 3))
    add("conv2d_3x3_stride2_even", (2, 8, 6, 3), (4, 3, 3, 3), (2, 2), (1, 1, 1, 1))
    add("conv2d_5x5_stride2_odd", (2, 9, 7, 3), (5, 3, 5, 5), (2, 2), (2, 2, 2, 2))
    add("conv2d_asymmetric_padding", (2, 5, 6, 3), (4, 3, 3, 3), (1, 2), (0, 1, 2, 3), bias=True)
    add("conv2d_same_stride2_even", (1, 8, 6, 2), (3, 2, 3, 3), (2, 2), "same")
    add("conv2d_same_stride2_odd", (1, 7, 5, 2), (3, 2, 5, 3), (2, 2), "same")
    add("conv2d_same_even_kernel", (1, 5, 6, 2), (3, 2, 2, 4), (1, 1), "same")
    add("conv2d_dilation2", (2, 8, 7, 3), (4, 3, 3, 3), (1, 1), (2, 2, 2, 2), (2, 2))
    add("conv2d_dilation2_same_stride", (1, 9, 8, 2), (3, 2, 3, 3), (2, 1), "same", (2, 3))
    add("conv2d_groups2", (2, 5, 6, 4), (6, 2, 3, 3), (1, 1), (1, 1, 1, 1), groups=2, bias=True)
    add("conv2d_depthwise", (2, 6, 5, 5), (5, 1, 3, 3), (1, 1), (1, 1, 1, 1), groups=5)
    add("conv2d_depthwise_stride2_same", (1, 8, 7, 8), (8, 1, 5, 5), (2, 2), "same", groups=8)
    add("conv2d_depthwise_multiplier2", (2, 6, 5, 3), (6, 1, 3, 3), (2, 2), (1, 1, 1, 1), groups=3, bias=True)
    add("conv2d_1x1", (2, 4, 3, 5), (7, 5, 1, 1))
    add("conv2d_1x1_stride2", (2, 5, 5, 4), (6, 4, 1, 1), (2, 2))
    add("conv2d_1x1_one_pixel", (1, 1, 1, 17), (3, 17, 1, 1), bias=True)
    add("conv2d_one_channel", (1, 6, 6, 1), (1, 1, 3, 3), padding=(1, 1, 1, 1))
    add("conv2d_7x7_stride2", (1, 15, 14, 3), (4, 3, 7, 7), (2, 2), (3, 3, 3, 3))
    add("conv2d_3x1", (1, 6, 5, 2), (3, 2, 3, 1), (1, 1), (1, 0, 1, 0))


def batch_normalizations(cases):
    def add(case, shape, training, epsilon=1e-5, momentum=0.1):
        channels = (shape[-1],)
        parameters = {
            "weight": (channels, 0.5, 1.0), "bias": (channels, 0.5),
            "running_mean": (channels, 0.5), "running_var": (channels, 0.4, 1.0),
        }

        def function(x, weight, bias, running_mean, running_var):
            wide = x if x.dim() == 2 else nchw(x)
            y = F.batch_norm(wide, running_mean, running_var, weight, bias, training, momentum, epsilon)
            return y if x.dim() == 2 else nhwc(y)

        updated = ["running_mean", "running_var"] if training else []
        attributes = {"epsilon": epsilon, "momentum": momentum}
        cases.add(case, "batch_norm", attributes, function, [(shape, 2.0)], parameters, updated, training=training)

    add("batch_norm_training", (3, 4, 5, 6), True)
    add("batch_norm_training_keras_constants", (2, 3, 3, 17), True, 1e-3, 0.01)
    add("batch_norm_training_two_values", (2, 1, 1, 3), True)
    add("batch_norm_training_dense", (6, 5), True)
    add("batch_norm_inference", (2, 3, 4, 5), False)
    add("batch_norm_inference_dense", (3, 4), False, 1e-3)


ACTIVATIONS = {
    "relu": F.relu, "relu6": F.relu6, "silu": F.silu, "sigmoid": torch.sigmoid, "hard_swish": F.hardswish,
    "hard_sigmoid": F.hardsigmoid, "gelu": F.gelu, "tanh": torch.tanh, "selu": F.selu, "softplus": F.softplus,
    "softsign": F.softsign, "mish": F.mish, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}


def keras_relu(x, negative_slope=0.2, threshold=0.0, maximum=math.inf):
    """`keras.layers.ReLU`, from its definition."""
    return torch.where(x > threshold, x.clamp(max=maximum), negative_slope * (x - threshold))


# Functions with constants of their own: case, function, constants, what PyTorch computes.
CONSTANT_ACTIVATIONS = (
    ("leaky_relu", "leaky_relu", {}, lambda x: F.leaky_relu(x, 0.2)),
    ("leaky_relu_alpha", "leaky_relu", {"alpha": 0.3}, lambda x: F.leaky_relu(x, 0.3)),
    ("leaky_relu_all", "leaky_relu", {"alpha": 0.1, "threshold": 1.5, "maximum": 4},
     lambda x: keras_relu(x, 0.1, 1.5, 4.0)),
    ("leaky_relu_maximum", "leaky_relu", {"alpha": 0, "maximum": 2.5}, lambda x: keras_relu(x, 0.0, 0.0, 2.5)),
    ("elu", "elu", {}, F.elu),
    ("elu_alpha", "elu", {"alpha": 0.5}, lambda x: F.elu(x, 0.5)),
    ("clip", "clip", {"minimum": -1, "maximum": 1}, F.hardtanh),
    ("clip_below", "clip", {"minimum": 0.5}, lambda x: x.clamp(min=0.5)),
    ("clip_above", "clip", {"maximum": -0.5}, lambda x: x.clamp(max=-0.5)),
    ("exponential", "exponential", {}, torch.exp),
)


def activations(cases):
    for name, function in ACTIVATIONS.items():
        attributes = {"function": name}
        cases.add(f"activation_{name}", "activation", attributes, function, [((2, 3, 4, 5), 8.0)])
        cases.add(f"activation_{name}_large", "activation", attributes, function, [((3, 7), 100.0)])
        cases.add(f"activation_{name}_small", "activation", attributes, function, [((3, 5), 0.01)])
    for case, name, constants, function in CONSTANT_ACTIVATIONS:
        attributes = {"function": name, **constants}
        cases.add(f"activation_{case}", "activation", attributes, function, [((2, 3, 4, 5), 8.0)])
        cases.add(f"activation_{case}_small", "activation", attributes, function, [((3, 5), 0.01)])

    def prelu(x, weight):
        return F.prelu(x.movedim(-1, 1), weight).movedim(1, -1)

    cases.add("prelu", "prelu", {}, prelu, [((2, 3, 4, 5), 3.0)], {"weight": ((5,), 0.5)})
    def prelu_of_elements(x, weight):
        return torch.where(x > 0, x, weight * x)

    cases.add("prelu_elements", "prelu", {}, prelu_of_elements, [((3, 2, 4, 5), 3.0)], {"weight": ((2, 4, 5), 0.5)})
    cases.add("prelu_dense", "prelu", {}, prelu, [((4, 17), 3.0)], {"weight": ((17,), 0.5)})


def elementwise(cases):
    def softmax(x):
        return torch.softmax(x, -1)

    cases.add("softmax", "softmax", {}, softmax, [((4, 7), 3.0)])
    cases.add("softmax_large", "softmax", {}, softmax, [((3, 17), 200.0)])
    cases.add("softmax_nhwc", "softmax", {}, softmax, [((2, 3, 2, 5), 3.0)])
    def log_softmax(x):
        return torch.log_softmax(x, -1)

    cases.add("log_softmax", "log_softmax", {}, log_softmax, [((4, 7), 3.0)])
    cases.add("log_softmax_large", "log_softmax", {}, log_softmax, [((3, 17), 200.0)])
    cases.add("log_softmax_nhwc", "log_softmax", {}, log_softmax, [((2, 3, 2, 5), 3.0)])

    def rescaling(case, shape, scale, offset):
        def function(x):
            return x * torch.tensor(scale, dtype=torch.float64) + torch.tensor(offset, dtype=torch.float64)

        cases.add(case, "rescaling", {"scale": scale, "offset": offset}, function, [shape])

    rescaling("rescaling", (2, 3, 4, 5), [0.25], [-1.5])
    rescaling("rescaling_channels", (2, 5, 7, 3), [2.0, 0.5, -3.0], [0.25, -1.0, 4.0])
    rescaling("rescaling_mixed", (3, 17), [float(c) for c in range(17)], [0.5])
    rescaling("rescaling_mixed_offset", (2, 3, 17), [-1.0], [float(c) for c in range(17)])
    whole, channels = (2, 3, 4, 5), (2, 1, 1, 5)
    for name, function in (("add", torch.add), ("multiply", torch.mul)):
        cases.add(name, name, {}, function, [whole, whole])
        cases.add(f"{name}_dense", name, {}, function, [(3, 7), (3, 7)])
        cases.add(f"{name}_broadcast", name, {}, function, [whole, channels])
        cases.add(f"{name}_broadcast_first", name, {}, function, [channels, whole])

    def concat(*xs):
        return torch.cat(xs, -1)

    cases.add("concat", "concat", {"axis": -1}, concat, [(2, 3, 4, 5), (2, 3, 4, 2)])
    cases.add("concat_three", "concat", {"axis": -1}, concat, [(2, 3, 2, 1), (2, 3, 2, 17), (2, 3, 2, 3)])
    cases.add("concat_dense", "concat", {"axis": -1}, concat, [(3, 4), (3, 5)])


def poolings(cases):
    def maximum(case, shape, kernel, stride, padding=(0, 0, 0, 0)):
        attributes = {"kernel": list(kernel), "stride": list(stride), "padding": list(padding)}

        def function(x):
            return nhwc(F.max_pool2d(padded(nchw(x), padding, -math.inf), kernel, stride))

        cases.add(case, "max_pool", attributes, function, [shape])

    def average(case, shape, kernel, stride, padding=(0, 0, 0, 0), count_include_pad=True):
        attributes = {
            "kernel": list(kernel), "stride": list(stride), "padding": list(padding),
            "count_include_pad": count_include_pad,
        }

        def function(x):
            if tuple(padding[:2]) == tuple(padding[2:]):
                return nhwc(F.avg_pool2d(nchw(x), kernel, stride, padding[:2], count_include_pad=count_include_pad))
            pool = F.avg_pool2d(padded(nchw(x), padding), kernel, stride)
            if not count_include_pad:  # PyTorch has no asymmetric padding: divide by the share of the window inside
                pool = pool / F.avg_pool2d(padded(torch.ones_like(nchw(x)), padding), kernel, stride)
            return nhwc(pool)

        cases.add(case, "average_pool", attributes, function, [shape])

    maximum("max_pool_3x3_stride2", (2, 8, 7, 3), (3, 3), (2, 2), (1, 1, 1, 1))
    maximum("max_pool_2x2", (2, 6, 4, 5), (2, 2), (2, 2))
    maximum("max_pool_2x2_odd", (1, 7, 5, 3), (2, 2), (2, 2))
    maximum("max_pool_overlapping", (1, 5, 6, 2), (3, 2), (1, 1), (1, 0, 1, 1))
    maximum("max_pool_same", (1, 8, 6, 17), (3, 3), (2, 2), same_padding((8, 6), (3, 3), (2, 2)))
    average("average_pool_2x2", (2, 6, 4, 5), (2, 2), (2, 2))
    average("average_pool_3x3_count_padding", (2, 7, 6, 3), (3, 3), (2, 2), (1, 1, 1, 1))
    average("average_pool_3x3_exclude_padding", (2, 7, 6, 3), (3, 3), (2, 2), (1, 1, 1, 1), False)
    average("average_pool_asymmetric_count_padding", (1, 6, 5, 2), (3, 2), (1, 2), (0, 1, 2, 0))
    same = same_padding((8, 6), (3, 3), (2, 2))
    average("average_pool_same_exclude_padding", (1, 8, 6, 3), (3, 3), (2, 2), same, False)
    cases.add("global_average_pool", "global_average_pool", {}, lambda x: x.mean((1, 2)), [(2, 5, 3, 4)])
    cases.add("global_max_pool", "global_max_pool", {}, lambda x: x.amax((1, 2)), [(2, 5, 3, 4)])


def shapes(cases):
    cases.add("flatten", "flatten", {}, lambda x: x.flatten(1), [(2, 3, 2, 5)])
    cases.add("reshape", "reshape", {"shape": [3, 4, 5]}, lambda x: x.reshape(2, 3, 4, 5), [(2, 60)])
    for name, padding in (("zero_pad", (1, 2, 3, 0)), ("zero_pad_symmetric", (3, 3, 3, 3))):
        attributes = {"padding": list(padding)}
        cases.add(name, "zero_pad", attributes, lambda x: nhwc(padded(nchw(x), padding)), [(2, 3, 2, 4)])


def linear(x, weight, bias=None):
    return F.linear(x, weight, bias)


def dense(cases):
    for case, rows, inputs, outputs, bias in (
        ("dense", 4, 6, 5, True), ("dense_no_bias", 3, 17, 7, False), ("dense_one_row", 1, 64, 3, True),
        ("dense_one_output", 5, 3, 1, True),
    ):
        parameters = {"weight": ((outputs, inputs), math.sqrt(3 / inputs))}
        if bias:
            parameters["bias"] = ((outputs,), 0.5)
        cases.add(case, "dense", {"bias": bias}, linear, [(rows, inputs)], parameters)


def operations():
    """The tensors and the document of operations.safetensors."""
    cases = Cases()
    for family in (convolutions, batch_normalizations, activations, elementwise, poolings, shapes, dense):
        family(cases)
    return cases.tensors, {"cases": cases.descriptions}
