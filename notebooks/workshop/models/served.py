"""A child process of `workshop.models.acceptance`: the function's predictor over pictures, and nothing else imported.

    python served.py <symbol> <params> <synset> <size> <pictures.npy> <answers.npy>

Pictures are uint8 (N, 3, size, size); answers become float32 (N, classes). Ends with 3, and the reason on stderr, where
the predictor refuses the model.
"""

import sys
from pathlib import Path

import numpy as np

from predict.predictor import ModelError, Predictor

REFUSED = 3


def main(symbol: str, params: str, synset: str, size: str, pictures: str, answers: str) -> int:
    labels = [line.strip() for line in Path(synset).read_text(encoding="utf-8").splitlines() if line.strip()]
    try:
        with Predictor(Path(symbol).read_bytes(), Path(params).read_bytes(), labels, int(size)) as predictor:
            found = [predictor.predict(picture[None]) for picture in np.load(pictures)]
    except (ModelError, OSError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    np.save(answers, np.asarray(found, np.float32))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
