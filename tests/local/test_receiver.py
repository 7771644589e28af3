import gzip
import json
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local.receiver import Receiver, running_receiver

ACCOUNT = {"type": "aws", "url": "123456789012"}


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with running_receiver(keys={"secret"}, folder=tmp_path / "bodies") as running:
        yield running


def component(identifier: str, **data: Any) -> dict[str, Any]:
    return {"externalId": identifier, "type": {"name": "aws.sqs"}, "data": data}


def relation(source: str, target: str, kind: str = "uses service") -> dict[str, Any]:
    ends = {"sourceId": source, "targetId": target}
    return {"externalId": f"{source}-{kind}-{target}", "type": {"name": kind}, "data": {}} | ends


def topology(*elements: dict[str, Any], start: bool = False, stop: bool = False, **more: Any) -> dict[str, Any]:
    return {
        "instance": ACCOUNT,
        "components": [each for each in elements if "sourceId" not in each],
        "relations": [each for each in elements if "sourceId" in each],
        "start_snapshot": start,
        "stop_snapshot": stop,
    } | more


def envelope(*topologies: dict[str, Any], **more: Any) -> dict[str, Any]:
    lists: dict[str, Any] = {"metrics": [], "service_checks": [], "health": [], "topologies": list(topologies)}
    return {"collection_timestamp": 1_700_000_000, "internalHostname": "topo", "events": {}} | lists | more


