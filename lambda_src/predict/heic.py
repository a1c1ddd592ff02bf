"""HEIC files, as iPhones save them, by libheif."""

from .picture import Broken, Cap, Picture


def read(data: bytes, cap: Cap) -> Picture:
    """Decode a HEIC's main picture, its own rotation and mirroring applied. Raises anything."""
    import pi_heif  # here alone: other formats need not wait for it

    if not pi_heif.is_supported(data):
        raise Broken("libheif does not know it")
    file = pi_heif.open_heif(data, convert_hdr_to_8bit=True)
    cap(*file.size)
    return Picture(file.to_pillow())
