"""MXNet's C API through ctypes: a network and its weights in, probabilities out.

The function carries libmxnet.so and not the `mxnet` package, whose import alone takes longer than all of this.
The calls are those of https://github.com/apache/mxnet/blob/1.9.1/include/mxnet/c_api.h. MXNet's smaller API for
predictions (c_predict_api.h) would copy every weight once more (benchmarks/README.md).
"""

import array
import contextlib
import ctypes
import functools
import importlib.util
import json
import math
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from . import params_file
from .limits import MEGABYTES_PER_VCPU

Params = bytes | memoryview

INPUT_NAME = "data"
_CPU = 1  # MXNet's device type
_M_MMAP_THRESHOLD = -3  # glibc's malloc.h
_FLOAT32, _UINT8, _INT8 = params_file.FLOAT32, 3, 5  # MXNet's numbers of the types
_CODES = "__codes__"  # the attribute of an int8 network's input: workshop.quantization

_uint, _handle = ctypes.c_uint32, ctypes.c_void_p
_uint_p, _int_p = ctypes.POINTER(ctypes.c_uint32), ctypes.POINTER(ctypes.c_int)
_handles, _names = ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_char_p)


class ModelError(ValueError):
    """The symbol, the weights and the labels do not make a model that can run; the message says which and why."""


def find_libmxnet() -> Path:
    """Where libmxnet.so is: beside this package in the artifact, else inside the installed `mxnet` package.

    Raises FileNotFoundError, which says what to install.
    """
    own = Path(__file__).resolve().parents[1] / "lib" / "libmxnet.so"
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
    return max(1, round(int(memory) / MEGABYTES_PER_VCPU)) if memory.isdecimal() else None


class _Buffer(ctypes.Structure):
    """Python's Py_buffer: https://docs.python.org/3/c-api/buffer.html"""

    _fields_ = (
        ("buf", ctypes.c_void_p), ("obj", ctypes.c_void_p), ("len", ctypes.c_ssize_t), ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int), ("ndim", ctypes.c_int), ("format", ctypes.c_char_p), ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p), ("suboffsets", ctypes.c_void_p), ("internal", ctypes.c_void_p),
    )  # fmt: skip


class _Tensor(ctypes.Structure):
    """DLPack's DLManagedTensor, which says where an array lies: https://dmlc.github.io/dlpack/latest/c_api.html"""

    _fields_ = (
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int), ("device_id", ctypes.c_int), ("ndim", ctypes.c_int),
        ("type_code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16), ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p), ("byte_offset", ctypes.c_uint64), ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )  # fmt: skip


_DLPACK_CPU, _DLPACK_FLOAT = 1, 2


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
    to = ctypes.POINTER
    library.MXGetLastError.restype = ctypes.c_char_p
    library.MXNDArrayLoadFromBuffer.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, to(_uint), to(_handles), to(_uint), to(_names),
    ]  # fmt: skip
    library.MXNDArrayFromDLPackEx.argtypes = [ctypes.c_void_p, ctypes.c_bool, to(_handle)]
    library.MXNDArrayCreateEx.argtypes = [_uint_p, _uint, *[ctypes.c_int] * 4, to(_handle)]
    library.MXNDArrayGetDType.argtypes = [_handle, _int_p]
    library.MXNDArrayGetData.argtypes = [_handle, to(ctypes.c_void_p)]
    library.MXNDArrayGetShapeEx.argtypes = [_handle, _int_p, to(_int_p)]
    library.MXNDArraySyncCopyFromCPU.argtypes = [_handle, ctypes.c_void_p, ctypes.c_size_t]
    library.MXNDArraySyncCopyFromNDArray.argtypes = [_handle, _handle, ctypes.c_int]
    library.MXNDArraySyncCopyToCPU.argtypes = [_handle, ctypes.c_void_p, ctypes.c_size_t]
    library.MXSymbolCreateFromJSON.argtypes = [ctypes.c_char_p, to(_handle)]
    library.MXSymbolListArguments.argtypes = [_handle, to(_uint), to(_names)]
    library.MXSymbolListAuxiliaryStates.argtypes = [_handle, to(_uint), to(_names)]
    library.MXExecutorBindEX.argtypes = [
        _handle, ctypes.c_int, ctypes.c_int, _uint, _names, _int_p, _int_p, _uint, _handles, _handles, _uint_p, _uint,
        _handles, _handle, to(_handle),
    ]  # fmt: skip
    library.MXExecutorForward.argtypes = [_handle, ctypes.c_int]
    library.MXExecutorOutputs.argtypes = [_handle, to(_uint), to(_handles)]
    for kind in ("MXNDArrayFree", "MXSymbolFree", "MXExecutorFree"):
        getattr(library, kind).argtypes = [_handle]
    library.MXListAllOpNames.argtypes = [to(_uint), to(_names)]
    # Registers the operators of MXNet's old kind (Pad, SwapAxis, SliceChannel, …), which crash a network until then.
    library.MXListAllOpNames(ctypes.byref(_uint()), ctypes.byref(_names()))
    return library


