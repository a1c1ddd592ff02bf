"""The keys of an endpoint that is deployed with Auth=key: one for each reader, made, listed and revoked.

python -m workshop.deployment.keys make|list|revoke [--name reader-1] [--target …] [--region …] [--project-id …]
"""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta

from workshop import access
from workshop.deployment import commands
from workshop.lab import Lab


def table(lab: Lab) -> str:
    """The project's keys as lines of text: the name, when it was made, the requests of today, its state."""
    plan_id = access.plan(lab)
    member, used = access.in_plan(lab, plan_id), usage(lab, plan_id)
    rows = [("key", "made (UTC)", "requests today", "state")]
    for key in sorted(access.keys(lab), key=lambda key: key["name"]):
        state = "enabled" if key["enabled"] else "disabled"
        rows.append(
            (
                key["name"].partition(".")[2],
                f"{key['createdDate'].astimezone(UTC):%Y-%m-%d %H:%M}",
                "-" if used is None else str(used.get(key["id"], 0)),
                state if key["id"] in member else "of no usage plan",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def usage(lab: Lab, plan_id: str, day: date | None = None) -> dict[str, int] | None:
    """The requests of a day (UTC; today, when not given) by the key's id. None on the emulator, which does not say."""
    if lab.target == "local":
        return None
    start = day or datetime.now(UTC).date()
    given = {"startDate": start.isoformat(), "endDate": (start + timedelta(days=1)).isoformat()}
    pages = lab.client("apigateway").get_paginator("get_usage").paginate(usagePlanId=plan_id, **given)
    # A key's entry has [used, remaining] for each day.
    return {key: days[0][0] for page in pages for key, days in page.get("items", {}).items() if days}


def main(arguments: list[str] | None = None) -> int:
    parser = commands.parser("keys", __doc__.splitlines()[0])
    parser.add_argument("command", choices=["make", "list", "revoke"])
    parser.add_argument("--name", help="make, revoke: the key's name, as in reader-1")
    chosen = parser.parse_args(arguments)

    def work(lab: Lab) -> None:
        if chosen.command == "list":
            print(table(lab))
        elif not chosen.name:
            raise access.AccessError(
                f"name the key: `make {'key' if chosen.command == 'make' else 'revoke'} NAME=reader-1`"
            )
        elif chosen.command == "make":
            print(access.make(lab, chosen.name))
        else:
            access.revoke(lab, chosen.name)
            print(f"revoked: {chosen.name}")

    return commands.run("keys", chosen, work)


if __name__ == "__main__":
    sys.exit(main())
