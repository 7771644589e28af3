"""Calls that AWS's services make of each other, where moto changes the other one's things itself: their events.

Auto Scaling registers its instances with target groups, and takes them out; Cloud Map makes the hosted zones of its
namespaces.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from moto.elbv2.models import elbv2_backends
from moto.route53.models import route53_backends

from local.account.wire import Call

Place = tuple[str, str]
"""Account and region."""


class ServiceCalls:
    """Remembers what the balancers and Route 53 had after the last call, and tells what else has come and gone."""

    def __init__(self, put_event: Callable[[Mapping[str, Any]], None]) -> None:
        self._put_event = put_event
        self._targets: dict[Place, dict[str, set[str]]] = {}
        self._zones: dict[str, set[str]] = {}

    def after(self, call: Call) -> None:
        """Look at what a call has changed; what balancers or Route 53 were told themselves has an event already."""
        if call.service in {"autoscaling", "elbv2"}:
            self._after_targets(call, (call.account, call.region))
        elif call.service in {"route53", "servicediscovery"}:
            self._after_zones(call)

    def _after_targets(self, call: Call, place: Place) -> None:
        groups = list(elbv2_backends[call.account][call.region].target_groups.items())
        now = {arn: set(group.targets) for arn, group in groups}
        before, self._targets[place] = self._targets.get(place, {}), now
        if call.service == "elbv2":
            return
        for arn in now.keys() & before.keys():
            for name, targets in _differences("RegisterTargets", "DeregisterTargets", before[arn], now[arn]):
                request = {"targetGroupArn": arn, "targets": [{"id": one} for one in sorted(targets)]}
                self._put(call, call.region, "elasticloadbalancing", name, request, {}, "2015-12-01")

    def _after_zones(self, call: Call) -> None:
        now = set(route53_backends[call.account]["aws"].zones)
        before, self._zones[call.account] = self._zones.get(call.account, set()), now
        if call.service == "route53":
            return
        for name, zones in _differences("CreateHostedZone", "DeleteHostedZone", before, now):
            for zone in sorted(zones):
                answer = {"hostedZone": {"id": f"/hostedzone/{zone}"}} if name == "CreateHostedZone" else {}
                self._put(call, "us-east-1", "route53", name, {"id": zone}, answer, "2013-04-01")

    def _put(
        self,
        call: Call,
        region: str,
        service: str,
        name: str,
        request: Mapping[str, Any],
        answer: Mapping[str, Any],
        version: str,
    ) -> None:
        """Put the event of a call that the called service made of another one."""
        time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        principal = f"{call.service}.amazonaws.com"
        detail = {
            "eventVersion": "1.11",
            "userIdentity": {"type": "AssumedRole", "accountId": call.account, "invokedBy": principal},
            "eventTime": time,
            "eventSource": f"{service}.amazonaws.com",
            "eventName": name,
            "awsRegion": region,
            "sourceIPAddress": principal,
            "userAgent": principal,
            "requestParameters": request,
            "responseElements": answer or None,
            "requestID": str(uuid.uuid4()),
            "eventID": str(uuid.uuid4()),
            "readOnly": False,
            "eventType": "AwsApiCall",
            "apiVersion": version,
            "managementEvent": True,
            "recipientAccountId": call.account,
            "eventCategory": "Management",
        }
        kind = {"source": f"aws.{service}", "detail-type": "AWS API Call via CloudTrail"}
        self._put_event({**kind, "time": time, "account": call.account, "region": region, "detail": detail})


def _differences(come: str, gone: str, before: set[str], now: set[str]) -> Iterator[tuple[str, set[str]]]:
    """Names of the calls that lead from one to the other, each with what it is about."""
    yield from ((name, found) for name, found in ((come, now - before), (gone, before - now)) if found)
