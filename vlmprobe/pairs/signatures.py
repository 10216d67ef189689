"""What bytes are, by how they begin: an image that is read, or something that can be named."""

from __future__ import annotations

__all__ = ["is_known_image", "name_of"]

#: The first bytes of the formats that are read.
_IMAGES = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(b"P" + kind for kind in (b"1", b"2", b"3", b"4", b"5", b"6", b"f")),
)
#: Shorter than any image, and long enough that a word is not taken for one.
_SHORTEST = 8

_NAMES = (
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"8BPS", "a Photoshop file"),
    (b"v/1\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"DDS ", "a DDS image"),
    (b"qoif", "a QOI image"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "PostScript (EPS)"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x80\x04\x95", "a pickled Python object"),
    (b"PK\3\4", "a ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"\x1aE\xdf\xa3", "a video (Matroska)"),
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself"),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML or SVG file"),
    (b"iVBOR", "base64 of base64; encode it once"),
    (b"/9j/", "base64 of base64; encode it once"),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "an AVIF image"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "a HEIC image"),
}


def is_known_image(content: bytes) -> bool:
    """Return whether bytes begin like an image of a format that is read."""
    if len(content) < _SHORTEST:
        return False
    return content.startswith(_IMAGES) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")


def name_of(content: bytes) -> str | None:
    """Return what bytes are that are no image of a format that is read; None where that is not known."""
    if content[4:8] == b"ftyp":
        return _BRANDS.get(content[8:12], "a video (MP4)")
    start = content[:64].lstrip(b"\xef\xbb\xbf \t\r\n") if content[:1] != b"\0" else content[:64]
    return next((name for begins, name in _NAMES if start.lower().startswith(begins.lower())), None)
