"""A progress bar for long work in a notebook."""

import sys

from tqdm import tqdm


def progress(steps, **options) -> tqdm:
    """A progress bar that a notebook keeps as one line of text, gone when it is done."""
    return tqdm(steps, file=sys.stdout, ncols=100, leave=False, **options)
