"""Starts the add-on: its options as a configuration, nginx for Ingress, and nightday-stream in this process's place.

Home Assistant's Ingress sends requests from one address, without a token and below a path of its own. nginx lets this
address in alone, shows the token, and puts the path before the page's own absolute links.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DATA = Path("/data")
OWN = Path("/config/cameras.yaml")
NGINX = Path("/run/nightday-nginx.conf")
PORT = 8080
SERVER = (f"http.port={PORT}", "http.host=0.0.0.0", "http.token=${NIGHTDAY_TOKEN}")

# The page may be framed nowhere, but Home Assistant frames it. What nginx changes has lost the hash by which
# the page allows its own style and script.
POLICY = (
    "default-src 'self' blob:; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
INGRESS = """\
worker_processes 1;
pid /run/nightday-nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  # nginx has no way to write a dollar, but a variable may hold one.
  geo $dollar { default "$"; }
  # A page of Home Assistant's own counts as ours, and so may change something; every other one is named as it is.
  map "$http_origin|$http_x_forwarded_host" $own_origin {
    default $http_origin;
    "~^https?://([^|]+)[|]\\1$" "http://$http_host";
  }
  map $http_upgrade $own_connection {
    default upgrade;
    "" "";
  }
  access_log off;
  client_body_temp_path /tmp/nginx-body;
  proxy_temp_path /tmp/nginx-proxy;
  server {
    listen 8099;
    allow 172.30.32.2;
    deny all;
    location / {
      proxy_pass http://127.0.0.1:PORT;
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_read_timeout 1h;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $own_connection;
      proxy_set_header Authorization "Bearer TOKEN";
      proxy_set_header Origin $own_origin;
      proxy_set_header Accept-Encoding "";
      proxy_hide_header Content-Security-Policy;
      add_header Content-Security-Policy "POLICY";
      sub_filter_once off;
      sub_filter '="/' '="$http_x_ingress_path/';
      sub_filter '("/' '("$http_x_ingress_path/';
    }
  }
}
"""


def configuration(options: Mapping[str, Any]) -> dict[str, Any]:
    """``cameras.yaml`` of the add-on's options."""
    cameras = []
    for given in options["cameras"]:
        camera: dict[str, Any] = {"name": given["name"], "url": given["url"], "outputs": []}
        if options["record"]:
            camera["outputs"].append("/media/nightday/{name}/%Y%m%d-%H%M%S.mp4")
            camera |= {"segment_seconds": 600, "retention": {"days": options["keep_days"]}}
        if given.get("restream"):
            camera["outputs"].append(given["restream"])
        if given.get("latitude") is not None and given.get("longitude") is not None:
            camera["location"] = [given["latitude"], given["longitude"]]
        cameras.append(camera)
    return {"cameras": cameras}


def ingress(token: str) -> str:
    """nginx's configuration, with the token to show."""
    quoted = token.replace("\\", "\\\\").replace('"', '\\"').replace("$", "${dollar}")
    return INGRESS.replace("POLICY", POLICY).replace("PORT", str(PORT)).replace("TOKEN", quoted)


def token_of(options: Mapping[str, Any], kept: Path) -> str:
    """The token of the options, or one that was made up and is kept."""
    if options.get("token"):
        return str(options["token"])
    if not kept.exists():
        write(kept, secrets.token_hex(16))
    return kept.read_text()


def write(path: Path, text: str) -> None:
    """Write a file that its owner alone can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def main() -> None:
    """Write the configurations, start nginx, become nightday-stream."""
    options = json.loads((DATA / "options.json").read_text())
    token = token_of(options, DATA / "token")
    file = OWN
    if not OWN.exists():
        file = DATA / "cameras.yaml"
        write(file, json.dumps(configuration(options)))  # JSON is YAML
    if not options.get("token"):
        print(f"the token of port {PORT}: {token}", flush=True)
    write(NGINX, ingress(token))
    subprocess.run(["nginx", "-c", str(NGINX)], check=True)
    os.environ["NIGHTDAY_TOKEN"] = token
    sets = [word for value in SERVER for word in ("--set", value)]
    os.execvp("nightday-stream", ["nightday-stream", "--cameras", str(file), *sets])


if __name__ == "__main__":
    main()
