"""Which pictures a model knows: the score of the function's own predictor, and the least of a known picture."""

from collections.abc import Iterable
from dataclasses import dataclass

from predict.predictor import Predictor
from workshop.models import ModelError, ModelFiles, preparation
from workshop.models.checks import description


@dataclass(frozen=True)
class Scored:
    """What the function says of a picture: its score, and whether that is enough to be known."""

    score: float
    known: bool


def is_calibrated(model: ModelFiles) -> bool:
    """Whether a model's model.json says from which score on a picture is known."""
    return description(model.folder).rejection is not None


def threshold(model: ModelFiles) -> float:
    """The least score of a known picture. Raises ModelError for a model that is not calibrated."""
    rejection = description(model.folder).rejection
    if rejection is None:
        raise _uncalibrated(model)
    return rejection.threshold


def _uncalibrated(model: ModelFiles) -> ModelError:
    return ModelError(f"The model {model.name} is not calibrated: it cannot say which images show its classes.")


def scored(model: ModelFiles, pictures: Iterable[bytes]) -> list[Scored]:
    """What the function says of image files, one after the other. Raises ModelError for a model without a calibration,
    and what `images.decode` does.
    """
    said = description(model.folder)
    if said.rejection is None:
        raise _uncalibrated(model)
    symbol = said.rejection.shown_by(model.symbol.read_bytes())
    with Predictor(symbol, model.params.read_bytes(), model.labels, said.fitting.size) as predictor:
        verdicts = [said.verdict(predictor.run(preparation.prepared(model, data))) for data in pictures]
    return [Scored(verdict["known_score"], verdict["known"]) for verdict in verdicts]
