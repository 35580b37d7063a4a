"""The operations that augmentation is made of, as Pillow and torchvision do them, byte by byte."""

import json
import math

import numpy as np
import pytest
from swiftcnn import _swiftcnn

Image = pytest.importorskip("PIL.Image")
ImageEnhance = pytest.importorskip("PIL.ImageEnhance")
ImageOps = pytest.importorskip("PIL.ImageOps")


def adjusted(pixels, operation, amount=0, **options):
    picture = _swiftcnn.picture_from_pixels(pixels).adjust(operation, json.dumps({"amount": amount, **options}))
    return np.asarray(memoryview(picture))


def samples():
    """Pictures with edges, areas, few and many colours, one channel or three, and small ones."""
    random = np.random.default_rng(2)
    for height, width, channels in [(37, 53, 3), (24, 24, 1), (3, 3, 3), (2, 9, 3), (1, 1, 3), (1, 1, 1), (40, 5, 1)]:
        y, x, c = np.mgrid[:height, :width, :channels]
        waves = 127 + 110 * np.sin(y / 5 + c) * np.cos(x / 4 - c) + random.normal(0, 12, (height, width, channels))
        yield waves.clip(0, 255).astype(np.uint8)
        yield random.integers(0, 256, (height, width, channels)).astype(np.uint8)
        yield random.integers(100, 104, (height, width, channels)).astype(np.uint8)
        yield np.full((height, width, channels), 77, np.uint8)


def pillow(pixels):
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def same(found, expected):
    np.testing.assert_array_equal(found, np.asarray(expected).reshape(found.shape))


@pytest.mark.parametrize("factor", [0, 0.1, 0.37, 0.5, 0.999, 1, 1.01, 1.9, 2.73, 100])
@pytest.mark.parametrize(
    "operation, kind", [("brightness", "Brightness"), ("contrast", "Contrast"), ("color", "Color"),
                        ("sharpness", "Sharpness")]
)
def test_enhancements(operation, kind, factor):
    for pixels in samples():
        same(adjusted(pixels, operation, factor), getattr(ImageEnhance, kind)(pillow(pixels)).enhance(factor))


def test_tables():
    for pixels in samples():
        image = pillow(pixels)
        for bits in range(1, 9):
            same(adjusted(pixels, "posterize", bits), ImageOps.posterize(image, bits))
        for threshold in (0, 1, 100, 110.5, 128, 255, 256):
            same(adjusted(pixels, "solarize", threshold), ImageOps.solarize(image, threshold))
        same(adjusted(pixels, "autocontrast"), ImageOps.autocontrast(image))
        same(adjusted(pixels, "equalize"), ImageOps.equalize(image))
        same(adjusted(pixels, "mirror"), ImageOps.mirror(image))
        same(adjusted(pixels, "identity"), image)


def turned(image, share):
    """As torchvision's adjust_hue for Pillow's images."""
    h, s, v = image.convert("HSV").split()
    hue = np.array(h) + np.array(int(share * 255)).astype(np.uint8)
    return Image.merge("HSV", (Image.fromarray(hue), s, v)).convert("RGB")


@pytest.mark.parametrize("share", [-0.5, -0.3, -0.004, 0, 0.1, 0.25, 0.5])
def test_hue(share):
    every = np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3), axis=-1).reshape(1, -1, 3).astype(np.uint8)
    for pixels in [every, *(sample for sample in samples() if sample.shape[2] == 3)]:
        same(adjusted(pixels, "hue", share), turned(Image.fromarray(pixels), share))
    grey = next(sample for sample in samples() if sample.shape[2] == 1)
    same(adjusted(grey, "hue", share), grey)


FILTERS = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR}


@pytest.mark.parametrize("interpolation", FILTERS)
def test_turned_and_moved(interpolation):
    filter = FILTERS[interpolation]

    def transformed(image, *matrix):
        return image.transform(image.size, Image.Transform.AFFINE, matrix, filter)

    for pixels in samples():
        image = pillow(pixels)
        for degrees in (-30, -12.5, 0, 1, 29, 45, 100.25):
            found = adjusted(pixels, "rotate", degrees, interpolation=interpolation)
            same(found, image.rotate(degrees, filter))
        for slant in (-0.3, -0.01, 0, 0.1, 0.29):
            found = adjusted(pixels, "shear_x", slant, interpolation=interpolation)
            same(found, transformed(image, 1, slant, 0, 0, 1, 0))
            found = adjusted(pixels, "shear_y", slant, interpolation=interpolation)
            same(found, transformed(image, 1, 0, 0, slant, 1, 0))
        for distance in (-100, -7, -1, 0, 3, 2.5, 60):
            found = adjusted(pixels, "translate_x", distance, interpolation=interpolation)
            same(found, transformed(image, 1, 0, -distance, 0, 1, 0))
            found = adjusted(pixels, "translate_y", distance, interpolation=interpolation)
            same(found, transformed(image, 1, 0, 0, 0, 1, -distance))


@pytest.mark.parametrize(
    "operation, amount, message",
    [
        ("brightness", -1, "the amount of brightness is -1.0; expected 0.0 to 1000.0"),
        ("hue", 0.6, "expected -0.5 to 0.5"),
        ("posterize", 9, "expected 0.0 to 8.0"),
        ("rotat", 1, "rotate"),
        ("translate_x", 1e300, "the amount of translate_x"),
    ],
)
def test_amounts_out_of_range(operation, amount, message):
    with pytest.raises(ValueError, match=message):
        adjusted(np.zeros((3, 4, 3), np.uint8), operation, amount)


def test_options_are_checked():
    pixels = np.zeros((3, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="interpolation"):
        adjusted(pixels, "rotate", 1, interpolation="cubic")
    with pytest.raises(ValueError, match="amounts"):
        adjusted(pixels, "rotate", 1, amounts=1)
    with pytest.raises(ValueError, match="4 channels; expected 1 or 3"):
        adjusted(np.zeros((3, 4, 4), np.uint8), "equalize")
    for amount in (math.inf, math.nan):
        with pytest.raises(ValueError):
            adjusted(pixels, "rotate", amount)
