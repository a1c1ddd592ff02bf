"""What the benchmarks of serving need: the variants, their packages, the model store's files, the events.

Everything made goes into `.build/bench`, and is made again when what it is made from has changed.
"""

import base64
import compileall
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from benchmarks import goals
from predict import images
from workshop import models, together
from workshop.deployment import build, parameters

BENCHMARKS = Path(__file__).resolve().parent
ROOT = BENCHMARKS.parent
WORK = ROOT / ".build" / "bench"
ARTIFACT = ROOT / ".build" / "sam" / "Predict"
BUCKET, PREFIX = "store", "models/practice"
STORE = WORK / "store" / BUCKET / PREFIX
GRAIN = 12  # standard deviation, of 255: it makes the bytes of a drawn picture as many as a photograph's
SMALL, LARGE = (500, 375), (4000, 3000)
CALIBRATION = 256  # training pictures for ONNX Runtime's int8


@dataclass(frozen=True)
class Variant:
    """One way to serve the model: a handler, its packages, its environment; `cold`: whether it is started cold, too."""

    handler: str
    package: str
    environment: dict[str, str] = field(default_factory=dict)
    cold: bool = True


class _Template(yaml.SafeLoader):
    """YAML with CloudFormation's short functions, which are not read."""


_Template.add_multi_constructor("!", lambda loader, suffix, node: None)


def our_handler() -> str:
    """The handler that template.yml gives to Lambda."""
    template = yaml.load((ROOT / "template.yml").read_text(), _Template)
    return template["Resources"]["Predict"]["Properties"]["Handler"]


OURS, OURS_INT8, PER_REQUEST, MODULE = goals.OURS, goals.OURS_INT8, goals.PER_REQUEST, goals.MODULE
VARIANTS = {
    OURS: Variant(our_handler(), "artifact"),
    OURS_INT8: Variant(our_handler(), "artifact", {"MODEL_SYMBOL_FILE_NAME": "model-int8-symbol.json"}),
    PER_REQUEST: Variant("peers.mxnet_per_request.handler", "mxnet"),
    MODULE: Variant("peers.mxnet_module.handler", "mxnet"),
    goals.ORT: Variant("peers.onnx_runtime.handler", "onnxruntime", {"PEER_NETWORK": "resnet-18.onnx"}),
    goals.ORT_INT8: Variant("peers.onnx_runtime.handler", "onnxruntime", {"PEER_NETWORK": "resnet-18-int8.onnx"}),
    goals.OPENCV: Variant("peers.opencv_dnn.handler", "mxnet", cold=False),
    goals.PYTORCH: Variant("peers.pytorch.handler", "pytorch", cold=False),
}


def prepare(data: Path | None, only_cold: bool = False) -> None:
    """The artifact, the peers' packages and the model store's folder, where they are missing or out of date.

    `only_cold`: without the packages of peers whose cold start is not measured.
    """
    build_artifact()
    needed = {variant.package for variant in VARIANTS.values() if variant.cold or not only_cold}
    for package in sorted(needed - {"artifact"} | {"convert"}):
        install(package)
    fill_store(data)


def build_artifact() -> None:
    """The function's artifact, where it is missing or out of date; the peers' own files are compiled, too."""
    WORK.mkdir(parents=True, exist_ok=True)
    sources = hashlib.sha256()
    for file in [ROOT / "template.yml", ROOT / "buildspec.yml", *sorted((ROOT / "lambda_src").rglob("*"))]:
        if file.is_file() and "__pycache__" not in file.parts:
            sources.update(file.read_bytes())
    built_from = WORK / "artifact.sha256"
    if not ARTIFACT.is_dir() or not built_from.exists() or built_from.read_text() != sources.hexdigest():
        print("building the artifact", flush=True)
        target = ROOT / parameters.BUILT_FOR_FILE
        if not target.exists():  # nothing was deployed from here: for the Python and the processor that measure it
            here = f"python{sys.version_info.major}.{sys.version_info.minor}"
            target.parent.mkdir(exist_ok=True)
            target.write_text(json.dumps({"Runtime": here, "Architecture": together.HERE}) + "\n")
        build.run_phase("build", dict(os.environ))
        built_from.write_text(sources.hexdigest())
    compileall.compile_dir(BENCHMARKS / "peers", quiet=2)


