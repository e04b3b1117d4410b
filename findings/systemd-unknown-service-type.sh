#!/usr/bin/env bash
# A misspelt or too new Type= does not fail a systemd unit: it is ignored with a warning, systemd-analyze calls the file
# good, and the service runs as Type=simple. So start does not wait for READY=1, and a unit of Type=notify-reload without
# ExecReload= (new in systemd 253) cannot be reloaded on Debian 12, Ubuntu 22.04 and JetPack 6.
# Uses the systemd-analyze of this machine; changes nothing.
set -euo pipefail
command -v systemd-analyze >/dev/null || { echo "needs systemd (apt-get install systemd)"; exit 3; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
systemd-analyze --version | head -1
for type in notify notify-relaod; do
    printf '[Service]\nType=%s\nExecStart=/bin/true\n' "$type" >"$folder/it.service"
    status=0
    said=$(cd "$folder" && systemd-analyze verify ./it.service 2>&1) || status=$?
    echo "Type=$type: systemd-analyze verify exits $status and says: ${said:-nothing}"
done
# The last one was the misspelt type.
case "$status $said" in
"0 "*"ignoring: notify-relaod"*) ;;
*)
    echo "this has changed"
    exit 1
    ;;
esac
