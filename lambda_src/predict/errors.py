"""The errors of the endpoint's contract: one exception, one table."""

# Each code of the contract and its HTTP status. Clients may rely on the codes; the messages may change.
STATUS = {
    "request_malformed": 400,  # not an API Gateway request, or a body that is not what it says it is
    "parameter_missing": 400,
    "parameter_repeated": 400,
    "parameter_unknown": 400,
    "parameter_malformed": 400,
    "url_malformed": 400,
    "address_not_public": 400,
    "path_not_found": 404,
    "method_not_allowed": 405,
    "image_too_large": 413,  # over the byte cap or the pixel cap
    "media_type_not_supported": 415,  # the request's Content-Type
    "not_an_image": 415,  # the bytes themselves
    "image_broken": 422,
    "host_not_found": 502,  # the image's host, as in the next four
    "host_unreachable": 502,
    "host_certificate": 502,
    "host_answer": 502,
    "too_many_redirects": 502,
    "misconfigured": 503,  # the function's environment variables
    "model_store_denied": 503,
    "model_store_unreachable": 503,
    "model_file_missing": 503,
    "model_file_mismatch": 503,
    "model_not_usable": 503,
    "fetch_timeout": 504,  # the image's host took too long
    "time_limit": 504,  # the whole request did
    "internal_error": 500,  # a defect of the function: no request is meant to reach it, and an alarm watches for it
}

# What API Gateway alone answers with, from template.yml's GatewayResponses; the function never raises these.
GATEWAY_STATUS = {
    "throttled": 429,
    "unavailable": 503,  # the function crashed or did not start, or Lambda throttled it; trying again is worth it
}

# And to whom may not ask, where the stack's parameter Auth asks for a key or a signature. Asking again does not help.
GUARD_STATUS = {
    "key_not_valid": 403,  # no key, one that is unknown or disabled, or another API's
    "signature_not_valid": 403,  # no signature, a wrong or an expired one, or one of an unknown access key
    "access_denied": 403,  # signed, by a principal that may not invoke the API
    "quota_exceeded": 429,  # the key's requests of the day are used up
}


class PredictionError(Exception):
    """A request's failure that has a name in the contract.

    `code`: a stable identifier; `status`: the HTTP status; `message`: one line, what is wrong and what to do, fit
    for the client: no credential, no query string of a URL, no path of this machine. `detail` is for the log alone.
    """

    def __init__(self, code: str, status: int, message: str, detail: str = ""):
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message
        self.detail = detail

    def body(self) -> dict:
        """The response's body."""
        return {"error": {"code": self.code, "message": self.message}}


BY_POST = "send the image's bytes by POST"  # the remedy when a host or a URL does not give an image
NO_MEMORY = "the image needs more memory to decode than there is: send a smaller image"


def failure(code: str, message: str, detail: str = "") -> PredictionError:
    """Make the exception for `code`, with the status that `STATUS` gives it. Raises KeyError for an unknown code."""
    return PredictionError(code, STATUS[code], message, detail)


def shown(value: object, limit: int = 80) -> str:
    """`value` fit for a message or a log line: printable ASCII, quoted, and at most about `limit` characters long."""
    text = str(value)
    return ascii(text if len(text) <= limit else text[:limit] + "…")
