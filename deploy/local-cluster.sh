#!/usr/bin/env bash
# A dask cluster on this machine: a scheduler and workers of one thread each.
#   deploy/local-cluster.sh            two workers on port 8786, until Ctrl-C
#   PORT=0 WORKERS=4 MEMORY=8GiB DASHBOARD=9000 deploy/local-cluster.sh
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
port="${PORT:-8786}"
workers="${WORKERS:-2}"
memory="${MEMORY:-4GiB}"
dashboard="${DASHBOARD:-8787}"
dask="$here/.venv/bin/dask"
[ -x "$dask" ] || dask="$(command -v dask)" || { echo "no dask here: run 'make demo' once, or pip install fusestack" >&2; exit 1; }

# one native thread per worker: blocks are what runs in parallel
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
export DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=0

scratch="$(mktemp -d)"
pids=()
stop() {
    trap - EXIT INT TERM
    # workers first: one that has lost its scheduler waits for it instead of ending
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill "${pids[i]}" 2>/dev/null || true
        for _ in $(seq 25); do kill -0 "${pids[i]}" 2>/dev/null || break; sleep 0.2; done
        kill -9 "${pids[i]}" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$scratch"
}
trap stop EXIT
trap 'exit 0' INT TERM

"$dask" scheduler --host 127.0.0.1 --port "$port" --dashboard-address "127.0.0.1:$dashboard" \
    --scheduler-file "$scratch/scheduler.json" >"$scratch/log" 2>&1 &
pids+=($!)
for _ in $(seq 100); do
    [ -s "$scratch/scheduler.json" ] && break
    kill -0 "${pids[0]}" 2>/dev/null || { cat "$scratch/log" >&2; exit 1; }
    sleep 0.2
done
address="$(sed -n 's/.*"address": "\(tcp:[^"]*\)".*/\1/p' "$scratch/scheduler.json")"
# another port than the wanted one, where that is taken
shown="http://127.0.0.1:$(sed -n 's/.*"dashboard": \([0-9]*\).*/\1/p' "$scratch/scheduler.json")/status"
"$(dirname "$dask")/python" -c 'import bokeh' 2>/dev/null || shown="needs bokeh: pip install '.[dashboard]'"

for _ in $(seq "$workers"); do
    "$dask" worker "$address" --nworkers 1 --nthreads 1 --memory-limit "$memory" --no-dashboard \
        --local-directory "$scratch" --host 127.0.0.1 >>"$scratch/log" 2>&1 &
    pids+=($!)
done

for _ in $(seq 150); do
    [ "$(grep -c 'Registered to' "$scratch/log")" -ge "$workers" ] && break
    sleep 0.2
done

echo "dask scheduler at $address, $workers workers of one thread and $memory"
echo "dashboard: $shown"
echo "use it:  fusestack run CONFIG --set execution.scheduler=$address"
echo "stop it: Ctrl-C"
left="$workers"
while kill -0 "${pids[0]}" 2>/dev/null && [ "$left" -gt 0 ]; do
    wait -n || true
    left=0
    for pid in "${pids[@]:1}"; do if kill -0 "$pid" 2>/dev/null; then left=$((left + 1)); fi; done
    kill -0 "${pids[0]}" 2>/dev/null && echo "a worker ended; $left are left" >&2
done
echo "the cluster ended:" >&2
tail -n 20 "$scratch/log" >&2
exit 1
