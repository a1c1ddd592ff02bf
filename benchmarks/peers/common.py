"""What every peer does the same way: the event's picture, the model store through boto3, the answer."""

import base64
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

TOP = 5


def picture(event: dict) -> bytes:
    """The bytes of the picture that the event brings."""
    return base64.b64decode(event["body"])


def download(*names: str) -> dict[str, bytes]:
    """The model's files from the store, at once, each held to the manifest beside them, as the lab's function does."""
    bucket, prefix = os.environ["MODEL_STORE_BUCKET_NAME"], os.environ["MODEL_STORE_PREFIX"]
    client = boto3.client("s3", config=Config(retries={"total_max_attempts": 2}))

    def get(name: str) -> bytes:
        return client.get_object(Bucket=bucket, Key=f"{prefix}/{name}")["Body"].read()

    wanted = ["SHA256SUMS", *names]
    with ThreadPoolExecutor(len(wanted)) as pool:
        files = dict(zip(wanted, pool.map(get, wanted), strict=True))
    lines = files.pop("SHA256SUMS").decode().splitlines()
    sums = {name: digest for digest, name in (line.split() for line in lines)}
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != sums[name]:
            raise ValueError(f"{name} is damaged")
    return files


def labels(synset: bytes) -> list[str]:
    return synset.decode().splitlines()


def answer(probabilities, names: list[str]) -> dict:
    """The best classes, as the lab's function answers them."""
    best = sorted(zip(probabilities.tolist(), names, strict=True), reverse=True)[:TOP]
    predictions = [{"class": name, "probability": probability} for probability, name in best]
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps({"predictions": predictions}),
    }


def pillow_input(data: bytes):
    """uint8 JPEG bytes to float32 (1, 3, 224, 224), with Pillow: squashed, or a square of `PEER_CROP` of a side."""
    import io

    import numpy as np
    from PIL import Image, ImageOps

    image = Image.open(io.BytesIO(data)).convert("RGB")
    if fraction := float(os.environ.get("PEER_CROP", "0")):
        image = ImageOps.fit(image, (224, 224), bleed=(1 - fraction) / 2)
    else:
        image = image.resize((224, 224))
    return np.asarray(image, np.float32).transpose(2, 0, 1)[None].copy()


def opencv_input(data: bytes):
    """JPEG bytes to float32 (1, 3, 224, 224), with OpenCV, as the original lab did."""
    import cv2
    import numpy as np

    image = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return cv2.resize(image, (224, 224)).astype(np.float32).transpose(2, 0, 1)[None].copy()
