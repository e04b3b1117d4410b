#!/usr/bin/env bash
# Starlette's FileResponse, and a file that grows while it is sent, as a recording does.
#
# The size is looked up first and sent as Content-Length; then the file is read to its end, wherever that is by then. What
# is too much is no more sent: uvicorn refuses the piece that goes past the announced length as a whole, so the client lacks
# the last bytes it was promised (up to 64 KiB), and its download fails. A request for a part of the file (Range) ends
# where it should.
#
# Installs starlette 1.10.0 and uvicorn 0.54.0 in a folder of its own. Exits with 1 if it sees something else.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT

python3 -m venv venv
venv/bin/pip install -q starlette==1.10.0 uvicorn==0.54.0 h11==0.16.0

venv/bin/python - <<'PYTHON'
import http.client
import socket
import sys
import threading
import time

import uvicorn
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Route

SIZE = 20_000_000  # more than the kernel keeps for a client that does not read
app = Starlette(routes=[Route("/file", lambda request: FileResponse("file.bin"))])
listener = socket.create_server(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(app, http="h11", log_level="critical"))
threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
while not server.started:
    time.sleep(0.05)


def download(**headers: str) -> tuple[int, int]:
    """Bytes that were promised, and that came, of a file that grows once the answer has begun."""
    open("file.bin", "wb").write(bytes(SIZE))
    client = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1])
    client.request("GET", "/file", headers=headers)
    answer = client.getresponse()
    open("file.bin", "ab").write(bytes(1_000_000))
    try:
        got = len(answer.read())
    except http.client.IncompleteRead as cut:
        got = len(cut.partial)
    return int(answer.headers["content-length"]), got


whole, part = download(), download(Range="bytes=0-")
print(f"whole: promised {whole[0]}, came {whole[1]}; as a part: promised {part[0]}, came {part[1]}")
seen = whole[0] == SIZE and 0 < SIZE - whole[1] < 65536 and part == (SIZE, SIZE)
sys.exit(0 if seen else 1)
PYTHON