def _call(name: str, *arguments) -> None:
    library = load_library()
    if getattr(library, name)(*arguments) != 0:
        # The first line says what is wrong; a C++ stack trace follows it.
        reason = library.MXGetLastError().decode(errors="replace").strip().splitlines()
        raise ModelError(f"{name}: {reason[0] if reason else 'libmxnet gave no reason'}")


class Predictor:
    """A network bound to one input shape, ready to run.

    `symbol_json`: the network as MXNet saves it, input named `data`; one that takes codes of 8 bits instead of pixels
    says which (`workshop.quantization.with_lookup_table`). `params`: the weights as MXNet saves them, float32
    (float16 ones must be widened first), or a function that waits for them, called once the symbol is read; the
    predictor keeps the buffer and computes with it, where the file has the usual form. Of inputs that the file lacks,
    labels do not count, and `ones_<channels>`, the weights of an int8 network's identities (`workshop.quantization`),
    are 1. `labels`: one per class, in the order of the output.
    `size`: height and width of the input in pixels.

    Raises ModelError when they do not fit together, FileNotFoundError when libmxnet is missing.
    """

    def __init__(self, symbol_json: bytes, params: Params | Callable[[], Params], labels: list[str], size: int = 224):
        self.labels = list(labels)
        self.input_shape = (1, 3, size, size)
        self._lock = threading.Lock()
        self._frees = contextlib.ExitStack()
        self._executor: ctypes.c_void_p | None = None
        try:
            self._bind(symbol_json, params)
        except BaseException:
            self._frees.close()
            raise

    def _bind(self, symbol_json: bytes, params: Params | Callable[[], Params]) -> None:
        symbol = self._made("MXSymbolFree", "MXSymbolCreateFromJSON", symbol_json)
        self._codes = _codes(symbol_json)
        values = self._parameters(params() if callable(params) else params)
        self._pixels = self._array(self.input_shape, _INT8 if self._codes else _UINT8)
        self._input = self._pixels if self._codes else self._array(self.input_shape)
        values[INPUT_NAME] = self._input
        self._memory = ctypes.c_void_p()  # of the pixels; to fill it at once is quicker than by MXNet's engine
        _call("MXNDArrayGetData", self._pixels, ctypes.byref(self._memory))
        arguments, auxiliary = (
            [self._value(name, values) for name in _listed(lister, symbol)]
            for lister in ("MXSymbolListArguments", "MXSymbolListAuxiliaryStates")
        )
        count, states = len(arguments), len(auxiliary)
        executor = self._made(
            "MXExecutorFree", "MXExecutorBindEX", symbol, _CPU, 0, 0, None, None, None,
            count, (_handle * count)(*arguments), (_handle * count)(), (_uint * count)(),  # no gradients
            states, (_handle * states)(*auxiliary), None,
        )  # fmt: skip
        outputs, many = _handles(), _uint()
        _call("MXExecutorOutputs", executor, ctypes.byref(many), ctypes.byref(outputs))
        for index in range(many.value):
            self._frees.callback(_call, "MXNDArrayFree", outputs[index])
        self._outputs = [outputs[index] for index in range(many.value)]
        self.shapes = [_shape(output) for output in self._outputs]
        if self.shapes[0] != (1, len(self.labels)):
            raise ModelError(
                f"the network's output has shape {self.shapes[0]}, the labels are {len(self.labels)}: "
                "expected (1, number of labels), so symbol, weights and synset are not of one model"
            )
        self._executor = executor

    def _made(self, free: str, name: str, *arguments) -> ctypes.c_void_p:
        """What a call makes, to be freed at the end."""
        made = _handle()
        _call(name, *arguments, ctypes.byref(made))
        self._frees.callback(_call, free, made)
        return made

    def _array(self, shape: tuple[int, ...], dtype: int = _FLOAT32) -> ctypes.c_void_p:
        dimensions = (_uint * len(shape))(*shape)
        return self._made("MXNDArrayFree", "MXNDArrayCreateEx", dimensions, len(shape), _CPU, 0, 0, dtype)

    def _parameters(self, params: Params) -> dict[str, ctypes.c_void_p]:
        """The file's arrays by name, without the `arg:` and `aux:` that MXNet puts before each."""
        view = memoryview(params).cast("B")
        layout = params_file.layout(view)
        if layout is None:
            with _address(params) as start:
                return self._copied_parameters(start, view.nbytes)
        start = self._frees.enter_context(_address(params))  # held until the arrays there are freed
        values = {}
        for name, shape, offset in layout:
            dimensions = (ctypes.c_int64 * len(shape))(*shape)
            tensor = _Tensor(
                start + offset, _DLPACK_CPU, 0, len(shape), _DLPACK_FLOAT, 32, 1, ctypes.addressof(dimensions)
            )
            values[name] = self._made("MXNDArrayFree", "MXNDArrayFromDLPackEx", ctypes.byref(tensor), True)
        return values

    def _copied_parameters(self, start: int, size: int) -> dict[str, ctypes.c_void_p]:
        """As MXNet itself reads them, whatever form its file has. Raises ModelError for what is none."""
        count, arrays, named, names = _uint(), _handles(), _uint(), _names()
        _call(
            "MXNDArrayLoadFromBuffer", start, size,
            ctypes.byref(count), ctypes.byref(arrays), ctypes.byref(named), ctypes.byref(names),
        )  # fmt: skip
        handles = [ctypes.c_void_p(arrays[index]) for index in range(count.value)]
        for handle in handles:
            self._frees.callback(_call, "MXNDArrayFree", handle)
        values = {names[index].decode().partition(":")[2]: handles[index] for index in range(named.value)}
        for name, handle in values.items():
            dtype = ctypes.c_int()
            _call("MXNDArrayGetDType", handle, ctypes.byref(dtype))
            if dtype.value != _FLOAT32:
                raise ModelError(f"the parameter {name} is not float32: widen the params file first")
        return values

    def _value(self, name: str, values: dict[str, ctypes.c_void_p]) -> ctypes.c_void_p:
        """The array of one of the network's inputs. Raises ModelError for a parameter that the file lacks."""
        if name in values:
            return values[name]
        if name.endswith("label"):
            return self._array((1,))
        ones = re.fullmatch(r"ones_([0-9]+)", name)
        if not ones:
            raise ModelError(f"the params file lacks {name}: symbol and weights are not of one model")
        count = int(ones[1])
        array = self._array((count, 1, 1, 1))
        _call("MXNDArraySyncCopyFromCPU", array, (ctypes.c_float * count)(*[1.0] * count), count)
        return array

    def predict(self, batch) -> array.array:
        """Run the network once.

        `batch`: anything with Python's buffer interface (a memoryview, a NumPy array) that holds uint8
        (1, 3, size, size), C-contiguous, RGB. Returns float32 (classes,), what the network's output says: for
        a softmax, probabilities. Raises ValueError for another shape or dtype.
        """
        return self.run(batch)[0]

    def run(self, batch) -> list[array.array]:
        """`predict`, with every output that the network has: float32, of `shapes`, as flat arrays."""
        view = memoryview(batch)
        if view.shape != self.input_shape or view.format != "B" or not view.c_contiguous:
            raise ValueError(f"expected C-contiguous uint8 {self.input_shape}, got {view.format!r} {view.shape}")
        planes = view.tobytes()
        if self._codes:
            plane = len(planes) // 3
            planes = b"".join(
                planes[channel * plane : (channel + 1) * plane].translate(codes)
                for channel, codes in enumerate(self._codes)
            )
        outputs = [array.array("f", bytes(4 * math.prod(shape))) for shape in self.shapes]
        with self._lock:  # one executor has one input: two threads would mix theirs
            if not self._executor:
                raise ValueError("this predictor is closed")
            ctypes.memmove(self._memory, planes, len(planes))
            if not self._codes:
                _call("MXNDArraySyncCopyFromNDArray", self._input, self._pixels, -1)  # to float32
            _call("MXExecutorForward", self._executor, 0)
            for handle, output in zip(self._outputs, outputs, strict=True):
                _call("MXNDArraySyncCopyToCPU", handle, output.buffer_info()[0], len(output))
        return outputs

    def close(self) -> None:
        """Free the network's memory; `predict` raises ValueError from then on. Closing twice is fine."""
        with self._lock:
            self._executor = None
            self._frees.close()

    def __enter__(self) -> "Predictor":
        return self

    def __exit__(self, *_exception) -> None:
        self.close()


