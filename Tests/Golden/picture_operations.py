"""What torchvision makes of pictures of Pillow's with the operations of RandAugment, at some of its strengths, with turned
hues, and with parts that are resized. Bytes are packed as in pictures.py."""

import numpy
from PIL import Image
from torchvision.transforms import autoaugment, functional

from pictures import packed, picture

SIZE = (13, 17)
MAGNITUDES = [0, 9, 22, 30]
FILTERS = {"nearest": functional.InterpolationMode.NEAREST, "bilinear": functional.InterpolationMode.BILINEAR}
MOVING = ["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"]
NAMES = {
    "Identity": "identity", "ShearX": "shear_x", "ShearY": "shear_y", "TranslateX": "translate_x",
    "TranslateY": "translate_y", "Rotate": "rotate", "Brightness": "brightness", "Color": "color",
    "Contrast": "contrast", "Sharpness": "sharpness", "Posterize": "posterize", "Solarize": "solarize",
    "AutoContrast": "autocontrast", "Equalize": "equalize",
}
# (top, left, height, width) of a part, and the height and width that it becomes.
PARTS = [((0, 0, 13, 17), (8, 8)), ((2, 3, 7, 9), (14, 5)), ((12, 16, 1, 1), (3, 4)), ((1, 0, 6, 17), (6, 20))]


def picture_operations():
    tensors, operations, hues, parts = {}, [], [], []
    space = autoaugment.RandAugment()._augmentation_space(31, SIZE)
    assert set(space) == set(NAMES)
    for channels in (1, 3):
        original = picture(*SIZE, channels)
        tensors[f"original/{channels}"] = packed(original.tobytes())
        image = Image.fromarray(original[..., 0] if channels == 1 else original)
        for kind, (strengths, is_signed) in space.items():
            has_strengths = strengths.ndim > 0
            for magnitude in MAGNITUDES if has_strengths else [0]:
                for sign in (1, -1) if is_signed and magnitude else (1,):
                    for name, filter in FILTERS.items() if kind in MOVING else [("nearest", FILTERS["nearest"])]:
                        strength = sign * float(strengths[magnitude] if has_strengths else 0)
                        key = f"{NAMES[kind]}/{channels}/{magnitude}/{sign}/{name}"
                        result = autoaugment._apply_op(image, kind, strength, filter, None)
                        tensors[key] = packed(numpy.asarray(result).tobytes())
                        operations.append(
                            {"key": key, "operation": NAMES[kind], "channels": channels, "magnitude": magnitude,
                             "negative": sign < 0, "bilinear": name == "bilinear"})
        for number, ((top, left, height, width), size) in enumerate(PARTS):
            result = functional.resized_crop(image, top, left, height, width, list(size))
            tensors[f"part/{channels}/{number}"] = packed(numpy.asarray(result).tobytes())
            parts.append(
                {"key": f"part/{channels}/{number}", "channels": channels, "part": [top, left, height, width],
                 "to": list(size)})
    for share in (-0.5, -0.13, 0.02, 0.3):
        tensors[f"hue/{share}"] = packed(numpy.asarray(functional.adjust_hue(image, share)).tobytes())
        hues.append({"key": f"hue/{share}", "share": share})
    return tensors, {"size": list(SIZE), "operations": operations, "hues": hues, "parts": parts}
