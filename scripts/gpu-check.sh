#!/usr/bin/env bash
# Does genas compute the same on an NVIDIA GPU as on the CPU, and how fast? Takes a built binary; builds nothing.
#
#   cargo build --release --features cuda
#   scripts/gpu-check.sh [BINARY (default target/release/genas)]
#
# Results lie under $OUT (default: a new folder under /tmp). Machines without network access need ONNX Runtime
# beside the binary (lib/) or in ORT_DYLIB_PATH. CUDA kernels are compiled when they are first used, so the first
# run on a machine is slower: the quickstart runs twice. Where $PYTHON (default python3) has PyTorch with CUDA and NumPy,
# PyTorch does the same work on the same GPU. Ends within $LIMIT seconds (default 570) with a table of the times.
# Exit status 1 if a check failed; at once if nothing runs on the GPU.
set -uo pipefail
genas=${1:-target/release/genas}
out=${OUT:-$(mktemp -d /tmp/genas-gpu-check.XXXXXX)}
python=${PYTHON:-python3}
benches=$(cd "$(dirname "$0")/../benches" && pwd)
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
if ! run quickstart-cuda-first --device cuda quickstart --out "$work/cuda-first"; then
  echo "genas computes nothing on a GPU here: nothing to compare"
  exit 1
fi
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
if run retrain --device cuda retrain --cell GENAS_FLATNESS_CIFAR100 --network cifar --config configs/quickstart.toml \
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

# ImageNet's recipe on generated photos, an epoch: one GPU in f32 and in bf16, and as many replicas as there are GPUs.
gpus=$(nvidia-smi -L 2> /dev/null | grep -c '^GPU')
photos=(retrain --cell GENAS_FLATNESS_CIFAR100 --network imagenet --config imagenet --channels 16
  --data "$work/shapes/imagefolder" --set retrain.epochs=1 --set retrain.batch-size=32 --set retrain.learning-rate=0.02
  --set retrain.photos.size=224)
run imagenet-cpu --device cpu "${photos[@]}" --out "$work/imagenet-cpu"
run imagenet-f32 --device cuda "${photos[@]}" --out "$work/imagenet-f32"
run imagenet-bf16 --device cuda "${photos[@]}" --set retrain.precision=bf16 --out "$work/imagenet-bf16"
[ "$gpus" -gt 1 ] && run imagenet-replicas --device cuda "${photos[@]}" --replicas "$gpus" --out "$work/imagenet-replicas"
curve() { # NAME COLUMN: of the only epoch of a training
  [ -s "$work/$1/retrain/training.csv" ] && awk -F, -v c="$2" 'NR == 2 { print $c }' "$work/$1/retrain/training.csv"
}
for name in imagenet-cpu imagenet-f32 imagenet-bf16 imagenet-replicas; do
  [ -n "$(curve $name 2)" ] && echo "     $name: loss $(curve $name 2), $(curve $name 9) images/s"
done
compare "loss of ImageNet's network, CPU and GPU" 1e-2 "$(curve imagenet-cpu 2)" "$(curve imagenet-f32 2)"

# A detector: a few steps of a small one on both devices, and the speed of COCO's at its own sizes. Of two periods the
# second counts: the first compiles kernels.
coco=(transfer coco --backbone "$work/imagenet-f32/retrain/final.safetensors" --data "$work/shapes/coco"
  --set solver.iterations=20 --set solver.evaluate-every=10 --set solver.warmup-iterations=10)
period() { # NAME PERIOD COLUMN: NAME begins with the verb, which is what the run's folder is called
  local table=$work/$1/${1%%-*}/training.csv
  [ -s "$table" ] && awk -F, -v r="$2" -v c="$3" 'NR == r + 1 { print $c }' "$table"
}
run coco-cpu --device cpu "${coco[@]}" --config coco-shapes --out "$work/coco-cpu"
run coco-cuda --device cuda "${coco[@]}" --config coco-shapes --out "$work/coco-cuda"
compare "loss of a detector, CPU and GPU" 1e-2 "$(period coco-cpu 1 2)" "$(period coco-cuda 1 2)"
for precision in f32 bf16; do
  name=coco-800-$precision
  run "$name" --device cuda "${coco[@]}" --config coco-retinanet-1x --set solver.batch-size=4 \
    --set solver.precision=$precision --out "$work/$name"
  speed=$(period "$name" 2 12)
  [ -n "$speed" ] && echo "     $name: $speed images/s, the 1x schedule (16 x 90,000 images) in $(awk -v s="$speed" \
    'BEGIN { printf "%.1f", s > 0 ? 16 * 90000 / s / 3600 : 0 }') hours on this GPU"
done

# A segmenter likewise.
cityscapes=(transfer cityscapes --backbone "$work/imagenet-f32/retrain/final.safetensors" --data "$work/shapes/cityscapes"
  --set solver.iterations=20 --set solver.evaluate-every=10)
run cityscapes-cpu --device cpu "${cityscapes[@]}" --config cityscapes-camvid --out "$work/cityscapes-cpu"
run cityscapes-cuda --device cuda "${cityscapes[@]}" --config cityscapes-camvid --out "$work/cityscapes-cuda"
compare "loss of a segmenter, CPU and GPU" 1e-2 "$(period cityscapes-cpu 1 2)" "$(period cityscapes-cuda 1 2)"
for precision in f32 bf16; do
  name=cityscapes-512-$precision
  run "$name" --device cuda "${cityscapes[@]}" --config cityscapes-deeplabv3-40k --set solver.batch-size=4 \
    --set solver.precision=$precision --out "$work/$name"
  speed=$(period "$name" 2 9)
  [ -n "$speed" ] && echo "     $name: $speed images/s, the 40k schedule (8 x 40,000 images) in $(awk -v s="$speed" \
    'BEGIN { printf "%.1f", s > 0 ? 8 * 40000 / s / 3600 : 0 }') hours on this GPU"
