#!/usr/bin/env bash
# Train on two "machines" on one: network namespaces, joined by a virtual cable, which share nothing
# but the disk. Needs root, iproute2, and the MPICH of minidl[distributed].
#
#   sudo examples/two_machines.sh [PYTHON]
set -euo pipefail
python=${1:-python}
folder=$(mktemp -d)
names=(minidl1 minidl2)

clean() {
    for name in "${names[@]}"; do ip netns del "$name" 2> /dev/null || true; done
    rm -rf "$folder"
}
trap clean EXIT

for name in "${names[@]}"; do
    ip netns add "$name"
    ip -n "$name" link set lo up
done
ip link add cable1 netns minidl1 type veth peer name cable2 netns minidl2
for i in 1 2; do
    ip -n "minidl$i" addr add "10.77.0.$i/24" dev "cable$i"
    ip -n "minidl$i" link set "cable$i" up
done

# What mpiexec calls instead of ssh: it gets options, an address, and the command to run there.
cat > "$folder/launcher" << 'LAUNCHER'
#!/usr/bin/env bash
while [[ $1 != 10.77.0.* ]]; do shift; done
namespace=minidl${1##*.}
shift
exec ip netns exec "$namespace" bash -c "$*"
LAUNCHER
chmod +x "$folder/launcher"

mpiexec=$("$python" -c "import pathlib, sys; print(pathlib.Path(sys.executable).parent / 'mpiexec')")
script=$(dirname "$0")/distributed.py

echo "one process:"
"$python" "$script" 2> /dev/null
before=$(ip netns exec minidl1 cat /sys/class/net/cable1/statistics/tx_bytes)
echo "two machines, a process on each, messages by TCP:"
# no shared memory, which both would find, as it is one machine
ip netns exec minidl1 env MPIR_CVAR_NOLOCAL=1 UCX_TLS=tcp OPENBLAS_NUM_THREADS=1 \
    "$mpiexec" -launcher ssh -launcher-exec "$folder/launcher" \
    -hosts 10.77.0.1,10.77.0.2 -n 2 -ppn 1 "$python" "$script" 2> "$folder/errors" ||
    { cat "$folder/errors"; exit 1; }
after=$(ip netns exec minidl1 cat /sys/class/net/cable1/statistics/tx_bytes)
echo "$((after - before)) bytes went through the cable in one direction"
