#!/bin/bash
# submit.sh BIDS_DIR OUTPUT_DIR LOG_DIR [bidsdeface options]
# Deface a dataset on a Slurm cluster: an array of tasks, then `group`. Run the same command again to do what failed,
# was killed, or is new: LOG_DIR remembers who is done. It names participants and files: keep it private.
# IMAGE is the Apptainer image (bidsdeface.sif); BLOCK the participants a task (1, more above 1,000 participants);
# AT_ONCE the tasks at the same time (100); GROUP options of sbatch for the group job (--cpus-per-task=4).
# Slurm's own: SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT …
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,/^set/{/^#/s/^# //p}' "$0"; exit 2; }
bids=$(realpath "$1") image=$(realpath "${IMAGE:-bidsdeface.sif}") job=$(dirname "$(realpath "$0")")/bidsdeface.sbatch
mkdir -p "$2" "$3/done"
output=$(realpath "$2") log=$(realpath "$3")
chmod 700 "$log"
shift 3

shopt -s nullglob
participants=()
for folder in "$bids"/sub-*/; do
    label=$(basename "$folder")
    [ -e "$log/done/$label" ] || participants+=("$label")
done
after=()
if [ ${#participants[@]} -gt 0 ]; then
    # One line a task, of which Slurm allows 1,000 in an array unless it is told otherwise.
    list=$(mktemp "$log/tasks-XXXXXX")
    printf '%s\n' "${participants[@]}" | xargs -n "${BLOCK:-$(((${#participants[@]} + 999) / 1000))}" >"$list"
    tasks=$(wc -l <"$list")
    id=$(sbatch --parsable --array="1-$tasks%${AT_ONCE:-100}" --output="$log/%A_%a.txt" \
        "$job" "$image" "$log" "$bids" "$output" participant "$list" "$@")
    after=(--dependency="afterany:${id%%;*}")
    echo "${#participants[@]} participants in $tasks tasks: job ${id%%;*}"
fi
# shellcheck disable=SC2086 # GROUP holds several options
id=$(sbatch --parsable "${after[@]}" ${GROUP:---cpus-per-task=4} --output="$log/%j_group.txt" \
    "$job" "$image" "$log" "$bids" "$output" group - "$@")
echo "group: job ${id%%;*}; what they say: $log"
