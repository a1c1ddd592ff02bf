"""A role to try policies on for real, and two buckets to try them against; deleted when done."""

import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from botocore.exceptions import ClientError

from workshop.deployment import iam
from workshop.deployment.iam import ALLOWED, DENIED, policy


class Probe:
    """A role to try policies on for real, with a small store and somebody else's bucket to try them against.

    `store` and `other` are bucket names; `store` holds `models/model.params`, `other` holds `salaries.csv`.
    """

    def __init__(self, lab):
        self.lab, self.iam, self.s3 = lab, lab.client("iam"), lab.client("s3")
        name = f"{lab.project_id}-probe-{secrets.token_hex(4)}"
        self.role, self.store, self.other = name, f"{name}-store", f"{name}-other"
        self._as_role = None

    def create(self) -> None:
        """Make the role, which this account may assume and which may do nothing, and two buckets, an object in each."""
        trust = policy({"Effect": "Allow", "Principal": {"AWS": self.lab.account}, "Action": "sts:AssumeRole"})
        self.iam.create_role(
            RoleName=self.role,
            AssumeRolePolicyDocument=json.dumps(trust),
            Description="Made by notebook 04 to try policies on; deleted at the end of the cell",
        )
        self.iam.get_waiter("role_exists").wait(RoleName=self.role)
        where = (
            {}
            if self.lab.region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": self.lab.region}}
        )
        for bucket, key in ((self.store, "models/model.params"), (self.other, "salaries.csv")):
            self.s3.create_bucket(Bucket=bucket, **where)
            self.s3.get_waiter("bucket_exists").wait(Bucket=bucket)
            self.s3.put_object(Bucket=bucket, Key=key, Body=b"something to read")

    def delete(self) -> None:
        """Delete role and buckets; what is not there is left out."""
        delete_probe(self.iam, self.s3, self.role, (self.store, self.other))

    def grant(self, *documents: dict) -> None:
        """Give the role these policies, and no others."""
        for name in self.iam.list_role_policies(RoleName=self.role)["PolicyNames"]:
            self.iam.delete_role_policy(RoleName=self.role, PolicyName=name)
        for number, document in enumerate(documents):
            self.iam.put_role_policy(
                RoleName=self.role, PolicyName=f"tried-{number}", PolicyDocument=json.dumps(document)
            )

    def read_statement(self, effect: str) -> dict:
        """A statement that allows or denies to read the store's objects: for a policy of the role."""
        return {"Effect": effect, "Action": "s3:GetObject", "Resource": f"arn:{self.lab.partition}:s3:::{self.store}/*"}

    def put_bucket_policy(self, *statements: dict) -> None:
        """Have the store's bucket policy say these statements of the role; none takes the bucket policy away."""
        if not statements:
            self.s3.delete_bucket_policy(Bucket=self.store)
            return
        document = json.dumps(
            policy(*({**each, "Principal": {"AWS": self.lab.role_arn(self.role)}} for each in statements))
        )
        # For some seconds after a role was made, S3 on AWS does not know it and calls the policy malformed.
        put = iam.until(
            lambda: _answer(lambda: self.s3.put_bucket_policy(Bucket=self.store, Policy=document), "MalformedPolicy"),
            ALLOWED,
        )
        if put != ALLOWED:
            raise TimeoutError(f"S3 did not take a bucket policy that names the role {self.role} within a minute")

    def client(self, service: str):
        """A client that signs with the role's own temporary credentials."""
        if self._as_role is None:
            sts, held = self.lab.client("sts"), {}
            arn = self.lab.role_arn(self.role)
            iam.until(
                lambda: _answer(
                    lambda: held.update(sts.assume_role(RoleArn=arn, RoleSessionName="probe")["Credentials"])
                ),
                ALLOWED,
            )
            if not held:
                raise PermissionError(
                    "These credentials may not assume a role of their own account (sts:AssumeRole). "
                    "The account's root user never may: sign in as an IAM user or role."
                )
            self._as_role = {
                "aws_access_key_id": held["AccessKeyId"],
                "aws_secret_access_key": held["SecretAccessKey"],
                "aws_session_token": held["SessionToken"],
            }
        like = self.lab.client(service).meta
        return self.lab.session.client(service, endpoint_url=self.lab.endpoint_url, config=like.config, **self._as_role)

    def requests(self) -> dict[str, Callable]:
        """The requests that notebook 04 tries, by what they attempt, each to be called without arguments."""
        s3 = self.client("s3")
        harmless = policy(
            {
                "Effect": "Allow",
                "Principal": {"AWS": self.lab.account},
                "Action": "s3:GetObject",
                "Resource": f"arn:{self.lab.partition}:s3:::{self.store}/*",
            }
        )
        return {
            "read a model": lambda: s3.get_object(Bucket=self.store, Key="models/model.params"),
            "list the models": lambda: s3.list_objects_v2(Bucket=self.store),
            "replace a model": lambda: s3.put_object(Bucket=self.store, Key="models/model.params", Body=b"other"),
            "read another bucket": lambda: s3.get_object(Bucket=self.other, Key="salaries.csv"),
            "list all buckets": s3.list_buckets,
            "put the bucket policy": lambda: s3.put_bucket_policy(Bucket=self.store, Policy=json.dumps(harmless)),
        }

    def try_out(self, attempts: Sequence[str], expected: Sequence[str]) -> list[str]:
        """ "allowed" or "denied" for each attempt, from really asking.

        IAM takes seconds to spread a change on AWS, so it asks again, for a minute at most, while the answers differ
        from `expected`; what came last is returned, whatever it is. An error other than AccessDenied is raised.
        """
        requests = self.requests()
        return iam.until(lambda: [_answer(requests[attempt]) for attempt in attempts], list(expected))

    def reason(self, attempt: str) -> str:
        """Why a attempt was denied, from S3's own message; "" when it was not."""
        try:
            self.requests()[attempt]()
        except ClientError as error:
            return why(error)
        return ""


