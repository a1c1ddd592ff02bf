"""The converter as a command: `python -m workshop.models.convert model.onnx --labels labels.txt --out folder`."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from workshop.models.convert import PRESETS, SUFFIXES, Preprocessing, convert, given
from workshop.models.convert.preprocessing import FITS
from workshop.models.files import ModelError, megabytes


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def arguments() -> argparse.ArgumentParser:
    about = "Convert a classifier of another framework into a model of this lab, and verify that it answers the same."
    parser = argparse.ArgumentParser(prog="python -m workshop.models.convert", description=about)
    parser.add_argument("file", type=Path, help=f"the network: a file that ends with {', '.join(SUFFIXES)}")
    parser.add_argument(
        "--out", type=Path, required=True, help="the folder for the model's files; its name is the model's"
    )
    parser.add_argument("--labels", help="a file of one label a line, or imagenet for its 1,000 classes")
    parser.add_argument("--architecture", help="for weights: the architecture, where their names do not tell it")
    parser.add_argument("--licence", help="the licence that the weights come under, for model.json")
    pictures = parser.add_argument_group(
        "how the network wants its images", "options for facts that neither the file nor a config.json beside it states"
    )
    pictures.add_argument("--preprocessing", choices=PRESETS, help="mean and deviation by a name")
    pictures.add_argument("--mean", type=_numbers, help="one number or three, as 0.485,0.456,0.406")
    pictures.add_argument("--deviation", type=_numbers, help="one number or three, as 0.229,0.224,0.225")
    pictures.add_argument("--pixels", type=float, default=1.0, choices=(1.0, 255.0),
                          help="the largest value of a pixel that mean and deviation are of (1)")  # fmt: skip
    pictures.add_argument("--size", type=int, help="height and width in pixels")
    pictures.add_argument("--channels", choices=("RGB", "BGR"), help="the order of the colours (RGB)")
    pictures.add_argument("--fit", choices=FITS, help="how an image becomes a square")
    pictures.add_argument("--fraction", type=float, help="the part of the shorter side that a centre crop keeps")
    return parser


def chosen(options: argparse.Namespace) -> Preprocessing:
    """What the command's options say of the pictures; the single ones go before the preset."""
    single = given(
        options.size, options.mean, options.deviation, options.pixels, options.channels or "RGB", options.fit,
        options.fraction, origin="given" if options.mean or options.size or options.fit else "",
    )  # fmt: skip
    filled = single.filled(PRESETS[options.preprocessing]) if options.preprocessing else single
    return replace(filled, channels=options.channels) if options.channels else filled


def main() -> int:
    options = arguments().parse_args()
    try:
        made = convert(
            options.file, options.out, given=chosen(options), classes=options.labels, architecture=options.architecture,
            licence=options.licence,
        )  # fmt: skip
    except ModelError as error:
        print(f"convert: {options.file.name}: {error}", file=sys.stderr)
        return 1
    for remark in made.remarks:
        print(remark)
    print(made.proof)
    size = sum(file.stat().st_size for file in made.folder.iterdir())
    print(f"wrote {made.folder}: {made.about['architecture']}, {made.about['classes']} classes, {megabytes(size)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
