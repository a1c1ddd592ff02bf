"""A small network for the tests of the function."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from workshop import emulator_record


@dataclass(frozen=True)
class TinyModel:
    """A network of random weights over float32 (1, 3, 224, 224), its files' contents, and the Module that made it."""

    symbol: bytes
    params: bytes
    labels: list[str]
    module: object

    @property
    def files(self) -> dict[str, bytes]:
        """The model's files and their manifest, by name."""
        synset = "\n".join(self.labels) + "\n"
        files = {
            "model-symbol.json": self.symbol,
            "model-0000.params": self.params,
            "model-synset.txt": synset.encode(),
        }
        lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()]
        return files | {"SHA256SUMS": "".join(lines).encode()}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """Two convolutions, batch normalisation and a softmax over 4 classes; a prediction takes about a millisecond."""
    import mxnet as mx

    mx.random.seed(5)
    x = mx.sym.BatchNorm(mx.sym.Variable("data"), name="bn_data", fix_gamma=True, eps=2e-5)
    x = mx.sym.Convolution(x, name="conv0", num_filter=4, kernel=(7, 7), stride=(8, 8), no_bias=True)
    x = mx.sym.Activation(mx.sym.BatchNorm(x, name="bn0", fix_gamma=False), name="relu0", act_type="relu")
    x = mx.sym.Pooling(x, kernel=(7, 7), global_pool=True, pool_type="avg")
    x = mx.sym.FullyConnected(mx.sym.Flatten(x, name="flatten0"), name="fc1", num_hidden=4)
    module = mx.mod.Module(mx.sym.SoftmaxOutput(x, name="softmax"))
    module.bind([("data", (1, 3, 224, 224))], [("softmax_label", (1,))], for_training=False)
    module.init_params(mx.init.Xavier(magnitude=0.05))
    prefix = str(tmp_path_factory.mktemp("tiny") / "model")
    module.save_checkpoint(prefix, 0)
    symbol, params = Path(f"{prefix}-symbol.json").read_bytes(), Path(f"{prefix}-0000.params").read_bytes()
    labels = ["n01440764 tench", "n02102040 English springer", "n03028079 church", "n03445777 golf ball"]
    return TinyModel(symbol, params, labels, module)


def record(folder: Path, process: int, port: int) -> None:
    """Write the record of an emulator, as `workshop.emulator` does."""
    written = {"pid": process, "started": psutil.Process(process).create_time(), "port": port, "fingerprint": ""}
    (folder / str(port)).mkdir()
    (folder / str(port) / emulator_record.RECORD).write_text(json.dumps(written), encoding="utf-8")


@pytest.fixture
def running_emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """The port of a process that listens and has the record of an emulator; the folder has no other."""
    monkeypatch.setattr(emulator_record, "FOLDER", tmp_path)
    script = (
        "import socket, time; listener = socket.create_server(('127.0.0.1', 0))\n"
        "print(listener.getsockname()[1], flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        record(tmp_path, process.pid, port)
        yield port
        process.kill()
