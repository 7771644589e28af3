"""The HTTP side of AWS's API: which operation a request asks for, with which parameters, and how an answer is written.

Everything follows from botocore's service models; the routers, request parsers and serialisers are moto's.
"""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.exceptions import UnknownServiceError
from botocore.parsers import create_parser
from moto.core.model import OperationModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import SerializationContext, get_serializer_class
from moto.iam.models import get_account_id_from
from werkzeug.exceptions import NotFound

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
# Header that our own CloudFormation and EventBridge put on their calls, as AWS's services sign theirs as services.
INVOKED_BY = "X-Local-Invoked-By"
# Header with the access key of the person for whom CloudFormation makes a call: it acts with that person's rights.
ON_BEHALF_OF = "X-Local-On-Behalf-Of"
acting_for: ContextVar[str] = ContextVar("acting_for", default="")
"""That access key, where CloudFormation is at work."""
# moto's header that names the account of a call, before its access key does.
ACCOUNT = "x-moto-account-id"

# What a request is signed for does not always name the service in botocore's words, or names several services.
_SERVICES_BY_SIGNING_NAME = {
    "apigateway": ["apigateway", "apigatewayv2"],
    "dynamodb": ["dynamodb", "dynamodbstreams"],
    "elasticfilesystem": ["efs"],
    "elasticloadbalancing": ["elb", "elbv2"],
    "es": ["opensearch", "es"],
    "monitoring": ["cloudwatch"],
    "s3": ["s3", "s3control"],
    "ses": ["ses", "sesv2"],
    "states": ["stepfunctions"],
    "tagging": ["resourcegroupstaggingapi"],
}


class _Refusal(Exception):
    # The fields are those that moto's serialisers look for.
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: status, headers, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether AWS did what it was asked for."""
        return self.status < 300


@dataclass(frozen=True)
class Call:
    """One call of an AWS operation, as it came in."""

    service: str
    model: OperationModel
    region: str
    access_key: str
    request: Request
    path_parameters: Mapping[str, Any]

    @property
    def operation(self) -> str:
        """The operation's name, e.g. CreateQueue."""
        return str(self.model.name)

    @property
    def account(self) -> str:
        """The account that is called: the one that the access key belongs to, of a user or of a role's session."""
        return str(self.request.headers.get(ACCOUNT) or get_account_id_from(self.access_key))

    @property
    def invoked_by(self) -> str | None:
        """The AWS service that makes this call for somebody, e.g. cloudformation.amazonaws.com."""
        invoked_by: str | None = self.request.headers.get(INVOKED_BY)
        return invoked_by

    @property
    def on_behalf_of(self) -> str | None:
        """The access key of the person for whom CloudFormation makes this call."""
        person: str | None = self.request.headers.get(ON_BEHALF_OF)
        return person

    @property
    def protocol(self) -> str:
        """The protocol that the client chose; some services speak two."""
        return str(determine_request_protocol(self.model.service_model, self.request.content_type))

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The parameters, under the names that boto3 gives them."""
        request = self.request
        parsed: dict[str, Any] = PROTOCOL_PARSERS[self.protocol](self.model).parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": request.get_data(),
                "url_path": request.path,
                "url_params": dict(self.path_parameters),
            }
        )
        return parsed

    def answer(self, result: Mapping[str, Any]) -> Answer:
        """The answer that carries `result`, in the words of the operation's output shape."""
        return self._serialized(result)

    def refuse(self, code: str, message: str, status: int = 400) -> Answer:
        """An error answer in the protocol's own form."""
        refusal = self._serialized(_Refusal(code, message))
        return Answer(status, refusal.headers, refusal.body)

    def result(self, answer: Answer) -> dict[str, Any]:
        """`answer`, parsed as boto3 would; an error answer gives {"Error": {"Code", "Message"}}."""
        response = {"status_code": answer.status, "headers": dict(answer.headers), "body": answer.body}
        parsed: dict[str, Any] = create_parser(self.protocol).parse(response, self.model.output_shape)
        parsed.pop("ResponseMetadata", None)
        return parsed

    def _serialized(self, result: Mapping[str, Any] | Exception) -> Answer:
        serializer = get_serializer_class(self.service, self.protocol)
        written = serializer(self.model, SerializationContext(str(uuid.uuid4()))).serialize(result)
        body = written["body"]
        return Answer(written["status_code"], written["headers"], body.encode() if isinstance(body, str) else body)


def buffered(environ: dict[str, Any]) -> Request:
    """A request whose body is in memory, so that it can be read here and once more by whoever comes next."""
    request = Request(environ.copy(), populate_request=False)
    body = request.get_data()
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ.update({"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))})
    return request


def recognise(request: Request) -> Call | None:
    """The AWS call that a request makes; None for unsigned requests and for operations that botocore does not know."""
    scope = _CREDENTIAL.search(request.headers.get("Authorization", ""))
    if scope is None:
        scope = _CREDENTIAL.search("Credential=" + request.args.get("X-Amz-Credential", ""))
    if scope is None:
        return None
    access_key, region, signing_name = scope.groups()
    for service in _SERVICES_BY_SIGNING_NAME.get(signing_name, [signing_name]):
        if (found := _route(service, request)) is not None:
            return Call(service, found[0], region, access_key, request, found[1])
    return None


def _route(service: str, request: Request) -> tuple[OperationModel, dict[str, Any]] | None:
    try:
        router = get_service_router(service)
        model, parameters = router.match(request)
    except (NotFound, NotImplementedError, UnknownServiceError):
        return None
    # Classic and v2 load balancers share operation names and the signing name; the version tells them apart.
    version = request.values.get("Version")
    if version and version != model.service_model.api_version:
        return None
    return model, parameters
