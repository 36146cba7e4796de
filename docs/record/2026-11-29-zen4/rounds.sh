#!/bin/sh
# One round of all hot paths beside their peers: rounds.sh NEARFAR PEERS PROTOTYPE DATA PYTHON ISOTONIC
#
# PEERS are the scripts of ../shared/peers, PROTOTYPE is ../shared/prototypes/fused_step.rs as a program, DATA has
# `60000_600_e.npy` and so on: `make_embeddings(N, 128, m = N / classes, spread = 1.2)` of the peers, shuffled; ISOTONIC calls
# `Isotonic::fit` on the 1e7 points of `pml_eval.py iso 1e7`.
set -eu
nearfar=$1 peers=$2 prototype=$3 data=$4 python=$5 isotonic=$6
bench() { "$nearfar" bench "$@" | sed 1,2d | sed '/^$/,$d'; }
bench --n 128,512,1024,4096 --threads 1
bench --n 1024,4096 --threads 2
bench --n 1024,4096 --dim 64 --threads 1
bench --n 1024,4096 --dim 512 --threads 1
bench --n 128,1024 --threads 1 --instructions avx2
for n in 128 1024 4096; do
    "$prototype" step $n 128 1 2
    "$prototype" sym $n 128 1 2
done
for what in torch_best dws_margin; do "$python" "$peers/pml_sampling.py" $what 128 128 1 3; done
"$python" "$peers/pml_sampling.py" torch_best 1024 128 1 3
for net in "mlp 128" "mlp 512" "cnn 128"; do "$python" "$peers/torch_net.py" $net 1 4; done
for set in 60000_600 10000_100 60000_10; do
    echo "eval $set: $(/usr/bin/time -f '%U user + %S system s, %M KiB' "$nearfar" eval --threads 1 --no-clusters \
        --embeddings "$data/${set}_e.npy" --labels "$data/${set}_l.npy" 2>&1 | tail -1)"
done
K=max_bin_count "$python" "$peers/pml_eval.py" acc 60000 600 1
"$python" "$peers/pml_eval.py" knn 60000 10 1
"$isotonic"
"$python" "$peers/pml_eval.py" iso 1e7
