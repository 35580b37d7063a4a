"""Picture files and what Pillow reads in them, resized pictures, and how torchvision and timm prepare theirs.

Bytes are packed: an int32 tensor with their number, then four in each element, little endian."""

import functools
import io
import struct
import zlib

import numpy
import timm
import torchvision
from PIL import Image, ImageOps, features
from torchvision.transforms import functional

FILTERS = {
    "nearest": Image.Resampling.NEAREST, "box": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING, "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS,
}
# (height, width) of the original and of the result: smaller, larger, one axis only, to and from a single pixel.
SIZES = [
    ((29, 41), (13, 17)), ((29, 41), (29, 10)), ((29, 41), (8, 41)), ((29, 41), (47, 60)), ((29, 41), (1, 1)),
    ((3, 2), (9, 8)), ((1, 1), (3, 4)), ((64, 3), (4, 3)),
]
TORCHVISION = [
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d",
    "wide_resnet50_2", "wide_resnet101_2", *(f"efficientnet_b{n}" for n in range(8)), "efficientnet_v2_s",
    "efficientnet_v2_m", "efficientnet_v2_l",
]
TIMM = [
    *(f"tf_efficientnet_b{n}" for n in range(8)), *(f"tf_efficientnet_lite{n}" for n in range(5)), "tf_efficientnetv2_s",
]
# (height, width) of a picture, the length of its shorter side when it is resized, and what is cut out.
GEOMETRY = [
    ((480, 640), 256, (224, 224)), ((640, 480), 256, (224, 224)), ((300, 451), 232, (224, 224)),
    ((451, 300), 255, (240, 240)), ((33, 1000), 32, (32, 32)), ((500, 375), 256, (224, 224)),
    ((100, 100), 64, (96, 80)), ((99, 100), 65, (70, 71)), ((357, 500), 384, (380, 380)), ((7, 5), 5, (4, 8)),
]


def pictures():
    tensors, samples = {}, []
    for name, contents, expected in files():
        tensors[f"{name}/file"] = packed(contents)
        tensors[f"{name}/pixels"] = packed(expected.tobytes())
        samples.append({"name": name, "shape": list(expected.shape)})
    resized = []
    for channels, mode in ((1, "L"), (3, "RGB"), (4, "RGBA")):
        for number, (size, target) in enumerate(SIZES):
            original = picture(*size, channels)
            tensors[f"original/{channels}/{number}"] = packed(original.tobytes())
            for name, filter in FILTERS.items():
                image = Image.fromarray(original[..., 0] if channels == 1 else original, mode)
                result = numpy.asarray(image.resize(target[::-1], filter))
                tensors[f"resized/{channels}/{number}/{name}"] = packed(result.tobytes())
                resized.append(
                    {"channels": channels, "number": number, "filter": name, "from": list(size), "to": list(target)})
    return tensors, {
        "pillow": Image.__version__, "libjpeg_turbo": features.version_feature("libjpeg_turbo"), "files": samples,
        "resized": resized, "published": published(), "geometry": [geometry(*each) for each in GEOMETRY],
    }


def packed(data):
    return numpy.concatenate([[len(data)], numpy.frombuffer(data + bytes(-len(data) % 4), "<i4")]).astype(numpy.int32)


@functools.cache
def picture(height, width, channels):
    """Waves with some noise, so that both edges and areas are there."""
    random = numpy.random.default_rng([height, width, channels])
    y, x, c = numpy.mgrid[:height, :width, :channels]
    waves = 127.5 + 100 * numpy.sin(y / 3 + c) * numpy.cos(x / 5 - 2 * c) + random.normal(0, 25, (height, width, channels))
    return waves.clip(0, 255).astype(numpy.uint8)