def post(receiver: Receiver, body: Any, key: str = "secret", path: str = "/stsAgent/intake/", **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(receiver.base_url + path, params={"api_key": key}, data=data, headers=headers, timeout=10)


def ids(receiver: Receiver) -> set[str]:
    document = requests.get(receiver.base_url.replace("/receiver", "/topology.json"), timeout=10).json()
    return {element["externalId"] for element in document["components"] + document["relations"]}


@pytest.mark.parametrize("path", ["/stsAgent/intake/", "/stsAgent/intake"])
def test_a_body_is_taken_with_and_without_the_slash(receiver: Receiver, path: str) -> None:
    assert post(receiver, envelope(topology(component("a"))), path=path).status_code == 200
    assert ids(receiver) == {"a"}


@pytest.mark.parametrize(("encoding", "encode"), [("deflate", zlib.compress), ("gzip", gzip.compress)])
def test_bodies_may_be_compressed(receiver: Receiver, encoding: str, encode: Any) -> None:
    body = json.dumps(envelope(topology(component("a")))).encode()

    assert post(receiver, encode(body), Content_Encoding=encoding).status_code == 200
    assert ids(receiver) == {"a"}
    assert post(receiver, encode(body)[:-5], Content_Encoding=encoding).status_code == 400
    assert post(receiver, zlib.compress(body)[2:-4], Content_Encoding=encoding).status_code == 400  # raw deflate


@pytest.mark.parametrize("key", ["", "wrong"])
def test_a_wrong_key_is_forbidden(receiver: Receiver, key: str) -> None:
    assert post(receiver, envelope(), key=key).status_code == 403


def test_a_start_and_stop_in_one_body_replaces_everything(receiver: Receiver) -> None:
    post(receiver, envelope(topology(component("a"), component("b"), relation("a", "b"))))

    post(receiver, envelope(topology(component("b"), component("c"), start=True, stop=True)))

    assert ids(receiver) == {"b", "c"}


def test_a_snapshot_over_several_bodies_deletes_at_its_stop_what_was_absent(receiver: Receiver) -> None:
    post(receiver, envelope(topology(component("old"), component("kept"))))
    post(receiver, envelope(topology(component("new"), start=True)))
    post(receiver, envelope(topology(component("kept"))))
    assert ids(receiver) == {"old", "kept", "new"}

    post(receiver, envelope(topology(relation("new", "kept"), stop=True)))

    assert ids(receiver) == {"kept", "new", "new-uses service-kept"}


def test_a_new_start_begins_the_snapshot_again(receiver: Receiver) -> None:
    post(receiver, envelope(topology(component("first"), start=True)))

    post(receiver, envelope(topology(component("second"), start=True, stop=True)))

    assert ids(receiver) == {"second"}


def test_without_marks_elements_are_added_changed_and_deleted_by_id(receiver: Receiver) -> None:
    post(receiver, envelope(topology(component("a", size=1), component("b"), relation("a", "b"))))

    post(receiver, envelope(topology(component("a", size=2), delete_ids=["b", "a-uses service-b", "unknown"])))

    assert ids(receiver) == {"a"}
    assert receiver.topologies.instances["aws", "123456789012"].components["a"]["data"] == {"size": 2}
    updated = receiver.topologies.timeline[-1].changes[0]
    assert (updated["what"], updated["externalId"]) == ("updated", "a")


def test_what_a_delta_deletes_during_a_snapshot_stays_deleted(receiver: Receiver) -> None:
    post(receiver, envelope(topology(component("a"), component("b"), start=True)))
    post(receiver, envelope(topology(delete_ids=["a"])))
    post(receiver, envelope(topology(stop=True)))

    assert ids(receiver) == {"b"}


def test_instances_do_not_touch_each_other(receiver: Receiver) -> None:
    post(receiver, envelope(topology(component("a"))))

    post(receiver, envelope(topology(start=True, stop=True, instance={"type": "aws", "url": "other"})))

    assert ids(receiver) == {"a"}


def test_a_relation_without_both_ends_is_counted_as_dangling(receiver: Receiver) -> None:
    post(receiver, envelope(topology(component("a"), relation("a", "nowhere"))))

    [summary] = receiver.topologies.as_json()["instances"]
    assert (summary["components"], summary["relations"], summary["dangling"]) == (1, 1, 1)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in envelope().items() if key != name}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (json.dumps(envelope(topology(component("a", size=float("nan"))))).encode(), "NaN"),
        ([], "not an object"),
        (without("internalHostname"), "missing member 'internalHostname'"),
        *[(without(name), f"missing member '{name}'") for name in envelope()],
        (envelope(internalHostname=" "), "'internalHostname' is empty"),
        (envelope(collection_timestamp=1_700_000_000_000), "not in seconds"),
        (envelope(collection_timestamp=1_700_000_000.5), "not of type int"),
        (envelope(collection_timestamp=True), "not of type int"),
        (envelope(metrics=None), "'metrics' is not of type list"),
        (envelope(apiKey="secret"), "apiKey"),
        (envelope(events={"ec2_state": {}}), "not a list"),
        (envelope(events={"ec2_state": [{"msg_title": "t", "msg_text": "t"}]}), "no time"),
        (envelope(topology(instance={"type": "aws"})), "instance"),
        (envelope(topology(instance={"type": "aws", "url": 123456789012})), "not texts"),
        (envelope(topology(start_snapshot=1)), "not true or false"),
        (envelope(topology(components=None)), "'components' is not a list"),
        (envelope(topology(version="1")), "unknown members in a topology: ['version']"),
        (envelope(topology(component(""))), "no externalId"),
        (envelope(topology(component("a") | {"type": "aws.sqs"})), "no type name"),
        (envelope(topology(component("a") | {"data": None})), "not an object"),
        (envelope(topology(component("a") | {"id": "a"})), "unknown members in component a: ['id']"),
        (envelope(topology(component("a", text="x" * 1_000_000))), "too large"),
        (envelope(topology(relation("a", "b") | {"targetId": None})), "an end that is not a text"),
        (envelope(topology(relation("a", "b") | {"externalId": "a->b"})), "should have the id a-uses service-b"),
        (envelope(topology(delete_ids=[1])), "delete_ids"),
        (envelope(topology(stop=True)), "stopped that was not started"),
    ],
)
def test_a_wrong_body_is_refused_with_the_reason_and_changes_nothing(
    receiver: Receiver, body: Any, reason: str
) -> None:
    answer = post(receiver, body)

    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert reason in answer.text
    assert ids(receiver) == set()
    assert [entry["reason"] for entry in receiver.refused()] == [answer.text]


def test_nothing_of_a_body_is_applied_if_a_part_of_it_is_wrong(receiver: Receiver) -> None:
    good, bad = topology(component("a")), topology(instance={"type": "aws", "url": "other"}, stop=True)

    assert post(receiver, envelope(good, bad)).status_code == 400
    assert ids(receiver) == set()


