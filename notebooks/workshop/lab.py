"""Where the lab works: the emulator on this machine or an AWS account, and how its resources are named there."""

from __future__ import annotations

import ipaddress
import os
import threading
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from workshop import UserError, user_errors
from workshop.choices import check_project_id, check_region, check_target
from workshop.emulator_record import on_another_port

DEFAULT_ENDPOINT = "http://127.0.0.1:4566"
LOCAL_KEY = "test"  # the emulator's root user, key id and secret alike
# Of requests to the emulator. botocore's default waits up to 15 s until it says that nothing answers on this machine.
LOCAL_RETRIES = {"mode": "standard", "total_max_attempts": 3}


class LabError(UserError):
    """What is wrong, and what to do about it."""


def patience(client: Any, seconds: float = 900) -> dict[str, Any]:
    """How a waiter of this client asks, for so long at most: often on this machine, every 2 s on AWS."""
    delay = 0.2 if urlsplit(client.meta.endpoint_url).scheme == "http" else 2.0
    return {"Delay": delay, "MaxAttempts": round(seconds / delay)}


def check_loopback(endpoint: str) -> str:
    """Return `endpoint`, or raise LabError unless it is an http URL of this machine's loopback address.

    The local target creates and deletes with abandon: it must never reach AWS.
    """
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        has_port = parts.port is not None
    except ValueError:
        is_loopback = has_port = False
    if parts.scheme != "http" or not is_loopback or not has_port or parts.username or parts.path not in ("", "/"):
        raise LabError(
            f"AWS_ENDPOINT_URL is {endpoint!r}, and target='local' works with this machine only "
            f"({DEFAULT_ENDPOINT}): unset it, or choose target='aws'"
        )
    return endpoint.rstrip("/")


