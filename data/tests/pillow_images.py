"""Small generated image files of every kind, and what Pillow makes of them: `Image.open(f).convert("RGB")`.

    python pillow_images.py > pillow_images.json      (Pillow 13.0.0, NumPy 2.4.6)

Each record: the file's bytes, width, height and RGB bytes, all in hexadecimal; with `resized`, the image
after `.resize((width, height), BILINEAR)`. Nothing here is taken from anywhere: pixels are formulae.
"""

import io
import json
import struct
import zlib

import numpy as np
from PIL import Image

W, H = 19, 13
y, x = np.mgrid[0:H, 0:W]
plane = lambda k: ((128 + 90 * np.sin(x / (3 + k)) + 30 * np.cos(y / (2 + k) + k)).clip(0, 255)).astype(np.uint8)
rgb = np.dstack([plane(k) for k in range(3)])
grey = plane(1)
deep = (grey.astype(np.uint16) << 8) + (x * 13 + y * 7).astype(np.uint16)
records = {}


def bytes_of(image, **options):
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def png(bits, colour, rows, extra=b"", interlace=0):
    """A PNG that Pillow does not write itself; `rows` are the packed bytes of each row."""
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", W, H, bits, colour, 0, 0, interlace)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def trns(body):
    return struct.pack(">I", len(body)) + b"tRNS" + body + struct.pack(">I", zlib.crc32(b"tRNS" + body))


def record(name, data, resize=None):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    entry = {"file": data.hex(), "width": image.width, "height": image.height, "rgb": image.tobytes().hex()}
    if resize:
        small = image.resize(resize, Image.BILINEAR)
        entry["resized"] = {"width": resize[0], "height": resize[1], "rgb": small.tobytes().hex()}
    records[name] = entry


def without_adobe(data):
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]:]


big = lambda array: [row.astype(">u2").tobytes() for row in array]
colour = Image.fromarray(rgb)
alpha = np.dstack([rgb, plane(5)])
record("png rgb", bytes_of(colour, format="PNG"), (11, 8))
record("png rgb enlarged", bytes_of(colour, format="PNG"), (31, 27))
record("png rgba", bytes_of(Image.fromarray(alpha), format="PNG"))
record("png grey", bytes_of(Image.fromarray(grey), format="PNG"), (7, 5))
record("png grey alpha", bytes_of(Image.fromarray(np.dstack([grey, plane(4)])), format="PNG"))
record("png palette", bytes_of(colour.quantize(17), format="PNG"))
record("png palette transparent", bytes_of(colour.quantize(17), format="PNG", transparency=3))
record("png 1 bit", bytes_of(Image.fromarray(grey).convert("1"), format="PNG"))
record("png 2 bit grey", png(2, 0, [bytes(range(5)) for _ in range(H)]))
record("png 4 bit grey", png(4, 0, [bytes((17 * r + 29 * c) % 256 for c in range(10)) for r in range(H)]))
record("png grey with a transparent value", png(8, 0, [r.tobytes() for r in grey], trns(b"\0\x64")))
record("png rgb with a transparent value", png(8, 2, [r.tobytes() for r in rgb], trns(b"\0\x64\0\x64\0\x64")))
record("png 16 bit grey", png(16, 0, big(deep)))
record("png 16 bit grey, dark", png(16, 0, big(deep % 300)))
record("png 16 bit grey alpha", png(16, 4, big(np.dstack([deep, deep[::-1]]))))
record("png 16 bit rgb", png(16, 2, big(np.dstack([deep, deep[::-1], deep[:, ::-1]]))))
record("png 16 bit rgba", png(16, 6, big(np.dstack([deep, deep[::-1], deep[:, ::-1], deep]))))
record("jpeg rgb", bytes_of(colour, format="JPEG", quality=90, subsampling=0), (11, 8))
record("jpeg 4:2:0", bytes_of(colour, format="JPEG", quality=90, subsampling=2))
record("jpeg 4:2:2", bytes_of(colour, format="JPEG", quality=90, subsampling=1))
record("jpeg progressive", bytes_of(colour, format="JPEG", quality=90, progressive=True))
record("jpeg grey", bytes_of(Image.fromarray(grey), format="JPEG", quality=90))
record("jpeg without colour transform", bytes_of(colour, format="JPEG", quality=90, keep_rgb=True))
cmyk = bytes_of(Image.fromarray(np.dstack([rgb, plane(6) // 2]), mode="CMYK"), format="JPEG", quality=90)
record("jpeg cmyk, adobe", cmyk)
record("jpeg cmyk, no adobe marker", without_adobe(cmyk))
at = cmyk.index(b"\xff\xee") + 15
record("jpeg ycck, adobe", cmyk[:at] + b"\2" + cmyk[at + 1:])
exif = Image.Exif()
exif[0x0112] = 6
record("jpeg with exif orientation", bytes_of(colour, format="JPEG", quality=90, subsampling=0, exif=exif))
print(json.dumps(records, indent=0))
