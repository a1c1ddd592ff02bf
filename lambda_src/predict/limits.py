"""Numbers that AWS or the contract fix. The function, its artifact's proof and the workbook all take them from here."""

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
UNZIPPED_BYTES = 262_144_000  # of a function and its layers
PAYLOAD_BYTES = 6_291_456  # of an invocation's event, in which a binary body is base64
# Of a request's body: base64 makes 6.13 MB of so many, and the event holds the request's headers twice beside them.
BODY_BYTES = 4_600_000
# Memory at which Lambda gives a function one whole vCPU; more comes in proportion.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MEGABYTES_PER_VCPU = 1769
# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
GATEWAY_SECONDS = 29.0  # after which API Gateway gives up

TOP_DEFAULT, TOP_MAX = 5, 20  # classes in an answer
URLS_MAX = 16  # images in a request