@contextmanager
def probe(lab) -> Iterator[Probe]:
    """A `Probe` for a `with` block, deleted at its end whatever happens in it. Deletes those left behind, too."""
    delete_probes(lab)
    made = Probe(lab)
    try:
        made.create()
        yield made
    finally:
        made.delete()


def probes(lab) -> tuple[list[str], list[str]]:
    """Names of the probe roles and probe buckets that exist: none, but while a `with` block runs."""
    ours = re.compile(rf"{re.escape(lab.project_id)}-probe-[0-9a-f]{{8}}(-store|-other)?")
    pages = lab.client("iam").get_paginator("list_roles").paginate()
    roles = [role["RoleName"] for page in pages for role in page["Roles"] if ours.fullmatch(role["RoleName"])]
    buckets = [bucket["Name"] for bucket in lab.client("s3").list_buckets()["Buckets"]]
    return roles, [bucket for bucket in buckets if ours.fullmatch(bucket)]


def delete_probes(lab) -> None:
    """Delete the probes that exist."""
    roles, buckets = probes(lab)
    for role in roles or [""]:
        delete_probe(lab.client("iam"), lab.client("s3"), role, buckets)


def delete_probe(iam, s3, role: str, buckets: Iterable[str]) -> None:
    """Delete a probe's role ("" for none) and its buckets, which are not versioned; what is not there is left out."""
    for bucket in buckets:
        try:
            for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
                s3.delete_object(Bucket=bucket, Key=entry["Key"])
            s3.delete_bucket(Bucket=bucket)
        except s3.exceptions.NoSuchBucket:
            pass
    if role:
        try:
            for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
                iam.delete_role_policy(RoleName=role, PolicyName=name)
            iam.delete_role(RoleName=role)
        except iam.exceptions.NoSuchEntityException:
            pass


def why(error: ClientError) -> str:
    """What decided against a request, from the words AWS puts into an AccessDenied message."""
    message = str(error)
    if "explicit deny in a resource-based policy" in message:
        return "Deny in the bucket policy"
    if "explicit deny in an identity-based policy" in message:
        return "Deny in the role's policy"
    return "no Allow in either" if error.response["Error"]["Code"] in ("AccessDenied", "403") else message


def _answer(request: Callable, *also: str) -> str:
    """ "allowed", or "denied" for AccessDenied and the error codes named in `also`; any other error is raised."""
    try:
        request()
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "403", *also):
            raise
        return DENIED
    return ALLOWED
