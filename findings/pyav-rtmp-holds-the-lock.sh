#!/usr/bin/env bash
# PyAV and an RTMP server that accepts the connection and stays silent.
#
# av.open("rtmp://…", "w", timeout=1) with FFmpeg's rw_timeout of one second as well: it does not come back within ten
# seconds, and no other thread of Python runs meanwhile, since it waits in the handshake with the interpreter's lock held.
# So one silent server stops the whole process.
#
# Exits with 1 if it sees something else.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT

python3 -m venv venv
venv/bin/pip install -q av==17.1.0

cat > publish.py <<'PYTHON'
import socket
import threading
import time

import av

server = socket.create_server(("127.0.0.1", 0))
held = []
threading.Thread(target=lambda: held.append(server.accept()), daemon=True).start()


def beat() -> None:
    while True:
        with open("beats", "a") as beats:
            beats.write("x")
        time.sleep(0.1)


threading.Thread(target=beat, daemon=True).start()
time.sleep(1)
options = {"rw_timeout": "1000000"}
url = f"rtmp://127.0.0.1:{server.getsockname()[1]}/live/key"
container = av.open(url, "w", format="flv", timeout=1.0, options=options)
stream = container.add_stream("libx264", rate=25)
stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
container.start_encoding()
PYTHON

status=0
timeout -s KILL 11 venv/bin/python publish.py || status=$?
beats=$(wc -c < beats)
echo "status $status (137: killed after 10 s), $beats beats of another thread, which beats 10 times a second"
[ "$status" = 137 ] && [ "$beats" -lt 30 ]
