"""What a model gives in the middle, and what other libraries call it."""

from __future__ import annotations

import json
from typing import NamedTuple

from .. import _swiftcnn

# What models of PyTorch, timm and Keras have, and what does it here.
_ELSEWHERE = {
    "forward_features": "predict(x, output=name) with one of tensor_names, or create_model(..., include_top=False)",
    "forward_head": "predict(x); create_model(..., include_top=False) has no head",
    "forward_intermediates": "predict(x, output=[...]) with tensor_names, or create_model(..., features_only=True)",
    "get_classifier": "get_layer(index=-1)",
    "num_classes": "output_shape[-1]",
    "num_features": "feature_info[-1].channels of create_model(..., features_only=True)",
    "default_cfg": "preprocessing, class_names and input_shape",
    "forward": "predict(x), or the model itself as a function",
    "named_parameters": "parameters",
    "eval": "no such switch: predict and evaluate run in inference mode, fit in training mode",
    "train": "fit(x, y); it runs in training mode by itself",
    "to": "nothing to move: all runs on the processor, in float32",
    "to_json": "get_config()",
    "fit_generator": "fit(generator)",
    "predict_classes": "predict(x).argmax(-1), or classify(pictures)",
} | dict.fromkeys(("cpu", "cuda", "float"), "nothing to move: all runs on the processor, in float32")
_ELSEWHERE["pretrained_cfg"] = _ELSEWHERE["default_cfg"]


class FeatureMap(NamedTuple):
    """An output that is a feature map: its name, how many channels it has, and how many pixels of the image's height
    and width one of its own stands for."""

    name: str
    channels: int
    reduction: int


class Features:
    """The part of a model that has to do with feature maps."""

    @property
    def _handle(self) -> _swiftcnn.Model:
        raise NotImplementedError

    @property
    def feature_info(self) -> list[FeatureMap]:
        """The outputs that are feature maps, as those of ``create_model(..., features_only=True)``."""
        return [FeatureMap(**each) for each in json.loads(self._handle.feature_maps())]

    def __getattr__(self, name: str) -> object:
        advice = f"; here there is {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{advice}", name=name, obj=self)
