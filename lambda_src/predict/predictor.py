"""MXNet's C predict API through ctypes: a network and its weights in, probabilities out.

The function carries libmxnet.so and not the `mxnet` package, whose import alone takes longer than all of this.
The calls are those of https://github.com/apache/mxnet/blob/1.9.1/include/mxnet/c_predict_api.h
"""

import array
import contextlib
import ctypes
import functools
import importlib.util
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

INPUT_NAME = "data"
_CPU = 1  # MXNet's device type
_M_MMAP_THRESHOLD = -3  # glibc's malloc.h
# Memory at which Lambda gives a function one whole vCPU; more comes in proportion.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
_MEGABYTES_PER_VCPU = 1769

_uint = ctypes.c_uint32
_uint_p = ctypes.POINTER(ctypes.c_uint32)
_float_p = ctypes.POINTER(ctypes.c_float)


class ModelError(ValueError):
    """The symbol, the weights and the labels do not make a model that can run; the message says which and why."""


def find_libmxnet() -> Path:
    """Where libmxnet.so is: beside this module in the artifact, else inside the installed `mxnet` package.

    Raises FileNotFoundError, which says what to install.
    """
    own = Path(__file__).resolve().parent / "lib" / "libmxnet.so"
    if own.is_file():
        return own
    spec = importlib.util.find_spec("mxnet")  # finds the package without running it
    for folder in (spec.submodule_search_locations or []) if spec else []:
        installed = Path(folder) / "libmxnet.so"
        if installed.is_file():
            return installed
    raise FileNotFoundError(
        f"libmxnet.so is neither in {own.parent} nor in an installed mxnet package; "
        "build the artifact (make deploy) or install the workbook's requirements (mxnet 1.9.1)"
    )


def thread_count(environ: Mapping[str, str]) -> int | None:
    """How many OpenMP threads to ask for: one for each vCPU that Lambda's memory setting buys, at least one.

    None where `OMP_NUM_THREADS` is set already, or where this is not Lambda.
    """
    if environ.get("OMP_NUM_THREADS"):
        return None
    memory = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    return max(1, round(int(memory) / _MEGABYTES_PER_VCPU)) if memory.isdecimal() else None


class _Buffer(ctypes.Structure):
    """Python's Py_buffer: https://docs.python.org/3/c-api/buffer.html"""

    _fields_ = (
        ("buf", ctypes.c_void_p), ("obj", ctypes.c_void_p), ("len", ctypes.c_ssize_t), ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int), ("ndim", ctypes.c_int), ("format", ctypes.c_char_p), ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p), ("suboffsets", ctypes.c_void_p), ("internal", ctypes.c_void_p),
    )  # fmt: skip


@contextlib.contextmanager
def _address(data) -> Iterator[int]:
    """The address of a buffer's bytes, writable or not, while it is held: ctypes itself would copy what is not."""
    view = _Buffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(data), ctypes.byref(view), 0)
    try:
        yield view.buf
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))


@functools.cache
def load_library() -> ctypes.CDLL:
    """Load libmxnet, at the first call; other Python threads go on meanwhile. Raises OSError where it does not load."""
    threads = thread_count(os.environ)
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # libgomp reads it once, while the library loads
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")  # a line on stderr per network, of use to nobody here
    path = str(find_libmxnet())
    # ctypes.CDLL alone would hold Python's lock for as long as loading takes, and look up 27,000 functions beforehand.
    loader = ctypes.CDLL(None)
    if hasattr(loader, "mallopt"):  # glibc's: freed weights go back to the system instead of staying in its heap
        loader.mallopt(_M_MMAP_THRESHOLD, 1 << 20)
    loader.dlopen.argtypes, loader.dlopen.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
    loader.dlerror.restype = ctypes.c_char_p
    opened = loader.dlopen(os.fsencode(path), os.RTLD_LAZY | os.RTLD_LOCAL)
    if not opened:
        raise OSError(os.fsdecode(loader.dlerror() or b"libmxnet does not load"))
    library = ctypes.CDLL(path, handle=opened)
    handle = ctypes.c_void_p
    library.MXGetLastError.restype = ctypes.c_char_p
    library.MXPredCreate.argtypes = [
        ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, _uint,
        ctypes.POINTER(ctypes.c_char_p), _uint_p, _uint_p, ctypes.POINTER(handle),
    ]  # fmt: skip
    library.MXPredSetInput.argtypes = [handle, ctypes.c_char_p, ctypes.c_void_p, _uint]
    library.MXPredForward.argtypes = [handle]
    library.MXPredGetOutputShape.argtypes = [handle, _uint, ctypes.POINTER(_uint_p), _uint_p]
    library.MXPredGetOutput.argtypes = [handle, _uint, _float_p, _uint]
    library.MXPredFree.argtypes = [handle]
    return library


