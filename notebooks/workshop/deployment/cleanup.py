"""Deleting a project: what there is of it, in which order it can go, and whether anything is left.

Every step may be repeated: what is not there is passed over. Only names that belong to this project and to no other are
touched; `lab` and `lab-2` may live in one account.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from botocore.exceptions import ClientError, WaiterError

from workshop import access
from workshop.deployment import iam, probe
from workshop.deployment.stacks import StackError, events, status
from workshop.lab import Lab, patience
from workshop.scale import bulk, inbox

BATCH = 1000  # keys that S3 deletes in one request
MADE_BY_TOOLCHAIN = {"deploy-application", "write-logs-and-traces"}  # the worker roles' own inline policies


@dataclass(frozen=True)
class Found:
    """Something of the project that exists: its kind, its name with the account masked, and what it holds."""

    kind: str
    name: str
    holds: str = ""


def inventory(lab: Lab) -> list[Found]:
    """Everything of the project that exists in the lab's region, and its roles; empty when there is nothing."""
    found = []
    for stack in (lab.app_stack, lab.toolchain_stack):
        state = status(lab.client("cloudformation"), stack)
        if state and state != "DELETE_COMPLETE":
            found.append(Found("stack", stack, state))
    for bucket in (*application_buckets(lab), lab.artifact_bucket, *probe.probes(lab)[1]):
        if exists(lab, bucket):
            count, size = weigh(lab, bucket)
            found.append(Found("bucket", bucket, f"{count} object versions, {size / 1e6:.0f} MB"))
    for role in (lab.cloudformation_role, lab.lambda_role, *other_roles(lab), *probe.probes(lab)[0]):
        policies = role_policies(lab, role)
        if policies is not None:
            found.append(Found("role", role, ", ".join(policies)))
    found += [Found("function", name) for name in functions(lab)]
    found += [Found("API", name) for name in apis(lab)]
    found += [Found("API key", key["name"]) for key in access.keys(lab)]
    found += [Found("usage plan", name) for name in usage_plans(lab)]
    found += [Found("state machine", arn.rpartition(":")[2]) for arn in state_machines(lab)]
    found += [Found("queue", url.rpartition("/")[2]) for url in inbox.queues(lab)]
    found += [Found("log group", name) for name in log_groups(lab)]
    found += [Found("alarm", name) for name in alarms(lab)] + [Found("dashboard", name) for name in dashboards(lab)]
    return [Found(each.kind, each.name.replace(lab.account, "<account>"), each.holds) for each in found]


def left(lab: Lab, seconds: float = 60) -> list[Found]:
    """What is left after everything was deleted: nothing, it is to be hoped.

    On AWS a list may show for some seconds what is gone, so it asks again for `seconds` at most while anything shows.
    """
    deadline = time.monotonic() + seconds
    while (found := inventory(lab)) and time.monotonic() < deadline:
        time.sleep(2)
    return found


# --- What there is --------------------------------------------------------------------------------------------------


def application_buckets(lab: Lab) -> tuple[str, ...]:
    """The names of the application's buckets: the model store, and those that bulk scoring and uploads may have."""
    return lab.model_bucket, bulk.bucket(lab), inbox.bucket(lab)


def exists(lab: Lab, bucket: str) -> bool:
    """Whether there is a bucket of this name. Raises ClientError when it is somebody else's."""
    try:
        lab.client("s3").head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchBucket"):
            return False
        raise
    return True


def versions(lab: Lab, bucket: str) -> Iterator[dict]:
    """Every version and every delete marker of a bucket, as S3 lists them; none where there is no such bucket."""
    if not exists(lab, bucket):
        return
    for page in lab.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket):
        yield from page.get("Versions", [])
        yield from page.get("DeleteMarkers", [])


def weigh(lab: Lab, bucket: str) -> tuple[int, int]:
    """(number of versions and delete markers, their bytes) in a bucket."""
    sizes = [version.get("Size", 0) for version in versions(lab, bucket)]
    return len(sizes), sum(sizes)


def role_policies(lab: Lab, role: str) -> list[str] | None:
    """The names of a role's policies, or None where there is no such role."""
    try:
        return sorted(iam.policies_of(lab.client("iam"), role))
    except lab.client("iam").exceptions.NoSuchEntityException:
        return None


def other_roles(lab: Lab) -> list[str]:
    """The names of toolchain.yml's further roles: for new versions, bulk scoring, uploads and a pipeline."""
    kinds = ("GoldenCheck", "Shift", "BulkWorker", "BulkStates", "InboxWorker", "CodeBuild", "CodePipeline")
    return [f"CodeStarWorker-{lab.project_id}-{kind}" for kind in kinds]


def functions(lab: Lab) -> list[str]:
    """The names of the application's functions, as the SAM transform and CloudFormation make them."""
    # A logical id begins with a capital, which no project id holds: project `lab-app` is not taken for `lab`.
    ours = re.compile(rf"{re.escape(lab.app_stack)}-[A-Z][A-Za-z0-9]*-[A-Za-z0-9]+")
    pages = lab.client("lambda").get_paginator("list_functions").paginate()
    names = [each["FunctionName"] for page in pages for each in page["Functions"]]
    return [name for name in names if ours.fullmatch(name)]


def apis(lab: Lab) -> list[str]:
    """The names of the application's REST APIs."""
    pages = lab.client("apigateway").get_paginator("get_rest_apis").paginate()
    return [each["name"] for page in pages for each in page["items"] if each["name"] == f"{lab.project_id}-api"]


def usage_plans(lab: Lab) -> list[str]:
    """The names of the application's usage plans."""
    pages = lab.client("apigateway").get_paginator("get_usage_plans").paginate()
    return [each["name"] for page in pages for each in page["items"] if each["name"] == f"{lab.project_id}-keys"]


