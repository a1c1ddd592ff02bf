"""SnapStart: Lambda initialises one environment of a version, freezes it, and starts all others from that snapshot.

What may be in all of them once is in the snapshot: the imports, and the model in memory. What belongs to one alone is
ended before, and made again after: the decoder's process, the thread that loads, and the state of `random`.
Credentials are asked for when they are needed (`credentials`), and all clocks are read within a request.
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html
"""

import os
import random

from . import model_store
from .decoder import DecoderProcess

RESTORED = "restored"  # what `cold_start` says of the first request after a restore
WAITING = ("provisioned-concurrency", "snap-start")


def initialization() -> str:
    """Why Lambda initialises this environment: "on-demand", "provisioned-concurrency" or "snap-start"."""
    return os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")


def is_taken() -> bool:
    """Whether this environment is one of a snapshot."""
    return initialization() == "snap-start"


def register(decoder: DecoderProcess) -> None:
    """Have Lambda's runtime call what ends and makes again. Raises ImportError on a runtime before python3.12."""
    import snapshot_restore_py as runtime  # type: ignore[import-not-found]  # which brings it along

    runtime.register_before_snapshot(before, decoder)
    runtime.register_after_restore(after, decoder)


def before(decoder: DecoderProcess) -> None:
    """Called once, when the initialization is over: the model is taken in, and no process or thread is left."""
    model_store.settle()
    decoder.stop()


def after(decoder: DecoderProcess) -> None:
    """Called in each environment that starts from the snapshot, within 10 s. A model that is missing is loaded anew."""
    random.seed()  # all environments would draw the same numbers
    decoder.start()
    if model_store.present_model() is None:
        model_store.load_ahead()
