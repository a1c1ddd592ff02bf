"""The processes of the benchmarks of serving: the model store's, and one for each variant."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

from benchmarks import preparation
from benchmarks.preparation import ARTIFACT, BENCHMARKS, BUCKET, PREFIX, ROOT, VARIANTS
from predict.limits import MEGABYTES_PER_VCPU
from workshop import models

PYTHON = ROOT / ".venv-emulator" / "bin" / "python"


@contextmanager
def running_store() -> Iterator[tuple[str, int]]:
    """The model store's address and process id."""
    command = [sys.executable, str(BENCHMARKS / "store.py"), str(preparation.WORK / "store")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        stdin, stdout = pipes(process)
        yield f"http://127.0.0.1:{int(stdout.readline())}", process.pid
        stdin.close()


def pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    """Standard input and output of a process that was started with both as pipes."""
    assert process.stdin is not None and process.stdout is not None
    return process.stdin, process.stdout


class Child:
    """A process of one variant; `ask` sends it one command. `core`: the only one it may use."""

    def __init__(
        self,
        name: str,
        endpoint: str,
        threads: int = 1,
        more: dict[str, str] | None = None,
        core: int | None = None,
        python: Path = PYTHON,
    ):
        variant = VARIANTS[name]
        ours = variant.package == "artifact"
        environment = {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ARTIFACT) if ours else f"{preparation.WORK / variant.package}:{BENCHMARKS}",
            "PYTHONDONTWRITEBYTECODE": "1",  # Lambda's /var/task cannot be written
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_LAMBDA_FUNCTION_NAME": "predict",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEGABYTES_PER_VCPU * threads),
            "MODEL_STORE_BUCKET_NAME": BUCKET,
            "MODEL_STORE_PREFIX": PREFIX,
            "MODEL_PARAMS_FILE_NAME": models.PARAMS,
            "MODEL_SYMBOL_FILE_NAME": models.SYMBOL,
            "MODEL_SYNSET_FILE_NAME": models.SYNSET,
            # The function derives its threads from its memory; the peers are told.
            **({} if ours else {"OMP_NUM_THREADS": str(threads), "OPENCV_FOR_THREADS_NUM": str(threads)}),
            **variant.environment,
            **(more or {}),
        }
        self.name = name
        self.log = tempfile.TemporaryFile("w+", dir=preparation.WORK)  # noqa: SIM115  a pipe would fill
        command = [str(python), "-P", "-W", "ignore", str(BENCHMARKS / "child.py"), variant.handler]
        self.process = subprocess.Popen(
            [*command, repr(time.monotonic()), *([] if core is None else [str(core)])],
            env=environment,
            text=True,
            cwd=preparation.WORK,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        self.stdin, self.stdout = pipes(self.process)

    def ask(self, **command: Any) -> dict[str, Any]:
        """The answer to one command. Raises RuntimeError where the process ended or the handler's status is not 200."""
        self.stdin.write(json.dumps(command) + "\n")
        self.stdin.flush()
        line = self.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f"{self.name} ended: {self.log.read()[-3000:]}")
        result = json.loads(line)
        if result.get("answer", {"statusCode": 200})["statusCode"] != 200:
            raise RuntimeError(f"{self.name} answered {result['answer']}")
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.process.kill()
        self.process.wait()
        self.stdin.close()
        self.stdout.close()
        self.log.close()
