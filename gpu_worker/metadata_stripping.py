"""Removes the metadata of image files before they are decoded, and reads the orientation from it.

Pillow reads text, colour profiles and EXIF when it opens a file, and refuses the whole file where they are broken or
large. The pixels need none of them.
"""

from __future__ import annotations

import io
import struct

from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
# The chunks that the pixels need, so animations show their default image:
# https://www.w3.org/TR/png-3/#5Chunk-naming-conventions
_PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
MIN_APP0_BYTES = 16
ORIENTATION = 0x0112
# EXIF's number types that fit into an entry, by their name in struct.
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f"}


def strip_metadata(content: bytes) -> bytes:
    """Return the file without metadata. Other files than PNG and JPEG are returned unchanged."""
    if content.startswith(PNG):
        return PNG + b"".join(chunk for kind, chunk in _png_chunks(content) if kind in _PNG_PIXELS)
    if content.startswith(b"\xff\xd8"):
        return _strip_jpeg(content)
    return content


def orientation(content: bytes) -> int:
    """Return the EXIF orientation, 1 (upright) to 8. 1 also where it cannot be read."""
    try:
        value = _first_directory(_exif(content)).get(ORIENTATION, 1)
    except (struct.error, OSError, SyntaxError, ValueError):
        return 1
    return int(value) if value in range(1, 9) else 1


def _first_directory(exif: bytes) -> dict[int, float]:
    """Return the entries of EXIF's first directory whose value is one number inside the entry.

    Not by Pillow, which decodes all entries and stops at the first broken one.
    """
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return {}
    (at,) = struct.unpack_from(order + "I", block, 4)
    (entries,) = struct.unpack_from(order + "H", block, at)
    values: dict[int, float] = {}
    for start in range(at + 2, min(at + 2 + 12 * entries, len(block) - 11), 12):
        tag, kind, count = struct.unpack_from(order + "HHI", block, start)
        if kind in _NUMBERS and count == 1:
            (values[tag],) = struct.unpack_from(order + _NUMBERS[kind], block, start + 8)
    return values


def _exif(content: bytes) -> bytes:
    """Return the EXIF block, empty where there is none."""
    if content.startswith(PNG):
        return next((chunk[8:-4] for kind, chunk in _png_chunks(content) if kind == b"eXIf"), b"")
    if content.startswith(b"\xff\xd8"):
        blocks = (part[4:] for marker, part in _jpeg_segments(content) if marker == 0xE1)
        return next((block for block in blocks if block.startswith(b"Exif\0\0")), b"")
    with Image.open(io.BytesIO(content), formats=("WEBP",)) as image:
        return bytes(image.info.get("exif", b""))


def _png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return the type and all bytes of each chunk up to IEND. The last may be truncated."""
    chunks = []
    at = len(PNG)
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind = content[at + 4 : at + 8]
        chunks.append((kind, content[at : at + length + 12]))
        if kind == b"IEND":
            break
        at += length + 12
    return chunks


def _strip_jpeg(content: bytes) -> bytes:
    # APP0 (JFIF) and APP14 (Adobe) define the colour space.
    dropped = {0xFE, *range(0xE1, 0xF0)} - {0xEE}
    parts = [b"\xff\xd8"]
    at = 2
    for marker, part in _jpeg_segments(content):
        at += len(part)
        # Pillow reads the density without checking the length.
        is_truncated = marker == 0xE0 and len(part) < MIN_APP0_BYTES
        if marker not in dropped and not is_truncated:
            parts.append(part)
    return b"".join(parts) + content[at:]


def _jpeg_segments(content: bytes) -> list[tuple[int, bytes]]:
    """Return the marker and all bytes of each segment before the first scan."""
    segments = []
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:
            # A fill byte.
            segments.append((marker, content[at : at + 1]))
            at += 1
            continue
        if marker in (0xDA, 0xD9) or 0xD0 <= marker <= 0xD7:
            break
        (length,) = struct.unpack_from(">H", content, at + 2)
        segments.append((marker, content[at : at + 2 + length]))
        at += 2 + length
    return segments
