"""The errors that the emulated API answers with."""


class ApiError(Exception):
    """A request is answered with this status and text. `code` goes out with the text where the API has one.

    Official clients read the code first, and the text only where there is none.
    """

    def __init__(self, status: int, text: str, *, code: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.code = code


class LeaseError(ApiError):
    """An error of the lease calls, which answer in an envelope of their own."""


# The words before the colon are those of flyd's gRPC errors, which the API passes on, each with its HTTP status.


def bad_request(text: str) -> ApiError:
    """Return the 400 of a request that makes no sense."""
    return ApiError(400, text)


def not_found(what: str) -> ApiError:
    """Return the 404 that names what is missing; flyctl matches `machine not found` and the like."""
    return ApiError(404, f"{what} not found")


def aborted(text: str) -> ApiError:
    """Return the 409 of work that clashes with other work, or for which there is no room."""
    return ApiError(409, f"aborted: {text}")


def failed_precondition(text: str) -> ApiError:
    """Return the 412 of a thing that is in the wrong state."""
    return ApiError(412, f"failed_precondition: {text}")