def _codes(symbol_json: bytes) -> list[bytes] | None:
    """For each of 256 values of a pixel the 8 bits that the network takes instead, per channel; None: it takes pixels.

    Raises ModelError for anything else.
    """
    attributes = {node["name"]: node.get("attrs", {}) for node in json.loads(symbol_json)["nodes"]}
    written = attributes.get(INPUT_NAME, {}).get(_CODES)
    if written is None:
        return None
    codes = bytes.fromhex(written) if re.fullmatch(r"([0-9a-fA-F]{2})*", written) else b""
    if len(codes) != 3 * 256:
        raise ModelError(f"the symbol's {_CODES} are not 256 bytes for each of 3 channels, in hexadecimal digits")
    return [codes[start : start + 256] for start in range(0, len(codes), 256)]


def _shape(array: ctypes.c_void_p) -> tuple[int, ...]:
    dimensions, shape = ctypes.c_int(), _int_p()
    _call("MXNDArrayGetShapeEx", array, ctypes.byref(dimensions), ctypes.byref(shape))
    return tuple(shape[: dimensions.value])


def _listed(lister: str, symbol: ctypes.c_void_p) -> list[str]:
    count, names = _uint(), _names()
    _call(lister, symbol, ctypes.byref(count), ctypes.byref(names))
    return [names[index].decode() for index in range(count.value)]


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
