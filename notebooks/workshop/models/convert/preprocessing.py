"""How a network wants its pictures: size, fitting, colours' order, mean and deviation. Given or read, never guessed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from workshop.models.convert.errors import ConversionError

SQUASH, CROP = "squash", "centre-crop"
FITS = (SQUASH, CROP)


@dataclass(frozen=True)
class Preprocessing:
    """`mean` and `deviation` are of pixels from 0 to 255, in the order of `channels`; the network gets
    (pixel − mean) / deviation. `fit`: `squash`, or `centre-crop`, which keeps `fraction` of the shorter side.
    None: not known.
    """

    size: int | None = None
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None
    channels: str = "RGB"
    fit: str | None = None
    fraction: float = 1.0
    origin: str = ""

    def filled(self, other: "Preprocessing") -> "Preprocessing":
        """This one, with what it does not know from `other`."""
        known = {name: value for name, value in asdict(self).items() if value not in (None, "")}
        if "mean" not in known and "deviation" not in known:
            known["channels"] = other.channels
        if "fit" not in known:
            known["fraction"] = other.fraction
        origins = [one for one in (self.origin, other.origin) if one]
        return replace(other, **(known | {"origin": "; ".join(dict.fromkeys(origins))}))

    def as_dict(self) -> dict[str, Any]:
        """The form of `input` in model.json."""
        fit = {"fit": self.fit} | ({"fraction": self.fraction} if self.fit == CROP else {})
        mean, deviation = ([round(value, 6) for value in values or ()] for values in (self.mean, self.deviation))
        return {"size": self.size, **fit, "channels": self.channels, "mean": mean, "deviation": deviation,
                "normalised_by": "the network"}  # fmt: skip


def _thrice(values: Any, scale: float) -> tuple[float, ...]:
    numbers = [float(value) for value in (values if isinstance(values, list | tuple) else [values])]
    if len(numbers) not in (1, 3):
        raise ConversionError(f"{numbers}: expected one number, or one for each of three colours.")
    return tuple(number * scale for number in (numbers * 3 if len(numbers) == 1 else numbers))


def given(
    size: int | None = None, mean: Any = None, deviation: Any = None, pixels: float = 1.0, channels: str = "RGB",
    fit: str | None = None, fraction: float | None = None, origin: str = "given",
) -> Preprocessing:  # fmt: skip
    """What a person says. `mean`, `deviation`: of pixels from 0 to `pixels`. Raises ConversionError."""
    scale = 255.0 / pixels
    found = Preprocessing(
        size, None if mean is None else _thrice(mean, scale), None if deviation is None else _thrice(deviation, scale),
        channels.upper(), fit, fraction if fraction is not None else 1.0, origin,
    )  # fmt: skip
    if found.deviation and min(found.deviation) <= 0:
        raise ConversionError(f"deviation {found.deviation}: expected numbers above 0.")
    if found.channels not in ("RGB", "BGR") or found.fit not in (None, *FITS) or not 0 < found.fraction <= 1:
        raise ConversionError(
            f"channels {found.channels}, fit {found.fit}, fraction {found.fraction}: expected RGB or BGR, "
            f"{' or '.join(FITS)}, and above 0 to 1."
        )
    if found.size is not None and not 16 <= found.size <= 1024:
        raise ConversionError(f"size {found.size}: expected 16 to 1024 pixels.")
    return found


_IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "deviation": (0.229, 0.224, 0.225)}
PRESETS = {
    "imagenet": given(**_IMAGENET, fit=CROP, fraction=224 / 256, origin="preset imagenet (torchvision's)"),
    "half": given(mean=0.5, deviation=0.5, origin="preset half (−1 to 1)"),
    "unit": given(mean=0.0, deviation=1.0, origin="preset unit (0 to 1)"),
    "pixels": given(mean=0.0, deviation=1.0, pixels=255, origin="preset pixels (0 to 255)"),
}


def from_json(text: str, where: str) -> Preprocessing:
    """Out of a file beside the weights: timm's `config.json`, Hugging Face's `preprocessor_config.json`, or the form of
    `input` in model.json. What it does not say stays unknown. Raises ConversionError.
    """
    try:
        read = json.loads(text)
        if not isinstance(read, dict):
            raise ValueError("no object")
        if isinstance(read.get("pretrained_cfg"), dict):
            return _timm(read["pretrained_cfg"], where)
        if {"image_mean", "do_normalize", "feature_extractor_type", "image_processor_type"} & read.keys():
            return _hugging_face(read, where)
        own = read.get("input", read)
        known = {key: own[key] for key in ("size", "mean", "deviation", "channels", "fit", "fraction") if key in own}
        return given(**known, pixels=255, origin=where) if known else Preprocessing()
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ConversionError(f"{where} does not say how images are preprocessed: {error}.") from error


def _timm(config: Mapping[str, Any], where: str) -> Preprocessing:
    """https://huggingface.co/docs/timm/hf_hub"""
    size = config["input_size"][-1] if "input_size" in config else None
    mode = config.get("crop_mode", "center")
    if mode not in ("center", "squash"):
        raise ValueError(f"crop_mode {mode}")
    return given(
        size, config.get("mean"), config.get("std"), fit=SQUASH if mode == "squash" else CROP,
        fraction=config.get("crop_pct"), origin=where,
    )  # fmt: skip


