"""What bytes are, by how they begin: an image that is read, or something that can be named."""

from __future__ import annotations

__all__ = ["description_of", "is_known_image", "name_of"]

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
    *((b"\x80" + version, "a pickled Python object") for version in (b"\2", b"\3", b"\4", b"\5")),
    (b"PAR1", "a parquet file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x7fELF", "a program"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"(\xb5/\xfd", "zstd data"),
    (b"ID3", "audio (MP3)"),
    (b"OggS", "audio (Ogg)"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
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


def description_of(content: bytes) -> str:
    """Return what can be said of bytes that have no name."""
    if not content:
        return "empty"
    if content[:4] == b"RIFF":
        return "audio or video (RIFF)"
    if not content[:512].strip(b"\0"):
        return "nothing but zero bytes, as an interrupted copy leaves them"
    text = content[:400].decode("utf-8", errors="ignore")
    if len(text.encode()) > min(len(content), 400) - 4 and all(
        mark.isprintable() or mark.isspace() for mark in text
    ):
        return f"text, not an image ({' '.join(text.split())[:40]!r})"
    return "not a readable image"
