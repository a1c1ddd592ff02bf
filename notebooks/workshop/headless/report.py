"""The run's report: one HTML page without scripts and with its image inside, so that it can be sent as one file."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from predict.limits import UNZIPPED_BYTES
from workshop import ROOT
from workshop.client import hello_url
from workshop.models import PRACTICE
from workshop.samples import sample_path
from workshop.scale.inbox import INBOX

if TYPE_CHECKING:
    from workshop.headless.run import Run
    from workshop.lab import Lab

PACKAGE = ROOT / ".build" / "sam" / "Predict"
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def facts(lab: Lab) -> dict[str, Any]:
    """The deployed stack: its URLs, its resources by kind, and the function as Lambda describes it."""
    cloudformation, name = lab.client("cloudformation"), lab.app_stack
    outputs = lab.outputs(name)
    resources = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    kinds = Counter(one["ResourceType"] for page in resources for one in page["StackResourceSummaries"])
    function = lab.client("lambda").get_function_configuration(FunctionName=outputs["PredictFunction"])
    return {
        "front_page": hello_url(lab),
        "inbox": f"s3://{outputs['InboxBucket']}/{INBOX}" if "InboxBucket" in outputs else "",
        "stack": name,
        "resources": dict(sorted(kinds.items())),
        "function": {key: function[key] for key in ("Runtime", "MemorySize", "Timeout", "CodeSize")},
        "unzipped": sum(file.stat().st_size for file in PACKAGE.rglob("*") if file.is_file()),
    }


def without_places(text: str) -> str:
    """The text without colour codes and without this machine's paths."""
    return ANSI.sub("", text).replace(str(ROOT), ".").replace(f"{Path.home()}/", "~/")


def card(model: str) -> dict | None:
    """The measured results of the shipped model; None for any other."""
    return json.loads((PRACTICE / "results.json").read_text(encoding="utf-8")) if model == "practice" else None


def model_facts(model: dict[str, Any]) -> dict[str, str]:
    """A model's facts from an answer's `model`, in the words of the report; {} where it has none."""
    said = model.get("input", {})
    fit = "its middle square" if said.get("fit") == "centre-crop" else "the whole image, squashed"
    facts = {
        "Network": model.get("architecture"),
        "Classes": f"{model['classes']:,}" if "classes" in model else None,
        "Input": f"{fit}, at {said['size']} × {said['size']} pixels" if said else None,
        "Licence": model.get("licence"),
        "Not for": model.get("not_for"),
    }
    return {name: text for name, text in facts.items() if text}


def write(run: Run, folder: Path) -> Path:
    """Write `report.html` into the run's folder, beside the notebooks' pages that it links."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = without_places
    model = run.prediction.get("model", {}).get("name", "")
    steps = run.prediction.get("timings_ms", {})
    page = environment.get_template("report.html.jinja").render(
        run=run,
        pages={result.name: f"{Path(result.name).stem}.html" for result in run.results},
        exists=lambda name: (folder / name).exists(),
        failed=next((result for result in run.results if result.error), None),
        longest=max((result.seconds for result in run.results), default=0) or 1,
        card=card(model),
        said=model_facts(run.prediction.get("model", {})),
        limit=UNZIPPED_BYTES,
        steps={**steps, "outside of the function": max(0.0, 1000 * run.request_seconds - sum(steps.values()))},
        image=base64.b64encode(sample_path(run.sample).read_bytes()).decode(),
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path
