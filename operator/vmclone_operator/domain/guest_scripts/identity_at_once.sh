# One task for a guest that can not be asked often: waits for the boot, resets, waits for the end, reads back. The
# functions release, launch and probe stand before this; each is a script of its own and may end with `exit`. Its
# answer is a probe's. Safe to repeat: a reset that runs or is done is left alone, and only its answer is told.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
boot_seconds=${VMCLONE_BOOT_SECONDS:-240} reset_seconds=${VMCLONE_RESET_SECONDS:-600} pause=3
groups=${VMCLONE_CGROUPS:-/sys/fs/cgroup}
most=8

rest() {
  sleep "$pause" </dev/null
  waited=$((waited + pause))
}

# Standard input is the launcher's: nothing here may read from it before.
booted() {
  answer=$(probe </dev/null)
  case $answer in
    *system=unsupported*) return 0 ;;
    *network_wait=*) release </dev/null ;;
  esac
  case $answer in
    *system=running*cloud_init=done* | *system=degraded*cloud_init=done*) return 0 ;;
  esac
  return 1
}

resetting() {
  [ -d "$groups/system.slice/vmclone-identity.service" ] ||
    [ -d "$groups/systemd/system.slice/vmclone-identity.service" ]
}

# Of what a task says the last 4 KiB are kept: of the source's keys only those are told that could be shown again
# (the probe asks sshd for ed25519), of what can be many the first eight, which is what is read.
tell() {
  keys=0 units=0 systems=0 places=0
  printf '%s\n' "$1" | while IFS= read -r line; do
    case $line in
      previous_ssh_host_key=ssh-ed25519\ *) keys=$((keys + 1)) && count=$keys ;;
      previous_ssh_host_key=*) continue ;;
      network_wait=*) units=$((units + 1)) && count=$units ;;
      scrub_unverified=*) systems=$((systems + 1)) && count=$systems ;;
      scrub_left_alone=*) places=$((places + 1)) && count=$places ;;
      *) count=0 ;;
    esac
    [ "$count" -gt "$most" ] || printf '%.280s\n' "$line"
  done
}

waited=0
until booted; do
  if [ "$waited" -ge "$boot_seconds" ]; then
    tell "$answer"
    exit 0
  fi
  rest
done
launch || exit
waited=0
while resetting && [ "$waited" -lt "$reset_seconds" ]; do rest; done
tell "$(probe </dev/null)"
