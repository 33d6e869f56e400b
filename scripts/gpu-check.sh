#!/usr/bin/env bash
# Does genas compute the same on an NVIDIA GPU as on the CPU, and how fast? Takes a built binary; builds nothing.
#
#   cargo build --release --features cuda
#   scripts/gpu-check.sh [BINARY (default target/release/genas)]
#
# Results lie under $OUT (default: a new folder under /tmp). Machines without network access need ONNX Runtime
# beside the binary (lib/) or in ORT_DYLIB_PATH. CUDA kernels are compiled when they are first used, so the first
# run on a machine is slower: the quickstart runs twice. Ends within $LIMIT seconds (default 570).
# Exit status 1 if a check failed.
set -uo pipefail
genas=${1:-target/release/genas}
out=${OUT:-$(mktemp -d /tmp/genas-gpu-check.XXXXXX)}
deadline=$((SECONDS + ${LIMIT:-570}))
failed=0

[ -x "$genas" ] || { echo "no binary at $genas: cargo build --release --features cuda" >&2; exit 2; }
mkdir -p "$out"
work=$(mktemp -d) # runs hold many files; only their JSON results are kept in $out
trap 'rm -rf "$work"' EXIT

left() { echo $((deadline > SECONDS ? deadline - SECONDS : 1)); }
check() { # NAME STATUS DETAIL
  if [ "$2" -eq 0 ]; then echo "ok   $1: $3"; else echo "FAIL $1: $3"; failed=1; fi
}
run() { # NAME ARGS...: one verb, its JSON to $out/NAME.json, its messages to $out/NAME.log
  local name=$1 start end status
  shift
  start=$(date +%s.%N)
  timeout "$(left)" "$genas" --json --no-progress "$@" > "$out/$name.json" 2> "$out/$name.log"
  status=$?
  end=$(date +%s.%N)
  if [ $status -eq 0 ]; then
    check "$name" 0 "$(awk -v a="$start" -v b="$end" 'BEGIN { printf "%.1f s", b - a }')"
  else
    check "$name" 1 "exit $status: $(tail -n 3 "$out/$name.log" | tr '\n' ' ')"
  fi
  return $status
}
# numbers FILE KEY: the first number, or list of numbers, under a key. The machine may lack Python and jq.
numbers() {
  tr -d ' \n' < "$1" | grep -oE "\"$2\":(\[[^]]*\]|[-+0-9.eE]+)" | head -n 1 | sed -e 's/^[^:]*://' | tr -d '[]' | tr ',' ' '
}
text() { # FILE KEY: the first string under a key
  tr -d '\n' < "$1" | sed -n "s/.*\"$2\": *\"\([^\"]*\)\".*/\1/p"
}
compare() { # NAME TOLERANCE A B: lists of numbers, largest relative difference
  local text status
  text=$(awk -v a="$3" -v b="$4" -v tol="$2" 'BEGIN {
    n = split(a, x, " "); m = split(b, y, " ")
    if (n == 0 || n != m) { print "nothing to compare (" n " and " m " numbers)"; exit 1 }
    for (i = 1; i <= n; i++) {
      d = x[i] - y[i]; s = (x[i] < 0 ? -x[i] : x[i]) + 1e-12; r = (d < 0 ? -d : d) / s
      if (r > worst) worst = r
    }
    printf "largest relative difference %.2e, at most %s allowed\n", worst, tol
    exit !(worst <= tol)
  }')
  status=$?
  check "$1" $status "$text"
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "no nvidia-smi"
echo "$(nproc) cores; results in $out"
run doctor doctor && cat "$out/doctor.json"

# The whole way on the GPU (the first run compiles kernels), then on the CPU.
run quickstart-cuda-first --device cuda quickstart --out "$work/cuda-first"
run quickstart-cuda --device cuda quickstart --out "$work/cuda"
run quickstart-cpu --device cpu quickstart --out "$work/cpu"
for name in quickstart-cuda-first quickstart-cuda quickstart-cpu; do
  [ -s "$out/$name.json" ] && echo "     $name: $(numbers "$out/$name.json" seconds) s, top-1 $(numbers "$out/$name.json" top1)"
done

# The same weights and the same cell on both devices: BatchNorm recalibrated by burn, losses under noise, accuracy.
cpu_run=$(text "$out/quickstart-cpu.json" run)
if run shapes data shapes "$work/shapes" --scale tiny; then
  for device in cpu cuda; do
    run "score-$device" --device $device --seed 1 score --run "$cpu_run" --cell GENAS_FLATNESS_CIFAR10 \
      --metric accuracy+flatness --data "$work/shapes/cifar10"
  done
  compare "losses, CPU and GPU" 1e-3 "$(numbers "$out/score-cpu.json" losses)" "$(numbers "$out/score-cuda.json" losses)"
fi

# A network in burn on the GPU against the same network in ONNX Runtime on the CPU.
if run retrain --device cuda retrain --cell GENAS_FLATNESS_CIFAR10 --network cifar --config configs/quickstart.toml \
  --data "$work/shapes/cifar10" --out "$work/retrain"; then
  weights=$(text "$out/retrain.json" weights)
  run export --device cuda export --onnx "$work/net.onnx" --weights "$weights" &&
    run verify --device cuda verify "$work/net.onnx" --weights "$weights" &&
    echo "     largest absolute error of burn on the GPU: $(numbers "$out/verify.json" max_abs_error)"
  # ONNX Runtime on the GPU needs its CUDA build (genas runtime install --cuda); its absence is no failure here.
  if timeout "$(left)" "$genas" --json --provider cuda bench "$work/net.onnx" \
    > "$out/bench-cuda.json" 2> "$out/bench-cuda.log"; then
    cat "$out/bench-cuda.json"
  else
    echo "     ONNX Runtime does not run on the GPU here: $(tail -n 1 "$out/bench-cuda.log")"
  fi
  run bench-cpu --provider cpu bench "$work/net.onnx" && cat "$out/bench-cpu.json"
fi

[ $failed -eq 0 ] && echo "all checks passed"
exit $failed
