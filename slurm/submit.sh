#!/bin/bash
# submit.sh BIDS_DIR OUTPUT_DIR LOG_DIR [bidsdeface options]
# Deface a dataset on a Slurm cluster: an array of tasks, then `group`. Run the same command again to do what failed,
# was killed, or is new: LOG_DIR remembers who is done. It names participants and files: keep it private.
# IMAGE is the Apptainer image (bidsdeface.sif); BLOCK the participants a task (1, more above 1,000 participants);
# RETRY=1 leaves out who ended with a code that another try would not change (1 to 5): only 75, killed and new ones.
# AT_ONCE the tasks at the same time (100); GROUP options of sbatch for the group job (--cpus-per-task=4).
# Slurm's own: SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT …
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,/^set/{/^#/s/^# //p}' "$0"; exit 2; }
bids=$(realpath "$1") image=$(realpath "${IMAGE:-bidsdeface.sif}") job=$(dirname "$(realpath "$0")")/bidsdeface.sbatch
mkdir -p "$2" "$3/done" "$3/ended" "$3/outcomes"
output=$(realpath "$2") log=$(realpath "$3")
chmod 700 "$log"
shift 3

shopt -s nullglob
participants=()
for folder in "$bids"/sub-*/; do
    label=$(basename "$folder")
    [ -e "$log/done/$label" ] && continue
    [ -n "${RETRY:-}" ] && [ -e "$log/ended/$label" ] && [ "$(<"$log/ended/$label")" -lt 75 ] && continue
    rm -f "$log/ended/$label"
    participants+=("$label")
done
after=()
if [ ${#participants[@]} -gt 0 ]; then
    # One line a task, of which Slurm allows 1,000 in an array unless it is told otherwise.
    list=$(mktemp "$log/tasks-XXXXXX")
    printf '%s\n' "${participants[@]}" | xargs -n "${BLOCK:-$(((${#participants[@]} + 999) / 1000))}" >"$list"
    tasks=$(wc -l <"$list")
    id=$(sbatch --parsable --array="1-$tasks%${AT_ONCE:-100}" --output="$log/%A_%a.txt" \
        "$job" "$image" "$log" "$bids" "$output" participant "$list" "$@")
    # Whatever they end with: failed scans (3) and texts that wait (4) do not keep the others from being summed up.
    after=(--dependency="afterany:${id%%;*}")
    echo "${#participants[@]} participants in $tasks tasks: job ${id%%;*}"
fi
# shellcheck disable=SC2086 # GROUP holds several options
id=$(sbatch --parsable "${after[@]}" ${GROUP:---cpus-per-task=4} --output="$log/%j_group.txt" \
    "$job" "$image" "$log" "$bids" "$output" group - "$@")
echo "group: job ${id%%;*}; what they say: $log"
