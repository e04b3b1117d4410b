#!/usr/bin/env bash
# OpenVINO and PyTorch in a container with a CPU limit (Docker's --cpus, Kubernetes' limits.cpu, systemd's CPUQuota=).
#
# In a group of processes that is granted one processor's time, on a machine with more of them, both start a thread for
# each processor that the affinity allows. Together these use each period's time up at once, and then all stand still.
#
# Wants root, two processors and a cgroup file system that takes a CPU limit. Exits with 1 if it sees something else.
set -euo pipefail
cd "$(mktemp -d)"
group=/sys/fs/cgroup/cpu/finding-$$
[ -d /sys/fs/cgroup/cpu ] || group=/sys/fs/cgroup/finding-$$
trap 'rmdir "$group" 2>/dev/null || true; rm -rf "$PWD"' EXIT
[ "$(nproc)" -ge 2 ] || { echo "there is one processor only"; exit 1; }

mkdir "$group"
if [ -e "$group/cpu.cfs_quota_us" ]; then
    echo 100000 > "$group/cpu.cfs_period_us"
    echo 100000 > "$group/cpu.cfs_quota_us"
else
    echo "100000 100000" > "$group/cpu.max"
fi

python3 -m venv venv
venv/bin/pip install -q openvino==2026.4.1 torch==2.13.0 numpy==2.4.6
cat > threads.py <<'PYTHON'
import os, sys
open(sys.argv[1], "w").write(str(os.getpid()))
import openvino as ov, torch
ops = ov.opset13
given = ops.parameter([1, 4], ov.Type.f32)
compiled = ov.Core().compile_model(ov.Model([ops.relu(given)], [given]), "CPU", {"PERFORMANCE_HINT": "LATENCY"})
print(compiled.get_property("INFERENCE_NUM_THREADS"), torch.get_num_threads(), len(os.sched_getaffinity(0)))
PYTHON
read -r openvino torch affinity < <(env -u OMP_NUM_THREADS venv/bin/python threads.py "$group/cgroup.procs")
echo "granted 1 of $affinity processors: OpenVINO takes $openvino threads, PyTorch $torch"
[ "$openvino" -gt 1 ] && [ "$torch" -gt 1 ] || { echo "they keep to the limit now"; exit 1; }
