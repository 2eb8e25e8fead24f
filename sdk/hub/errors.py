"""Translates the errors of the Hub's client into HubError: one line that says what to do.

The client raises many kinds of errors, has changed its HTTP library before, and wraps the error of a failed download
in another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from sdk.errors import CellzooError, HubError, HubUnreachableError

LOGIN = "log in with `hf auth login` or set HF_TOKEN"
# The base class of the HTTP library's own errors, whichever library the client uses: HfHubHTTPError derives from it.
_HTTP_ERROR: type[Exception] = [base for base in HfHubHTTPError.__mro__ if base.__module__ != "builtins"][-1]
_CLIENT_ERRORS = (_HTTP_ERROR, EntryNotFoundError, OSError, ValueError)
_MEANINGS = {
    401: f"the token is not accepted; {LOGIN}",
    403: "the token does not allow it; create one with that permission at {endpoint}/settings/tokens",
    409: "it conflicts with the repo's current state; try again",
    412: "the repo was changed in the meantime, and nothing was written; try again",
    429: "too many requests; wait and try again",
}


@contextmanager
def hub_errors(repo_id: str, revision: str = "main", kind: str = "model") -> Iterator[None]:
    """Raise HubError, with one line about the repo, instead of the client's errors; ``kind`` says what it holds."""
    try:
        yield
    except CellzooError:
        raise
    except _CLIENT_ERRORS as error:
        raise _explain(error, repo_id, revision, kind) from error
    except RuntimeError as error:  # the client wraps the failed upload of a file in it
        if not isinstance(error.__cause__, _CLIENT_ERRORS):
            raise
        raise _explain(error.__cause__, repo_id, revision, kind) from error


def _explain(error: Exception, repo_id: str, revision: str, kind: str) -> HubError:
    endpoint = constants.ENDPOINT
    page = f"{endpoint}/{repo_id}" if kind == "model" else f"{endpoint}/datasets/{repo_id}"
    cause = error.__cause__
    if isinstance(error, OfflineModeIsEnabled):
        return HubError(f"{repo_id}: HF_HUB_OFFLINE is set, so the Hub is not contacted; unset it")
    if isinstance(error, LocalEntryNotFoundError) and isinstance(cause, _CLIENT_ERRORS):
        return _explain(cause, repo_id, revision, kind)
    if isinstance(error, GatedRepoError):
        return HubError(f"{repo_id} is gated: ask for access at {page}, then {LOGIN}")
    if isinstance(error, RepositoryNotFoundError):
        return HubError(
            f"no {kind} {repo_id!r} on {endpoint}, or it is private and needs another token ({LOGIN}); "
            f"if it is a folder, write './{repo_id}'"
        )
    if isinstance(error, RevisionNotFoundError):
        return HubError(f"{repo_id} has no revision {revision!r}; give a branch, a tag or a full commit")
    if isinstance(error, HFValidationError):
        return HubError(f"{repo_id!r} is not a valid name on the Hub: {_one_line(error)}")
    if isinstance(error, HfHubHTTPError):
        return _explain_status(error, repo_id)
    if isinstance(error, (_HTTP_ERROR, ConnectionError)):
        return HubUnreachableError(
            f"{repo_id}: cannot reach {endpoint} ({type(error).__name__}: {_one_line(error)}); "
            "check the network or HF_ENDPOINT"
        )
    return HubError(f"{repo_id} on {endpoint}: {_one_line(error)}")


def _explain_status(error: HfHubHTTPError, repo_id: str) -> HubError:
    """Explain an HTTP status that the client has no error of its own for."""
    status = error.response.status_code
    reason = f": {' '.join(error.server_message.split())}" if error.server_message else ""
    answer = f"{repo_id}: {constants.ENDPOINT} answers {status}{reason}"
    if status >= 500 or status == 408:
        return HubUnreachableError(f"{answer}; the Hub has a problem, try again later")
    meaning = _MEANINGS.get(status, "is HF_ENDPOINT a Hub?").format(endpoint=constants.ENDPOINT)
    return HubError(f"{answer}; {meaning}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