def _hugging_face(config: Mapping[str, Any], where: str) -> Preprocessing:
    """https://huggingface.co/docs/transformers/main_classes/image_processor"""

    def side(value: Any) -> int | None:
        if isinstance(value, Mapping):
            return value.get("height") or value.get("shortest_edge")
        return value

    size, crop = side(config.get("size")), side(config.get("crop_size"))
    is_cropped = bool(config.get("do_center_crop")) and bool(crop)
    steps = 1 / config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
    is_normalised = config.get("do_normalize", True)
    mean, deviation = (config.get("image_mean"), config.get("image_std")) if is_normalised else (0.0, 1.0)
    # (pixel / steps − mean) / deviation
    return given(
        crop if is_cropped else size,
        None if mean is None else [value * steps for value in _thrice(mean, 1)],
        None if deviation is None else [value * steps for value in _thrice(deviation, 1)],
        pixels=255, fit=CROP if is_cropped else SQUASH,
        fraction=min(1.0, crop / size) if crop and is_cropped and size else config.get("crop_pct"), origin=where,
    )  # fmt: skip


def from_onnx(metadata: Mapping[str, str]) -> Preprocessing:
    """Out of an ONNX file's metadata: https://github.com/onnx/onnx/blob/main/docs/MetadataProps.md, and `preprocessing`
    in the form of `input` in model.json.
    """
    if "preprocessing" in metadata:
        return from_json(metadata["preprocessing"], "the file's metadata")
    ranges = {"NominalRange_0_255": "pixels", "Normalized_0_1": "unit", "Normalized_1_1": "half"}
    preset = ranges.get(metadata.get("Image.NominalPixelRange", ""))
    if not preset:
        return Preprocessing()
    channels = "BGR" if metadata.get("Image.BitmapPixelFormat", "").lower().startswith("bgr") else "RGB"
    return replace(PRESETS[preset], channels=channels, origin="the file's metadata")


def complete(found: Preprocessing) -> Preprocessing:
    """`found`, if it lacks nothing. Raises ConversionError, which says what is missing and how to give it."""
    missing = [name for name in ("size", "mean", "deviation", "fit") if getattr(found, name) is None]
    if missing:
        raise ConversionError(
            f"how the network wants its images is not known: {', '.join(missing)}. Give them: --preprocessing "
            f"{'|'.join(PRESETS)}, or --mean, --deviation, --size and --fit {'|'.join(FITS)}; or put the model's "
            "config.json (timm), preprocessor_config.json (Hugging Face) or preprocessing.json (the form of `input` in "
            "model.json) beside the file."
        )
    return found
