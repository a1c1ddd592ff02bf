"""The plots of the notebooks that build, deploy and call: package, stack events, cold and warm."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from workshop import diagrams, plots
from workshop.deployment.canary import Outcome
from workshop.deployment.delivery import Action
from workshop.deployment.iam import ALLOWED
from workshop.deployment.traffic import Answered
from workshop.diagrams import arrow, box, canvas
from workshop.plots import BLUE, GREEN, GREY, INK, ORANGE, PINK, RED, SKY, SLATE, headline


def package(sizes: Mapping[str, int], limit: int) -> None:
    """One bar of the artifact's parts, bytes each, against Lambda's limit in bytes."""
    figure, axes = plt.subplots(figsize=(11, 2.9))
    left, total = 0.0, sum(sizes.values())
    ordered = sorted(sizes.items(), key=lambda item: -item[1])
    for (part, size), colour in zip(ordered, (BLUE, ORANGE, GREEN, PINK, SKY, RED), strict=False):
        axes.barh(
            0, size / 1e6, left=left, height=0.5, color=colour, label=f"{part}, {size / 1e6:.0f} MB", edgecolor="white"
        )
        left += size / 1e6
    axes.axvline(limit / 1e6, color=RED, linewidth=2.5)
    axes.annotate(
        f"limit {limit / 1e6:.0f} MB", (limit / 1e6, 0.42), (-6, 0), textcoords="offset points", ha="right", color=RED
    )
    axes.set(xlim=(0, limit / 1e6 * 1.03), ylim=(-0.4, 0.6), yticks=[], xlabel="unzipped size, MB")
    axes.spines["left"].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.42), ncols=3)
    part, size = ordered[0]
    headline(
        figure,
        f"The package {'fits' if total <= limit else 'does not fit'}: {abs(limit - total) / 1e6:.0f} MB "
        f"{'to spare' if total <= limit else 'too many'}, and {size / total:.0%} of it is {part}",
        f"One bar of the package's parts in MB, and a line at the limit of {limit / 1e6:.0f} MB",
    )


def _spans(events: Sequence[dict]) -> list[tuple[str, float, float, bool]]:
    """(resource, start s, end s, failed) of each resource in stack events, by start; all permissions are one row."""
    begin = min(event["Timestamp"] for event in events)
    permissions = {event["LogicalResourceId"] for event in events if event["ResourceType"] == "AWS::Lambda::Permission"}
    spans: dict[str, list] = {}
    for event in events:
        name = event["LogicalResourceId"]
        if name == event["StackName"]:
            continue
        name = f"{len(permissions)} permissions to call" if name in permissions else name
        at = (event["Timestamp"] - begin).total_seconds()
        span = spans.setdefault(name, [at, at, False])
        span[1] = max(span[1], at)
        span[2] |= event["ResourceStatus"].endswith("FAILED")
    return sorted(((name, *span) for name, span in spans.items()), key=lambda span: (span[1], span[2]))


def stack_events(events: Sequence[dict]) -> None:
    """When each resource of a stack was worked on, from its events as `describe_stack_events` has them."""
    spans = _spans(events)
    figure, axes = plt.subplots(figsize=(10, 0.34 * len(spans) + 1.6))
    total = max(end for _, _, end, _ in spans) or 1.0
    for row, (_, start, end, failed) in enumerate(spans):
        axes.barh(row, max(end - start, total / 150), left=start, height=0.62, color=RED if failed else BLUE)
    axes.set(
        yticks=range(len(spans)), yticklabels=[name for name, *_ in spans], xlabel="seconds", xlim=(0, total * 1.02)
    )
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=11)
    times = [event["Timestamp"] for event in events]
    took = (max(times) - min(times)).total_seconds()
    longest = max(spans, key=lambda span: span[2] - span[1])[0]
    headline(
        figure,
        f"CloudFormation worked for {took:.{1 if took >= 1 else 2}f} s, longest on {longest}",
        "Bars over seconds, one for each resource, in the order in which they were begun",
    )


def cold_and_warm(seconds: Sequence[float]) -> None:
    """Seconds of consecutive requests, the first of them cold."""
    figure, axes = plt.subplots(figsize=(10, 3.8))
    axes.bar(range(1, len(seconds) + 1), seconds, color=[ORANGE, *[BLUE] * (len(seconds) - 1)], width=0.7)
    warm = float(np.median(seconds[1:]))
    for index, value in enumerate(seconds, start=1):
        text = f"{value:.2f}" if value >= 0.095 else f"{value:.3f}"
        axes.annotate(text, (index, value), (0, 4), textcoords="offset points", ha="center", fontsize=11, color=INK)
    axes.set(xlabel="request", ylabel="seconds", xticks=range(1, len(seconds) + 1))
    axes.tick_params(axis="x", length=0, labelcolor=GREY)
    headline(
        figure,
        f"The first answer takes {seconds[0] / warm:.0f} times as long as the next ones",
        f"Bars of the seconds of {len(seconds)} requests in their order",
    )


def draw_roles():
    """Who acts in which role, and what the two are still denied (red, dashed)."""
    figure, axes = canvas(
        12,
        4.0,
        "Each service acts in a role of its own; two permissions are missing on purpose",
        "Diagram: CloudFormation acts in one role and may create functions, API and logs, but not put "
        "the bucket policy of the model store; Lambda acts in another role and may write log lines and "
        "traces, but not read the models",
    )
    box(axes, 1.4, 3.0, "CloudFormation", "deploys template.yml", SLATE, 2.3, 0.9)
    box(axes, 1.4, 0.95, "Lambda", "runs the functions", SLATE, 2.3, 0.9)
    box(axes, 5.3, 3.0, "…-CloudFormation", "role", BLUE, 2.5, 0.9)
    box(axes, 5.3, 0.95, "…-Lambda", "role", BLUE, 2.5, 0.9)
    box(axes, 10.3, 3.45, "Functions, API, logs", "those of this project", GREEN, 2.9, 0.85)
    box(axes, 10.3, 1.98, "Model store", "bucket and its policy", RED, 2.9, 0.85)
    box(axes, 10.3, 0.5, "Log lines and traces", "", GREEN, 2.9, 0.75)
    arrow(axes, (2.6, 3.0), (4.0, 3.0), "assumes")
    arrow(axes, (2.6, 0.95), (4.0, 0.95), "assumes")
    arrow(axes, (6.6, 3.15), (8.8, 3.5), "create", GREEN, offset=(0, 0.2))
    arrow(axes, (6.6, 2.85), (8.8, 2.15), "put the bucket policy?", RED, dashed=True, offset=(0.75, 0.2))
    arrow(axes, (6.6, 1.1), (8.8, 1.8), "read the models?", RED, dashed=True, offset=(0.7, -0.2))
    arrow(axes, (6.6, 0.8), (8.8, 0.5), "write", GREEN, offset=(0, -0.22))
    return figure


def draw_pipeline(actions: Sequence[Action], branch: str):
    """The pipeline from a push to the endpoint: its actions in their order, and what goes from one to the next.

    `actions`: as `delivery.stages` gives them, a source, a build and two of the deploy; `branch`: whose pushes count.
    """
    source, build, make, execute = actions
    places = (3.5, 6.1, 8.7, 11.3)
    figure, axes = canvas(
        14.9,
        2.6,
        f"A push to {branch} is built and deployed by {len(actions)} actions",
        "Diagram of the pipeline's actions from left to right: "
        + ", ".join(f"{action.name} by {action.provider}" for action in actions),
    )
    box(axes, 1.15, 1.75, "You", f"git push … {branch}", SLATE, 1.75, 1.15)
    colours = (GREEN, BLUE, RED, RED)
    words = ("Source", "Build", "Change set", "Execution")
    for x, action, title, colour in zip(places, (source, build, make, execute), words, colours, strict=True):
        box(
            axes, x, 1.75, title, f"{action.provider}\n{action.detail}".replace("CodeStarSource", ""), colour, 2.0, 1.15
        )
    box(axes, 13.85, 1.75, "Endpoint", "GET /predict", SLATE, 1.7, 1.15)
    for left, right in zip((1.15, *places), (*places, 13.85), strict=True):
        arrow(axes, (left + 1.0, 1.75), (right - 1.0, 1.75))
    configuration = make.configuration
    files = [configuration[key].partition("::")[2] for key in ("TemplatePath", "TemplateConfiguration")]
    role = "…-" + configuration["RoleArn"].rpartition("-")[2]  # the whole name would run into the next text
    for x, text in (
        ((places[0] + places[1]) / 2, "hands on:\nthe commit's files"),
        ((places[1] + places[2]) / 2, "hands on:\n" + "\n".join(files)),
        ((places[2] + places[3]) / 2, f"in the role\n{role}"),
    ):
        axes.text(x, 0.95, text, ha="center", va="top", fontsize=11, color=INK, linespacing=1.35)
    return figure


def draw_decisions(title: str, attempts: Sequence[str], columns: dict[str, Sequence[str]], frame_changes: bool = True):
    """A tile for each attempt (row) and state of a role (column): green where allowed, red where denied.

    `columns` maps a state's name to its decisions, one for each attempt. Decisions that begin with "allowed" are green;
    the word stands in each tile too, so that the picture needs no colour vision. With `frame_changes`, a tile that
    differs from the one to its left has a thick frame.
    """
    labels, before = list(columns), None
    two_lines = any("\n" in decision for decisions in columns.values() for decision in decisions)
    height, fontsize = (0.62, 12) if two_lines else (0.42, 13)
    figure, axes = plt.subplots(figsize=(4 + 2.4 * len(labels), 1.3 + height * len(attempts)), layout="constrained")
    for x, label in enumerate(labels):
        for y, decision in enumerate(columns[label]):
            color = GREEN if decision.startswith(ALLOWED) else RED
            width, weight = (2.8, "bold") if before and before[y] != decision else (1, "normal")
            axes.add_patch(
                Rectangle((x + 0.03, y + 0.08), 0.94, 0.84, facecolor=color + "33", edgecolor=color, linewidth=width)
            )
            axes.text(x + 0.5, y + 0.5, decision, ha="center", va="center", fontsize=fontsize, weight=weight, color=INK)
        before = columns[label] if frame_changes else None
    axes.set(xlim=(0, len(labels)), ylim=(len(attempts), 0))
    axes.set_xticks([x + 0.5 for x in range(len(labels))], labels, fontsize=13, color=INK)
    axes.set_yticks([y + 0.5 for y in range(len(attempts))], attempts, fontsize=13, color=INK)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    said = "; ".join(
        f"{label}: "
        + ", ".join(f"{attempt} {' '.join(each.split())}" for attempt, each in zip(attempts, decisions, strict=True))
        for label, decisions in columns.items()
    )
    headline(figure, title, f"Table of tiles, green where allowed, red where denied. {said}")
    return figure


def draw_order():
    """What must go before what, and why."""
    figure, axes = diagrams.canvas(
        12,
        3.9,
        "The toolchain stack goes last; each arrow names the condition",
        "Diagram: the model store is emptied before the app stack is deleted; the app stack, "
        "the grants of notebook 04 and the contents of the artifact bucket go before the "
        "toolchain stack",
    )
    diagrams.box(axes, 1.5, 3.2, "1. Model store", "every version", plots.GREEN, 2.3, 0.9)
    diagrams.box(axes, 5.7, 3.2, "2. App stack", "API, functions, empty bucket", plots.BLUE, 2.7, 0.9)
    diagrams.box(axes, 5.7, 1.9, "3. Grants", "added by notebook 04", plots.RED, 2.7, 0.9)
    diagrams.box(axes, 5.7, 0.6, "4. Artifacts", "every version", plots.GREEN, 2.7, 0.9)
    diagrams.box(axes, 10.6, 1.9, "5. Toolchain stack", "roles, empty bucket", plots.BLUE, 2.4, 0.9)
    diagrams.arrow(axes, (2.7, 3.2), (4.3, 3.2), "bucket empty", offset=(0, 0.16))
    diagrams.arrow(axes, (7.1, 3.1), (9.35, 2.2), "is deleted in its role", offset=(0.85, 0.2))
    diagrams.arrow(axes, (7.1, 1.9), (9.35, 1.9), "no added policy", offset=(0, 0.16))
    diagrams.arrow(axes, (7.1, 0.7), (9.35, 1.6), "bucket empty", offset=(0.6, -0.2))
    return figure


def requests_by_version(answered: Sequence[Answered], outcome: Outcome, begin: float) -> None:
    """How many requests each version answered in each second, and the weight of the new version behind.

    `begin`: when the release began, in seconds of the traffic. Requests without an answer are red.
    """
    figure, axes = plt.subplots(figsize=(10, 3.8))
    end = max(one.at for one in answered)
    edges = np.arange(0, end + 1.0)
    kinds = {f"version {outcome.old}": BLUE, f"version {outcome.new}": ORANGE, "failed": RED}
    of = [f"version {one.version}" if one.status == 200 else "failed" for one in answered]
    times = [[one.at for one, kind in zip(answered, of, strict=True) if kind == name] for name in kinds]
    axes.hist(times, bins=list(edges), stacked=True, color=list(kinds.values()), label=list(kinds), zorder=2)
    axes.set(xlabel="seconds", ylabel="requests a second", xlim=(0, end))
    weight = axes.twinx()
    at, share = [0.0, *(begin + when for when, _ in outcome.shares), end], [0.0, *(part for _, part in outcome.shares)]
    weight.step(at, [*share, share[-1]], where="post", color=INK, linewidth=2, label="weight of the new version")
    weight.set(ylim=(0, 1.05), ylabel="weight of the new version")
    handles = [*axes.get_legend_handles_labels()[0], *weight.get_lines()]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=4)
    answers = sum(len(each) for each in times)
    title = f"{len(times[1])} of {answers} requests met version {outcome.new}, and {len(times[2])} failed"
    headline(
        figure, title, "Stacked bars of the requests in each second by version, and a line: the new version's weight"
    )
