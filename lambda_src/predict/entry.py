"""What Lambda imports first: the model is under way while the handler's own imports run.

Importing this module starts the decoder's process and the loading; every other module is imported without consequences.
"""

import gc

gc.disable()  # what is imported stays: looking for garbage among it takes a seventh of the imports' time

import dataclasses  # noqa: E402, F401  the child's imports and the parent's need it: before the fork it is imported once
from concurrent.futures import wait  # noqa: E402

from . import decoder, model_store, snapshot  # noqa: E402

decoder.SHARED.start()  # forked while there are no threads yet
loading = model_store.load_ahead()

from .lambda_function import lambda_handler  # noqa: E402, F401

gc.freeze()
gc.enable()

# Lambda stops such an environment after this import: until somebody asks, or to copy it.
if snapshot.initialization() in snapshot.WAITING:
    wait([loading])
if snapshot.is_taken():
    snapshot.register(decoder.SHARED)