class Lab:
    """One project in one region of one target. Make it with `connect`. Raises ChoiceError at one that is not valid."""

    def __init__(self, target: str, region: str, project_id: str) -> None:
        self.target = check_target(target)
        self.region = check_region(region)
        self.project_id = check_project_id(project_id)
        self.endpoint_url = (
            check_loopback(os.environ.get("AWS_ENDPOINT_URL") or DEFAULT_ENDPOINT) if target == "local" else None
        )
        self._clients: dict[str, Any] = {}
        self._one_at_a_time = threading.Lock()  # a client may be used by several threads, but not made by them

    def __repr__(self) -> str:
        return f"Lab(target={self.target!r}, region={self.region!r}, project_id={self.project_id!r})"

    @cached_property
    def session(self) -> boto3.Session:
        """Local: the emulator's root user, and nothing of the user's AWS settings. aws: the user's own credentials."""
        if self.target == "aws":
            return boto3.Session(region_name=self.region)
        nothing = (None, None, os.devnull, None)
        core = botocore.session.Session(
            session_vars={"profile": (None, None, None, None), "config_file": nothing, "credentials_file": nothing}
        )
        return boto3.Session(
            aws_access_key_id=LOCAL_KEY,
            aws_secret_access_key=LOCAL_KEY,
            region_name=self.region,
            botocore_session=core,
        )

    def client(self, service: str, **settings: Any) -> Any:
        """A boto3 client of `service`; `settings` go to `botocore.config.Config`.

        The same call gets the same client: to make one takes 20 to 100 ms, which is longer than most requests.
        """
        key = f"{service} {sorted(settings.items())}"
        with self._one_at_a_time:
            if key not in self._clients:
                make: Any = self.session.client  # its types want the service as a literal
                self._clients[key] = make(service, **self._place(settings))
            return self._clients[key]

    def resource(self, service: str) -> Any:
        """A boto3 resource of `service`: its objects instead of its requests."""
        make: Any = self.session.resource
        return make(service, **self._place({}))

    def _place(self, settings: dict[str, Any]) -> dict[str, Any]:
        if self.target == "aws":
            # AWS_ENDPOINT_URL may still point at an emulator; here the account is meant.
            return {"config": Config(**{"ignore_configured_endpoint_urls": True, **settings})}
        return {
            "endpoint_url": self.endpoint_url,
            "config": Config(proxies={}, **{"retries": LOCAL_RETRIES, **settings}),
        }

    @cached_property
    def identity(self) -> dict[str, str]:
        """`Account`, `Arn` and `UserId` of the caller, from STS.

        Raises LabError when there are no credentials, they are refused, or nothing answers.
        """
        try:
            answer = self.client("sts", connect_timeout=5, retries={"total_max_attempts": 2}).get_caller_identity()
        except NoCredentialsError as error:
            raise LabError(
                "no AWS credentials were found: run `aws configure` or `aws sso login`, or choose target='local'"
            ) from error
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise LabError(
                f"AWS rejected the credentials ({code}): renew them (`aws sso login`), or choose target='local'"
            ) from error
        except BotoCoreError as error:
            if self.target == "local":
                elsewhere = on_another_port(urlsplit(self.endpoint_url or "").port)
                remedy = elsewhere or ": run notebook 00, or `make deploy`"
                raise LabError(f"the emulator does not answer at {self.endpoint_url}{remedy}") from error
            raise LabError(f"AWS cannot be used: {error}") from error
        return {key: answer[key] for key in ("Account", "Arn", "UserId")}

    @property
    def account(self) -> str:
        """The account id, twelve digits."""
        return self.identity["Account"]

    @property
    def partition(self) -> str:
        """`aws`, or `aws-cn` and the like: the second part of every ARN."""
        return self.identity["Arn"].split(":")[1]

    @property
    def toolchain_stack(self) -> str:
        return f"{self.project_id}-toolchain"

    @property
    def app_stack(self) -> str:
        return f"{self.project_id}-app"

    @property
    def cloudformation_role(self) -> str:
        return f"CodeStarWorker-{self.project_id}-CloudFormation"

    @property
    def lambda_role(self) -> str:
        return f"CodeStarWorker-{self.project_id}-Lambda"

    @property
    def artifact_bucket(self) -> str:
        return f"{self.project_id}-{self.region}-{self.account}-artifacts"

    @property
    def model_bucket(self) -> str:
        return f"{self.project_id}-{self.region}-{self.account}-models"

    def role_arn(self, role: str) -> str:
        """The ARN of the role named `role`."""
        return f"arn:{self.partition}:iam::{self.account}:role/{role}"

    def outputs(self, stack: str) -> dict[str, str]:
        """The outputs of `stack`, value by name. Raises LabError when there is no such stack."""
        try:
            described = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            made_by = "05_build_and_deploy" if stack == self.app_stack else "00_start_here"
            raise LabError(
                f"stack {stack!r} does not exist in {self.region}: run notebook {made_by}, or `make deploy`"
            ) from error
        return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}

    def environment(self) -> dict[str, str]:
        """The environment for a subprocess (`sam`, `aws`) that is to work in this lab and nowhere else."""
        dropped = ("AWS_ENDPOINT_URL",) if self.endpoint_url is None else ("AWS_",)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        environment |= {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region, "SAM_CLI_TELEMETRY": "0"}
        environment["PROJECT_ID"] = self.project_id  # as CodeBuild has it, for buildspec.yml
        if self.endpoint_url is not None:
            no_proxy = ",".join(filter(None, ["127.0.0.1,localhost", os.environ.get("NO_PROXY")]))
            environment |= {
                "AWS_ENDPOINT_URL": self.endpoint_url,
                "AWS_ACCESS_KEY_ID": LOCAL_KEY,
                "AWS_SECRET_ACCESS_KEY": LOCAL_KEY,
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "AWS_EC2_METADATA_DISABLED": "true",
                "NO_PROXY": no_proxy,
                "no_proxy": no_proxy,
            }
        else:
            environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true"
        return environment


def connect(target: str = "local", region: str = "us-east-1", project_id: str = "predictions") -> Lab:
    """Check the three, ask STS who the caller is, and return the lab.

    From here on a cell whose work fails outside of this machine shows one sentence (`user_errors`). Raises ChoiceError
    or LabError saying what to do instead.
    """
    user_errors.show_sentences()
    lab = Lab(target, region, project_id)
    _ = lab.identity
    return lab