def state_machines(lab: Lab) -> list[str]:
    """The ARNs of the application's state machines."""
    pages = lab.client("stepfunctions").get_paginator("list_state_machines").paginate()
    machines = [machine for page in pages for machine in page["stateMachines"]]
    return [machine["stateMachineArn"] for machine in machines if machine["name"] == f"{lab.project_id}-bulk"]


def log_groups(lab: Lab) -> list[str]:
    """The names of the log groups of the functions, the API and the build."""
    project = re.escape(lab.project_id)
    ours = re.compile(
        rf"/aws/lambda/{project}-(hello|predict|golden|bulk|inbox|app-[A-Z][A-Za-z0-9]*-[A-Za-z0-9]+)"
        rf"|/aws/apigateway/{project}-api|/aws/codebuild/{project}-build"
    )
    logs, names = lab.client("logs"), []
    for service in ("lambda", "apigateway", "codebuild"):
        prefix = f"/aws/{service}/{lab.project_id}-"
        for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix):
            names += [group["logGroupName"] for group in page["logGroups"] if ours.fullmatch(group["logGroupName"])]
    return names


def alarms(lab: Lab) -> list[str]:
    """The names of the application's alarms."""
    kinds = ("function-errors", "faults", "throttles", "latency-p99", "shift-faults", "shift-latency", "unsure")
    kinds += ("inbox-failed",)
    names = [f"{lab.project_id}-{kind}" for kind in kinds]
    pages = lab.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNames=names)
    return [alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]]


def dashboards(lab: Lab) -> list[str]:
    """The names of the application's dashboards."""
    ours = f"{lab.project_id}-endpoint"
    pages = lab.client("cloudwatch").get_paginator("list_dashboards").paginate(DashboardNamePrefix=ours)
    entries = [entry for page in pages for entry in page["DashboardEntries"]]
    return [entry["DashboardName"] for entry in entries if entry["DashboardName"] == ours]


# --- What takes it away ---------------------------------------------------------------------------------------------


def empty_bucket(lab: Lab, bucket: str, progress=lambda count: None) -> int:
    """Delete every version, delete marker and unfinished upload of a bucket; returns how many versions and markers.

    `progress` is called with the number deleted by each request. Raises RuntimeError with S3's own words for a version
    that it does not delete.
    """
    if not exists(lab, bucket):
        return 0
    contents, deleted = lab.resource("s3").Bucket(bucket), 0
    # The first ones again and again: deleting while paging can skip entries.
    while answers := contents.object_versions.limit(BATCH).delete():
        for error in (error for answer in answers for error in answer.get("Errors", [])):
            raise RuntimeError(f"S3 did not delete {error['Key']} from {bucket}: {error['Code']}: {error['Message']}")
        count = sum(len(answer["Deleted"]) for answer in answers)
        deleted += count
        progress(count)
    for upload in contents.multipart_uploads.all():
        upload.abort()
    return deleted


def stop_bulk_scoring(lab: Lab) -> int:
    """Stop the executions of bulk scoring that run, and wait for each: they would fill a bucket again that was emptied.

    Returns how many there were.
    """
    states, count = lab.client("stepfunctions"), 0
    for machine in state_machines(lab):
        pages = states.get_paginator("list_executions").paginate(stateMachineArn=machine, statusFilter=bulk.ACTIVE)
        for execution in [execution for page in pages for execution in page["executions"]]:
            bulk.stop(lab, execution["executionArn"])
            count += 1
    return count


def delete_keys(lab: Lab) -> int:
    """Delete every API key of the project: no stack has them. Returns how many there were."""
    found = access.keys(lab)
    for key in found:
        access.delete(lab, key["id"])
    return len(found)


def delete_stack(lab: Lab, stack: str) -> bool:
    """Delete a stack and wait until it is gone; returns whether there was one.

    Raises StackError with the resources that did not go and CloudFormation's reasons.
    """
    cloudformation = lab.client("cloudformation")
    if status(cloudformation, stack) in ("", "DELETE_COMPLETE"):
        return False
    seen = {event["EventId"] for event in events(cloudformation, stack)}
    try:
        cloudformation.delete_stack(StackName=stack)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=patience(cloudformation))
    except WaiterError as error:
        reasons = [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
            for event in events(cloudformation, stack)
            if event["EventId"] not in seen and event["ResourceStatus"] == "DELETE_FAILED"
        ]
        raise StackError(f"{stack} was not deleted: {'; '.join(reasons) or error}") from error
    except ClientError as error:
        raise StackError(f"{stack} was not deleted: {error.response['Error']['Message']}") from error
    return True


def remove_grants(lab: Lab) -> list[str]:
    """Take from the two worker roles every policy that toolchain.yml did not make; returns their names.

    Those are notebook 04's, and whatever else was added by hand: IAM deletes no role that still has one.
    """
    client, removed = lab.client("iam"), []
    for role in (lab.cloudformation_role, lab.lambda_role):
        if role_policies(lab, role) is None:
            continue
        for name in client.list_role_policies(RoleName=role)["PolicyNames"]:
            if name not in MADE_BY_TOOLCHAIN:
                client.delete_role_policy(RoleName=role, PolicyName=name)
                removed.append(name)
        for attached in client.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            client.detach_role_policy(RoleName=role, PolicyArn=attached["PolicyArn"])
            removed.append(attached["PolicyName"])
    return removed


def delete_log_groups(lab: Lab) -> list[str]:
    """Delete the log groups that outlived their stack; returns their names."""
    logs, names = lab.client("logs"), log_groups(lab)
    for name in names:
        logs.delete_log_group(logGroupName=name)
    return names
