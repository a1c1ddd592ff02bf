"""What the account lets the function have: how many executions at once, and how much memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from workshop.lab import Lab

UNRESERVED = 100  # executions that Lambda keeps for functions without a reservation


@dataclass(frozen=True)
class Account:
    """`concurrency`: executions at once in the account and region; `unreserved`: those that no function reserves."""

    concurrency: int
    unreserved: int

    def can_reserve(self, executions: int) -> bool:
        """Whether Lambda would reserve so many for one function. A new account has 10 and can reserve none.

        https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
        """
        return self.unreserved - executions >= UNRESERVED


def account(lab: Lab) -> Account:
    """The account's quota of executions, as Lambda says it."""
    limit = lab.client("lambda").get_account_settings()["AccountLimit"]
    return Account(limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"])


@contextmanager
def limited(lab: Lab, function: str, executions: int) -> Iterator[int]:
    """Reserve `executions` for the function within a `with` block; yields the limit that holds there.

    Where the account cannot reserve any, nothing is changed, and the limit is the account's own. What was reserved
    before is put back at the end.
    """
    found = account(lab)
    if not found.can_reserve(executions):
        yield found.concurrency
        return
    functions = lab.client("lambda")
    before = functions.get_function_concurrency(FunctionName=function).get("ReservedConcurrentExecutions")
    functions.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=executions)
    try:
        yield executions
    finally:
        if before is None:
            functions.delete_function_concurrency(FunctionName=function)
        else:
            functions.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=before)
