"""What one request leaves in the log, and the spans that a collector gets."""

import contextlib
import http.server
import json
import threading

import pytest

from harness.process import until

PATH = "/api/v3/access-policies"


@contextlib.contextmanager
def listening(answer=200):
    """A collector: its address, and the spans that it was sent."""
    spans, problems = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/json":
                problems.append((self.path, self.headers["Content-Type"]))
            for resource in json.loads(body)["resourceSpans"]:
                assert resource["resource"]["attributes"][0] == {
                    "key": "service.name",
                    "value": {"stringValue": "bailiwick"},
                }
                for scope in resource["scopeSpans"]:
                    spans.extend(scope["spans"])
            self.send_response(answer)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        server.server_close()
    assert not problems, problems


def attributes(span):
    return {one["key"].removeprefix("bailiwick."): one["value"]["stringValue"] for one in span["attributes"]}


def test_a_collector_gets_a_span_for_each_request_and_pass_and_no_name_of_anybody(new_server, api_server):
    with listening() as (endpoint, spans):
        server = new_server(environment={"BAILIWICK_OTLP_ENDPOINT": endpoint}).start()
        user, cluster = server.add_user("name-xyzzy"), server.add_cluster(api_server)
        policy = server.policies().create(ids=[user], clusters=[cluster]).policy_id
        server.until_state(policy, cluster, "effective")
        answer = server.client().request("GET", f"{PATH}?name=secret-query")
        refused = server.client(("AKNOBODY", "wrong")).raw("GET", PATH)
        lost = server.client().raw("GET", "/api/v3/nowhere-at-all")
        server.stop()  # what waits is sent before the end
        of = {span["traceId"]: span for span in spans}
        span = of[answer.headers["X-Request-Id"]]
        assert (span["name"], span["kind"], span["status"]["code"]) == ("cce.listAccessPolicy", 2, 0)
        assert attributes(span) == {
            "dialect": "huawei",
            "operation": "cce.listAccessPolicy",
            "status": str(answer.status),
            "outcome": "ok" if answer.status == 200 else "invalid",
        }
        assert 0 <= int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) < 10**10
        assert attributes(of[refused.headers["X-Request-Id"]])["outcome"] == "unauthenticated"
        assert "operation" not in attributes(of[lost.headers["X-Request-Id"]])
        passes = [span for span in spans if span["name"] == "pass"]
        assert passes and all(attributes(span) == {"outcome": "ok"} and span["kind"] == 1 for span in passes)
        assert len({span["spanId"] for span in spans}) == len(spans)
        sent = json.dumps(spans)
        names = (user, "xyzzy", cluster, policy, server.account, server.project, server.root, server.key_id)
        for name in (*names, "secret-query", "nowhere-at-all", server.secret):
            assert name not in sent


def test_a_collector_that_is_away_or_refuses_disturbs_nothing(new_server):
    with listening(answer=503) as (endpoint, _):
        server = new_server(environment={"BAILIWICK_OTLP_ENDPOINT": endpoint}).start()
        until(lambda: "traces are dropped" in server.process.output(), 10, "it says so")
        for _ in range(20):
            assert server.policies().list().status_code == 200
        assert server.process.output().count("traces are dropped") == 1, "once, and not each second"
    assert server.policies().list().status_code == 200
    assert server.stop() == 0


def test_an_endpoint_with_credentials_is_refused(new_server):
    said = new_server(environment={"BAILIWICK_OTLP_ENDPOINT": "http://u:hunter2@127.0.0.1:1"}).refuses_to_start()
    assert "otlp_endpoint" in said and "hunter2" not in said


@pytest.mark.parametrize("form", ["text", "json"])
def test_every_line_that_a_request_causes_names_the_request(new_server, form):
    server = new_server(
        arguments=["--listen", "127.0.0.1:0", "--log-format", form], environment={"BAILIWICK_LOG": "debug,sqlx=debug"}
    ).start()
    answer = server.client().request("GET", "/api/v3/nowhere")
    request = answer.headers["X-Request-Id"]
    lines = [line for line in server.process.output().splitlines() if request in line]
    assert lines
    if form == "text":
        assert all(f"request_id={request}" in line for line in lines), lines
    else:
        said = [line for line in server.process.output().splitlines() if not line.startswith("listening on")]
        parsed = [json.loads(line) for line in said]
        mine = [line for line in parsed if request in json.dumps(line)]
        assert mine and all(line["span"]["request_id"] == request for line in mine), mine
        assert all({"timestamp", "level", "fields", "target"} <= set(line) for line in parsed)


def test_an_unknown_form_of_the_log_is_refused(new_server):
    said = new_server(environment={"BAILIWICK_LOG_FORMAT": "xml"}).refuses_to_start()
    assert "--log-format" in said and "json" in said