def files():
    """(name, contents, the pixels as RGB)."""
    color, grey, alpha = picture(23, 37, 3), picture(23, 37, 1)[..., 0], picture(23, 37, 4)
    for name, options in {
        "420": {"subsampling": "4:2:0"}, "422": {"subsampling": "4:2:2"}, "444": {"subsampling": "4:4:4", "quality": 95},
        "progressive": {"progressive": True}, "restarts": {"restart_marker_blocks": 1},
    }.items():
        yield by_pillow(f"jpeg_{name}", Image.fromarray(color), "JPEG", **options)
    yield by_pillow("jpeg_grey", Image.fromarray(grey), "JPEG")
    yield by_pillow("jpeg_cmyk", Image.fromarray(color).convert("CMYK"), "JPEG")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield by_pillow(f"jpeg_orientation_{orientation}", Image.fromarray(picture(9, 14, 3)), "JPEG", exif=exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield by_pillow("png_orientation_6", Image.fromarray(picture(9, 14, 3)), "PNG", exif=exif)
    yield by_pillow("png_rgb", Image.fromarray(color), "PNG")
    yield by_pillow("png_rgba", Image.fromarray(alpha), "PNG")
    yield by_pillow("png_grey", Image.fromarray(grey), "PNG")
    yield by_pillow("png_grey_alpha", Image.fromarray(alpha).convert("LA"), "PNG")
    yield by_pillow("png_palette", Image.fromarray(color).quantize(50), "PNG")
    yield by_pillow("png_transparent_palette", Image.fromarray(color).quantize(20), "PNG", transparency=3)
    yield by_pillow("png_transparent_rgb", Image.fromarray(color), "PNG", transparency=tuple(int(v) for v in color[2, 3]))
    yield by_pillow("png_gamma_and_text", Image.fromarray(color), "PNG", gamma=2.2, extra=True)
    for depth in (1, 2, 4):
        values = grey >> (8 - depth)
        yield by_hand(f"png_grey_{depth}", values[..., None], depth, 0, values[..., None] * (255 // (2**depth - 1)))
    wide = numpy.random.default_rng(5).integers(0, 1 << 16, (23, 37, 4))
    for name, kind, colors, channels in (("grey", 0, 1, 1), ("rgb", 2, 3, 3), ("grey_alpha", 4, 1, 2), ("rgba", 6, 3, 4)):
        values = wide[..., :channels]
        yield by_hand(f"png_16_{name}", values, 16, kind, (values[..., :colors] + 128) // 257)
    yield by_hand("png_interlaced", color, 8, 2, color, interlaced=True)
    yield by_hand("png_interlaced_grey_1", grey[..., None] >> 7, 1, 0, (grey[..., None] >> 7) * 255, interlaced=True)


def by_pillow(name, image, format, gamma=None, extra=False, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    contents = file.getvalue()
    if gamma:  # which Pillow neither writes nor applies
        contents = contents[:33] + chunk(b"gAMA", struct.pack(">I", int(1e5 / gamma))) + contents[33:]
    if extra:
        contents = contents[:33] + chunk(b"tEXt", b"Comment\0waves") + contents[33:] + b"after the end"
    read = ImageOps.exif_transpose(Image.open(io.BytesIO(contents)))
    return name, contents, numpy.asarray(read.convert("RGB"))


def by_hand(name, values, depth, kind, expected, interlaced=False):
    """A PNG file of a kind that Pillow does not write; it has to read it, unless it would cut off 16 bits."""
    height, width, _ = values.shape
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b""
    for top, left, down, right in passes if interlaced else [(0, 0, 1, 1)]:
        for row in values[top::down, left::right].reshape(-1, len(range(left, width, right)) * values.shape[2]):
            bits = ((row[:, None] >> numpy.arange(depth)[::-1]) & 1).astype(numpy.uint8)
            rows += b"\0" + numpy.packbits(bits.ravel()).tobytes()
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    contents = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    pixels = numpy.broadcast_to(expected, (height, width, 3)).astype(numpy.uint8)
    if depth < 16:
        assert (numpy.asarray(Image.open(io.BytesIO(contents)).convert("RGB")) == pixels).all(), name
    return name, contents, pixels


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def published():
    """Of every model by name, what its weights' authors do to pictures."""
    found = {}
    for name in TORCHVISION:
        transforms = torchvision.models.get_model_weights(name).DEFAULT.transforms()
        found[name] = [transforms.resize_size[0], transforms.crop_size[0], transforms.interpolation.value]
    for name in TIMM:
        config = timm.get_pretrained_cfg(name)
        size = config.input_size[1]
        found[name] = [int(size / config.crop_pct), size, config.interpolation]
    return found


def geometry(size, side, crop):
    """Where torchvision's Resize and CenterCrop find a picture's pixels: the size between them, and a crop's corner."""
    image = Image.new("I", size[::-1])
    resized = functional.resize(image, side, functional.InterpolationMode.NEAREST)
    height, width = resized.size[::-1]
    # Every pixel knows its place, counted from 1; 0 is a border.
    places = Image.fromarray(numpy.arange(1, height * width + 1, dtype=numpy.int32).reshape(height, width))
    cropped = numpy.asarray(functional.center_crop(places, list(crop)))
    rows, columns = numpy.nonzero(cropped)
    place = int(cropped[rows[0], columns[0]]) - 1
    return {
        "from": list(size), "resize": side, "crop": list(crop), "resized": [height, width],
        "top": place // width - int(rows[0]), "left": place % width - int(columns[0]),
    }
