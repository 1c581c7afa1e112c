"""A W&B server for tests: as much of its protocol as uploading a run, and saving a view or a report, needs.

It keeps what it was sent, and is told how to misbehave. What the real server makes of the same is not known
here.
"""

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any


class WandbServer(ThreadingHTTPServer):
    """`runs`: by id, what was said of each; `streams`: rows of history by run id; `views`: what was saved."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, dict[str, Any]] = {}
        self.streams: dict[str, list[dict[str, Any]]] = {}
        self.views: list[dict[str, Any]] = []
        self.refused: set[str] = set()  # ids of runs whose data it does not take
        self.held: set[str] = set()  # ids of runs whose data it does not answer until `released`
        self.released = Event()
        self.unauthorized = False

    def handle_error(self, request, client_address):
        """A client that goes away is what some tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving() -> Iterator[WandbServer]:
    with WandbServer() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WandbServer  # pyrefly: ignore[bad-override-mutable-attribute]

    def log_message(self, format, *args):
        """Quiet."""

    def do_HEAD(self):
        self.answer({})

    do_GET = do_HEAD

    def do_PUT(self):
        self.body()
        self.answer({})

    def do_POST(self):
        body = self.body()
        if self.path == "/graphql":
            self.graphql(json.loads(body))
        elif stream := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
            self.file_stream(stream[1], json.loads(body))
        else:
            self.answer({})

    def graphql(self, asked: dict[str, Any]):
        if self.server.unauthorized:
            self.answer({"errors": [{"message": "user is not logged in"}]}, 401)
            return
        operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])[1]
        variables = asked.get("variables") or {}
        answers = {
            "Viewer": self.viewer, "GetDefaultEntity": self.viewer, "UpsertBucket": self.upsert_run,
            "CreateRunFiles": self.run_files, "UpsertView2": self.upsert_view, "upsertView": self.upsert_view,
            "ProjectInternalId": self.project, "GetProjects": self.projects,
            "RunResumeStatus": lambda _: {"model": None},
        }  # fmt: skip
        answer = answers.get(operation)
        if answer is None:
            self.answer({"errors": [{"message": f"this server does not know {operation}"}]}, 400)
        else:
            self.answer({"data": answer(variables)})

    def viewer(self, variables):
        return {
            "viewer": {
                "id": "u", "entity": "tester", "username": "tester", "email": "tester@example.org",
                "flags": "{}", "teams": {"edges": []},
            }
        }  # fmt: skip

    def upsert_run(self, variables):
        run_id = variables["name"]
        said = {key: value for key, value in variables.items() if value is not None}
        self.server.runs.setdefault(run_id, {}).update(said)
        project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": "tester"}}
        bucket = {
            "id": f"bucket-{run_id}", "name": run_id, "displayName": variables.get("displayName"),
            "description": None, "config": "{}", "sweepName": None, "project": project, "historyLineCount": 0,
        }  # fmt: skip
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def run_files(self, variables):
        run = variables["run"]
        files = [{"name": f, "uploadUrl": f"{self.server.url}/store/{run}/{f}"} for f in variables["files"]]
        return {"createRunFiles": {"runID": f"bucket-{run}", "uploadHeaders": [], "files": files}}

    def project(self, variables):
        return {"project": {"id": "p", "internalId": "1"}}

    def projects(self, variables):
        named = {
            "id": "p", "name": "trainlab", "entityName": "tester", "createdAt": "", "isBenchmark": False,
            "user": None,
        }  # fmt: skip
        page = {"endCursor": None, "hasNextPage": False}
        return {"models": {"pageInfo": page, "edges": [{"node": named}]}}

    def upsert_view(self, variables):
        self.server.views.append(variables)
        view = {
            "id": f"view{len(self.server.views)}", "type": variables["type"], "name": variables["name"],
            "displayName": variables["displayName"], "description": "", "spec": variables["spec"],
            "project": {"id": "p", "name": variables["projectName"], "entityName": variables["entityName"]},
        }  # fmt: skip
        return {"upsertView": {"view": view, "inserted": True}}

    def file_stream(self, run_id: str, sent: dict[str, Any]):
        if run_id in self.server.refused:
            self.answer({"error": "not today"}, 400)
            return
        if run_id in self.server.held:
            self.server.released.wait()
        history = sent.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
        self.server.streams.setdefault(run_id, []).extend(json.loads(line) for line in history)
        self.answer({})

    def body(self) -> bytes:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

    def answer(self, content: Any, code: int = 200):
        data = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