def test_another_content_type_is_refused(receiver: Receiver) -> None:
    assert post(receiver, envelope(), Content_Type="text/plain").status_code == 415


def test_a_body_above_the_limit_is_too_large_also_when_it_is_small_on_the_wire(receiver: Receiver) -> None:
    body = json.dumps(envelope(padding="x" * 8 * 1024 * 1024)).encode()

    assert post(receiver, body).status_code == 413
    assert post(receiver, zlib.compress(body), Content_Encoding="deflate").status_code == 413


def test_a_script_decides_the_next_answers(receiver: Receiver) -> None:
    receiver.answers([(503, {"Retry-After": "7"}, "later"), None, (200, {"Content-Type": "text/html"}, "<html>")])

    answers = [post(receiver, envelope(topology(component(name)))) for name in "abcd"]

    assert [answer.status_code for answer in answers] == [503, 200, 200, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert answers[2].headers["Content-Type"] == "text/html"
    assert ids(receiver) == {"b", "d"}


@pytest.mark.parametrize("path", ["/stsAgent/intake/", "/"])
def test_a_wrong_base_url_is_answered_by_the_page(receiver: Receiver, path: str) -> None:
    answer = requests.post(receiver.base_url.replace("receiver", "wrong") + path, data=b"{}", timeout=10)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")


def test_features_are_for_those_with_a_key(receiver: Receiver) -> None:
    url = f"{receiver.base_url}/stsAgent/features"

    assert requests.get(url, timeout=10).status_code == 403
    assert requests.get(url, params={"api_key": "secret"}, timeout=10).status_code == 200


def test_other_paths_of_the_receiver_do_not_exist(receiver: Receiver) -> None:
    assert requests.get(f"{receiver.base_url}/other", timeout=10).status_code == 404


def test_the_log_tells_of_every_body_and_bodies_are_kept_without_the_key(receiver: Receiver, tmp_path: Path) -> None:
    post(receiver, envelope(topology(component("a"), start=True, stop=True)))
    post(receiver, envelope(topology(stop=True)))
    log = requests.get(receiver.base_url.replace("/receiver", "/log.json"), timeout=10).json()

    assert [entry["status"] for entry in log] == [200, 400]
    assert log[0]["topologies"][0]["components"] == 1
    assert "secret" not in json.dumps(log)
    kept = sorted((tmp_path / "bodies").iterdir())
    assert [file.name for file in kept] == ["000001-200.json", "000002-400.json"]
    assert json.loads(kept[0].read_text())["topologies"][0]["components"][0]["externalId"] == "a"


def test_events_are_kept(receiver: Receiver) -> None:
    event = {
        "msg_title": "EC2 instance state",
        "msg_text": "running",
        "timestamp": 1_700_000_000,
        "tags": ["state:running"],
    }

    post(receiver, envelope(events={"ec2_state": [event]}))

    assert requests.get(receiver.base_url.replace("/receiver", "/events.json"), timeout=10).json() == [
        event | {"name": "ec2_state"}
    ]


def test_pages_hear_of_what_really_changed(receiver: Receiver, eventually: Any) -> None:
    lines: list[str] = []

    def listen() -> None:
        with requests.get(receiver.base_url.replace("/receiver", "/changes"), stream=True, timeout=10) as stream:
            lines.extend(line for line in stream.iter_lines(decode_unicode=True) if line.startswith("data: "))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    eventually(lambda: receiver._pages)
    post(receiver, envelope(topology(component("a"))))
    post(receiver, envelope(topology(component("a"), component("b"))))
    post(receiver, envelope(topology(delete_ids=["a"])))
    time.sleep(0.2)
    receiver.close()
    thread.join(timeout=5)

    hello, *changes = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert hello == 0
    assert [[c["externalId"] for c in change["components"]] for change in changes] == [["a"], ["b"], []]
    assert changes[2]["removed"] == [{"instance": "aws/123456789012", "externalId": "a"}]
    assert [change["revision"] for change in changes] == [1, 2, 3]