def install(package: str) -> None:
    """What `requirements/<package>.txt` names, for this Python, into a folder of its own.

    MXNet gets the names that it misses on newer Pythons, as it has them in the workbook.
    """
    requirements, folder = BENCHMARKS / "requirements" / f"{package}.txt", WORK / package
    stamp, made_from = folder / "made-from.txt", f"{sys.version_info[:2]}\n{requirements.read_text()}"
    if stamp.exists() and stamp.read_text() == made_from:
        return
    print(f"installing {package}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "-r", str(requirements)]
    subprocess.run(command + ["--no-deps"] * (package == "mxnet"), check=True)
    if package == "mxnet":
        shutil.copy(ROOT / "compatibility" / "mxnet_names.py", folder)
        (folder / "sitecustomize.py").write_text("import mxnet_names\n")  # a .pth counts in an environment alone
    stamp.write_text(made_from)


def fill_store(data: Path | None) -> None:
    """The practice model as the lab stores it, and the same weights as ONNX; int8 by ONNX Runtime given data."""
    shutil.rmtree(WORK / "store", ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        shutil.copytree(models.fetch("practice", Path(folder)).folder, STORE)
    for file in converted(data).glob("*.onnx"):
        shutil.copy(file, STORE)
    files = [file for file in sorted(STORE.iterdir()) if file.name != models.MANIFEST]
    (STORE / models.MANIFEST).write_text("".join(f"{models.sha256(file)}  {file.name}\n" for file in files))


def converted(data: Path | None) -> Path:
    """The folder of the ONNX files, made where they are missing or out of date."""
    folder = WORK / "onnx"
    stamp = folder / "made-from.txt"
    found = stamp.read_text() if stamp.exists() else ""
    sources = models.sha256(STORE / models.PARAMS) + models.sha256(BENCHMARKS / "peers" / "convert.py")
    if found == f"{sources} int8" or (found == sources and not data):
        return folder
    print("converting the model", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    arguments = [str(STORE), str(folder)]
    if data:
        arguments.append(str(folder / "calibration.npy"))
        np.save(arguments[-1], np.concatenate([pixels(file) for file, _ in pictures(data / "train", CALIBRATION)]))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{WORK / 'convert'}:{BENCHMARKS}"}
    subprocess.run([sys.executable, "-m", "peers.convert", *arguments], env=environment, check=True)
    stamp.write_text(sources + (" int8" if data else ""))
    return folder


def pictures(folder: Path, most: int | None = None) -> list[tuple[Path, str]]:
    """The labelled pictures of `folder` (a sub-folder per class, named by wnid), or `most` of them drawn at random."""
    wnids = {line.split()[0] for line in (models.PRACTICE / models.SYNSET).read_text().splitlines()}
    found = [(file, file.parent.name) for file in sorted(folder.glob("*/*")) if file.parent.name in wnids]
    if not found:
        raise SystemExit(f"{folder} has no folders of pictures named {', '.join(sorted(wnids))[:30]}…")
    return random.Random(1).sample(found, most) if most else found


def pixels(file: Path) -> np.ndarray:
    """A picture as the function prepares it, uint8 (1, 3, 224, 224)."""
    return np.asarray(images.network_input(file.read_bytes()))


def drawn(size: tuple[int, int]) -> bytes:
    """A JPEG of that size: a sample of the lab's with the grain of a photograph."""
    from PIL import Image

    image = Image.open(ROOT / "notebooks" / "samples" / "church.jpg").convert("RGB").resize(size)
    grain = np.random.default_rng(1).normal(0, GRAIN, (size[1], size[0], 1))
    noisy = Image.fromarray(np.clip(np.asarray(image, np.float32) + grain, 0, 255).astype(np.uint8))
    jpeg = io.BytesIO()
    noisy.save(jpeg, "JPEG", quality=75)
    return jpeg.getvalue()


def event(image: bytes) -> dict:
    """An API Gateway event that posts an image."""
    return {
        "httpMethod": "POST",
        "path": "/predict",
        "headers": {"Content-Type": "image/jpeg"},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"requestId": "00000000-0000-0000-0000-000000000000"},
        "body": base64.b64encode(image).decode(),
        "isBase64Encoded": True,
    }


def event_file(size: tuple[int, int]) -> str:
    file = WORK / f"event-{size[0]}x{size[1]}.json"
    if not file.exists():
        file.write_text(json.dumps(event(drawn(size))))
    return str(file)