done

# What a search spends its time on, at the paper's size: supernet steps and candidates that are scored.
search=(search --config darts-cifar10 --data "$work/cuda/shapes/cifar10" --set metric.validation-images=1000
  --set evolution.generations=1 --set evolution.population=8 --set evolution.parents=8 --set evolution.mutations=4
  --set evolution.crossovers=4 --set supernet.learning-rate-min=0.025) # a constant rate: epochs of both compare
# The last of three epochs counts on the GPU: each step has another path, and new ones compile kernels.
run speed-cuda --device cuda "${search[@]}" --set supernet.epochs=3 --scorer burn --out "$work/speed-cuda"
# Kernels of scoring were compiled by now.
run speed-cuda-again --device cuda "${search[@]}" --set supernet.epochs=3 --scorer burn --supernet "$work/speed-cuda" \
  --out "$work/speed-cuda-again"
if ! timeout "$(left)" "$genas" --json --no-progress --device cuda --provider cuda "${search[@]}" \
  --set supernet.epochs=3 --supernet "$work/speed-cuda" --out "$work/speed-ort" \
  > "$out/speed-ort.json" 2> "$out/speed-ort.log"; then
  echo "     no scoring by ONNX Runtime on the GPU: $(tail -n 1 "$out/speed-ort.log")"
fi
torch_note="PyTorch not installed: not compared"
if "$python" -c 'import sys, numpy, torch; sys.exit(not torch.cuda.is_available())' 2> /dev/null; then
  # A minute and a half at most: the CPU's turn comes after.
  seconds=$(($(left) < 90 ? $(left) : 90))
  if timeout $seconds "$python" "$benches/gpu_torch.py" --device cuda > "$out/torch.json" 2> "$out/torch.log"; then
    torch_note="PyTorch $(text "$out/torch.json" torch) on $(text "$out/torch.json" device)"
  else
    torch_note="PyTorch failed, exit $? (124: not done in $seconds s): $(tail -n 1 "$out/torch.log")"
  fi
fi
# The CPU last: it takes longest, and the checks do not need it.
run speed-cpu --device cpu --provider cpu "${search[@]}" --set supernet.epochs=1 --out "$work/speed-cpu"

epochs() { # RUN COLUMN: a column of the table of epochs
  [ -s "$work/$1/supernet/training.csv" ] && awk -F, -v c="$2" 'NR > 1 { print $c }' "$work/$1/supernet/training.csv"
}
step() { # RUN: milliseconds per step of the last epoch; half of 10,000 images in batches of 64
  epochs "$1" 5 | tail -n 1 | awk '{ print $1 * 1000 / 79 }'
}
score() { # NAME: milliseconds per candidate
  [ -s "$out/$1.json" ] && numbers "$out/$1.json" seconds | awk '{ print $1 * 1000 / 8 }'
}
batch64() { # NAME: milliseconds of `bench` for 64 images, its third row
  [ -s "$out/$1.json" ] && tr -d ' \n' < "$out/$1.json" | grep -oE '"batch":64,"median_ms":[0-9.eE+-]+' | sed 's/.*://'
}
torch() { [ -s "$out/torch.json" ] && numbers "$out/torch.json" "$1"; }
row() { # WHAT CPU GPU PYTORCH; empty where it was not measured
  awk -v what="$1" -v cpu="$2" -v gpu="$3" -v torch="$4" '
    function cell(v) { return v == "" ? "-" : sprintf(v < 10 ? "%.2f" : "%.1f", v) }
    BEGIN { printf "%-52s %11s %11s %13s %12s\n", what, cell(cpu), cell(gpu), cell(torch),
            gpu == "" || torch == "" ? "-" : sprintf("%.3g", gpu / torch) }'
}
{
  printf '%-52s %11s %11s %13s %12s\n' "milliseconds" "genas, CPU" "genas, GPU" "PyTorch, GPU" "GPU/PyTorch"
  row "supernet step (C = 16, 8 cells, batch 64)" "$(step speed-cpu)" "$(step speed-cuda)" "$(torch step_ms)"
  row "score a candidate (1,000 images), burn" "" "$(score speed-cuda-again)" "$(torch score_ms)"
  row "score a candidate (1,000 images), ONNX Runtime" "$(score speed-cpu)" "$(score speed-ort)" "$(torch score_ms)"
  row "classifier (C = 8, 3 cells, batch 64), ONNX Runtime" "$(batch64 bench-cpu)" "$(batch64 bench-cuda)" "$(torch classifier_ms)"
  echo
  echo "genas's steps include reading and augmenting images; its candidates are scored side by side, PyTorch's in turn."
  # The same images, paths and weights at first; differences grow with every step.
  echo "Loss of the supernet's first epoch: CPU $(epochs speed-cpu 2 | head -n 1), GPU $(epochs speed-cuda 2 | head -n 1)"
  [ -s "$out/torch.json" ] && echo "Losses in PyTorch, CPU and GPU: largest relative difference $(torch difference)"
  echo "$torch_note"
} | tee "$out/table.txt"

[ $failed -eq 0 ] && echo "all checks passed"
exit $failed
