#!/usr/bin/env bash
# The whole way on a simulated site: simulate, train, localize in the live node, evaluate. Writes demo/ only.
set -euo pipefail
cd "$(dirname "$0")/.."

out=demo
minutes=2.5  # of training; with the rest it stays under 6 minutes on 2 cores
# Neither other nodes on the network nor this demo shall disturb each other.
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID=$((RANDOM % 100 + 1))

step() {
    printf '\n== %s\n$ mail_localization %s\n' "$1" "${*:2}"
    .venv/bin/mail_localization "${@:2}"
}

rm -rf "$out"
step "1/5 simulate a site and its surveys" simulate "$out/site" --seed 1
step "2/5 build the magnetic nearest neighbour" \
    train --method magnetic_nn --bags "$out/site/train" --out "$out/magnetic_nn"
step "3/5 train MAIL for $minutes minutes" \
    train --method mail --bags "$out/site/train" --out "$out/mail" --config config/mail_mean_removed.yaml --max-minutes "$minutes" --threads 1 --seed 1
step "4/5 evaluate both on all held-out recordings" \
    evaluate "$out/mail" "$out/magnetic_nn" --bags "$out/site/test" --map "$out/site/map.yaml" --out "$out/offline"
recordings=("$out"/site/test/*/)
step "5/5 play one held-out recording to the live ROS 2 node" \
    evaluate "$out/mail" --live --rate 2 --bags "${recordings[0]%/}" --map "$out/site/map.yaml" --out "$out/live"

printf '\nDone in %d min %d s. Reports to open in a browser:\n' $((SECONDS / 60)) $((SECONDS % 60))
printf '  %s\n' "$PWD/$out/offline/report.html" "$PWD/$out/live/report.html"
