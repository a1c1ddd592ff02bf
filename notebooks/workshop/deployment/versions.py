"""The versions of Predict: which there are and which one answers, back to one before, and no more of them than wanted.

    python -m workshop.deployment.versions list|rollback|prune [--to 3] [--target …] [--region …] [--project-id …]

A version never changes: it holds the code, and the settings that name the model, by the digest of its files, and the
precision. The API calls the alias `live`, which names the version that answers. While a new version comes, `live` has
two: the new one, and with its weight the old one (`workshop.deployment.canary`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from predict.model_files import precision_of
from workshop import UserError
from workshop.client import ALIAS, BY_HAND, predict_function
from workshop.deployment import commands, stacks
from workshop.lab import Lab
from workshop.models import golden
from workshop.models.files import MANIFEST, ModelFiles
from workshop.samples import sample_path

REPORTS = "releases"  # the folder of the model store with what the golden pictures said to each version


class VersionError(UserError):
    """What is wrong with the versions, and what to do about it."""


@dataclass(frozen=True)
class Version:
    """One version of Predict. `published`: UTC, to the second; `share` of the requests, 0 to 1.

    `prefix`: the model's folder in the store. `golden`: "passed", "refused" or "not asked"; `why`: of a refused one.
    """

    number: int
    published: str
    prefix: str
    precision: str
    share: float
    golden: str = "not asked"
    why: str = ""
    description: str = ""

    @property
    def model(self) -> str:
        """The model with its digest, as in `practice/0123456789ab`."""
        return self.prefix.removeprefix("models/")


# --- The model's files ------------------------------------------------------------------------------------------------


def upload(lab: Lab, files: ModelFiles, progress: Callable[[int], Any] | None = None) -> bool:
    """Put a model's files and golden pictures into the store, under a path that is theirs alone; the manifest last.

    Returns whether they are there now: not before the store is, which the first deploy makes. Files that are there
    already are left as they are. `progress` gets the number of bytes that were sent since its last call.
    """
    s3 = lab.client("s3")
    if not _exists(s3, lab.model_bucket):
        return False
    if not _exists(s3, lab.model_bucket, f"{files.prefix}/{MANIFEST}"):
        wanted = golden.of(files)
        for name in (one["file"] for one in wanted["pictures"]):
            picture = sample_path(name.removesuffix(".jpg")).read_bytes()
            s3.put_object(Bucket=lab.model_bucket, Key=f"{files.prefix}/golden/{name}", Body=picture)
        body = json.dumps(wanted).encode()
        s3.put_object(Bucket=lab.model_bucket, Key=f"{files.prefix}/{golden.GOLDEN}", Body=body)
        for file in files:
            s3.upload_file(str(file), lab.model_bucket, f"{files.prefix}/{file.name}", Callback=progress)
    return True


def _exists(s3: Any, bucket: str, key: str = "") -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key) if key else s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NoSuchBucket"):
            return False
        raise
    return True


# --- Which there are --------------------------------------------------------------------------------------------------


def weights(lab: Lab) -> dict[int, float]:
    """The share of the requests, 0 to 1, of each version that answers. Raises VersionError where there is no alias."""
    try:
        alias = lab.client("lambda").get_alias(FunctionName=predict_function(lab), Name=ALIAS)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        raise VersionError(
            f"Predict of {lab.project_id} has no alias {ALIAS!r}: deploy it with `make deploy`"
        ) from error
    other = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
    shares = {int(alias["FunctionVersion"]): 1 - sum(other.values())}
    for number, weight in other.items():
        shares[int(number)] = shares.get(int(number), 0) + weight
    return {number: round(share, 6) for number, share in shares.items() if share > 0}


def live(lab: Lab) -> int:
    """The version that answers most requests."""
    shares = weights(lab)
    return max(shares, key=lambda number: shares[number])


def listed(lab: Lab) -> list[Version]:
    """All versions of Predict, the newest first."""
    shares, found = weights(lab), []
    pages = lab.client("lambda").get_paginator("list_versions_by_function").paginate(FunctionName=predict_function(lab))
    for one in (one for page in pages for one in page["Versions"] if one["Version"] != "$LATEST"):
        number, variables = int(one["Version"]), one["Environment"]["Variables"]
        said = report(lab, number)
        found.append(
            Version(
                number,
                one["LastModified"][:19].replace("T", " "),
                variables["MODEL_STORE_PREFIX"],
                precision_of(variables["MODEL_SYMBOL_FILE_NAME"]),
                shares.get(number, 0.0),
                ("passed" if said["passed"] else "refused") if said else "not asked",
                "; ".join(said.get("reasons", [])),
                one.get("Description", ""),
            )
        )
    return sorted(found, key=lambda version: -version.number)


def report(lab: Lab, number: int) -> dict[str, Any]:
    """What the golden pictures said to a version; empty where they were not asked."""
    s3 = lab.client("s3")
    key = f"{REPORTS}/{number}.json"
    if not _exists(s3, lab.model_bucket, key):
        return {}
    return json.loads(s3.get_object(Bucket=lab.model_bucket, Key=key)["Body"].read())


# --- Which one answers ------------------------------------------------------------------------------------------------


def point(lab: Lab, number: int, others: dict[int, float] | None = None) -> None:
    """Let `live` name a version; `others` get their weights, 0 to 1, of the requests and it the rest."""
    routing = {"AdditionalVersionWeights": {str(other): weight for other, weight in (others or {}).items()}}
    lab.client("lambda").update_alias(
        FunctionName=predict_function(lab), Name=ALIAS, FunctionVersion=str(number), RoutingConfig=routing
    )


def rollback(lab: Lab, to: int | None = None) -> tuple[int, int]:
    """Put `live` on the version before, or on `to`; returns (from, to).

    The one before is the newest of the older ones that the golden pictures did not refuse. Raises VersionError where
    there is none, or no version `to`.
    """
    now, every = live(lab), {version.number: version for version in listed(lab)}
    older = [
        number
        for number, version in every.items()
        if number < now and version.golden != "refused" and not version.description.startswith(BY_HAND)
    ]
    if to is None and not older:
        raise VersionError(f"there is no version before {now} to go back to: `make versions` lists them")
    if to is not None and to not in every:
        raise VersionError(f"there is no version {to}: there are {', '.join(map(str, sorted(every)))}")
    chosen = max(older) if to is None else to
    point(lab, chosen)
    return now, chosen


def prune(lab: Lab, keep: int | None = None) -> list[int]:
    """Remove all versions but the newest `keep` and those that answer, and models that only removed ones named.

    `keep`: the stack's KeptVersions, when not given. Returns the numbers of the removed ones.
    """
    if keep is None:
        keep = int(stacks.parameters(lab.client("cloudformation"), lab.app_stack)["KeptVersions"])
    every, functions, s3 = listed(lab), lab.client("lambda"), lab.resource("s3")
    kept = [version for index, version in enumerate(every) if index < keep or version.share > 0]
    removed = [version for version in every if version not in kept]
    latest = functions.get_function_configuration(FunctionName=predict_function(lab))
    needed = {version.prefix for version in kept} | {latest["Environment"]["Variables"]["MODEL_STORE_PREFIX"]}
    for version in removed:
        functions.delete_function(FunctionName=predict_function(lab), Qualifier=str(version.number))
        contents = s3.Bucket(lab.model_bucket).object_versions
        contents.filter(Prefix=f"{REPORTS}/{version.number}.json").delete()
        if version.prefix not in needed:
            contents.filter(Prefix=f"{version.prefix}/").delete()
    return [version.number for version in removed]


def table(versions: list[Version]) -> str:
    """The versions as lines of text."""
    rows = [("version", "published (UTC)", "model", "precision", "requests", "golden pictures")]
    for version in versions:
        said = f"{version.golden}: {version.why}" if version.why else version.golden
        share = f"{version.share:.0%}" if version.share else "-"
        rows.append((str(version.number), version.published, version.model, version.precision, share, said))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def main(arguments: list[str] | None = None) -> int:
    parser = commands.parser("versions", __doc__.splitlines()[0])
    parser.add_argument("command", choices=["list", "rollback", "prune"])
    parser.add_argument("--to", type=int, help="rollback: this version instead of the one before")
    chosen = parser.parse_args(arguments)

    def work(lab: Lab) -> None:
        if chosen.command == "list":
            print(table(listed(lab)))
        elif chosen.command == "prune":
            print(f"removed: {', '.join(map(str, prune(lab))) or 'none'}")
        else:
            before, now = rollback(lab, chosen.to)
            print(f"{ALIAS}: version {before} -> version {now}")

    return commands.run(chosen.command, chosen, work)


if __name__ == "__main__":
    sys.exit(main())