def _call(name: str, *arguments) -> None:
    library = load_library()
    if getattr(library, name)(*arguments) != 0:
        # The first line says what is wrong; a C++ stack trace follows it.
        reason = library.MXGetLastError().decode(errors="replace").strip().splitlines()
        raise ModelError(f"{name}: {reason[0] if reason else 'libmxnet gave no reason'}")


class Predictor:
    """A network bound to one input shape, ready to run.

    `symbol_json`: the network as MXNet saves it, input named `data`. `params`: the weights as MXNet saves them, float32
    (float16 ones must be widened first: the C predict API refuses them). `labels`: one per class, in the order of the
    output. `size`: height and width of the input in pixels.

    Raises ModelError when they do not fit together, FileNotFoundError when libmxnet is missing.
    """

    def __init__(self, symbol_json: bytes, params: bytes | memoryview, labels: list[str], size: int = 224):
        self.labels = list(labels)
        self.input_shape = (1, 3, size, size)
        self._lock = threading.Lock()
        self._handle = ctypes.c_void_p()
        with _address(params) as weights:
            _call(
                "MXPredCreate",
                symbol_json,
                weights,
                memoryview(params).nbytes,
                _CPU,
                0,
                1,
                (ctypes.c_char_p * 1)(INPUT_NAME.encode()),
                (_uint * 2)(0, len(self.input_shape)),
                (_uint * len(self.input_shape))(*self.input_shape),
                ctypes.byref(self._handle),
            )
        shape, dimensions = _uint_p(), _uint()
        _call("MXPredGetOutputShape", self._handle, 0, ctypes.byref(shape), ctypes.byref(dimensions))
        output_shape = tuple(shape[: dimensions.value])
        if output_shape != (1, len(self.labels)):
            self.close()
            raise ModelError(
                f"the network's output has shape {output_shape}, the labels are {len(self.labels)}: "
                "expected (1, number of labels), so symbol, weights and synset are not of one model"
            )

    def predict(self, batch) -> array.array:
        """Run the network once.

        `batch`: anything with Python's buffer interface (a memoryview, a NumPy array) that holds float32
        (1, 3, size, size), C-contiguous, RGB, 0 to 255. Returns float32 (classes,), what the network's output says: for
        a softmax, probabilities. Raises ValueError for another shape or dtype.
        """
        view = memoryview(batch)
        if view.shape != self.input_shape or view.format != "f" or not view.c_contiguous:
            came = f"format {view.format!r} {view.shape}"
            raise ValueError(f"expected C-contiguous float32 {self.input_shape}, got {came}")
        output = array.array("f", bytes(4 * len(self.labels)))
        address = ctypes.cast(output.buffer_info()[0], _float_p)
        with self._lock, _address(view) as pixels:  # one handle holds one input: two threads would mix theirs
            if not self._handle:
                raise ValueError("this predictor is closed")
            _call("MXPredSetInput", self._handle, INPUT_NAME.encode(), pixels, math.prod(self.input_shape))
            _call("MXPredForward", self._handle)
            _call("MXPredGetOutput", self._handle, 0, address, len(output))
        return output

    def close(self) -> None:
        """Free the network's memory; `predict` raises ValueError from then on. Closing twice is fine."""
        with self._lock:
            if self._handle:
                handle, self._handle = self._handle, ctypes.c_void_p()
                _call("MXPredFree", handle)

    def __enter__(self) -> "Predictor":
        return self

    def __exit__(self, *_exception) -> None:
        self.close()


def rank(probabilities: Sequence[float], labels: list[str], top: int) -> list[dict]:
    """The `top` most probable classes, most probable first, as `{"class": label, "probability": float}`.

    `probabilities`: numbers, one per label. Equal ones keep the order of `labels`. Fewer classes than `top`: all of
    them. Raises ValueError when there is not one label per probability, or a value is not finite.
    """
    if len(probabilities) != len(labels):
        raise ValueError(f"expected {len(labels)} probabilities, one per label, got {len(probabilities)}")
    if not all(map(math.isfinite, probabilities)):
        raise ValueError("a probability is not finite: the weights or the input are damaged")
    order = sorted(range(len(labels)), key=lambda index: -probabilities[index])[:top]
    return [{"class": labels[index], "probability": float(probabilities[index])} for index in order]
