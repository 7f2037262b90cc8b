"""The errors of the API that a fault can return at any time, as it returns them by itself."""

from collections.abc import Container
from fnmatch import fnmatchcase

from flyasync.emulator.core.errors import ApiError, forbidden, manifest_unknown, region_retired, unauthenticated
from flyasync.emulator.core.faults import Fault, Subject
from flyasync.emulator.core.regions import CODES, alternate


def error(fault: Fault, subject: Subject, *, retired: Container[str]) -> ApiError:
    """Return the error with which a fault of the kinds in `REFUSALS` refuses a request."""
    match fault.does:
        case "token_expired":
            return unauthenticated()
        case "token_forbidden":
            return forbidden()
        case "manifest_unknown":
            return manifest_unknown(subject.image)
        case "retire_region":
            region = next(code for code in subject.regions if fnmatchcase(code, fault.region))
            return region_retired(region, alternate(region, retired) if region in CODES else "iad")
    raise ValueError(f"fault.does: {fault.does!r} is not a refusal")
