"""What went wrong with a request, in words for a terminal."""

from __future__ import annotations

import re

import requests
from urllib3.exceptions import IncompleteRead, NameResolutionError, ReadTimeoutError


def explain(error: requests.RequestException, stall_seconds: float) -> str:
    """The reason of a failed request in one clause, without a full stop.

    Args:
        error: what `requests` raised.
        stall_seconds: how long was waited.
    """
    if error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    causes = list(_causes(error))
    if any(isinstance(cause, (requests.Timeout, ReadTimeoutError)) for cause in causes):
        return f"the server sent nothing for {stall_seconds:g} seconds"
    if any(isinstance(cause, NameResolutionError) for cause in causes):
        return "its host is not known here, or there is no network"
    if any(isinstance(cause, IncompleteRead) for cause in causes):
        return "the connection ended before the file was complete"
    text = str(error)
    refused = re.search(r"Connection refused|Network is unreachable|No route to host", text)
    return refused.group() if refused else text.rstrip(".")


def _causes(error: BaseException) -> list[BaseException]:
    """An error and what it was raised from, as `requests` and urllib3 keep it: in `args`, in `reason`, or chained."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop()
        if isinstance(cause, BaseException) and cause not in found:
            found.append(cause)
            waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]
    return found
