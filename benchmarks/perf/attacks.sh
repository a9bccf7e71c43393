#!/usr/bin/env bash
# All of reports/perf/attacks.md, into the directory OUT: some two hours on two idle cores. FGSM is
# measured in several processes, as the libraries' allocations fare differently, and so are DeepFool
# and JSMA at 32 pixels, beside which ART fares differently. DeepFool and JSMA with eight pairs are
# given as many images as a run gives an attack at a time.
#   OMP_NUM_THREADS=2 bash benchmarks/perf/attacks.sh OUT
#   python benchmarks/perf/collect.py OUT
set -euo pipefail
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
measure() { python -W ignore attacks.py --weights "$out/weights" "${@:2}" > "$out/$1.md"; }

for process in 1 2 3 4 5; do
    measure "01-fgsm-$process" --jobs fgsm --images 256 --repeats 7
done
for process in 1 2 3; do
    measure "02-fgsm-resnet18-32-$process" --jobs fgsm --images 128 --repeats 3 \
        --shapes resnet18-32 --recipes standard
done
measure 03-iterated --jobs pgd-40 apgd-100 --images 128 --repeats 1 --compile
measure 04-pgd-resnet18-32 --jobs pgd-40 --images 64 --repeats 1 --shapes resnet18-32 \
    --recipes standard --without ART --compile
measure 05-autoattack --jobs autoattack --images 64 --repeats 1
measure 05-autoattack-2 --jobs autoattack --images 64 --repeats 1
measure 06-autoattack-0.1 --jobs autoattack-0.1 --images 64 --repeats 1 --recipes pgd-at
python -W ignore propagations.py --weights "$out/weights" > "$out/propagations.md"
measure 07-deepfool --jobs deepfool --images 256 --repeats 3
for process in 2 3; do
    measure "07-deepfool-$process" --jobs deepfool --images 256 --repeats 3 --without torchattacks
done
measure 08-cw --jobs cw --images 32 --repeats 1
measure 09-jsma --jobs jsma --images 96 --repeats 1
measure 09-jsma-8 --jobs jsma-8 --images 256 --repeats 1
for process in 1 2 3; do
    measure "10-jsma-32-$process" --jobs jsma --images 96 --repeats 1 --shapes small-cnn-32
done
measure 10-jsma-8-32 --jobs jsma-8 --images 256 --repeats 1 --shapes small-cnn-32
measure 11-jsma-224 --jobs jsma-224 --images 2 --repeats 1 --shapes small-cnn-224 \
    --recipes standard --without ART
measure 12-square --jobs square --images 96 --repeats 1
measure 13-fgsm-resnet18-224 --jobs fgsm --images 64 --repeats 1 --shapes resnet18-224 \
    --recipes standard
python -W ignore arrangement.py --repeats 15 > "$out/arrangement.md"
