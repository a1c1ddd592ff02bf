"""What the converter refuses."""

from workshop.models.files import ModelError


class ConversionError(ModelError):
    """A file cannot be converted. The message names what stands in the way, and what would help."""
